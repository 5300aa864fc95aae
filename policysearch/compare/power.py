"""How many runs a difference needs, and what pairing saves of them.

Source: Colas, Sigaud & Oudeyer 2019, "A hitchhiker's guide to statistical comparisons of reinforcement learning
algorithms": the power of a t-test by the noncentral t distribution.
"""

from functools import cache

import numpy as np
from jaxtyping import Float

from policysearch.compare.statistics import ALPHA
from policysearch.core import Array

POWER = 0.8
#: The fewest runs that can show a difference at the 5 % level, and the largest number that is recommended.
MIN_RUNS, MAX_RUNS = 6, 10_000


def effect_size(gap: Float[Array, "runs"]) -> float:
    """Mean difference in standard deviations of the differences; ±∞ for one that never varies."""
    if gap.size < 2 or not np.isfinite(gap).all():
        return float(np.sign(gap.mean()) * np.inf) if gap.size and np.isinf(gap).any() else float("nan")
    deviation = gap.std(ddof=1)
    if deviation > 0:
        return float(gap.mean() / deviation)
    return float(np.copysign(np.inf, gap.mean())) if gap.any() else 0.0


def unpaired_effect_size(x: Float[Array, "runs"], y: Float[Array, "runs"]) -> float:
    """Mean difference in pooled standard deviations of the methods themselves."""
    if x.size < 2:
        return float("nan")
    pooled = float(np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2))
    return float((x.mean() - y.mean()) / pooled) if pooled > 0 else float("nan")


def runs_needed(effect: float, *, paired: bool = True) -> int:
    """Runs per method that show a difference of `effect` standard deviations with 80 % power at the 5 % level.

    Of the differences where runs are paired, else of the methods' own pooled standard deviation (t-tests, Colas
    et al. 2019); at most `MAX_RUNS`, which reads "as many or more". The fewest that can decide at all are 6.
    """
    if not np.isfinite(effect) or effect == 0:
        return MAX_RUNS if not np.isinf(effect) else MIN_RUNS
    return _runs_needed(float(f"{abs(effect):.4g}"), paired)


@cache
def _runs_needed(effect: float, paired: bool) -> int:
    from scipy.stats import nct, norm, t  # noqa: PLC0415

    def power(n: Array) -> Array:
        df = n - 1 if paired else 2 * n - 2
        shift = effect * np.sqrt(n if paired else n / 2)
        return np.asarray(nct.sf(t.ppf(1 - ALPHA / 2, df), df, shift))

    normal = (1 if paired else 2) * ((norm.ppf(1 - ALPHA / 2) + norm.ppf(POWER)) / effect) ** 2
    low = int(min(max(MIN_RUNS, normal), MAX_RUNS))  # the t distribution asks for two or three more
    high = min(low + 10, MAX_RUNS)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(np.array(float(middle))) >= POWER else (middle + 1, high)
    return low


def variance_removed_by_pairing(x: Float[Array, "runs"], y: Float[Array, "runs"]) -> float:
    """1 − var(x − y)/(var x + var y): the share of the runs that common episodes save; negative if they cost."""
    total = x.var(ddof=1) + y.var(ddof=1) if x.size > 1 else 0.0
    return float(1 - (x - y).var(ddof=1) / total) if np.isfinite(total) and total > 0 else float("nan")
