"""A simulated person who walks with an ankle exoskeleton, and what a mask would measure.

A control law is peak torque T (N·m/kg) and the times p, r, f (% of the stride) of its peak, rise and fall. What the
muscles use, as a fraction of what this person uses above standing when the device gives no torque, is

    c = 1 − R + d + fatigue,   R = A s(T) exp(−½ δᵀ Σ⁻¹ δ),   δ = ((p − p*)/8, (r − r*)/15, (f − f*)/7)
    s = 1 − ((T − T*)/T*)² up to T*, 1 − ((T − T*)/0.5)² beyond: no torque is no help, too much can do harm.

A curve over the stride that is no such law has the R of the law as which it is read, times exp(−½ (ρ/0.2)²); ρ is
the difference between the two (experiments/exoskeleton/torque_curves.py). This is a modelling choice, which no
published result supports. Where a law does harm, a curve that differs from it does less harm, too.

A, T* and p* move from a novice's to an expert's values with the adaptation levels a and aT: da/dt = (1 − a)/36 min
(A and p*), daT/dt = (1 − aT)/72 min (T*), while there is torque. The drift d is an Ornstein–Uhlenbeck process. The
rate at the mouth follows c as a first-order response, which is exact between breaths; c, a, aT and d move from
breath to breath, and all of them continue from bout to bout. During rest the person stands: the rate at the mouth
falls towards that of standing, d continues to drift, and nothing is learnt or forgotten.

What published studies constrain is how much the generic law and the best one help novices and experts (Poggensee &
Collins 2021) and the noise of a two-minute estimate (4.6 %). The rest is a modelling choice, and marked so. That
little variety of laws slows learning, and much variety ends it early, is left out: there is no size for either.
"""

# mypy: disable-error-code="no-untyped-def"

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Float
from numba import njit
from scipy.optimize import nnls
from scipy.special import ndtr, ndtri

from policysearch.core import Array
from policysearch.exoskeleton.respirometry import TAU, TAU_SD, Breaths
from policysearch.exoskeleton.torque_law import HIGHEST, LATEST_END, LOWEST
from policysearch.jit import specialise

# ---------------------------------------------------------------------------------------------- the landscape
WIDTHS = np.array([8.0, 15.0, 7.0])  # % stride, of peak, rise and fall (modelling choice)
#: Of peak, rise and fall (modelling choice).
CORRELATION = np.array([[1.0, 0.3, -0.3], [0.3, 1.0, 0.0], [-0.3, 0.0, 1.0]])
PRECISION = np.linalg.inv(CORRELATION * np.outer(WIDTHS, WIDTHS))  # Σ⁻¹ in units of the stride
TOO_MUCH = 0.5  # N·m/kg beyond T* is as bad as no torque (form published, size a modelling choice)
TORQUE, TORQUE_SD, TORQUE_RANGE = 0.75, 0.08, (0.5, 1.0)  # N·m/kg, T* of experts, clipped (modelling choice)
#: % stride; p* is inferred from public rankings of laws and not clipped, the means of r* and f* are near the
#: generic law, their spreads a modelling choice.
PEAK, PEAK_SD, RISE, RISE_SD, FALL, FALL_SD = 55.0, 2.0, 26.2, 4.0, 11.0, 2.0
UNLIKE = 0.2  # of the peak torque, rms: how unlike a law a curve may be (modelling choice)
#: A of experts (times a lognormal factor of mean one) and of novices: modelling choices with which the generic law
#: helps them by 30.3 and 9.9 %; 31 and 10 % are published.
AMPLITUDE, AMPLITUDE_SPREAD, NOVICE_AMPLITUDE = 0.397, 0.2, 0.12
# ------------------------------------------------------------------------------------------------------- time
LEARNING, TORQUE_LEARNING = 36.0, 72.0  # min, time constants of a and aT (published as a modelling choice)
DRIFT_TIME = 20.0  # min, time constant of the drift (modelling choice)
# ------------------------------------------------------------------------------------------------------- body
TAU_RANGE = (20.0, 80.0)  # s, where the distribution of τ is cut off (modelling choice)
NET_RATE, NET_RATE_SD = 2.9, 0.3  # W/kg, without torque, above standing (modelling choice; 2.4 to 3 recalled)
OUTLIER_FACTOR = 4.0  # of the noise of a breath with a cough, a swallow or a leak (modelling choice)
SHALLOWEST = 0.1  # W/kg, no breath shows less (modelling choice)

Law = Sequence[float] | Array  # T, p, r, f
Levels = tuple[float, float]  # a, aT


class Preset(NamedTuple):
    """Who walks: the adaptation at the start, and how much assistance helps."""

    a: float  # level, from which aT = 1 − √(1 − a): both belong to the same minutes of walking
    scale: float = 1.0  # of the amplitudes
    spread: float = AMPLITUDE_SPREAD  # logarithmic standard deviation of A over people


#: "zhang2017" has one ankle assisted: the best feasible law after 64 min of training is to help by 27 ± 7 % (choice,
#: next to the published 24 ± 7 %). Computed from the landscape alone, without any search: 20000 novices adapted by
#: 64 min (a .831, aT .589); scale = .27 / .337, their mean, and the spread at which the sd of people is 7 %.
PRESETS = {
    "novice": Preset(0.0),
    "half-trained": Preset(0.5),
    "expert": Preset(1.0),
    "zhang2017": Preset(0.0, scale=0.80, spread=0.263),
}


class Participant(NamedTuple):
    """One person: the landscape of an expert, where a novice's differs, body, measurement and start."""

    torque: float = TORQUE  # N·m/kg, T*
    peak: float = PEAK  # % stride, p*
    rise: float = RISE  # % stride, r*
    fall: float = FALL  # % stride, f*
    amplitude: float = AMPLITUDE  # A, of the zero-torque net rate
    novice_torque: float = -0.30  # N·m/kg, a novice's T* less T* (modelling choice)
    novice_peak: float = -2.0  # % stride, a novice's p* less p* (modelling choice)
    novice_amplitude: float = NOVICE_AMPLITUDE
    a: float = 0.0  # adaptation at the start
    aT: float = 0.0  # noqa: N815 - the symbol
    tau: float = TAU  # s
    net_rate: float = NET_RATE  # W/kg, walking without torque above standing
    standing_rate: float = 1.4  # W/kg (modelling choice)
    drift_sd: float = 0.01  # of the net rate (modelling choice)
    fatigue: float = 0.0  # of the net rate per hour of walking; 0.005 is the option (modelling choice)
    breath_period: float = 3.0  # s, mean of the lognormal intervals (modelling choice)
    breath_cv: float = 0.25  # of the intervals, sd / mean (modelling choice)
    breath_sd: float = 0.178  # of the present net rate: 4.6 % per two-minute estimate (published; inferred)
    breath_correlation: float = 0.0  # of successive breaths' noise; 0.3 is the option (modelling choice)
    missed: float = 0.02  # probability that a breath is not measured (modelling choice)
    outliers: float = 0.01  # probability of an outlier (modelling choice)


def draw_participant(rng: np.random.Generator, preset: str = "novice") -> Participant:
    """A person of `PRESETS`. The same draws make the same person at another stage of training."""
    if preset not in PRESETS:
        raise ValueError(f"need a preset of {', '.join(PRESETS)}, got {preset!r}")
    a, scale, spread = PRESETS[preset]
    z = rng.standard_normal(6)
    low, high = ndtr((np.array(TAU_RANGE) - TAU) / TAU_SD)
    return Participant(
        torque=float(np.clip(TORQUE + TORQUE_SD * z[0], *TORQUE_RANGE)),
        peak=PEAK + PEAK_SD * float(z[1]),
        rise=RISE + RISE_SD * float(z[2]),
        fall=FALL + FALL_SD * float(z[3]),
        amplitude=scale * AMPLITUDE * math.exp(spread * z[4] - 0.5 * spread**2),
        novice_amplitude=scale * NOVICE_AMPLITUDE,
        a=a,
        aT=1.0 - math.sqrt(1.0 - a),
        tau=TAU + TAU_SD * float(ndtri(low + (high - low) * rng.random())),
        net_rate=NET_RATE + NET_RATE_SD * float(z[5]),
    )


class State(NamedTuple):
    """What a walker takes from one bout to the next."""

    minutes: float  # walked
    y: float  # at the mouth, of the net rate: 0 standing, 1 walking without torque
    a: float  # adaptation
    aT: float  # noqa: N815 - the symbol
    drift: float  # of the net rate


def adapted_after(minutes: float, a: float = 0.0, aT: float = 0.0) -> Levels:
    """The adaptation levels after assisted walking that began with a and aT."""
    a = 1.0 - (1.0 - a) * math.exp(-minutes / LEARNING)
    return a, 1.0 - (1.0 - aT) * math.exp(-minutes / TORQUE_LEARNING)


@njit(error_model="numpy")
def best_timing_and_torque(person, a, aT):
    """p* and T* at this adaptation."""
    return person.peak + (1.0 - a) * person.novice_peak, person.torque + (1.0 - aT) * person.novice_torque


@njit(error_model="numpy")
def reduction(person, a, aT, law):
    """R, of the zero-torque net rate."""
    peak, torque = best_timing_and_torque(person, a, aT)
    off = (law[0] - torque) / (torque if law[0] <= torque else TOO_MUCH)
    p, r, f = law[1] - peak, law[2] - person.rise, law[3] - person.fall
    squares = PRECISION[0, 0] * p * p + PRECISION[1, 1] * r * r + PRECISION[2, 2] * f * f
    distance = squares + 2.0 * (PRECISION[0, 1] * p * r + PRECISION[0, 2] * p * f + PRECISION[1, 2] * r * f)
    amplitude = person.novice_amplitude + a * (person.amplitude - person.novice_amplitude)
    return amplitude * (1.0 - off * off) * math.exp(-0.5 * distance)


@njit(error_model="numpy")
def drifted(person, drift, seconds, z):
    """The drift after some time; z is a standard normal number."""
    kept = math.exp(-seconds / (60.0 * DRIFT_TIME))
    return kept * drift + person.drift_sd * math.sqrt(1.0 - kept * kept) * z


def fidelity(rho: float) -> float:
    """The part of a law's reduction that is left under a curve which differs from the law's by ρ."""
    return math.exp(-0.5 * (rho / UNLIKE) ** 2)


class _Bout(NamedTuple):
    """What is walked."""

    law: tuple[float, float, float, float]
    shape: float  # the part of R that is left
    seconds: float
    learns: bool


class _Draws(NamedTuple):
    """The randomness of a bout, breath by breath."""

    gaps: Float[Array, "b"]  # s between two breaths
    noise: Float[Array, "b 2"]  # standard normal: of the drift, of the breath
    chance: Float[Array, "b 2"]  # uniform: whether the breath is missed, whether it is an outlier


def _bout(person, state, bout, draws, breaths):
    """The state after a bout, and how many breaths (s, W/kg) were measured.

    The bout ends within a breath, which is not measured.
    """
    law, shape, seconds, learns = bout
    gaps, noise, chance = draws
    minutes, y, a, aT, drift = state
    t, error, count, rho = 0.0, 0.0, 0, person.breath_correlation
    for i in range(gaps.size):
        last = gaps[i] >= seconds - t
        dt = seconds - t if last else gaps[i]
        cost = 1.0 - shape * reduction(person, a, aT, law) + drift + person.fatigue * minutes / 60.0
        y = cost + (y - cost) * math.exp(-dt / person.tau)
        if learns and law[0] > 0.0:
            a = 1.0 - (1.0 - a) * math.exp(-dt / (60.0 * LEARNING))
            aT = 1.0 - (1.0 - aT) * math.exp(-dt / (60.0 * TORQUE_LEARNING))
        drift = drifted(person, drift, dt, noise[i, 0])
        minutes += dt / 60.0
        t += dt
        if last:
            break
        error = noise[i, 1] if i == 0 else rho * error + math.sqrt(1.0 - rho * rho) * noise[i, 1]
        if chance[i, 0] >= person.missed:
            factor = OUTLIER_FACTOR if chance[i, 1] < person.outliers else 1.0
            net = person.net_rate * y * (1.0 + person.breath_sd * factor * error)
            breaths[0, count] = t
            breaths[1, count] = max(person.standing_rate + net, SHALLOWEST)
            count += 1
    return (minutes, y, a, aT, drift), count


_walk: Any = specialise(_bout)


def check_law(law: Law) -> tuple[float, float, float, float]:
    """The law as four floats."""
    values = [float(value) for value in law]
    if len(values) != 4 or not all(map(math.isfinite, values)) or values[0] < 0.0:
        got = ", ".join(f"{value:g}" for value in values)
        raise ValueError(f"need a law of torque >= 0 N·m/kg and peak, rise, fall in % stride, got ({got})")
    return values[0], values[1], values[2], values[3]


def check_shape(shape: float) -> float:
    """The shape, if it is a part of a reduction."""
    if not 0.0 <= shape <= 1.0:
        raise ValueError(f"need a shape from 0 to 1, got {shape}")
    return float(shape)


@dataclass
class Walker:
    """A participant on the treadmill, and where they are in the experiment."""

    person: Participant
    state: State
    learns: bool = True

    @classmethod
    def start(cls, person: Participant, rng: np.random.Generator) -> Self:
        """The person who stands on the treadmill, before the first step."""
        drift = person.drift_sd * float(rng.standard_normal())
        return cls(person, State(0.0, 0.0, person.a, person.aT, drift))

    def copy(self, learns: bool = True) -> Self:
        """Another walker in the same state; with `learns` false its adaptation stays what it is."""
        return replace(self, learns=learns)

    def walk(self, law: Law, seconds: float, rng: np.random.Generator, shape: float = 1.0) -> Breaths:
        """The breaths of a bout under a law; the walker is then at its end.

        Args:
            law: the law, or the one as which a curve is read.
            seconds: how long.
            rng: of the person's drift, and of the breaths.
            shape: the `fidelity` of a curve that is no law.
        """
        bout, person = _Bout(check_law(law), check_shape(shape), float(seconds), self.learns), self.person
        if not (math.isfinite(seconds) and seconds > 0.0):
            raise ValueError(f"need a bout of finite seconds > 0, got {seconds}")
        variance = math.log1p(person.breath_cv**2)
        mean, spread = math.log(person.breath_period) - 0.5 * variance, math.sqrt(variance)
        size = int(1.5 * seconds / person.breath_period) + 20
        gaps = rng.lognormal(mean, spread, size)
        while gaps.sum() <= seconds:
            gaps = np.concatenate([gaps, rng.lognormal(mean, spread, size)])
        draws = _Draws(gaps, rng.standard_normal((gaps.size, 2)), rng.random((gaps.size, 2)))
        breaths = np.empty((2, gaps.size))
        state, count = _walk(person, self.state, bout, draws, breaths)
        measured = Breaths(breaths[0, :count], breaths[1, :count])
        self.state = State(*state)
        return measured

    def rest(self, seconds: float, rng: np.random.Generator) -> None:
        """Standing between bouts; no breath is measured."""
        if not (math.isfinite(seconds) and seconds >= 0.0):
            raise ValueError(f"need a rest of finite seconds >= 0, got {seconds}")
        y = self.state.y * math.exp(-seconds / self.person.tau)
        drift = drifted(self.person, self.state.drift, float(seconds), float(rng.standard_normal()))
        self.state = self.state._replace(y=y, drift=drift)

    def true_reduction(self, law: Law, adapted: Levels | None = None, shape: float = 1.0) -> float:
        """R of a law without drift, fatigue and noise: now, or at the levels (a, aT)."""
        return check_shape(shape) * float(reduction(self.person, *self._levels(adapted), check_law(law)))

    def best_law(self, adapted: Levels | None = None) -> Float[Array, "4"]:
        """The law in the box, begun after 0 % and ended by 65 % of the stride, with the largest true reduction."""
        peak, torque = best_timing_and_torque(self.person, *self._levels(adapted))
        optimum = np.array([peak, self.person.rise, self.person.fall])
        normals = np.vstack([np.eye(3), -np.eye(3), [[-1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]])
        limits = np.concatenate([HIGHEST[1:], np.negative(LOWEST[1:]), [0.0, LATEST_END]])
        # Nearest point: with timing = optimum + L z, least distance programming (Lawson & Hanson 1974, ch. 23)
        L = np.linalg.cholesky(np.linalg.inv(PRECISION))
        E = np.vstack([-(normals @ L).T, normals @ optimum - limits])
        residual = E @ nnls(E, np.eye(4)[3])[0] - np.eye(4)[3]
        timing = optimum + L @ (-residual[:3] / residual[3])
        peak, rise, fall = np.clip(timing, LOWEST[1:], HIGHEST[1:])  # rounding
        return np.array([torque, peak, min(rise, peak), min(fall, LATEST_END - peak)])

    def _levels(self, adapted: Levels | None) -> Levels:
        return (self.state.a, self.state.aT) if adapted is None else adapted
