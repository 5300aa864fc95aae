"""The power of studies whose runs were planned: by the simulated test, and by a t-test of each pair by itself.

A pilot of 20,000 runs, which knows the differences, says how many runs decide a pair with a probability of 80 %; then
studies of so many fresh runs are tested as the report tests them. Methods differ by 0.8 (a normal shape has the
standard deviation 1):
    one ahead    the first method is 0.8 better than every other; the power is that of its pairs
    in steps     the methods stand in equal steps, the first 0.8 above the middle one; the power is that of this pair
"""

import itertools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
from jaxtyping import Float
from scipy.stats import nct, t
from shapes import SHAPES
from threadpoolctl import threadpool_limits

from policysearch.compare import statistics
from policysearch.compare.power import effect_size, runs_needed
from policysearch.compare.statistics import differences, paired_tests
from policysearch.core import Array
from policysearch.seeding import stream

METHODS, DESIGNS = (2, 6, 14), ("one ahead", "in steps")
PLANNED = ("normal", "lognormal", "two groups", "heavy tail (t₃)", "10 % disasters")
PILOT, AHEAD, LONGEST = 20_000, 0.8, 200
SIGN_PATTERNS = 2000  # of the tests here; the report draws 10,000


def gaps(name: str, design: str, methods: int, runs: int, *key: Any) -> Float[Array, "runs pairs"]:
    """Differences of all pairs of a study."""
    behind = np.full(methods, AHEAD) if design == "one ahead" else np.arange(methods) * AHEAD / (methods // 2)
    behind[0] = 0.0
    returns = SHAPES[name](stream("power", name, design, methods, *key), (methods, runs)) - behind[:, None]
    return np.array([differences(x, y) for x, y in itertools.combinations(returns, 2)]).T


def by_t_test(gap: Float[Array, "runs"]) -> int:
    """The runs by which version 0.1.0 planned: of the pair by itself, by the noncentral t distribution."""
    n = np.arange(6, 10_001)
    power = nct.sf(t.ppf(0.975, n - 1), n - 1, abs(effect_size(gap)) * np.sqrt(n))
    return int(n[np.argmax(power >= 0.8)])


def measured(name: str, design: str, methods: int, runs: int, studies: int) -> float:
    """The share of fresh studies that decide the pairs in question, in their mean."""
    pairs = slice(methods - 1) if design == "one ahead" else methods // 2 - 1
    found = 0.0
    with mock.patch.object(statistics, "SIGN_PATTERNS", SIGN_PATTERNS):
        for study in range(studies):
            fresh = gaps(name, design, methods, runs, "fresh", study)
            found += float((paired_tests(fresh, study).joint[pairs] <= 0.05).mean()) / studies
    return found


def powers(studies: int) -> Iterator[dict[str, Any]]:
    """A row per shape, design and number of methods."""
    cells = [(n, d, m) for n in PLANNED for d in DESIGNS for m in METHODS if (m, d) != (2, "in steps")]
    with threadpool_limits(1):
        for name, design, methods in cells:
            pilot = gaps(name, design, methods, PILOT, "pilot")
            pair = methods // 2 - 1 if design == "in steps" else 0
            needed = runs_needed(pilot, np.full(pilot.shape[1], PILOT), 1)
            ours = int(np.median(needed[: methods - 1]) if design == "one ahead" else needed[pair])
            alone = by_t_test(pilot[:, pair])
            yield {
                "shape": name, "design": design, "methods": methods, "runs": ours,
                "power": measured(name, design, methods, ours, studies), "runs by a t-test": alone,
                "their power": measured(name, design, methods, min(alone, LONGEST), studies), "studies": studies,
            }  # fmt: skip


def pilots(studies: int) -> Iterator[dict[str, Any]]:
    """What a plan from few runs is worth: quartiles, over pilots, of the power that the planned runs have."""
    for runs in (5, 10, 20):
        found = []
        for number in range(20):
            pilot = gaps("normal", "one ahead", 2, runs, "pilot", number)
            (needed,) = runs_needed(pilot, np.array([runs]), number).tolist()
            found.append(measured("normal", "one ahead", 2, min(needed, LONGEST), max(1, studies // 10)))
        low, half, high = np.quantile(found, (0.25, 0.5, 0.75))
        yield {"pilot's runs": runs, "lower quartile": low, "median": half, "upper quartile": high}
