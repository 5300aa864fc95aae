"""Torque curves with other numbers of parameters than four, and the law as which a curve of any shape is read.

Two parameters: `with_generic_times`. Eight and twenty-two: `NodeProfile`, which is ours. (Franks et al. 2021 tuned 22
parameters for hip, knee and ankle together; that is not reproduced.)

What a person gains from a curve that is no law of Zhang et al. 2017 has not been published. As a modelling choice of
ours, such a curve is read as the law with

    its peak torque T and peak time p, and the same areas before and after the peak: as those of a law are T r/2 and
    5 T f/8,   r = 2 A_before/T,   f = (8/5) A_after/T,

and ρ is the root mean square, over the moments at which either applies a torque, of (curve − law)/T. A law is its own
equivalent, with ρ = 0. What a simulated person makes of ρ is in `policysearch.exoskeleton.human.fidelity`.

A law found here may lie outside the ranges of `policysearch.exoskeleton.torque_law`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.integrate import trapezoid
from scipy.interpolate import PchipInterpolator

from policysearch.core import Array
from policysearch.exoskeleton import torque_profile
from policysearch.exoskeleton.torque_law import GENERIC, LATEST_END
from policysearch.exoskeleton.torque_profile import UPPER_TORQUE
from policysearch.space import Parameter, Space


def with_generic_times(law: Float[Array, "*n 2"]) -> Float[Array, "*n 4"]:
    """Laws of two parameters, peak torque and peak time, with generic rise and fall times.

    In the ranges of `torque_profile.space` they are all feasible.
    """
    times = np.broadcast_to(GENERIC[2:], (*law.shape[:-1], 2))
    return np.concatenate([law, times], axis=-1)


@dataclass(frozen=True)
class NodeProfile:
    """A torque curve through nodes: a monotone piecewise cubic (PCHIP), zero at heel strike and from 65 % on.

    A law is the torques of the nodes, then, if they are timed, their times. Nodes without times of their own
    divide the 65 % equally; timed ones move around those places, each in a window of its own, windows
    `GAP` apart. No torque is above the highest or below the lowest node. Four timed nodes make 8
    parameters, 22 without times make 22.

    Raises:
        ValueError: for fewer than one node, or more than there is room for.
    """

    nodes: int
    timed: bool = False

    GAP = 1.0  # % stride

    def __post_init__(self) -> None:
        most = math.ceil(LATEST_END / self.GAP) - 2
        if not 1 <= self.nodes <= most:
            raise ValueError(f"nodes: expected 1 to {most}, got {self.nodes}")

    @property
    def times(self) -> Float[Array, "k"]:
        """Where the nodes are, or the middle of their windows, in % stride."""
        return np.arange(1, self.nodes + 1) * LATEST_END / (self.nodes + 1)

    def space(self, upper_torque: float = UPPER_TORQUE) -> Space:
        """The nodes' torques and times; the start follows the curve that `torque_profile.space` starts with."""
        start = torque_profile.torque(
            np.array([p.start for p in torque_profile.space(upper_torque).parameters]), self.times
        )
        half = (LATEST_END / (self.nodes + 1) - self.GAP) / 2.0
        torques = [
            Parameter(f"torque {i}", height, 0.0, upper_torque, "N·m/kg")
            for i, height in enumerate(start.tolist(), 1)
        ]
        times = [
            Parameter(f"time {i}", time, time - half, time + half, "% stride")
            for i, time in enumerate(self.times.tolist(), 1)
        ]
        return Space((*torques, *times) if self.timed else tuple(torques))

    def torque(self, law: Float[Array, "*n d"], stride: Float[Array, "t"]) -> Float[Array, "*n t"]:
        """The torque of every law at every moment of a stride (in %), in the unit of the nodes' torques.

        NaN for a law with numbers that are not finite, or nodes out of order.
        """
        rows = law.reshape(-1, law.shape[-1])
        curves = np.array([self._curve(row, stride) for row in rows]).reshape(len(rows), len(stride))
        return curves.reshape(*law.shape[:-1], len(stride))

    def _curve(self, law: Float[Array, "d"], stride: Float[Array, "t"]) -> Float[Array, "t"]:
        times = law[self.nodes :] if self.timed else self.times
        x, y = np.array([0.0, *times, LATEST_END]), np.array([0.0, *law[: self.nodes], 0.0])
        if not np.isfinite(law).all() or not (np.diff(x) > 0).all():
            return np.full(len(stride), np.nan)
        outside = (stride <= 0.0) | (stride >= LATEST_END)
        curve = PchipInterpolator(x, y)(np.clip(stride, 0.0, LATEST_END))
        return np.where(outside, 0.0, np.clip(curve, y.min(), y.max()))  # monotone but for rounding


class Equivalent(NamedTuple):
    """A law instead of a curve."""

    law: Float[Array, "4"]  # peak torque (the curve's unit), peak, rise, fall time (% stride)
    rho: float  # of the peak torque


def equivalent_law(stride: Float[Array, "t"], torque: Float[Array, "t"]) -> Equivalent:
    """The law of a curve, given by its torques at moments of the stride (in %), and ρ.

    Integrals are those of straight lines between the moments; the peak is the first of the highest torques. Without
    any torque the times are the generic law's.

    Raises:
        ValueError: for moments that do not increase, torques that are not finite or below zero, or a curve that does
            not begin and end without torque.
    """
    _check(stride, torque)
    peak = int(torque.argmax())
    if torque[peak] == 0.0:
        return Equivalent(np.array([0.0, *GENERIC[1:]]), 0.0)
    before, after = (
        float(trapezoid(torque[part], stride[part])) / torque[peak]
        for part in (slice(peak + 1), slice(peak, None))
    )
    law = np.array([torque[peak], stride[peak], 2.0 * before, 1.6 * after])
    its_own = torque_profile.torque(law, stride)
    share = np.gradient(stride) * ((torque > 0.0) | (its_own > 0.0))  # % stride that a moment stands for
    return Equivalent(law, math.sqrt(share @ (torque - its_own) ** 2 / share.sum()) / float(torque[peak]))


def _check(stride: Float[Array, "t"], torque: Float[Array, "t"]) -> None:
    if not (np.isfinite(stride).all() and (np.diff(stride) > 0.0).all()):
        raise ValueError(
            "stride: expected moments that increase (% stride); sort them and drop repeated ones"
        )
    if not (np.isfinite(torque) & (torque >= 0.0)).all():
        row = int(np.argmin(np.isfinite(torque) & (torque >= 0.0)))
        raise ValueError(f"torque {row} (from 0): expected a finite number >= 0, got {torque[row]:g}")
    if torque[0] > 0.0 or torque[-1] > 0.0:
        got = f"{torque[0]:g} and {torque[-1]:g}"
        raise ValueError(
            f"torque: expected none at the first and the last moment, got {got}; give the whole curve"
        )
