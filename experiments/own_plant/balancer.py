"""Your own plant at compiled speed: an inverted pendulum with a reward of its own.

cd experiments/own_plant
python -m policysearch.compare --tasks balancer:Balancer-v0 --optimizers cma-es ars --rollouts 300
"""

import math

import gymnasium
import numpy as np
from numba import njit

from policysearch.simulators import Simulator, SimulatorEnv


@njit
def reset(world, noise):  # the world: angle from upright (rad), its speed (rad/s)
    world[0], world[1] = 0.2 * noise[0], 0.2 * noise[1]


@njit
def observe(world, obs):
    obs[0], obs[1] = world[0], world[1]


@njit
def step(world, action):  # the action: a torque (N m)
    world[1] += 0.02 * (9.81 * math.sin(world[0]) + 5.0 * action[0])
    world[0] += 0.02 * world[1]
    reward = 1.0 - world[0] ** 2 - 0.1 * world[1] ** 2 - 0.01 * action[0] ** 2
    return reward, abs(world[0]) > 0.5


class Balancer(SimulatorEnv):
    simulator = Simulator(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64),
        action_space=gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float64),
        make_world=lambda: np.zeros(2),
        draw=lambda rng: rng.uniform(-1.0, 1.0, 2),
        reset=reset,
        observe=observe,
        step=step,
    )


gymnasium.register("Balancer-v0", entry_point=Balancer, max_episode_steps=500)
