"""A task on a worker of an engine: it runs only where nothing differs from the driver, and it never raises.

It gives an answer or a refusal, so that what a future raises is the engine's own trouble.
"""

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from policysearch.engines.fingerprint import Fingerprint
from policysearch.evaluators.runner import describe_error
from policysearch.provenance import environment

A = TypeVar("A")

#: A driver from which nothing differed is compared again after so many seconds, and so many times what that takes:
#: to read modules and data may take longer than a chunk.
CHECK_SECONDS, CHECK_TIMES = 5.0, 100.0
#: Drivers of which that is known; the one that was compared longest ago is forgotten.
MAX_DRIVERS = 16

_lock = threading.Lock()  # evaluators are not made for the threads of one process
_until: dict[str, float] = {}  # when drivers from which nothing differed are compared again


@dataclass(frozen=True)
class Refused:
    """Why a worker runs nothing of this driver's."""

    reason: str
    differs: bool  # from the driver


@dataclass(frozen=True)
class Place:
    """A worker of an engine: its machine, the processors that it may use, and what its last digits depend on."""

    host: str
    processors: int
    kind: str


@cache
def here() -> Place:
    """This process."""
    found = environment()
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    kind = f"{found['processor']}; {found['linear algebra']}"
    return Place(f"{socket.gethostname()} {os.getpid()}", count, kind)


def guarded(fingerprint: Fingerprint, work: Callable[[], A]) -> A | Refused:
    """What `work` gives, one at a time in this process, or why it gives nothing; it never raises."""
    with _lock:
        try:
            if lines := _differences(fingerprint):
                return Refused(f"{socket.gethostname()}: {'; '.join(lines)}", differs=True)
            # Dask's workers are daemonic; their processes end with them all the same.
            multiprocessing.current_process().daemon = False
            return work()
        except Exception as error:  # what the engine would blame on the task
            return Refused(f"{socket.gethostname()}: {describe_error('', error)}", differs=False)


def _differences(fingerprint: Fingerprint) -> list[str]:
    """What this process has other than the driver; nothing for a while after there was nothing."""
    name, began = repr(fingerprint), time.monotonic()
    if began < _until.get(name, 0.0):
        return []
    lines = fingerprint.differences()
    if not lines:
        now = time.monotonic()
        _until.pop(name, None)
        while len(_until) >= MAX_DRIVERS:
            del _until[next(iter(_until))]
        _until[name] = now + max(CHECK_SECONDS, CHECK_TIMES * (now - began))
    return lines
