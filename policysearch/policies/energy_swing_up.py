"""Swing a pendulum up by pumping energy, then hold it up there.

Source: Åström & Furuta 2000, "Swinging up a pendulum by energy control", for a torque instead of a cart. With
the angle φ from upright (rad), its speed φ̇ (rad/s), and the energy (J) of a rod, 0 when it stands upright,

    E = m l² φ̇² / 6 + m g l (cos φ − 1) / 2

    |φ| ≥ switching angle:  u = −k E sign(φ̇)
    |φ| < switching angle:  u = −kp φ − kd φ̇

within the limits of the torque, so that dE/dt = u φ̇ takes E to 0. A pendulum that hangs at rest is pushed on as if
φ̇ were positive.

When to use it: for pendulums whose torque is too small to lift them at once.
When not: where friction takes more energy than a swing brings in.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from dataclasses import dataclass
from typing import Any

from numba import njit

from policysearch.policies.controller import CompiledController, check_actions, check_observations
from policysearch.space import Parameter, Space

SPACE = Space(
    (
        Parameter("energy gain", 0.3, 0.01, 100.0, "N·m/J", scale="log"),
        Parameter("switching angle", 0.3, 0.05, 1.5, "rad"),
        Parameter("kp", 6.0, 0.5, 100.0, "N·m/rad", scale="log"),
        Parameter("kd", 0.5, 0.05, 50.0, "N·m·s/rad", scale="log"),
    )
)


@njit(error_model="numpy")
def law(values, obs, state, scratch, action):
    """Pump or hold."""
    gain, switch, kp, kd = values[0], values[1], values[2], values[3]
    angle, speed = math.atan2(obs[1], obs[0]), obs[2]
    if abs(angle) < switch:
        wanted = -kp * angle - kd * speed
    else:
        energy = MASS * LENGTH * (LENGTH * speed * speed / 6.0 + GRAVITY * (obs[0] - 1.0) / 2.0)
        wanted = -gain * energy * math.copysign(1.0, speed)
    missing = math.isnan(gain + switch + kp + kd)
    action[0] = math.nan if missing else min(max(wanted, -MAX_TORQUE), MAX_TORQUE)


@dataclass(frozen=True)
class EnergySwingUp(CompiledController):
    """The controller for a rod, observed as cos φ, sin φ and φ̇."""

    law, space = staticmethod(law), SPACE
    action_size = 1  # the torque in N·m

    mass: float  # kg
    length: float  # m
    gravity: float  # m/s²
    max_torque: float  # N·m

    @classmethod
    def of(cls, interface: Any, mass: float, length: float, gravity: float) -> "EnergySwingUp":
        """The controller for an environment (`Interface`) of that pendulum.

        Raises:
            ValueError: for other observations or actions.
        """
        name = "energy-swing-up"
        check_observations(name, interface, 3, "three observations, cos φ, sin φ and the speed of a pendulum")
        check_actions(name, interface, 1, "one action, the torque in N·m")
        return cls(mass, length, gravity, float(interface.action_space.high[0]))
