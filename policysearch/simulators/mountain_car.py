"""The mountain car (Moore 1990) as Gymnasium's MountainCar-v0 and MountainCarContinuous-v0 have it.

World: position, velocity; the continuous one also holds whether it is at its start: there, as in Gymnasium,
the state is in double precision, and from then on in single precision.
"""

# mypy: disable-error-code="no-untyped-def"

import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.elementary import cos
from policysearch.simulators.simulator import Simulator, SimulatorEnv, reset_to_noise

LEFT, RIGHT = -1.2, 0.6
MAX_SPEED = 0.07
FORCE, GRAVITY = 0.001, 0.0025
GOAL, GOAL_CONTINUOUS = 0.5, 0.45
POWER = np.float32(0.0015)
LEFT_32, RIGHT_32, MAX_SPEED_32 = np.float32(LEFT), np.float32(RIGHT), np.float32(MAX_SPEED)
GOAL_32 = np.float32(GOAL_CONTINUOUS)


@njit
def observe(world, obs):
    """Position and velocity."""
    obs[0], obs[1] = world[0], world[1]


@njit
def step(world, action):
    """Push left, not at all, or right; −1 for every step."""
    position, velocity = world[0], world[1]
    velocity += (action[0] - 1.0) * FORCE + cos(3 * position) * -GRAVITY
    velocity = min(max(velocity, -MAX_SPEED), MAX_SPEED)
    position = min(max(position + velocity, LEFT), RIGHT)
    if position == LEFT and velocity < 0:
        velocity = 0.0
    world[0], world[1] = position, velocity
    return -1.0, position >= GOAL and velocity >= 0


@njit
def step_continuous(world, action):
    """Push by a force; 100 at the goal, minus the squared force."""
    push = np.float32(action[0]) * POWER
    cost = action[0] * action[0] * 0.1
    if world[2]:
        world[2] = 0.0
        velocity64 = world[1] + (push - np.float32(GRAVITY * cos(3 * world[0])))
        world[0], world[1] = np.float32(world[0] + velocity64), np.float32(velocity64)
        return -cost, False
    position, velocity = np.float32(world[0]), np.float32(world[1])
    velocity += push - np.float32(GRAVITY * cos(np.float64(np.float32(3.0) * position)))
    velocity = min(max(velocity, -MAX_SPEED_32), MAX_SPEED_32)
    position = min(max(position + velocity, LEFT_32), RIGHT_32)
    if position == LEFT_32 and velocity < 0:
        velocity = np.float32(0.0)
    world[0], world[1] = position, velocity
    at_goal = position >= GOAL_32 and velocity >= 0
    return (100.0 if at_goal else 0.0) - cost, at_goal


def draw(rng: np.random.Generator) -> Float[Array, "2"]:
    """A position in the valley, at rest."""
    return np.array([rng.uniform(-0.6, -0.4), 0.0])


def draw_continuous(rng: np.random.Generator) -> Float[Array, "3"]:
    """A position in the valley, at rest, at the start."""
    return np.array([rng.uniform(-0.6, -0.4), 0.0, 1.0])


_OBSERVATIONS = Box(
    np.array([LEFT, -MAX_SPEED], dtype=np.float32), np.array([RIGHT, MAX_SPEED], dtype=np.float32)
)


class MountainCarEnv(SimulatorEnv):
    """The mountain car with three actions."""

    simulator = Simulator(
        observation_space=_OBSERVATIONS,
        action_space=Discrete(3),
        make_world=lambda: np.zeros(2),
        draw=draw,
        reset=reset_to_noise,
        observe=observe,
        step=step,
        revision=2,  # 2: sine and cosine of `policysearch.elementary`
    )


class MountainCarContinuousEnv(SimulatorEnv):
    """The mountain car pushed by a force."""

    simulator = Simulator(
        observation_space=_OBSERVATIONS,
        action_space=Box(-1.0, 1.0, (1,), np.float32),
        make_world=lambda: np.zeros(3),
        draw=draw_continuous,
        reset=reset_to_noise,
        observe=observe,
        step=step_continuous,
        revision=2,  # 2: sine and cosine of `policysearch.elementary`
    )
