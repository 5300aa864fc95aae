"""Plants for the workers of an engine, in a module that they can import."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path


def cost(params: Mapping[str, float], seed: int) -> Mapping[str, float]:
    """A cost with noise, and a second number."""
    return {"return": params["x"] ** 2 + seed % 1000 / 1e3, "size": abs(params["x"])}


def slow(params: Mapping[str, float], seed: int) -> float:
    """Takes a while."""
    time.sleep(0.05)
    return params["x"] ** 2 + seed % 1000 / 1e3


def nasty(params: Mapping[str, float], seed: int) -> float:
    """Ends its process, or raises, or hangs, for some seeds and parameters."""
    kind = int(seed + 100 * params["x"]) % 8
    if kind == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == 1:
        os._exit(3)
    if kind == 2:
        raise ValueError(f"no: {params['x']}")
    return params["x"]


def counted(params: Mapping[str, float], seed: int) -> float:
    """Leaves a file for every call."""
    Path(os.environ["POLICYSEARCH_COUNTED"], f"{os.getpid()}-{time.monotonic_ns()}").touch()
    return params["x"]
