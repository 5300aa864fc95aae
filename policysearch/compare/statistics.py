"""Statistics of the runs of a comparison, with their intervals and tests.

Sources: interquartile mean, stratified bootstrap, probability of improvement and performance profiles as
Agarwal et al. 2021 ("Deep RL at the edge of the statistical precipice") and their `rliable` define them; the level of
the bootstrap after Hesterberg 2015 ("What teachers should know about the bootstrap"); the interval of a probability
of improvement after Newcombe 2006 (Statistics in Medicine 25, 559, method 5); Holm 1979; the joint sign-flip test
after Romano & Wolf 2005.

Runs are paired: run r of every method has the same episodes and the same start. So methods are compared by
the differences of their paired runs, and runs are resampled together. A run without a result (NaN) counts as
worse than any number. Every resampling is seeded by a key, as `policysearch.seeding.stream` has it.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from policysearch.core import Array
from policysearch.quantiles import normal_cdf, root, student_quantile
from policysearch.seeding import stream

RESAMPLES = 2000
ALPHA, Z = 0.05, 1.959963984540054  # the level of tests and intervals, and its normal quantile, of 1 − α/2
#: Numbers that are worked on at once; tables of thousands of runs are resampled in parts.
PART = 2**19
#: How many runs the model of the variance of a probability of improvement weighs as much as.
MODEL_RUNS = 20
CAP = 3.0  # median sizes, of a single difference
#: Up to this many runs all sign patterns are enumerated; beyond, as many are drawn.
MAX_ENUMERATED, SIGN_PATTERNS = 13, 10_000

Statistic = Callable[[Sequence[Float[Array, "m runs"]]], Float[Array, "m"]]


def iqm(values: Float[Array, "*m runs"]) -> Float[Array, "*m"]:
    """Interquartile mean: the mean without the lowest and the highest quarter of the runs.

    −∞ where more runs than that have no result.
    """
    if values.size > PART and values.ndim > 1:  # it is copied several times
        rows = values.reshape(-1, values.shape[-1])
        parts = [iqm(part) for part in np.array_split(rows, min(len(rows), values.size // PART + 1))]
        return np.concatenate(parts).reshape(values.shape[:-1])
    cut, runs = values.shape[-1] // 4, values.shape[-1]
    ordered = np.partition(np.where(np.isnan(values), -np.inf, values), (cut, runs - cut - 1), axis=-1)
    return np.asarray(ordered[..., cut : runs - cut].mean(axis=-1))


def bootstrap_interval(values: Float[Array, "runs"], *key: int | str) -> tuple[float, float]:
    """95 % bootstrap interval of the IQM; NaN for a single run. It covers `coverage(runs)`."""
    return stratified_interval([values], lambda strata: iqm(strata[0]), *key)


def stratified_interval(
    strata: Sequence[Float[Array, "_"]], statistic: Statistic, *key: int | str
) -> tuple[float, float]:
    """95 % interval of a statistic whose runs are resampled within each stratum (task); see `tail`."""
    if min(values.size for values in strata) < 2:
        return float("nan"), float("nan")
    outside = tail([values.size for values in strata])
    rng = stream(*key)
    resampled = [values[rng.integers(values.size, size=(RESAMPLES, values.size))] for values in strata]
    low, high = np.quantile(statistic(resampled), (outside, 1 - outside), method="nearest")
    return float(low), float(high)


def tail(runs: Sequence[int]) -> float:
    """The share of resampled statistics on either side of a 95 % interval, for runs of each stratum (task).

    Less than 2.5 %, because few runs show less spread than there is: the quantile is Student's t where the bootstrap
    alone takes the normal one (Hesterberg 2015). With several strata it is larger by √(n/(n − 1)), by which
    resampling within strata of n runs is too narrow; the IQM of a single stratum needs no more than t.
    """
    freedom, fewest = sum(runs) - len(runs), min(runs)
    quantile = student_quantile(freedom, 1 - ALPHA / 2) * (
        np.sqrt(fewest / (fewest - 1)) if len(runs) > 1 else 1.0
    )
    return normal_cdf(-float(quantile))


def coverage(runs: int) -> float:
    """How often the 95 % interval of an IQM covers: with few runs all may lie on one side, in 2^(1−runs)."""
    return min(1 - ALPHA, 1 - 2.0 ** (1 - runs))


def curve_interval(
    curves: Float[Array, "points runs"], *key: int | str
) -> tuple[Float[Array, "points"], Float[Array, "points"]]:
    """Pointwise 95 % intervals of the IQM of curves; whole runs are resampled (1000 times, enough for a picture)."""
    runs = curves.shape[1]
    if runs < 2:
        nothing = np.full(len(curves), np.nan)
        return nothing, nothing
    picks, outside = stream(*key).integers(runs, size=(RESAMPLES // 2, runs)), tail([runs])
    points, places = np.unique(
        curves, axis=0, return_inverse=True
    )  # most curves do not change at every point
    resampled = np.array([iqm(point[picks]) for point in points])
    low, high = np.quantile(resampled, (outside, 1 - outside), axis=1, method="nearest")
    return low[places], high[places]


def aggregate_iqm(strata: Sequence[Float[Array, "*m _"]]) -> Float[Array, "*m"]:
    """IQM of the runs of all tasks pooled; for normalised returns only."""
    return iqm(np.concatenate(strata, axis=-1))


def normalise(returns: Float[Array, "*m"], low: float, high: float) -> Float[Array, "*m"]:
    """Returns on the scale of a task's two references: `low` becomes 0 and `high` 1."""
    return (returns - low) / (high - low)


def probability_of_improvement(x: Float[Array, "n"], y: Float[Array, "m"]) -> float:
    """P(X > Y) + P(X = Y)/2 over all pairs of runs: Mann & Whitney's U divided by n·m."""
    won, _ = _wins(x, y)
    return float(won.sum() / (x.size * y.size))


def improvement_interval(x: Float[Array, "runs"], y: Float[Array, "runs"]) -> tuple[float, float]:
    """95 % interval of the probability of improvement of paired runs: those p from which the estimate is not too far.

        (p̂ − p)² ≤ z² s V(p),   V(p) = p (1 − p) (1 + (n − 1) ((1 − p)/(2 − p) + p/(1 + p)))/n²

    V is the variance of Newcombe's method 5; s compares it at p̂ with the variance that the paired runs show,
    shrunk towards 1 as if `MODEL_RUNS` further runs had shown V. So all wins do not give an interval of no width.
    """
    runs = x.size
    if runs < 2:
        return float("nan"), float("nan")
    won, lost = _wins(x, y)
    estimate, observed = float(won.sum() / runs**2), (won / runs + lost / runs).var(ddof=1) / runs
    model = _variance_of_improvement(min(max(estimate, 0.5 / runs), 1 - 0.5 / runs), runs)
    scale = Z**2 * (runs * observed / model + MODEL_RUNS) / (runs + MODEL_RUNS)

    def too_far(p: float) -> float:
        return float((estimate - p) ** 2 - scale * _variance_of_improvement(p, runs))

    low = root(too_far, 0.0, min(estimate, 1 - 1e-9)) if estimate > 0 else 0.0
    high = root(too_far, max(estimate, 1e-9), 1.0) if estimate < 1 else 1.0
    return float(low), float(high)


def _variance_of_improvement(p: float, runs: int) -> float:
    return p * (1 - p) * (1 + (runs - 1) * ((1 - p) / (2 - p) + p / (1 + p))) / runs**2


def _wins(x: Float[Array, "n"], y: Float[Array, "m"]) -> tuple[Float[Array, "n"], Float[Array, "m"]]:
    """How many of the others each run of x is above, and how many each run of y is below; of equal ones, half."""
    x, y = (np.where(np.isnan(values), -np.inf, values) for values in (x, y))
    below_x = [np.searchsorted(np.sort(y), x, side) for side in ("left", "right")]
    below_y = [np.searchsorted(np.sort(x), y, side) for side in ("left", "right")]
    return 0.5 * (below_x[0] + below_x[1]), x.size - 0.5 * (below_y[0] + below_y[1])


def performance_profile(scores: Float[Array, "runs"], taus: Float[Array, "t"]) -> Float[Array, "t"]:
    """Fraction of the runs whose normalised return exceeds τ."""
    return (scores[:, None] > taus).mean(axis=0)


def first_hit(
    spent: Float[Array, "points"], values: Float[Array, "points"], targets: Float[Array, "t"]
) -> Float[Array, "t"]:
    """What had been spent when each target was first reached; ∞ where it never was."""
    reached = values[:, None] >= targets
    return np.where(reached.any(axis=0), np.asarray(spent, dtype=float)[reached.argmax(axis=0)], np.inf)


def area_under_curve(spent: Float[Array, "points"], values: Float[Array, "points"]) -> float:
    """Mean over the budget of a curve that keeps each value until the next point."""
    return float(np.diff(spent) @ values[:-1] / (spent[-1] - spent[0]))


def differences(x: Float[Array, "runs"], y: Float[Array, "runs"]) -> Float[Array, "runs"]:
    """x − y run by run; a run without a result loses by ∞, two of them tie."""
    with np.errstate(invalid="ignore"):
        gap = np.where(np.isnan(x) & np.isnan(y), 0.0, x - y)
    gap = np.where(np.isnan(x) & ~np.isnan(y), -np.inf, gap)
    return np.where(np.isnan(y) & ~np.isnan(x), np.inf, gap)


def capped(
    gaps: Float[Array, "*studies runs pairs"], times: Int[Array, "studies runs"] | None = None
) -> Float[Array, "*studies runs pairs"]:
    """Each column's differences, no larger than `CAP` times their median size, scaled to unit length.

    NaN, where a pair has no such run, becomes 0; zeros do not count for the median. So one diverged run, or one
    without a result, weighs as a large difference and no more; sizes do not depend on signs, which keeps sign-flip
    tests exact.

    Args:
        gaps: the differences.
        times: how often each study has each run; 0 where a run is not in the study. By default every run once.
    """
    gaps = np.where(np.isnan(gaps), 0.0, gaps)
    size, weights = np.abs(gaps), None if times is None else times[..., None]
    with np.errstate(over="ignore", invalid="ignore"):
        limit = CAP * (_median_of_positive(size) if times is None else _weighted_median(size, times))
    infinite = np.isinf(limit)
    size = (
        np.where(infinite, np.isinf(size), np.minimum(size, limit))
        if infinite.any()
        else np.minimum(size, limit)
    )
    if weights is not None:
        size *= weights > 0
    size /= np.maximum(size.max(axis=-2, keepdims=True), 1e-300)
    squares = size * size
    if weights is not None:
        squares *= weights
    length = np.sqrt(squares.sum(axis=-2, keepdims=True))
    length[length == 0] = 1.0  # without a difference
    size /= length
    return np.copysign(size, gaps)


def _median_of_positive(size: Float[Array, "*studies runs pairs"]) -> Float[Array, "*studies 1 pairs"]:
    """The median over the runs of the sizes that are not 0; 0 where all are."""
    ordered = np.sort(size, axis=-2)
    zeros = (size == 0).sum(axis=-2, keepdims=True)
    positive, last = size.shape[-2] - zeros, size.shape[-2] - 1
    return _middle(
        np.take_along_axis(ordered, np.minimum(zeros + half // 2, last), axis=-2)
        for half in (positive - 1, positive)
    )


def _weighted_median(
    size: Float[Array, "runs pairs"], times: Int[Array, "studies runs"]
) -> Float[Array, "studies 1 pairs"]:
    """`_median_of_positive` of studies that have each run so many times."""
    order = np.argsort(size, axis=0, kind="stable")
    ordered, upto = np.take_along_axis(size, order, axis=0), times[:, order].cumsum(axis=1)
    zeros = times @ (size == 0)
    total = times.sum(axis=1, keepdims=True)
    return _middle(
        ordered[
            (upto <= np.minimum(zeros + half // 2, total - 1)[:, None]).sum(axis=1), np.arange(size.shape[1])
        ]
        for half in (total - zeros - 1, total - zeros)
    )[:, None]


def _middle(two: Iterable[Float[Array, "*m"]]) -> Float[Array, "*m"]:
    """Half of the sum of two values, of which both may be infinite."""
    below, above = two
    return np.where(below == above, below, 0.5 * below + 0.5 * above)


def sign_patterns(runs: int, *key: int | str) -> Int[Array, "patterns runs"]:
    """Signs that the differences of equal methods could as well have had; the first are the observed ones.

    All of them up to `MAX_ENUMERATED` runs (up to an overall sign, which |T| does not see).
    """
    if runs <= MAX_ENUMERATED:
        numbers = np.arange(2 ** (runs - 1))[:, None]
        return 1 - 2 * (numbers >> np.arange(runs) & 1)
    rng, patterns = stream(*key), np.empty((SIGN_PATTERNS, runs), dtype=np.int8)
    for part in np.array_split(patterns, 20):  # eight bytes per sign would be too many
        part[:] = 1 - 2 * rng.integers(2, size=part.shape)
    patterns[0] = 1
    return patterns


class Tests(NamedTuple):
    """p values of several pairs of methods: by themselves, and such that the family errs in 5 % at most."""

    p: Float[Array, "pairs"]  # Fisher's sign-flip test of the mean difference
    holm: Float[Array, "pairs"]
    joint: Float[Array, "pairs"]  # step-down over the joint distribution of all pairs: what decides
    direction: Float[Array, "pairs"]  # the sign of what was tested: 1 where the differences are positive


def paired_tests(gaps: Float[Array, "runs pairs"], *key: int | str) -> Tests:
    """Two-sided tests of paired differences: a row per run, a column per pair, NaN where a pair has no such run.

    If two methods are equal, each difference could as well have had the other sign (Fisher 1935). The p value of a
    pair is the part of all sign patterns with a mean as far from zero; it cannot be below 2^(1−runs), so Holm's
    correction finds nothing where pairs are many and runs few. The joint step-down test flips the signs of whole
    runs, for all pairs alike, and compares each pair with the largest statistic of the undecided ones.
    """
    limited, parts = capped(gaps), np.array_split(sign_patterns(len(gaps), *key), 20)
    flipped = np.concatenate(
        [part @ limited for part in parts]
    )  # patterns × pairs; row 0 is what was observed
    T = np.abs(flipped)
    p = (T[0] - 1e-9 <= T).mean(axis=0)
    return Tests(p, holm(p), step_down(T[:1], T[None, 1:].swapaxes(1, 2), 1e-9)[0], np.sign(flipped[0]))


def step_down(
    T: Float[Array, "studies pairs"], flipped: Float[Array, "studies pairs patterns"], rounding: float
) -> Float[Array, "studies pairs"]:
    """Joint p values of the pairs of each study: Romano & Wolf's step-down over the largest statistic.

    Args:
        T: the observed statistics.
        flipped: those of all sign patterns but the observed.
        rounding: by how much a statistic may be below an equal one.
    """
    order = np.argsort(-T, axis=1, kind="stable")
    observed = np.take_along_axis(T, order, axis=1) - T.dtype.type(rounding)
    largest = flipped[np.arange(len(T)), order.T]  # by pair, which is in one piece then
    for weaker, pair in itertools.pairwise(largest[::-1]):  # becomes that of the pair and of all weaker ones
        np.maximum(weaker, pair, out=pair)
    at_least = (largest >= observed.T[..., None]).view(np.uint8).sum(axis=2, dtype=np.int32).T
    joint, shares = np.empty(T.shape), (1 + at_least) / (1 + flipped.shape[2])  # with the observed pattern
    ordered = np.maximum.accumulate(shares, axis=1)
    np.put_along_axis(joint, order, ordered, axis=1)
    return joint


def mean_interval(gap: Float[Array, "runs"]) -> tuple[float, float]:
    """Student's 95 % interval of the mean of paired differences; infinite where one of them is, or of one run."""
    if gap.size < 2 or not np.isfinite(gap).all():
        return -np.inf, np.inf
    half = student_quantile(gap.size - 1, 1 - ALPHA / 2) * gap.std(ddof=1) / np.sqrt(gap.size)
    return float(gap.mean() - half), float(gap.mean() + half)


def disasters(gap: Float[Array, "runs"]) -> int:
    """Runs in which x is worse than y by more than `CAP` median differences: those of which the tests see a part."""
    with np.errstate(over="ignore"):
        return int((gap < -CAP * float(_median_of_positive(np.abs(gap)[:, None])[0, 0])).sum())


def holm(p: Float[Array, "m"]) -> Float[Array, "m"]:
    """Holm's adjusted p values: those at most α may be rejected with a family-wise error of at most α."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
