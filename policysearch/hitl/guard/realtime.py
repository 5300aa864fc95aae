"""What the guard's process asks of the operating system, and how late its ticks were.

With two other programs busy on two processors, an ordinary process was seen to tick 416 ms late. SCHED_FIFO lets the
guard run before every ordinary process, and locked memory is never fetched from disk. Both need a permission (root;
on Linux also `rtprio` and `memlock` in /etc/security/limits.conf). Without it the guard works, and says so.
"""

import ctypes
import gc
import os

PRIORITY = 10  # of SCHED_FIFO: above every ordinary process, below the kernel's own threads
OWNER_PRIORITY = 5  # of the threads that beat, and of those that they may have to wait for
_MCL_CURRENT, _MCL_FUTURE = 1, 2  # of mlockall, on Linux and macOS
BIN, BINS = 0.001, 51  # s; the last bin holds all longer gaps


def ask() -> str:
    """Ask for real-time scheduling and locked memory; returns what was granted, and why the rest was not."""
    gc.freeze()  # what is there by now is never collected
    return f"{fifo(PRIORITY, children=True)}; {_locked()}"


def fifo(priority: int, *, children: bool = False) -> str:
    """Let this thread run before every ordinary one; returns what was granted.

    Args:
        priority: of SCHED_FIFO.
        children: whether the threads and processes that it starts do so too.
    """
    try:
        policy = os.SCHED_FIFO | (0 if children else os.SCHED_RESET_ON_FORK)
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except (OSError, AttributeError) as error:  # the function is missing on macOS
        return f"SCHED_FIFO was refused ({getattr(error, 'strerror', None) or 'not on this system'})"
    return f"SCHED_FIFO {priority}"


def _locked() -> str:
    library = ctypes.CDLL(None, use_errno=True)
    if library.mlockall(_MCL_CURRENT | _MCL_FUTURE):
        return f"locked memory was refused ({os.strerror(ctypes.get_errno())})"
    return "memory is locked"


class Gaps:
    """How much time passed from each tick to the next.

    Attributes:
        counts: number of gaps of less than 1 ms, of 1 to 2 ms, …; the last of 50 ms and more.
        longest: s
    """

    def __init__(self) -> None:
        self.counts, self.longest = [0] * BINS, 0.0

    def add(self, seconds: float) -> None:
        """Count a gap."""
        self.counts[min(int(seconds / BIN), BINS - 1)] += 1
        self.longest = max(self.longest, seconds)


def quantile(counts: list[int], p: float) -> float:
    """The upper edge (s) of the bin below which lies a share `p` of all gaps; infinite if it is the last bin."""
    seen, wanted = 0, p * sum(counts)
    for i, count in enumerate(counts[:-1]):
        seen += count
        if seen >= wanted:
            return (i + 1) * BIN
    return float("inf")
