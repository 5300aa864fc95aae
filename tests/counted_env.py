"""Environments that append to `built.txt` when they are built and closed, importable as `counted_env:NAME`."""

import itertools
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

_numbers = itertools.count()


def serve() -> None:
    time.sleep(1000.0)


@contextmanager
def held(file: str) -> Iterator[Any]:
    """For a worker: its task takes long, and its end is written down; it leaves a process."""
    multiprocessing.get_context("fork").Process(target=serve).start()
    try:
        yield lambda *_: Path(file).write_text("begun", encoding="utf-8") and serve()
    finally:
        Path(file).write_text("closed", encoding="utf-8")


class Counted(gym.Env[Any, Any]):
    """An episode of five steps that pays for small actions."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, render_mode: str | None = None) -> None:
        self.number, self.render_mode = next(_numbers), render_mode
        self.log("built")

    def log(self, what: str) -> None:
        with Path("built.txt").open("a", encoding="utf-8") as file:
            file.write(f"{what} {os.getpid()}/{self.number}\n")

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.ones(1, np.float32), -(float(action[0]) ** 2), False, self.t >= 5, {}

    def render(self) -> Any:
        return np.zeros((8, 8, 3), np.uint8)

    def close(self) -> None:
        self.log("closed")


class FailingStep(Counted):
    """One that breaks in about half of its episodes."""

    def step(self, action: Any) -> Any:
        if self.np_random.random() < 0.1:
            raise RuntimeError("a leg broke")
        return super().step(action)


class FailingReset(Counted):
    """One that cannot be reset with about a third of the seeds."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed and seed % 3 == 0:
            raise RuntimeError("no ground")
        return super().reset(seed=seed, options=options)


class OneCopy(Counted):
    """One whose second copy cannot be built while the first is there."""

    busy = False

    def __init__(self, render_mode: str | None = None) -> None:
        if OneCopy.busy:
            raise OSError("the port is in use")
        super().__init__(render_mode)
        OneCopy.busy = True

    def close(self) -> None:
        super().close()
        OneCopy.busy = False


class NeverReset(Counted):
    """One that is never ready."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        raise ConnectionRefusedError("the simulator is not running at localhost:19997")


class Unfit(Counted):
    """One whose first observation does not fit its space."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.ones(3, np.float32), {}


class Sequences(Counted):
    """One whose observations no policy takes."""

    observation_space = gym.spaces.Sequence(gym.spaces.Discrete(2))  # type: ignore[assignment]


class Served(Counted):
    """One that starts a process when it is built, and ends it when it is closed."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.process = multiprocessing.get_context("fork").Process(target=serve)
        self.process.start()

    def close(self) -> None:
        super().close()
        self.process.kill()


class Abandoned(Served):
    """One that forgets to end its process."""

    def close(self) -> None:
        self.log("closed")


KINDS = (Counted, FailingStep, FailingReset, OneCopy, NeverReset, Unfit, Sequences, Served, Abandoned)
for _cls in KINDS:
    gym.register(f"{_cls.__name__}-v0", entry_point=f"counted_env:{_cls.__name__}")
