"""Environments for the tests of comparisons, importable as `counting_env:NAME`."""

import multiprocessing
import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from problems import Walk

from policysearch.tasks import Task


class Counting(Walk):
    """A walk that appends a line to the file named by COUNTS for every episode that took a step."""

    def reset(self, **options: Any) -> Any:
        self.seed_now = options.get("seed")
        self.counted = False
        return super().reset(**options)

    def step(self, action: Any) -> Any:
        if not self.counted and "COUNTS" in os.environ:
            with Path(os.environ["COUNTS"]).open("a", encoding="utf-8") as file:
                file.write(f"{self.seed_now}\n")
        self.counted = True
        return super().step(action)


class Failing(Walk):
    """A walk that breaks in about a fifth of its episodes."""

    def step(self, action: Any) -> Any:
        out = super().step(action)
        if self.t == 2 and self.np_random.random() < 0.2:
            raise RuntimeError("a leg broke")
        return out


class Broken(Walk):
    """A walk that breaks always."""

    def step(self, action: Any) -> Any:
        raise RuntimeError("out of order")


class Exiting(Walk):
    """A walk that ends its process, in a worker and nowhere else."""

    def step(self, action: Any) -> Any:
        if multiprocessing.parent_process() is not None:
            os._exit(7)
        return super().step(action)


class OneNumber(gym.Env[Any, Any]):
    """Nothing to see: one observation, and a choice that changes nothing."""

    observation_space = gym.spaces.Discrete(1)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> Any:
        return 0, float(self.np_random.random()), False, False, {}


class Unbuildable(gym.Env[Any, Any]):
    """Cannot be constructed."""

    def __init__(self) -> None:
        raise OSError("the simulator's licence has expired")


class Words(OneNumber):
    """Actions that no policy gives."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float64)  # type: ignore[assignment]
    action_space = gym.spaces.Text(2)  # type: ignore[assignment]


class OneWeight(OneNumber):
    """A single alternative: a tabular policy has one parameter."""

    action_space = gym.spaces.Discrete(1)


class Luck(OneNumber):
    """One step, whose reward is noise whatever one does."""

    def step(self, action: Any) -> Any:
        return 0, float(self.np_random.standard_normal()), True, False, {}


#: A task that says what a failed report episode counts as.
FRAGILE = Task("fragile", "Failing-v0", failure_return=-99.0)

for _cls in (Counting, Exiting, Luck, OneWeight, Failing, Broken, OneNumber, Unbuildable, Words):
    gym.register(f"{_cls.__name__}-v0", entry_point=f"counting_env:{_cls.__name__}")
