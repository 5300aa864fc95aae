"""Summaries of runs: the interquartile mean and its bootstrap interval (Agarwal et al. 2021)."""

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.seeding import stream

RESAMPLES = 2000


def iqm(values: Float[Array, "*m runs"]) -> Float[Array, "*m"]:
    """Interquartile mean: the mean without the lowest and the highest quarter of the runs."""
    from scipy.stats import trim_mean  # noqa: PLC0415 - takes a second

    return np.asarray(trim_mean(values, 0.25, axis=-1))


def bootstrap_interval(values: Float[Array, "runs"], *key: int | str) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the IQM; NaN for a single run. Seeded by `key`."""
    if values.size < 2:
        return float("nan"), float("nan")
    picks = stream(*key).integers(values.size, size=(RESAMPLES, values.size))
    low, high = np.quantile(iqm(values[picks]), (0.025, 0.975))
    return float(low), float(high)
