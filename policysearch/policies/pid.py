"""A PID controller with a filtered derivative and limits.

Source: Åström & Hägglund 2006, "Advanced PID Control", ch. 3 and 13. With the error e = r − y, every DT seconds:

    v = kp e + I − kd D,   u = min(max(v, LOW), HIGH)
    D' = D + DT / (τ + DT) ((y − y₋) / DT − D)       y₋: the measurement before
    I' = I + ki e DT

The derivative is that of the measurement, so that a step of the set point does not kick; v uses the new D, which is 0
at the first step, and the old I. Against windup the integral is clamped: it stays where it is while v is beyond a
limit and the error would drive it further. Back-calculation would need one more number to tune, its tracking time.

State: I, in the unit of the action; D; y₋; and whether there was a step before. Observed: r, then y. A larger action
has to move y up.

Rules of Ziegler & Nichols 1942, "Optimum settings for automatic controllers", for Ti = kp/ki and Td = kd/kp:

    ultimate gain K_u and period T_u:         kp = 0.6 K_u,      Ti = T_u / 2,   Td = T_u / 8
    slope R of the step response, its lag L:  kp = 1.2 / (R L),  Ti = 2 L,       Td = L / 2

They have no filter: τ = Td / 10 is Åström & Hägglund's.

When to use it: for one measured output and one input, of a plant that settles by itself or nearly so.
When not: with several outputs that influence one another: use a cascade, or weights of a quadratic cost.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from dataclasses import dataclass
from typing import Any

from numba import njit

from policysearch.policies.controller import CompiledController, check_actions, check_observations
from policysearch.space import Parameter, Space

#: kp, ki, kd and τ.
Gains = tuple[float, float, float, float]

SUM, SLOPE, LAST, BEGUN = range(4)  # places in the state


def ultimate_gains(K_u: float, T_u: float) -> Gains:
    """Ziegler & Nichols' gains from the gain at which the loop oscillates, and the period (s)."""
    return _gains(0.6 * K_u, T_u / 2.0, T_u / 8.0)


def reaction_gains(R: float, L: float) -> Gains:
    """Ziegler & Nichols' gains from the steepest slope of the response to a unit step, and its lag (s)."""
    return _gains(1.2 / (R * L), 2.0 * L, L / 2.0)


def _gains(kp: float, Ti: float, Td: float) -> Gains:
    return kp, kp / Ti, kp * Td, Td / 10.0


def gain_space(start: Gains, action: str, output: str) -> Space:
    """The four parameters on logarithmic scales, from a hundredth to a hundred times of where they start.

    `action` and `output` are the units of the plant's input and of what is measured.
    """
    names = ("kp", "ki", "kd", "filter time")
    units = (f"{action}/{output}", f"{action}/({output}·s)", f"{action}·s/{output}", "s")
    return Space(
        tuple(
            Parameter(name, value, value / 100.0, value * 100.0, unit, scale="log")
            for name, value, unit in zip(names, start, units, strict=True)
        )
    )


@njit(error_model="numpy")
def law(values, obs, state, scratch, action):
    """One step of the controller."""
    kp, ki, kd, tau = values[0], values[1], values[2], values[3]
    error, y = obs[0] - obs[1], obs[1]
    if state[BEGUN] == 1.0:
        state[SLOPE] += DT / (tau + DT) * ((y - state[LAST]) / DT - state[SLOPE])
    state[LAST], state[BEGUN] = y, 1.0
    wanted = kp * error + state[SUM] - kd * state[SLOPE]
    action[0] = wanted if math.isnan(wanted) else min(max(wanted, LOW), HIGH)
    if (wanted - action[0]) * error <= 0.0:  # within the limits, or on the way back
        state[SUM] += ki * error * DT


@dataclass(frozen=True)
class PID(CompiledController):
    """The controller for one measured output and one input."""

    law = staticmethod(law)
    action_size = 1
    state_size = 4  # integral, filtered slope, last measurement, and whether there is one

    space: Space  # of `gain_space`
    dt: float  # s between two steps
    low: float  # limits of the action
    high: float

    @classmethod
    def of(cls, interface: Any, gains: Space, dt: float) -> "PID":
        """The controller for an environment (`Interface`) of set point and measurement.

        Raises:
            ValueError: for other observations or actions.
        """
        check_observations("pid", interface, 2, "two observations, the set point and the measurement")
        check_actions("pid", interface, 1, "one action")
        return cls(gains, dt, float(interface.action_space.low[0]), float(interface.action_space.high[0]))
