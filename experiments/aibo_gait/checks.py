"""Checks of the simulated robot's constants, and of their limits; only the last row involves a search.

    python experiments/aibo_gait/checks.py --study results/aibo_gait/study --out results/aibo_gait

Noise and falls of the first gait and of the paper's learned one; servos of other speeds; the time step; and the
recommendations of the study measured again with half and a quarter of the time step. Writes checks.md and
checks.json (for compared_with_paper.py).
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from policysearch.aibo import robot as aibo
from policysearch.aibo.half_ellipse_gait import EPSILONS_PER_UNIT, SPACE, TABLE
from policysearch.aibo.traversal import FRAMES, RATE, SPEED, draw
from policysearch.compare.saved import RECOMMENDATIONS_FILE, load_all
from policysearch.core import Array, Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.provenance import environment
from policysearch.seeding import stream
from policysearch.tasks import find_task

START, PAPER = (np.array([row[column] for row in TABLE]) for column in (2, 4))
RANDOM, NEAR, TRAVERSALS = 600, 17, 40

TEXT = """# What the simulated AIBO's constants rest on

Written by `python experiments/aibo_gait/checks.py --study results/aibo_gait/study --out results/aibo_gait`
({versions}).

## Servos

The first gait over {traversals} traversals (mean ± sd, falls), gaits one ε around it (mean sd of a traversal, falls),
and the fastest of {random} gaits drawn between the bounds, one traversal each. The robot's own software recommends
2.5 to 2.8 rad/s without enforcing it; {rate:g} was taken.

{servos}

## Noise

Over {traversals} traversals each. Three are averaged in a search.

{noise}

## Time step

{near} gaits up to one ε around the first, {traversals} traversals each with the same draws: mean absolute change of
their speeds {change:.1f} %, largest {largest:.1f} %, when the step of 4 ms is halved.

The gaits that each method recommends at the end of the study (mean over its runs, 5 traversals of each, same draws):

{steps}
"""


def measured(timestep: float = aibo.TIMESTEP, rate: float = RATE) -> Callable[[Array, int, str], Array]:
    """A function of gaits (coordinates), traversals and a name: the returns, the same draws for all gaits."""

    def drawn(rng: np.random.Generator) -> Array:
        noise = draw(rng)
        noise[SPEED] *= rate / RATE
        return noise

    simulator = replace(aibo.make_simulator(timestep=timestep), draw=drawn)
    policy = find_task("aibo-gait").make_policy()
    evaluator = CompiledEvaluator(simulator, policy, max_episode_steps=FRAMES)

    def measure(gaits: Array, traversals: int, name: str) -> Array:
        return evaluator.evaluate(Proposal(gaits, gaits[0], traversals), ("checks", name)).returns

    return measure


def around(count: int) -> Array:
    """Gaits one ε around the first."""
    steps = stream(0, "around").standard_normal((count, len(START))) / EPSILONS_PER_UNIT
    return SPACE.domain.clip(SPACE.domain.start + steps)


def servos() -> pd.DataFrame:
    """The first gait, gaits around it and random ones, with servos of other speeds."""
    between = stream(0, "between").uniform(SPACE.domain.lower, SPACE.domain.upper, (RANDOM, len(START)))
    rows = []
    for rate in (2.8, 4.0, 6.0):
        measure = measured(rate=rate)
        first = measure(SPACE.domain.start[None], TRAVERSALS, "first")
        near = measure(around(NEAR), 10, "near")
        rows.append(
            {"rad/s": f"{rate:g}", "first gait, mm/s": f"{first.mean():.0f} ± {first.std(ddof=1):.0f}"}
            | {
                "its falls": f"{(first == 0).mean():.0%}",
                "around: sd": f"{near.std(axis=1, ddof=1).mean():.0f}",
            }
            | {"around: falls": f"{(near == 0).mean():.0%}"}
            | {"fastest random": f"{measure(between, 1, 'between').max():.0f}"}
        )
    return pd.DataFrame(rows)


def recommended(study: Path) -> dict[str, Array]:
    """The final gaits of every method, by run, in coordinates."""
    found: dict[str, list[Array]] = {}
    saved = load_all(study / RECOMMENDATIONS_FILE)
    for header, params in sorted(saved, key=lambda entry: entry[0].name):  # which traversals a gait meets
        found.setdefault(header.optimizer, []).append(params)
    return {method: np.array(gaits) for method, gaits in found.items()}


def noise(study: Path) -> pd.DataFrame:
    """Mean and standard deviation of traversals with the first gait, the paper's and the learned ones."""
    measure = measured()
    ends = recommended(study)["finite-difference"]
    gaits = np.concatenate([SPACE.encode(np.array([START, PAPER])), ends])
    returns = measure(gaits, TRAVERSALS, "noise")
    sd = returns.std(axis=1, ddof=1)
    names = [
        "first gait",
        "the paper's learned gait",
        f"learned by finite-difference ({len(ends)} runs, median)",
    ]
    means = [returns[0].mean(), returns[1].mean(), float(np.median(returns[2:].mean(axis=1)))]
    spreads = [sd[0], sd[1], float(np.median(sd[2:]))]
    return pd.DataFrame(
        {"gait": names, "mm/s": [f"{x:.0f}" for x in means], "sd": [f"{x:.0f}" for x in spreads]}
        | {"falls": [f"{x:.0%}" for x in (*(returns[:2] == 0).mean(axis=1), (returns[2:] == 0).mean())]}
    )


def step_changes() -> Array:
    """Relative changes of the speeds of gaits around the first one when the step is halved."""
    fine, coarse = measured(aibo.TIMESTEP / 2), measured()
    before = coarse(around(NEAR), TRAVERSALS, "steps").mean(axis=1)
    return np.asarray(fine(around(NEAR), TRAVERSALS, "steps").mean(axis=1) / before - 1.0)


def step_table(study: Path) -> pd.DataFrame:
    """The mean speeds of every method's final gaits at three time steps."""
    factors = (1, 2, 4)
    measures = [measured(aibo.TIMESTEP / factor) for factor in factors]
    rows = []
    for method, gaits in recommended(study).items():
        speeds = [measure(gaits, 5, "again").mean() for measure in measures]
        row = {
            f"{1000 * aibo.TIMESTEP / factor:g} ms": f"{speed:.0f}"
            for factor, speed in zip(factors, speeds, strict=True)
        }
        rows.append({"method": method} | row)
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """The table as Markdown."""
    lines = ["| " + " | ".join(table.columns) + " |", "| --- |" + " ---: |" * (len(table.columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in table.itertuples(index=False))])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    of_noise, changes = noise(arguments.study), 100.0 * np.abs(step_changes())
    known = environment()
    tables = {"servos": servos(), "noise": of_noise, "steps": step_table(arguments.study)}
    text = TEXT.format(
        versions=", ".join(f"{name} {known[name]}" for name in ("policysearch", "numpy", "numba") if name in known),
        traversals=TRAVERSALS, random=RANDOM, near=NEAR, rate=RATE, change=changes.mean(), largest=changes.max(),
        **{name: markdown(table) for name, table in tables.items()},
    )  # fmt: skip
    (arguments.out / "checks.md").write_text(text, encoding="utf-8")
    first, paper = of_noise.iloc[0], of_noise.iloc[1]
    numbers = {"first_sd": first["sd"], "paper_speed": paper["mm/s"], "paper_sd": paper["sd"]}
    (arguments.out / "checks.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
