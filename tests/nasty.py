"""Environments that crash, hang or leak, importable by worker processes.

Which episodes go wrong is a function of their seed. `ONCE` names a folder in which an episode leaves a mark
the first time, so that it goes wrong only once; without it, it goes wrong always.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from problems import Walk


class Nasty(Walk):
    """A walk; at the second step of about a sixth of the episodes, `misbehave` is called."""

    def reset(self, **options: Any) -> Any:
        out = super().reset(**options)
        self.seed_now = options["seed"]
        self.bad = self.seed_now % 6 == 0
        return out

    def step(self, action: Any) -> Any:
        out = super().step(action)
        if self.t == 2 and self.bad and self.first_time():
            self.misbehave()
        return out

    def first_time(self) -> bool:
        if "ONCE" not in os.environ:
            return True
        mark = Path(os.environ["ONCE"]) / str(self.seed_now)
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def misbehave(self) -> None:
        raise NotImplementedError


class Quits(Nasty):
    def misbehave(self) -> None:
        os._exit(7)


class SysExits(Nasty):
    def misbehave(self) -> None:
        sys.exit(3)


class Segfaults(Nasty):
    def misbehave(self) -> None:
        ctypes.string_at(0)


class Killed(Nasty):
    """Killed from outside: by the kernel, for want of memory, say."""

    def misbehave(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Sleeps(Nasty):
    def misbehave(self) -> None:
        time.sleep(1000)


class Spins(Nasty):
    """A busy loop that takes no hint."""

    def misbehave(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            pass


class Raises(Nasty):
    def misbehave(self) -> None:
        class OddError(Exception):  # cannot be sent to another process
            pass

        raise OddError("a leg broke")


class Leaks(Walk):
    """Keeps 20 MB of every episode."""

    kept: list[Any] = []  # noqa: RUF012

    def reset(self, **options: Any) -> Any:
        self.kept.append(np.ones(20 * 2**20 // 8))
        return super().reset(**options)


class Swells(Nasty):
    """Takes memory without end."""

    def misbehave(self) -> None:
        kept = []
        while True:
            kept.append(np.ones(10 * 2**20 // 8))
            time.sleep(0.01)


class Endless(Walk):
    """The thirteenth step of a process takes longer than anybody waits."""

    steps = 0

    def step(self, action: Any) -> Any:
        Endless.steps += 1
        if Endless.steps > 12:
            time.sleep(1000)
        return super().step(action)


class EndlessWithProcess(Endless):
    """Starts a process of its own in a worker, whose number it leaves in the folder CHILDREN."""

    def __init__(self) -> None:
        super().__init__()
        if multiprocessing.parent_process() is not None:
            started = subprocess.Popen(["sleep", "1000"])  # noqa: S607
            Path(os.environ["CHILDREN"], str(started.pid)).touch()


class Slow(Walk):
    """20 ms per step."""

    def step(self, action: Any) -> Any:
        time.sleep(0.02)
        return super().step(action)


class OnlyOnce(Walk):
    """Can be built in the process that is testing, and in no other."""

    def __init__(self) -> None:
        if os.environ.get("PARENT") != str(os.getpid()):
            os._exit(9)
        super().__init__()


gym.register("Quits-v0", entry_point="nasty:Quits", max_episode_steps=5)
