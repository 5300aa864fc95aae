"""An environment for the workers of an engine, importable as `slow_env:Slow-v0`: 4 ms of waiting per step."""

import time
from typing import Any

import gymnasium as gym
from problems import Walk


class Slow(Walk):
    """A walk of five steps."""

    def step(self, action: Any) -> Any:
        time.sleep(0.004)
        return super().step(action)


gym.register("Slow-v0", entry_point="slow_env:Slow", max_episode_steps=5)
