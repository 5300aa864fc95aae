"""How often 95 % intervals cover: of the IQM, of mean differences, over tasks, of a probability of improvement.

Methods that are compared, for runs x_1 … x_n:
    percentile      quantiles of the statistic of resampled runs (what version 0.1.0 reported)
    BCa             bias-corrected and accelerated (Efron 1987), by scipy.stats.bootstrap
    bootstrap-t     quantiles of the studentised statistic of resampled runs
    trimmed t       Student's t of the winsorised variance (Tukey & McLaughlin 1963), scipy.stats.mstats
    ours            `policysearch.compare.statistics`
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats
from shapes import SHAPES, middle, true_iqm, true_mean

from policysearch.compare.statistics import (
    aggregate_iqm,
    bootstrap_interval,
    improvement_interval,
    iqm,
    mean_interval,
    stratified_interval,
)
from policysearch.core import Array
from policysearch.seeding import stream

RUNS = (5, 6, 10, 20, 50)
TASKS = 3
RESAMPLES = 1000
#: Shifts between two methods, in standard deviations of a normal shape, and the part that common episodes make.
SHIFTS, COMMON = (0.0, 0.7, 1.5), (0.0, 0.5)

Interval = Callable[[Float[Array, "runs"], int], tuple[float, float]]


def percentile(x: Float[Array, "runs"], study: int) -> tuple[float, float]:
    """What version 0.1.0 reported."""
    low, high = np.quantile(_resampled(x, study, iqm), (0.025, 0.975))
    return low, high


def bca(x: Float[Array, "runs"], study: int) -> tuple[float, float]:
    """Bias-corrected and accelerated, by SciPy; NaN where all resampled statistics are equal."""
    rng = stream(study, "bca")
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # equal statistics
        found = stats.bootstrap((x,), trim_quarters, n_resamples=RESAMPLES, method="BCa", rng=rng)
    return found.confidence_interval.low, found.confidence_interval.high


def trim_quarters(x: Float[Array, "*m runs"], axis: int = -1) -> Float[Array, "*m"]:
    """The IQM, with the argument that SciPy gives."""
    return np.asarray(stats.trim_mean(x, 0.25, axis=axis))


def bootstrap_t(x: Float[Array, "runs"], study: int) -> tuple[float, float]:
    """Studentised by the winsorised variance; infinite where too many resampled runs have none."""
    center, error = float(iqm(x)), float(_error(x))
    picks = stream(study).integers(x.size, size=(RESAMPLES, x.size))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num((iqm(x[picks]) - center) / _error(x[picks]), posinf=np.inf, neginf=-np.inf)
        low, high = np.quantile(t, (0.025, 0.975), method="nearest")
        return center - high * error, center - low * error


def trimmed_t(x: Float[Array, "runs"], study: int) -> tuple[float, float]:
    """Tukey & McLaughlin 1963, by SciPy."""
    low, high = stats.mstats.trimmed_mean_ci(x, limits=(0.25, 0.25), alpha=0.05)
    return float(low), float(high)


def ours(x: Float[Array, "runs"], study: int) -> tuple[float, float]:
    """What is reported."""
    return bootstrap_interval(x, study)


METHODS: dict[str, Interval] = {
    "percentile": percentile, "BCa": bca, "bootstrap-t": bootstrap_t, "trimmed t": trimmed_t, "ours": ours,
}  # fmt: skip


def _resampled(x: Float[Array, "runs"], study: int, statistic: Any) -> Float[Array, "m"]:
    return np.asarray(statistic(x[stream(study).integers(x.size, size=(RESAMPLES, x.size))]))


def _error(x: Float[Array, "*m runs"]) -> Float[Array, "*m"]:
    """Standard error of the IQM by the winsorised variance."""
    n, cut = x.shape[-1], x.shape[-1] // 4
    ordered = np.sort(x, axis=-1)
    winsorised = np.clip(ordered, ordered[..., [cut]], ordered[..., [n - cut - 1]])
    return np.asarray(winsorised.std(axis=-1, ddof=1) * np.sqrt(n) / (n - 2 * cut))


def _covers(interval: tuple[float, float], truth: float) -> bool:
    return bool(interval[0] <= truth + 1e-9 and truth - 1e-9 <= interval[1])


def of_iqm(studies: int) -> Iterator[dict[str, Any]]:
    """Coverage and median width for the IQM of the runs of one method, by shape, runs and way."""
    for name, shape in SHAPES.items():
        truth = true_iqm(name)
        for runs in RUNS:
            data = shape(stream("iqm", name, runs), (studies, runs))
            for method, interval in METHODS.items():
                found = [interval(x, study) for study, x in enumerate(data)]
                hits, widths = [_covers(i, truth) for i in found], [high - low for low, high in found]
                yield {"shape": name, "runs": runs, "method": method, "coverage": np.mean(hits),
                       "median width": np.median(widths), "infinite": np.isinf(widths).mean()}  # fmt: skip


def of_mean(studies: int) -> Iterator[dict[str, Any]]:
    """Coverage of Student's interval of a mean of paired differences, which a verdict adds."""
    for name, shape in SHAPES.items():
        for runs in RUNS:
            data = shape(stream("mean", name, runs), (studies, runs))
            hits = [_covers(mean_interval(x), true_mean(name)) for x in data]
            yield {"shape": name, "runs": runs, "coverage": np.mean(hits)}


def over_tasks(studies: int) -> Iterator[dict[str, Any]]:
    """Coverage for the IQM of the runs of three tasks together, at levels that differ by half a spread."""
    levels = np.linspace(-0.5, 0.5, TASKS)[:, None]
    for name, shape in SHAPES.items():
        truth = middle((shape(stream("truth", name), (TASKS, 1_000_000)) + levels).ravel())
        for runs in RUNS[:-1]:
            data = shape(stream("tasks", name, runs), (studies, TASKS, runs)) + levels
            hits = [
                _covers(stratified_interval(list(x), aggregate_iqm, study), truth)
                for study, x in enumerate(data)
            ]
            yield {"shape": name, "runs": runs, "tasks": TASKS, "coverage": np.mean(hits)}


def _methods(name: str, size: tuple[int, ...], shift: float, common: float, *key: Any) -> tuple[Array, Array]:
    """Returns of two methods; `common` of what moves a run is the same for both."""
    rng, shape = stream("improvement", name, *key), SHAPES[name]
    same = common * shape(rng, size)
    return same + (1 - common) * shape(rng, size) + shift, same + (1 - common) * shape(rng, size)


def of_improvement(studies: int) -> Iterator[dict[str, Any]]:
    """Coverage for the probability of improvement, by shape, runs, shift and common part."""
    for name in SHAPES:
        for shift, common in ((s, c) for s in SHIFTS for c in COMMON):
            x, y = _methods(name, (300_000,), shift, common, "truth")
            places = [np.searchsorted(np.sort(y), x + e) for e in (-1e-9, 1e-9)]
            truth = float(np.mean(places)) / y.size
            for runs in RUNS:
                xs, ys = _methods(name, (studies, runs), shift, common, runs, str(shift), str(common))
                hits = [_covers(improvement_interval(*both), truth) for both in zip(xs, ys, strict=True)]
                yield {"shape": name, "runs": runs, "p": truth, "common": common, "coverage": np.mean(hits)}
