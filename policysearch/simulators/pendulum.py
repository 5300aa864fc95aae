"""The torque-limited pendulum as Gymnasium's Pendulum-v1 has it.

World: θ (rad, 0 is upright), θ̇ (rad/s). Steps of 0.05 s; the torque is in single precision, as there.
"""

# mypy: disable-error-code="no-untyped-def"

import math

import numpy as np
from gymnasium.spaces import Box
from numba import njit

from policysearch.elementary import cos, floored_modulo, sin
from policysearch.simulators.simulator import Simulator, SimulatorEnv, reset_to_noise

MAX_SPEED = 8.0  # rad/s
MAX_TORQUE = 2.0  # N m
GRAVITY, MASS, LENGTH = 10.0, 1.0, 1.0
DT = 0.05  # s
PULL = 3 * GRAVITY / (2 * LENGTH)
GAIN = np.float32(3.0 / (MASS * LENGTH**2))
TORQUE_COST = np.float32(0.001)


@njit
def observe(world, obs):
    """cos θ, sin θ, θ̇."""
    obs[0], obs[1], obs[2] = cos(world[0]), sin(world[0]), world[1]


@njit
def step(world, action):
    """One semi-implicit Euler step; minus the cost of angle, speed and torque before it."""
    theta, speed = world[0], world[1]
    u = np.float32(action[0])
    angle = floored_modulo(theta + math.pi, 2 * math.pi) - math.pi
    cost = angle * angle + 0.1 * (speed * speed) + TORQUE_COST * (u * u)
    speed = speed + (PULL * sin(theta) + GAIN * u) * DT
    speed = min(max(speed, -MAX_SPEED), MAX_SPEED)
    world[0], world[1] = theta + speed * DT, speed
    return -cost, False


_START = np.array([np.pi, 1.0])
_HIGH = np.array([1.0, 1.0, MAX_SPEED], dtype=np.float32)


class PendulumEnv(SimulatorEnv):
    """The simulator of this file."""

    simulator = Simulator(
        observation_space=Box(-_HIGH, _HIGH, dtype=np.float32),
        action_space=Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32),
        make_world=lambda: np.zeros(2),
        draw=lambda rng: rng.uniform(-_START, _START),
        reset=reset_to_noise,
        observe=observe,
        step=step,
        revision=2,  # 2: sine and cosine of `policysearch.elementary`
    )
