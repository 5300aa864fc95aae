"""The arms among Gymnasium's MuJoCo environments: Reacher-v5 and Pusher-v5. See `mujoco_robots`."""

# mypy: disable-error-code="no-untyped-def"

import math

import numpy as np
from numba import njit

from policysearch.simulators.mujoco_world import Start, advance, control_cost

FINGERTIP, TARGET = 3, 4  # bodies of the reacher
TIPS_ARM, OBJECT, GOAL = 10, 11, 12  # bodies of the pusher; checked when the simulator is made


@njit
def distance(a, b):
    """‖a − b‖ in space."""
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


@njit
def observe_reacher(world, obs):
    """Cosines and sines of the angles, target, joint velocities, and the way from target to fingertip."""
    for i in range(2):
        obs[i], obs[2 + i] = math.cos(world.qpos[i]), math.sin(world.qpos[i])
        obs[4 + i], obs[6 + i] = world.qpos[2 + i], world.qvel[i]
        obs[8 + i] = world.xpos[FINGERTIP, i] - world.xpos[TARGET, i]


@njit
def step_reacher(world, action):
    """Minus the distance from fingertip to target, minus the squared action."""
    status = advance(world, action)
    return -distance(world.xpos[FINGERTIP], world.xpos[TARGET]) - control_cost(1.0, action), status


def draw_reacher(rng: np.random.Generator, first: Start) -> Start:
    """Joint angles near the first pose, a target within 0.2 m, small speeds."""
    qpos = rng.uniform(-0.1, 0.1, first[0].size) + first[0]
    while True:
        goal = rng.uniform(-0.2, 0.2, 2)
        if np.linalg.norm(goal) < 0.2:
            break
    qpos[-2:] = goal
    qvel = first[1] + rng.uniform(-0.005, 0.005, first[1].size)
    qvel[-2:] = 0.0
    return qpos, qvel


@njit
def observe_pusher(world, obs):
    """Angles and velocities of the arm, and where its tip, the object and the goal are."""
    for i in range(7):
        obs[i], obs[7 + i] = world.qpos[i], world.qvel[i]
    for i in range(3):
        obs[14 + i], obs[17 + i] = world.xpos[TIPS_ARM, i], world.xpos[OBJECT, i]
        obs[20 + i] = world.xpos[GOAL, i]


@njit
def step_pusher(world, action):
    """Minus the distances from object to goal and, by half, to the tip, minus the cost of control."""
    status = advance(world, action)
    near = 0.5 * distance(world.xpos[OBJECT], world.xpos[TIPS_ARM])
    return -distance(world.xpos[OBJECT], world.xpos[GOAL]) - control_cost(0.1, action) - near, status


def draw_pusher(rng: np.random.Generator, first: Start) -> Start:
    """The first pose, the object at least 0.17 m from the goal, small speeds."""
    qpos = first[0].copy()
    while True:
        cylinder = np.concatenate([rng.uniform(-0.3, 0.0, 1), rng.uniform(-0.2, 0.2, 1)])
        if np.linalg.norm(cylinder) > 0.17:
            break
    qpos[-4:-2], qpos[-2:] = cylinder, 0.0
    qvel = first[1] + rng.uniform(-0.005, 0.005, first[1].size)
    qvel[-4:] = 0.0
    return qpos, qvel
