"""The acrobot (Sutton & Barto's book, as Gymnasium's Acrobot-v1 has it): swing a two-link arm above a line.

World: θ1 (rad, 0 hangs down), θ2 (relative to the first link), their speeds, then cos θ1, sin θ1, cos θ2,
sin θ2. Runge–Kutta steps of 0.2 s. The first state, with its cosines and sines, is in single precision, as
there.
"""

# mypy: disable-error-code="no-untyped-def"

import math

import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.elementary import cos, sin
from policysearch.simulators.simulator import Simulator, SimulatorEnv, reset_to_noise

GRAVITY = 9.8
M1 = M2 = 1.0  # kg
L1 = 1.0  # m
LC1 = LC2 = 0.5  # m, to the centres of mass
I1 = I2 = 1.0  # kg m²
MAX_SPEED_1, MAX_SPEED_2 = 4 * np.pi, 9 * np.pi
DT = 0.2  # s


@njit
def observe(world, obs):
    """cos θ1, sin θ1, cos θ2, sin θ2 and the speeds."""
    for i in range(4):
        obs[i] = world[4 + i]
    obs[4], obs[5] = world[2], world[3]


@njit(error_model="numpy")
def accelerations(theta1, theta2, dtheta1, dtheta2, torque):
    """(θ̈1, θ̈2), as in Sutton & Barto's book."""
    c2, s2 = cos(theta2), sin(theta2)
    d1 = M1 * LC1**2 + M2 * (L1**2 + LC2**2 + 2 * L1 * LC2 * c2) + I1 + I2
    d2 = M2 * (LC2**2 + L1 * LC2 * c2) + I2
    phi2 = M2 * LC2 * GRAVITY * cos(theta1 + theta2 - math.pi / 2.0)
    phi1 = (
        -M2 * L1 * LC2 * (dtheta2 * dtheta2) * s2
        - 2 * M2 * L1 * LC2 * dtheta2 * dtheta1 * s2
        + (M1 * LC1 + M2 * L1) * GRAVITY * cos(theta1 - math.pi / 2)
        + phi2
    )
    ddtheta2 = (torque + d2 / d1 * phi1 - M2 * L1 * LC2 * (dtheta1 * dtheta1) * s2 - phi2) / (
        M2 * LC2**2 + I2 - d2 * d2 / d1
    )
    return -(d2 * ddtheta2 + phi1) / d1, ddtheta2


@njit
def wrap(angle):
    """The angle in [−π, π], for one that a step may lead to."""
    for _ in range(3):
        angle = angle - 2 * math.pi if angle > math.pi else angle
        angle = angle + 2 * math.pi if angle < -math.pi else angle
    return angle


@njit
def step(world, action):
    """One Runge–Kutta step; −1 until the tip is a link's length above the pivot."""
    q1, q2, v1, v2 = world[0], world[1], world[2], world[3]
    torque, half = action[0] - 1.0, DT / 2.0
    a1, a2 = accelerations(q1, q2, v1, v2, torque)
    v1b, v2b = v1 + half * a1, v2 + half * a2
    b1, b2 = accelerations(q1 + half * v1, q2 + half * v2, v1b, v2b, torque)
    v1c, v2c = v1 + half * b1, v2 + half * b2
    c1, c2 = accelerations(q1 + half * v1b, q2 + half * v2b, v1c, v2c, torque)
    v1d, v2d = v1 + DT * c1, v2 + DT * c2
    d1, d2 = accelerations(q1 + DT * v1c, q2 + DT * v2c, v1d, v2d, torque)
    sixth = DT / 6.0
    q1 = wrap(q1 + sixth * (v1 + 2 * v1b + 2 * v1c + v1d))
    q2 = wrap(q2 + sixth * (v2 + 2 * v2b + 2 * v2c + v2d))
    v1 = min(max(v1 + sixth * (a1 + 2 * b1 + 2 * c1 + d1), -MAX_SPEED_1), MAX_SPEED_1)
    v2 = min(max(v2 + sixth * (a2 + 2 * b2 + 2 * c2 + d2), -MAX_SPEED_2), MAX_SPEED_2)
    world[0], world[1], world[2], world[3] = q1, q2, v1, v2
    world[4], world[5], world[6], world[7] = cos(q1), sin(q1), cos(q2), sin(q2)
    up = -world[4] - cos(q2 + q1) > 1.0
    return 0.0 if up else -1.0, up


def draw(rng: np.random.Generator) -> Float[Array, "8"]:
    """Angles and speeds near rest, and the cosines and sines of the angles."""
    state = rng.uniform(-0.1, 0.1, 4).astype(np.float32)
    c, s = np.cos(state[:2]), np.sin(state[:2])
    return np.array([*state, c[0], s[0], c[1], s[1]], dtype=float)


_HIGH = np.array([1.0, 1.0, 1.0, 1.0, MAX_SPEED_1, MAX_SPEED_2], dtype=np.float32)


class AcrobotEnv(SimulatorEnv):
    """The simulator of this file."""

    simulator = Simulator(
        observation_space=Box(-_HIGH, _HIGH, dtype=np.float32),
        action_space=Discrete(3),
        make_world=lambda: np.zeros(8),
        draw=draw,
        reset=reset_to_noise,
        observe=observe,
        step=step,
        revision=2,  # 2: sine and cosine of `policysearch.elementary`
    )
