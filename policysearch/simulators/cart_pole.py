"""CartPole (Barto, Sutton & Anderson 1983) as Gymnasium's CartPole-v1 has it.

World: x (m), ẋ, θ (rad, 0 is upright), θ̇. Euler steps of 0.02 s. A step differs from Gymnasium's in the last bits at
most: sine and cosine are those of `policysearch.elementary`.
"""

# mypy: disable-error-code="no-untyped-def"

import math

import numpy as np
from gymnasium.spaces import Box, Discrete
from numba import njit

from policysearch.elementary import divided, reciprocal, small_cos, small_sin
from policysearch.simulators.simulator import Simulator, SimulatorEnv, reset_to_noise

GRAVITY = 9.8  # m/s²
CART, POLE = 1.0, 0.1  # kg
TOTAL = POLE + CART
PER_TOTAL = reciprocal(TOTAL)
HALF_LENGTH = 0.5  # m, of the pole
POLE_MOMENT = POLE * HALF_LENGTH
FORCE = 10.0  # N
DT = 0.02  # s
X_LIMIT = 2.4  # m
THETA_LIMIT = 12 * 2 * math.pi / 360


@njit
def observe(world, obs):
    """The state."""
    for i in range(4):
        obs[i] = world[i]


@njit
def step(world, action):
    """One Euler step; 1 for every step until the pole or the cart leaves its range."""
    x, x_dot, theta, theta_dot = world[0], world[1], world[2], world[3]
    force = FORCE if action[0] == 1 else -FORCE
    c, s = small_cos(theta), small_sin(theta)  # an episode has ended before π/4
    temp = divided(force + POLE_MOMENT * (theta_dot * theta_dot) * s, PER_TOTAL)
    theta_acc = (GRAVITY * s - c * temp) / (HALF_LENGTH * (4.0 / 3.0 - divided(POLE * (c * c), PER_TOTAL)))
    x_acc = temp - divided(POLE_MOMENT * theta_acc * c, PER_TOTAL)
    x += DT * x_dot
    theta += DT * theta_dot
    world[0], world[1] = x, x_dot + DT * x_acc
    world[2], world[3] = theta, theta_dot + DT * theta_acc
    return 1.0, x < -X_LIMIT or x > X_LIMIT or theta < -THETA_LIMIT or theta > THETA_LIMIT


_HIGH = np.array([2 * X_LIMIT, np.inf, 2 * THETA_LIMIT, np.inf], dtype=np.float32)


class CartPoleEnv(SimulatorEnv):
    """The simulator of this file."""

    simulator = Simulator(
        observation_space=Box(-_HIGH, _HIGH, dtype=np.float32),
        action_space=Discrete(2),
        make_world=lambda: np.zeros(4),
        draw=lambda rng: rng.uniform(-0.05, 0.05, 4),
        reset=reset_to_noise,
        observe=observe,
        step=step,
        revision=2,  # 2: sine and cosine of `policysearch.elementary`
    )
