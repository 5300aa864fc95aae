"""Two loops for a quadrotor in a plane: the outer one asks for a tilt and a thrust, the inner one makes the tilt.

With x, z (m, 0 is the target), θ (rad, positive to the left), their speeds, and their sums X' = X + x DT,
Z' = Z + z DT:

    aₓ = −kp x − ki X − kd ẋ,   a_z = −kp z − ki Z − kd ż        m/s²
    θ* = −aₓ / g, within MAX_TILT;   thrust = m (g + a_z) / cos θ
    torque = I (kp (θ* − θ) − kd θ̇);   u = thrust / 2 ± torque / (2 r), within the limits of the rotors

with gains of their own for x, height and tilt. The mass m, the inertia I and the arm r are the nominal ones. An
integral stays within MAX_SUM of its zero.

Source of the structure: Bouabdallah, Noth & Siegwart 2004, "PID vs LQ control techniques applied to an indoor micro
quadrotor", as recalled, not verified.

State: X and Z.

When to use it: for vehicles that accelerate by tilting.
When not: for plants with another structure: write the two loops for them in the same way.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from dataclasses import dataclass
from typing import Any

from numba import njit

from policysearch.elementary import cos
from policysearch.policies.controller import CompiledController, check_actions, check_observations
from policysearch.space import Parameter, Space

MAX_TILT = 0.6  # rad (choice)
MAX_SUM = 5.0  # m·s (choice)

#: Bounds and starts are choices.
SPACE = Space(
    (
        Parameter("position kp", 0.5, 0.05, 50.0, "1/s²", scale="log"),
        Parameter("position ki", 0.02, 0.001, 10.0, "1/s³", scale="log"),
        Parameter("position kd", 1.0, 0.05, 50.0, "1/s", scale="log"),
        Parameter("height kp", 1.0, 0.05, 100.0, "1/s²", scale="log"),
        Parameter("height ki", 0.1, 0.001, 50.0, "1/s³", scale="log"),
        Parameter("height kd", 1.0, 0.05, 50.0, "1/s", scale="log"),
        Parameter("tilt kp", 20.0, 2.0, 2000.0, "1/s²", scale="log"),
        Parameter("tilt kd", 5.0, 0.5, 200.0, "1/s", scale="log"),
    )
)


@njit(error_model="numpy")
def law(k, obs, state, scratch, action):
    """One step of both loops."""
    x, z, theta = obs[0], obs[1], obs[2]
    sideways = -k[0] * x - k[1] * state[0] - k[2] * obs[3]
    upward = -k[3] * z - k[4] * state[1] - k[5] * obs[4]
    for i in range(2):
        state[i] = min(max(state[i] + obs[i] * DT, -MAX_SUM), MAX_SUM)
    tilt = min(max(-sideways / GRAVITY, -MAX_TILT), MAX_TILT)
    half_thrust = 0.5 * MASS * (GRAVITY + upward) / max(cos(theta), math.cos(MAX_TILT))
    difference = 0.5 * INERTIA * (k[6] * (tilt - theta) - k[7] * obs[5]) / ARM
    missing = math.isnan(sideways + half_thrust + difference)
    action[0] = math.nan if missing else min(max(half_thrust + difference, 0.0), MAX_THRUST)
    action[1] = math.nan if missing else min(max(half_thrust - difference, 0.0), MAX_THRUST)


@dataclass(frozen=True)
class CascadedPID(CompiledController):
    """The controller for a planar quadrotor that is observed as its state."""

    law, space = staticmethod(law), SPACE
    action_size = 2  # thrusts in N
    state_size = 2  # integrals

    mass: float  # kg
    inertia: float  # kg·m²
    arm: float  # m
    gravity: float  # m/s²
    dt: float  # s between two steps
    max_thrust: float  # N of a rotor

    @classmethod
    def of(
        cls, interface: Any, *, mass: float, inertia: float, arm: float, gravity: float, dt: float
    ) -> "CascadedPID":
        """The controller for an environment (`Interface`) of that quadrotor.

        Raises:
            ValueError: for other observations or actions.
        """
        check_observations(
            "cascaded-pid", interface, 6, "six observations, x, z and θ of a quadrotor and their speeds"
        )
        check_actions("cascaded-pid", interface, 2, "two actions, the thrusts of the rotors in N")
        return cls(mass, inertia, arm, gravity, dt, float(interface.action_space.high[0]))
