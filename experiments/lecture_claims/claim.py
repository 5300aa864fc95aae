"""A claim of the lectures on policy search, measured: one sentence, numbers with intervals, a verdict."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.core import Array


@dataclass(frozen=True)
class Measured:
    """One number that speaks for or against the claim."""

    what: str
    value: float
    low: float  # 95 % interval; equal to `value` where the number is exact
    high: float
    expected: str = ""  # what theory says of it, in words or a number

    def __str__(self) -> str:
        exact = self.low == self.value == self.high
        return f"{self.value:.3g}" if exact else f"{self.value:.3g} ({self.low:.3g} … {self.high:.3g})"


@dataclass(frozen=True, eq=False)
class Claim:
    """What was claimed, what was measured, and whether it holds."""

    claim: str
    verdict: str  # "holds", "does not hold", or "holds when …"
    measured: list[Measured]
    setting: str  # where and how it was measured, in a sentence or two
    table: pd.DataFrame  # every number behind it
    picture: Any = None  # a matplotlib figure, if there is something to look at
    remarks: list[str] = field(default_factory=list)  # what disagrees, what to be careful with


def mean_interval(values: Float[Array, "n"]) -> tuple[float, float, float]:
    """Mean and its 95 % interval, by the standard error."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - 1.96 * error, mean + 1.96 * error


def bootstrap_interval(
    values: Float[Array, "n *more"], statistic: Any, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """A statistic of rows and its 95 % interval, by resampling the rows."""
    rng = np.random.default_rng(seed)
    draws = [float(statistic(values[rng.integers(len(values), size=len(values))])) for _ in range(resamples)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(statistic(values)), float(low), float(high)
