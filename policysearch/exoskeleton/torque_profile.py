"""The torque that an ankle exoskeleton applies during a stride: four numbers, a smooth rise and a smooth fall.

Source: J. Zhang & S.H. Collins, desired_torque_generator.m, 2016, in the supplement of Zhang et al. 2017,
Science 356, "Human-in-the-loop optimization of exoskeleton assistance during walking". A law is

    (peak torque τ, peak time p, rise time r, fall time f)

with the torque in N·m/kg of body mass and the times in % of a stride, from heel strike to the next heel strike
of the same foot. With the amplitude a = τ − b above a bias b:

    onset p − r to peak p:  b + a (3s² − 2s³),            s = (t − p + r)/r
    peak p to end p + f:    b + a (1 − 1.5s² + 0.5s³),    s = (t − p)/f

That is the source's spline: without slope at onset and peak, without curvature at the end. It is left with the
slope −1.5 a/f. Elsewhere the torque is zero. The source has a bias of 2 N·m that keeps its cable taut, and says
of it: a straight line from 0 at heel strike to b at the onset, another from b at the end to 0 at 65 % stride.
(The code that it ships overwrites both lines with zero.) Here the bias is an option, without one by default.

Which laws are feasible, and where their ranges come from: `policysearch.exoskeleton.torque_law`.

When to use it: for ankle exoskeletons whose torque is a function of the moment of the stride.
When not: for devices with several joints, or laws that react within a stride.
"""

import math
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.exoskeleton.torque_law import HIGHEST, LATEST_END, LOWEST
from policysearch.policies.controller import Controller, check_actions
from policysearch.space import Parameter, Space

UPPER_TORQUE = HIGHEST[0]  # N·m/kg
BIAS = 2.0  # N·m, the source's; divide by the body mass for laws in N·m/kg

#: The same law for everybody in Slade et al. 2022, from their released code.
SLADE_2022 = (0.701, 54.59, 27.8, 9.98)


def space(upper_torque: float = UPPER_TORQUE) -> Space:
    """The four parameters in their published ranges, with the centre of the ranges as the start.

    Raises:
        ValueError: for an upper torque that is not positive and finite.
    """
    if not 0.0 < upper_torque < math.inf:
        raise ValueError(f"upper_torque: expected a positive number of N·m/kg, got {upper_torque}")
    names = ("peak torque", "peak time", "rise time", "fall time")
    units = ("N·m/kg", "% stride", "% stride", "% stride")
    ranges = zip(names, LOWEST, (upper_torque, *HIGHEST[1:]), units, strict=True)
    return Space(
        tuple(
            Parameter(name, lower + (upper - lower) / 2, lower, upper, unit)
            for name, lower, upper, unit in ranges
        )
    )


SPACE = space()


@njit(error_model="numpy")
@no_type_check  # Numba compiles what is written, not a checking wrapper
def torque_and_slope_at(law, stride, bias):
    """The torque of one law at one moment of a stride (in %), and its derivative with respect to that moment.

    Both are NaN where a number is not finite, or rise or fall takes no time. Where the curve meets a line the
    slope is the curve's.
    """
    peak_torque, peak_time, rise_time, fall_time = law[0], law[1], law[2], law[3]
    if not np.isfinite(law).all() or not math.isfinite(stride) or not min(rise_time, fall_time) > 0.0:
        return math.nan, math.nan
    a, onset, end = peak_torque - bias, peak_time - rise_time, peak_time + fall_time
    if stride <= peak_time:
        s = 1.0 - (peak_time - stride) / rise_time  # exactly 1 at the peak
        if s >= 0.0:
            return bias + a * (s * s * (3.0 - 2.0 * s)), a * (6.0 * s * (1.0 - s) / rise_time)
        if 0.0 <= stride < onset:
            return bias * (stride / onset), bias / onset
    else:
        s = (stride - peak_time) / fall_time
        if s <= 1.0:  # the fall with its root taken out, so that it is nowhere below zero
            return bias + a * ((1.0 - s) * (1.0 + s * (1.0 - 0.5 * s))), a * (1.5 * s * (s - 2.0) / fall_time)
        if end < stride <= LATEST_END:
            return bias * ((LATEST_END - stride) / (LATEST_END - end)), -bias / (LATEST_END - end)
    return 0.0, 0.0


@njit(error_model="numpy")
@no_type_check
def _fill(laws, strides, bias, torques, slopes):
    for i in range(len(laws)):
        for j in range(len(strides)):
            torques[i, j], slopes[i, j] = torque_and_slope_at(laws[i], strides[j], bias)


def _torque_and_slope(law: Array, stride: Array, bias: float) -> tuple[Array, Array]:
    laws, strides = np.array(law, dtype=float).reshape(-1, 4), np.array(stride, dtype=float)
    torques, slopes = np.empty((2, len(laws), len(strides)))
    _fill(laws, strides, float(bias), torques, slopes)
    shape = (*law.shape[:-1], len(stride))
    return torques.reshape(shape), slopes.reshape(shape)


def torque(law: Float[Array, "*n 4"], stride: Float[Array, "t"], bias: float = 0.0) -> Float[Array, "*n t"]:
    """The torque of every law at every moment of a stride (in %), in the unit of peak torque and bias."""
    return _torque_and_slope(law, stride, bias)[0]


def slope(law: Float[Array, "*n 4"], stride: Float[Array, "t"], bias: float = 0.0) -> Float[Array, "*n t"]:
    """The derivative of the torque, in its unit per % stride."""
    return _torque_and_slope(law, stride, bias)[1]


def area(law: Float[Array, "*n 4"], bias: float = 0.0) -> Float[Array, "*n"]:
    """The torque of a feasible law integrated over a stride, in its unit times % stride: a (r/2 + 5f/8)."""
    peak_torque, _, rise_time, fall_time = (law[..., i] for i in range(4))
    curve = (peak_torque - bias) * (rise_time / 2.0 + 5.0 * fall_time / 8.0)
    # the bias: all of it from onset to end, a triangle on either side
    return np.asarray(curve + bias * (LATEST_END + rise_time + fall_time) / 2.0)


def why_infeasible(law: Float[Array, "4"], upper_torque: float = UPPER_TORQUE) -> str:
    """What keeps a law from being feasible, in one line; empty if it is feasible."""
    values = law.tolist()
    for parameter, value in zip(space(upper_torque).parameters, values, strict=True):
        if not parameter.lower <= value <= parameter.upper:
            expected = f"{parameter.lower:g} to {parameter.upper:g} {parameter.unit}"
            return f"{parameter.name}: expected {expected}, got {value}"
    _, peak_time, rise_time, fall_time = values
    if not rise_time <= peak_time:
        got = f"peak time − rise time = {peak_time} − {rise_time} = {peak_time - rise_time} % stride"
        return f"onset: expected at least 0 % stride, got {got}"
    if not fall_time <= LATEST_END - peak_time:
        got = f"peak time + fall time = {peak_time} + {fall_time} = {peak_time + fall_time} % stride"
        return f"end: expected at most {LATEST_END:g} % stride, got {got}"
    return ""


def project(law: Float[Array, "*n 4"], upper_torque: float = UPPER_TORQUE) -> Float[Array, "*n 4"]:
    """A feasible law for each: every number clipped to its range, then rise and fall shortened where too long.

    Peak torque and peak time are only ever clipped to their ranges, which is how Slade et al. 2022 treat all
    four. This is not the nearest feasible law. A feasible law is returned as it is, NaN stays NaN.
    """
    projected = np.clip(law, *space(upper_torque).bounds)
    peak_time = projected[..., 1]
    projected[..., 2] = np.minimum(projected[..., 2], peak_time)
    projected[..., 3] = np.minimum(projected[..., 3], LATEST_END - peak_time)
    return projected


@dataclass(frozen=True)
class TorqueProfile(Controller):
    """The law as a policy: the moment of the stride (%, the first number of an observation) to the torque.

    Its parameters are the coordinates of `space`; `law` makes a feasible law of them.
    """

    space = SPACE  # peak torque, peak time, rise time, fall time

    obs_size: int = 1

    @classmethod
    def of(cls, interface: Any) -> "TorqueProfile":
        """The profile for an environment (`Interface`) whose only action is the torque.

        Raises:
            ValueError: for other actions.
        """
        expected = "one action, the torque in N·m/kg, for the moment of the stride that is observed"
        check_actions("torque-profile", interface, 1, expected)
        return cls(interface.obs_size)

    def law(self, params: Float[Array, "*n d"]) -> Float[Array, "*n 4"]:
        """Feasible laws, in N·m/kg and % stride."""
        return project(SPACE.decode(params))

    def act(
        self, params: Float[Array, "m d"], obs: Float[Array, "m o"], state: Float[Array, "m h"]
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The torque in N·m/kg, one row at a time."""
        rows = zip(self.law(params), obs, strict=True)
        return np.array([torque(law, seen[:1]) for law, seen in rows]).reshape(len(obs), 1), state
