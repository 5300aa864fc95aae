"""Gymnasium's MuJoCo environments of version 5 as simulators, with their default options.

The models, spaces and first poses are taken from the environments themselves; what is written here are their
observations, rewards, ends and reset noise. Under the same actions, states are equal to the last bit;
`tests/simulators` says what the tolerances of the rewards are.
"""

# mypy: disable-error-code="no-untyped-def"

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from policysearch.simulators.mujoco_arms import (
    FINGERTIP,
    GOAL,
    OBJECT,
    TARGET,
    TIPS_ARM,
    draw_pusher,
    draw_reacher,
    observe_pusher,
    observe_reacher,
    step_pusher,
    step_reacher,
)  # fmt: skip
from policysearch.simulators.mujoco_world import (
    WARNINGS,
    Start,
    advance,
    advance_with_forces,
    control_cost,
    make_world,
    reset,
    sum_of_squares,
)
from policysearch.simulators.simulator import Simulator

# ------------------------------------------------------------------------------------- what they share


@njit
def observe_joints(world, obs, skipped, limit):
    """Positions but for the first `skipped`, then velocities within ±limit."""
    n = world.qpos.size - skipped
    for i in range(n):
        obs[i] = world.qpos[skipped + i]
    for i in range(world.qvel.size):
        obs[n + i] = min(max(world.qvel[i], -limit), limit)
    return n + world.qvel.size


@njit
def append(obs, start, numbers):
    """Write a flattened array into `obs`; returns where it ends."""
    flat = numbers.ravel()
    for i in range(flat.size):
        obs[start + i] = flat[i]
    return start + flat.size


def uniform(scale: float) -> Callable[[np.random.Generator, Start], Start]:
    """Positions and velocities uniformly around the first pose."""

    def draw(rng: np.random.Generator, first: Start) -> Start:
        qpos, qvel = first
        return qpos + rng.uniform(-scale, scale, qpos.size), qvel + rng.uniform(-scale, scale, qvel.size)

    return draw


def normal_speeds(scale: float) -> Callable[[np.random.Generator, Start], Start]:
    """Positions uniformly around the first pose, velocities normally."""

    def draw(rng: np.random.Generator, first: Start) -> Start:
        qpos, qvel = first
        return qpos + rng.uniform(-scale, scale, qpos.size), qvel + scale * rng.standard_normal(qvel.size)

    return draw


# -------------------------------------------------------------------------- swimmer, hopper, cheetah, walker


@njit
def observe_swimmer(world, obs):
    """Angles and velocities."""
    observe_joints(world, obs, 2, np.inf)


@njit
def step_swimmer(world, action):
    """Forward speed minus the cost of control."""
    x = world.qpos[0]
    status = advance(world, action)
    return (world.qpos[0] - x) / world.dt - control_cost(1e-4, action), status


@njit
def observe_cheetah(world, obs):
    """Positions but for x, and velocities."""
    observe_joints(world, obs, 1, np.inf)


@njit
def step_cheetah(world, action):
    """Forward speed minus the cost of control."""
    x = world.qpos[0]
    status = advance(world, action)
    return (world.qpos[0] - x) / world.dt - control_cost(0.1, action), status


@njit
def observe_upright(world, obs):
    """Positions but for x, and velocities within ±10: hopper and walker."""
    observe_joints(world, obs, 1, 10.0)


@njit
def step_hopper(world, action):
    """Forward speed, 1 for being healthy, minus the cost of control; ends when it falls."""
    x = world.qpos[0]
    status = advance(world, action)
    healthy = world.qpos[1] > 0.7 and -0.2 < world.qpos[2] < 0.2
    for i in range(2, world.qpos.size):
        healthy = healthy and -100.0 < world.qpos[i] < 100.0
    for i in range(world.qvel.size):
        healthy = healthy and -100.0 < world.qvel[i] < 100.0
    speed = (world.qpos[0] - x) / world.dt
    return speed + (1.0 if healthy else 0.0) - control_cost(1e-3, action), status if status else int(
        not healthy
    )


@njit
def step_walker(world, action):
    """Forward speed, 1 for being healthy, minus the cost of control; ends when it falls."""
    x = world.qpos[0]
    status = advance(world, action)
    healthy = 0.8 < world.qpos[1] < 2.0 and -1.0 < world.qpos[2] < 1.0
    speed = (world.qpos[0] - x) / world.dt
    return speed + (1.0 if healthy else 0.0) - control_cost(1e-3, action), status if status else int(
        not healthy
    )


# --------------------------------------------------------------------------------------- ant and humanoid


@njit
def observe_ant(world, obs):
    """Positions but for x and y, velocities, and contact forces within ±1."""
    end = observe_joints(world, obs, 2, np.inf)
    append(obs, end, np.minimum(np.maximum(world.cfrc_ext[1:], -1.0), 1.0))


@njit
def step_ant(world, action):
    """Forward speed of the torso, 1 for being healthy, minus the costs of control and contact."""
    x = world.xpos[1, 0]
    status = advance_with_forces(world, action)
    healthy = 0.2 <= world.qpos[2] <= 1.0
    for i in range(world.qpos.size):
        healthy = healthy and math.isfinite(world.qpos[i])
    for i in range(world.qvel.size):
        healthy = healthy and math.isfinite(world.qvel[i])
    forces = np.minimum(np.maximum(world.cfrc_ext, -1.0), 1.0)
    costs = control_cost(0.5, action) + 5e-4 * sum_of_squares(forces)
    speed = (world.xpos[1, 0] - x) / world.dt
    return speed + (1.0 if healthy else 0.0) - costs, status if status else int(not healthy)


@njit
def observe_humanoid(world, obs):
    """Positions but for x and y, velocities, inertias, their velocities, joint and contact forces."""
    end = observe_joints(world, obs, 2, np.inf)
    end = append(obs, end, world.cinert[1:])
    end = append(obs, end, world.cvel[1:])
    end = append(obs, end, world.qfrc_actuator[6:])
    append(obs, end, world.cfrc_ext[1:])


@njit
def centre_of_mass(world):
    """Its x coordinate."""
    total = 0.0
    for body in range(world.body_mass.size):
        total += world.body_mass[body] * world.xipos[body, 0]
    return total / world.body_mass.sum()


@njit
def step_humanoid(world, action):
    """1.25 times the forward speed, 5 for being healthy, minus the costs of control and contact."""
    x = centre_of_mass(world)
    status = advance_with_forces(world, action)
    healthy = 1.0 < world.qpos[2] < 2.0
    costs = 0.1 * sum_of_squares(world.ctrl) + min(5e-7 * sum_of_squares(world.cfrc_ext), 10.0)
    speed = (centre_of_mass(world) - x) / world.dt
    return 1.25 * speed + (5.0 if healthy else 0.0) - costs, status if status else int(not healthy)


# ---------------------------------------------------------------------------------------------- pendulums


@njit
def observe_pendulum(world, obs):
    """Positions and velocities."""
    observe_joints(world, obs, 0, np.inf)


@njit
def step_pendulum(world, action):
    """1 until the pole leans by more than 0.2 rad."""
    status = advance(world, action)
    up = abs(world.qpos[1]) <= 0.2
    for i in range(world.qpos.size):
        up = up and math.isfinite(world.qpos[i])
    for i in range(world.qvel.size):
        up = up and math.isfinite(world.qvel[i])
    return 1.0 if up else 0.0, status if status else int(not up)


@njit
def observe_double_pendulum(world, obs):
    """Cart position, sines and cosines of the angles, velocities and the force on the cart, within ±10."""
    obs[0] = world.qpos[0]
    for i in range(2):
        obs[1 + i], obs[3 + i] = math.sin(world.qpos[1 + i]), math.cos(world.qpos[1 + i])
    for i in range(3):
        obs[5 + i] = min(max(world.qvel[i], -10.0), 10.0)
    obs[8] = min(max(world.qfrc_constraint[0], -10.0), 10.0)


@njit
def step_double_pendulum(world, action):
    """10 for staying up, minus penalties of the tip's distance and of the speeds."""
    status = advance(world, action)
    x, y = world.site_xpos[0, 0], world.site_xpos[0, 2]
    v1, v2 = world.qvel[1], world.qvel[2]
    down = y <= 1.0
    penalty = 0.01 * (x * x) + (y - 2.0) ** 2
    reward = (0.0 if down else 10.0) - penalty - (1e-3 * (v1 * v1) + 5e-3 * (v2 * v2))
    return reward, status if status else int(down)


# ------------------------------------------------------------------------------------------------ the table


@dataclass(frozen=True)
class Robot:
    """What distinguishes one environment from the next."""

    observe: Callable[..., None]
    step: Callable[..., tuple[float, int]]
    draw: Callable[[np.random.Generator, Start], Start]
    bodies: tuple[tuple[str, int], ...] = ()  # whose numbers are written above


_ARM = (("tips_arm", TIPS_ARM), ("object", OBJECT), ("goal", GOAL))
ROBOTS = {
    "Swimmer-v5": Robot(observe_swimmer, step_swimmer, uniform(0.1)),
    "Hopper-v5": Robot(observe_upright, step_hopper, uniform(5e-3)),
    "HalfCheetah-v5": Robot(observe_cheetah, step_cheetah, normal_speeds(0.1)),
    "Walker2d-v5": Robot(observe_upright, step_walker, uniform(5e-3)),
    "Ant-v5": Robot(observe_ant, step_ant, normal_speeds(0.1)),
    "Humanoid-v5": Robot(observe_humanoid, step_humanoid, uniform(1e-2)),
    "InvertedPendulum-v5": Robot(observe_pendulum, step_pendulum, uniform(0.01)),
    "InvertedDoublePendulum-v5": Robot(observe_double_pendulum, step_double_pendulum, normal_speeds(0.1)),
    "Reacher-v5": Robot(
        observe_reacher, step_reacher, draw_reacher, (("fingertip", FINGERTIP), ("target", TARGET))
    ),
    "Pusher-v5": Robot(observe_pusher, step_pusher, draw_pusher, _ARM),
}


def make_simulator(env: Any) -> Simulator:
    """The simulator of one of Gymnasium's environments, with that environment's model."""
    env, robot = env.unwrapped, ROBOTS[env.spec.id]
    model, frame_skip = env.model, env.frame_skip
    first = (env.init_qpos.copy(), env.init_qvel.copy())
    for name, number in robot.bodies:
        assert model.body(name).id == number, f"{env.spec.id}: body {name} is not number {number}"  # noqa: S101
    return Simulator(
        observation_space=env.observation_space,
        action_space=env.action_space,
        make_world=lambda: make_world(model, frame_skip),
        draw=lambda rng: np.concatenate(robot.draw(rng, first)),
        reset=reset,
        observe=robot.observe,
        step=robot.step,
        failures=WARNINGS,
    )
