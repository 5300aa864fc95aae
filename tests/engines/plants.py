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
    """Ends its process in two ways, raises, hangs or fills the memory, by its parameter."""
    match round(params["x"]):
        case 0:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 1:
            os._exit(3)
        case 2:
            raise ValueError("no")
        case 3:
            time.sleep(20.0)
        case 4:
            held = [bytes(range(256)) * 2**16 for _ in range(100)]  # 16 MiB each
            time.sleep(10.0 + len(held))
    return params["x"]


def counted(params: Mapping[str, float], seed: int) -> float:
    """Leaves a file for every call."""
    Path(os.environ["POLICYSEARCH_COUNTED"], f"{os.getpid()}-{time.monotonic_ns()}").touch()
    return params["x"]
