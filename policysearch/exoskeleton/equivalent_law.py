"""The law of four numbers as which a torque curve of any shape is read, and how unlike the two are.

What a person gains from a curve that is no law of Zhang et al. 2017 has not been published. As a modelling choice of
ours, such a curve is read as the law with

    its peak torque T and peak time p, and the same areas before and after the peak: as those of a law are T r/2 and
    5 T f/8,   r = 2 A_before/T,   f = (8/5) A_after/T,

and ρ is the root mean square, over the moments at which either applies a torque, of (curve − law)/T. A law is its own
equivalent, with ρ = 0. What a simulated person makes of ρ is in `policysearch.exoskeleton.human.fidelity`.

A law found here may lie outside the ranges of `policysearch.exoskeleton.torque_law`.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.integrate import trapezoid

from policysearch.core import Array
from policysearch.exoskeleton.torque_law import GENERIC
from policysearch.exoskeleton.torque_profile import torque as torque_of_law


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
    its_own = torque_of_law(law, stride)
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
