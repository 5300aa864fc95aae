"""Steady-state metabolic power from a few minutes of breaths.

The body answers a change of its metabolic rate slowly. At the mouth the rate y follows the true rate u as

    dy/dt = (u − y)/τ,   so   y(t) = u + (y(0) − u) e(t),   e(t) = exp(−t/τ),   τ = 42 ± 12 s

(Selinger & Donelan 2014, J Appl Physiol 117:1406: mean ± sd of people), and a breath is y and noise. The estimator
published with several studies of human-in-the-loop optimization finds y(0) and u by least squares on the design
[e, 1 − e], with e from explicit Euler steps, e_k = e_{k−1} (1 − Δt/τ). As the two columns add up to one, u is the
intercept of a straight line through y against e, whatever the clock's zero: that is how it is computed here, with
e from Euler steps ("euler") or exactly ("exact").
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from policysearch.core import Array

TAU, TAU_SD = 42.0, 12.0  # s, time constant of the response: mean and spread of people
VO2_POWER, VCO2_POWER = 16.58, 4.51  # J per mL of oxygen and of carbon dioxide (Brockway 1987, as recalled)
#: Fewer are refused: with ten breaths 3 s apart the estimate still varies 1.6 times as much as a breath.
MIN_BREATHS = 10
MAX_GAP = 15.0  # s between two breaths, about five breaths missed; more is a gap (modelling choice)
MAX_RER = 1.0  # carbon dioxide over oxygen, above which Brockway's equation does not hold
LONG_BOUT = 4.8 * 60.0  # s, from here the published caller takes the mean of the last two minutes
LAST_MINUTES = 120.0  # s
#: An estimate is sensitive to τ if τ ± 12 s moves it by more than this part of its standard error (choice).
SENSITIVE = 0.5

Design = Literal["euler", "exact"]
Method = Literal["published", "euler", "exact", "mean"]


@dataclass(frozen=True, eq=False)
class Breaths:
    """The breaths of one bout.

    Raises:
        ValueError: Fewer than `MIN_BREATHS`, times that do not increase, or a rate that is not positive.
    """

    time: Float[Array, "n"]  # s, from any zero
    rate: Float[Array, "n"]  # W/kg, gross
    #: What else was measured of each breath, by column of its file; NaN where it is missing.
    gases: Mapping[str, Float[Array, "n"]] = field(default_factory=dict)
    mass: float = (
        math.nan
    )  # kg, with which volumes were turned into rates; NaN for rates that were in the file
    said: tuple[str, ...] = ()  # what is to be known of their file
    doubt: str = ""  # why their file is doubtful

    @property
    def gaps(self) -> Float[Array, "g"]:
        """The pauses of more than `MAX_GAP` between two breaths, in s."""
        between = np.diff(self.time)
        return between[between > MAX_GAP]

    @property
    def rer(self) -> float:
        """The respiratory exchange ratio, carbon dioxide over oxygen; NaN without both volumes."""
        oxygen, carbon = self.gases.get("vo2_ml_min"), self.gases.get("vco2_ml_min")
        return math.nan if oxygen is None or carbon is None else float(np.sum(carbon) / np.sum(oxygen))

    def __post_init__(self) -> None:
        if len(self.time) != len(self.rate):
            raise ValueError(f"need as many rates as times, got {len(self.rate)} and {len(self.time)}")
        if len(self.time) < MIN_BREATHS:
            raise ValueError(f"need at least {MIN_BREATHS} breaths, got {len(self.time)}: measure for longer")
        late, positive = np.diff(self.time) > 0.0, (self.rate > 0.0) & np.isfinite(self.rate)
        for good, values, expected in (
            (np.isfinite(self.time), self.time, "a finite time (s)"),
            (np.concatenate([[True], late]), self.time, "a time later than the previous one (s)"),
            (positive, self.rate, "a positive finite rate (W/kg)"),
        ):
            if not good.all():
                row = int(np.argmin(good))
                raise ValueError(f"breath {row} (from 0): expected {expected}, got {values[row]:g}")


class Estimate(NamedTuple):
    """A steady-state metabolic rate."""

    rate: float  # W/kg
    standard_error: float = math.nan  # W/kg, from the residuals; NaN for a rate without breaths

    def __str__(self) -> str:
        """Both, as in "3.90 ± 0.10"; the error only if it is known, nothing without a rate."""
        error = f" ± {self.standard_error:.2f}" if math.isfinite(self.standard_error) else ""
        return f"{self.rate:.2f}{error}" if math.isfinite(self.rate) else ""


class Fit(NamedTuple):
    """A first-order response fitted to breaths."""

    rate: float  # W/kg, the steady state u
    standard_error: float  # W/kg, of u, from the residuals
    initial: float  # W/kg, the rate at the first breath, y(0) of the published code
    fitted: Float[Array, "n"]  # W/kg, the response at every breath


class TauSensitivity(NamedTuple):
    """What the estimate would be if the person had another time constant."""

    taus: Float[Array, "3"]  # s: 30, 42 and 54
    rates: Float[Array, "3"]  # W/kg
    warn: bool  # an estimate at 30 or 54 s is more than `SENSITIVE` standard errors from the one at 42 s


def brockway(vo2: Float[Array, "n"], vco2: Float[Array, "n"]) -> Float[Array, "n"]:
    """Metabolic power in W of oxygen used and carbon dioxide produced, in mL/min."""
    return np.asarray((VO2_POWER * vo2 + VCO2_POWER * vco2) / 60.0)


def decay(time: Float[Array, "n"], tau: float = TAU, design: Design = "euler") -> Float[Array, "n"]:
    """The part, at every breath, that is left of the difference between the rate at the mouth and the true one."""
    if not (math.isfinite(tau) and tau > 0.0):
        raise ValueError(f"need a finite tau > 0 s, got {tau:g}")
    if design not in ("euler", "exact"):
        raise ValueError(f"need the design euler or exact, got {design!r}")
    if design == "exact":
        return np.exp((time[0] - time) / tau)
    return np.concatenate([[1.0], np.cumprod(1.0 - np.diff(time) / tau)])


def fit(breaths: Breaths, tau: float = TAU, design: Design = "euler") -> Fit:
    """The least-squares fit of y(0) and u."""
    e, y = decay(breaths.time, tau, design), breaths.rate
    n, centre = len(y), float(e.mean())
    spread = float(((e - centre) ** 2).sum())
    slope = float((e - centre) @ y) / spread
    rate = float(y.mean()) - slope * centre
    fitted = rate + slope * e
    variance = float(((y - fitted) ** 2).sum()) / (n - 2)
    error = math.sqrt(variance * (1.0 / n + centre**2 / spread))
    return Fit(rate, error, rate + slope, fitted)


def running(
    breaths: Breaths, tau: float = TAU, design: Design = "euler"
) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """The estimate and its standard error after every breath, W/kg, in one pass.

    NaN until they exist: two breaths for the estimate, three for its error.
    """
    e = decay(breaths.time, tau, design) - 1.0  # e and y from their first values: sums that do not cancel
    y = breaths.rate - breaths.rate[0]
    n = np.arange(1, len(y) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_e, mean_y = np.cumsum(e) / n, np.cumsum(y) / n
        s_ee = np.cumsum(e * e) - n * mean_e**2
        s_ey = np.cumsum(e * y) - n * mean_e * mean_y
        s_yy = np.cumsum(y * y) - n * mean_y**2
        slope = s_ey / s_ee
        rates = breaths.rate[0] + mean_y - slope * (mean_e + 1.0)
        variance = np.maximum(s_yy - slope * s_ey, 0.0) / (n - 2)
        errors = np.sqrt(variance * (1.0 / n + (mean_e + 1.0) ** 2 / s_ee))
    rates[:1], errors[:2] = np.nan, np.nan
    return rates, errors


def mean_of_last(breaths: Breaths, seconds: float = LAST_MINUTES) -> Estimate:
    """The mean of the breaths in the last `seconds`, and its standard error."""
    last = breaths.rate[breaths.time > breaths.time[-1] - seconds]
    if len(last) < 2:
        raise ValueError(f"need at least 2 breaths in the last {seconds:g} s, got {len(last)}")
    return mean_of(last)


def mean_of(values: Float[Array, "n"]) -> Estimate:
    """The mean of at least two values, and its standard error."""
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))


def estimate(breaths: Breaths, method: Method = "published", tau: float = TAU) -> Estimate:
    """The steady-state metabolic rate.

    "published" is what the published code does: "euler", but "mean" (of the last two minutes) from 4.8 min on.
    """
    if method == "published":
        method = "mean" if breaths.time[-1] - breaths.time[0] >= LONG_BOUT else "euler"
    if method == "mean":
        return mean_of_last(breaths)
    return Estimate(*fit(breaths, tau, method)[:2])


def cost_of_gaps(breaths: Breaths, tau: float = TAU) -> float:
    """How much larger the standard error of the exact fit is than with breaths in the gaps too, as a fraction."""
    between = np.diff(breaths.time)
    usual = float(np.median(between))
    counts = np.maximum(np.round(between / usual), 1.0)
    filled = [np.linspace(0.0, gap, int(n) + 1)[1:] for gap, n in zip(between, counts, strict=True)]
    starts = breaths.time[:-1]
    times = np.concatenate([breaths.time[:1], *(t + more for t, more in zip(starts, filled, strict=True))])
    return _error_factor(breaths.time, tau) / _error_factor(times, tau) - 1.0


def _error_factor(time: Float[Array, "n"], tau: float) -> float:
    """The standard error of the exact fit's rate, in standard deviations of a breath."""
    e = decay(time, tau, "exact")
    centre = float(e.mean())
    return math.sqrt(1.0 / len(e) + centre**2 / float(((e - centre) ** 2).sum()))


def sensitivity(breaths: Breaths, design: Design = "euler") -> TauSensitivity:
    """The estimates at τ = 30, 42 and 54 s: one standard deviation of people to either side."""
    taus = np.array([TAU - TAU_SD, TAU, TAU + TAU_SD])
    fits = [fit(breaths, float(tau), design) for tau in taus]
    rates = np.array([each.rate for each in fits])
    moved = float(np.abs(rates - rates[1]).max())
    return TauSensitivity(taus, rates, moved > SENSITIVE * fits[1].standard_error)
