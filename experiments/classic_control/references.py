"""The returns between which the comparison normalises: where they come from.

python experiments/classic_control/references.py [TASK ...]

`low` is the mean return of uniformly random actions over 1,000 episodes, or, for `lqr`, whose actions have no
bounds, of doing nothing, in closed form. `high` is the `reward_threshold` that Gymnasium's registry declares
("considered solved"); for `lqr` the optimum of the Riccati recursion; for Pendulum-v1, which has no threshold, the
mean return of a controller that pumps energy and then balances (Åström & Furuta 2000).
The numbers are in `policysearch/tasks/known.py`; a test compares them with the output of this script.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from policysearch.seeding import seed_of
from policysearch.simulators.lqr import chain

EPISODES = 1000
TASKS = ("CartPole-v1", "lqr", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1", "Pendulum-v1")


def references(task: str, episodes: int = EPISODES) -> tuple[float, float]:
    """The two returns of a task, (low, high)."""
    if task == "lqr":
        problem = chain()
        size, inputs = problem.B.shape
        nothing = problem.expected_return(np.zeros((inputs, size)), np.full(inputs, -np.inf))
        return nothing, problem.optimal_return()
    env = gym.make(task)
    env.action_space.seed(seed_of(task, "random actions"))
    low = mean_return(env, lambda _: env.action_space.sample(), task, episodes)
    high = env.spec.reward_threshold if env.spec else None
    if task == "Pendulum-v1":
        high = mean_return(env, swing_up, task, episodes)
    env.close()
    return low, math.nan if high is None else float(high)


def mean_return(env: Any, act: Callable[[Any], Any], task: str, episodes: int) -> float:
    """Mean return of a controller."""
    total = 0.0
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed_of(task, "references", episode))
        over = False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(act(obs))
            total, over = total + float(reward), terminated or truncated
    return total / episodes


def swing_up(obs: Any) -> Any:
    """Energy pumping far from the top, proportional and derivative feedback near it; m = l = 1, g = 10."""
    cos, sin, speed = (float(x) for x in obs)
    angle = math.atan2(sin, cos)
    if cos > 0.9 and abs(speed) < 4.0:
        return np.array([-15.0 * angle - 4.0 * speed], dtype=np.float32).clip(-2.0, 2.0)
    energy = speed**2 / 6.0 + 5.0 * (cos - 1.0)  # 0 when upright and at rest
    return np.array([-2.0 * math.copysign(1.0, speed * energy)], dtype=np.float32)


if __name__ == "__main__":
    for name in sys.argv[1:] or TASKS:
        low, high = references(name)
        print(f"{name:26} low {low:10.2f}   high {high:10.2f}", flush=True)
