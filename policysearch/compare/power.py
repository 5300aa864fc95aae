"""How many runs a difference needs, and what pairing saves of them.

A pair is decided jointly with all others (`statistics.paired_tests`), so the power of a study follows from no formula
for one pair. It is simulated: a study of n runs draws n of the runs that were made, all pairs together, with
replacement, and is tested as the report tests it.

Statistics of studies larger than the largest simulated one are its own, moved by the growth of their mean,
μ/ρ (√n − √n₀), where μ and ρ are mean and root mean square of the capped differences.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from threadpoolctl import threadpool_limits

from policysearch.compare.statistics import ALPHA, PART, capped, differences, sign_patterns
from policysearch.core import Array
from policysearch.quantiles import normal_quantile
from policysearch.seeding import stream

POWER = 0.8
#: The fewest runs that can show a difference at the 5 % level, and the largest number that is recommended.
MIN_RUNS, MAX_RUNS = 6, 10_000
#: Runs of the studies that are simulated, and of those whose statistics follow from the largest of them.
SIMULATED = (6, 8, 11, 16, 24, 36, 54)
MOVED = (85, 140, 230, 400, 700, 1300, 2500, 5000, 10_000)
#: Simulated studies of each size, the sign patterns that test each, and the most statistics held at a time.
STUDIES, PATTERNS, MAX_CELLS = 200, 300, 1_000_000

ROUNDING = 1e-5  # of a statistic in single precision


def effect_size(gap: Float[Array, "runs"]) -> float:
    """Mean difference in standard deviations of the differences; ±∞ for one that never varies."""
    if gap.size < 2 or not np.isfinite(gap).all():
        return float(np.sign(gap.mean()) * np.inf) if gap.size and np.isinf(gap).any() else float("nan")
    deviation = gap.std(ddof=1)
    if deviation > 0:
        return float(gap.mean() / deviation)
    return float(np.copysign(np.inf, gap.mean())) if gap.any() else 0.0


def runs_needed(
    gaps: Float[Array, "rows pairs"], made: Int[Array, "pairs"], *key: int | str
) -> Int[Array, "pairs"]:
    """Runs per method that decide each pair with a probability of 80 %, if further runs differ as these do.

    At least 6, the fewest that can decide at all, and at most `MAX_RUNS`, which reads "as many or more". Differences
    that are drawn from m have (m − 1)/m of the variance that m differences show; the number is raised by as much.

    Args:
        gaps: differences of runs (`statistics.differences`, `unpaired`); NaN where a pair has no more.
        made: how many runs each pair has made.
        key: names the random numbers.
    """
    needed, enough = np.full(made.shape, MAX_RUNS), made >= 2
    if enough.any():
        with threadpool_limits(1):  # threads wait for each other where products are small
            raw = _simulated(_filled(gaps[:, enough]), *key)
        raised = np.where(raw > MIN_RUNS, raw * made[enough] / (made[enough] - 1), raw)
        needed[enough] = np.minimum(np.ceil(raised), MAX_RUNS)
    return needed


def _simulated(gaps: Float[Array, "rows pairs"], *key: int | str) -> Float[Array, "pairs"]:
    """The size of studies that draw from these differences at which each pair is decided with the power wanted."""
    found = list[list[float]]()
    for runs in SIMULATED:
        larger = MOVED if runs == SIMULATED[-1] else ()
        found += power(gaps, runs, (runs, *larger), *key).tolist()
        if min(found[-1]) >= POWER:
            break
    sizes = np.array([*SIMULATED, *MOVED][: len(found)], dtype=float)
    return np.array([_first(sizes, curve) for curve in np.maximum.accumulate(found).T])


def power(
    gaps: Float[Array, "runs pairs"], runs: int, sizes: tuple[int, ...], *key: int | str
) -> Float[Array, "sizes pairs"]:
    """The share of simulated studies that decide each pair.

    Args:
        gaps: the differences that studies draw from, without NaN.
        runs: of the studies that are drawn.
        sizes: of the studies that are spoken of, as large as those or larger.
        key: names the random numbers.
    """
    rng, found = stream(*key, runs), np.zeros((len(sizes), gaps.shape[1]))
    signs = sign_patterns(runs) if runs < 10 else 1 - 2 * rng.integers(2, size=(PATTERNS, runs))
    signs[0] = 1
    drawn = rng.integers(len(gaps), size=(STUDIES, runs))
    growth = capped(gaps).sum(axis=0) / np.sqrt(len(gaps))
    moves = growth * (np.sqrt(sizes) - np.sqrt(runs))[:, None, None]
    flips, at_once = signs.T.astype(np.float32), max(1, MAX_CELLS // (len(signs) * gaps.shape[1]))
    for part in np.array_split(drawn, -(-STUDIES // at_once)):
        flipped = _flipped(gaps, part, flips)
        observed, others = flipped[..., 0].copy(), np.abs(flipped[..., 1:], out=flipped[..., 1:])
        found += decided(np.abs(observed + moves), others).sum(axis=1)
    return found / STUDIES


def _flipped(
    gaps: Float[Array, "rows pairs"], drawn: Int[Array, "studies runs"], flips: Float[Array, "runs patterns"]
) -> Float[Array, "studies pairs patterns"]:
    """Sums of the capped differences that each study draws, with every pattern of signs.

    A row that is drawn several times has the same difference each time: where rows are few, their signs are added.
    """
    rows = np.arange(len(gaps))
    if drawn.shape[1] <= len(rows):
        return capped(gaps[drawn]).astype(np.float32).swapaxes(1, 2) @ flips
    picked = drawn[:, None, :] == rows[:, None]
    limited = capped(gaps, picked.sum(axis=2)).astype(np.float32)
    return limited.swapaxes(1, 2) @ (picked.astype(np.float32) @ flips)


def decided(
    T: Float[Array, "sizes studies pairs"], flipped: Float[Array, "studies pairs patterns"]
) -> Bool[Array, "sizes studies pairs"]:
    """Which pairs the step-down test decides: those whose joint p value (`statistics.step_down`) is at most `ALPHA`.

    What exceeds the largest statistics of all pairs also exceeds those of the weaker ones alone. So pairs are decided
    together, and the largest statistics of those that are left are computed as long as some are decided.

    Args:
        T: the observed statistics; studies of several sizes have the same patterns.
        flipped: the statistics of all sign patterns but the observed.
    """
    statistics = T - T.dtype.type(ROUNDING)
    found = statistics > critical(flipped.max(axis=1))[:, None]
    waiting = np.argwhere(found.any(axis=2) & ~found.all(axis=2))
    while len(waiting):
        size, study = waiting.T
        exceeding = statistics[size, study] > _critical_of(flipped, study, ~found[size, study])[:, None]
        more = exceeding & ~found[size, study]
        found[size, study] |= more
        waiting = waiting[more.any(axis=1) & ~found[size, study].all(axis=1)]
    return found


def _critical_of(
    flipped: Float[Array, "studies pairs patterns"], studies: Int[Array, "n"], left: Bool[Array, "n pairs"]
) -> Float[Array, "n"]:
    """`critical` of the largest statistics of the pairs that are left, in each of these studies; some are."""
    found, counts = np.empty(len(studies), dtype=flipped.dtype), left.sum(axis=1)
    rows, pairs = flipped.reshape(-1, flipped.shape[2]), np.argsort(~left, axis=1, kind="stable")
    by_count = np.argsort(counts, kind="stable")
    for part in np.array_split(by_count, -(-int(counts.sum()) * flipped.shape[2] // PART)):
        most = counts[part].max(initial=1)
        places = np.where(np.arange(most) < counts[part, None], pairs[part, :most], pairs[part, :1])
        found[part] = critical(rows[studies[part, None] * flipped.shape[1] + places].max(axis=1))
    return found


def critical(largest: Float[Array, "*studies patterns"]) -> Float[Array, "*studies"]:
    """What a statistic must exceed: no more of the largest may reach it than p of at most `ALPHA` allows."""
    patterns = largest.shape[-1]
    may_reach = int(ALPHA * (1 + patterns) + 1e-9)  # the observed pattern is one of them
    return np.asarray(np.partition(largest, patterns - may_reach, axis=-1)[..., patterns - may_reach])


def _filled(gaps: Float[Array, "runs pairs"]) -> Float[Array, "runs pairs"]:
    """The differences with those of each pair again, in order, where it has none."""
    filled = gaps.copy()
    for column in filled.T:
        missing = np.isnan(column)
        column[missing] = np.resize(column[~missing], int(missing.sum()))
    return filled


def _first(sizes: Float[Array, "n"], powers: Float[Array, "n"]) -> float:
    """The size at which the power reaches `POWER`: its normal quantile is taken as linear in √n between two sizes."""
    enough = np.flatnonzero(powers >= POWER)
    if not enough.size or enough[0] == 0:
        return float(sizes[0]) if enough.size else float(MAX_RUNS)
    i = slice(enough[0] - 1, enough[0] + 1)
    quantiles = [*map(normal_quantile, np.clip(powers[i], 0.5 / STUDIES, 1 - 0.5 / STUDIES).tolist())]
    return float(np.interp(normal_quantile(POWER), quantiles, np.sqrt(sizes[i])) ** 2)


def unpaired(x: Float[Array, "runs"], y: Float[Array, "runs"]) -> Float[Array, "_"]:
    """The differences of runs that are not paired: of each run of x and up to ten other runs of y."""
    runs, shifts = np.arange(x.size), np.arange(1, min(x.size, 11))[:, None]
    return differences(np.tile(x, len(shifts)), y[(runs - shifts).ravel() % x.size]) if x.size > 1 else x - y


def variance_removed_by_pairing(x: Float[Array, "runs"], y: Float[Array, "runs"]) -> float:
    """1 − var(x − y)/(var x + var y): the share of the runs that common episodes save; negative if they cost."""
    total = x.var(ddof=1) + y.var(ddof=1) if x.size > 1 else 0.0
    return float(1 - (x - y).var(ddof=1) / total) if np.isfinite(total) and total > 0 else float("nan")
