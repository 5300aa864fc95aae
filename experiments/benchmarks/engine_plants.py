"""What the workers of `engines.py` run: functions that sleep, compute, or end their process."""

import ctypes
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

COUNTED = "POLICYSEARCH_COUNTED"  # names a folder


def sleeping(params: Mapping[str, float], seed: int) -> float:
    """A second of waiting, as for a simulator elsewhere."""
    time.sleep(1.0)
    return params["x"]


def computing(params: Mapping[str, float], seed: int) -> float:
    """30 ms of processor time."""
    until = time.process_time() + 0.03
    value = params["x"]
    while time.process_time() < until:
        value = float(np.sin(value + seed % 7))
    return params["x"]


def crashing(params: Mapping[str, float], seed: int) -> float:
    """20 ms; a segmentation fault for about one in ten parameters."""
    time.sleep(0.02)
    if int(1e4 * abs(params["x"])) % 10 == 3:
        ctypes.string_at(0)
    return params["x"]


def counting(params: Mapping[str, float], seed: int) -> float:
    """Leaves a file for every call."""
    Path(os.environ[COUNTED], f"{os.getpid()} {time.monotonic_ns()}").touch()
    return params["x"]
