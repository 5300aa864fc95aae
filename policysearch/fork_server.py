"""Imported first by the server of multiprocessing that forks workers: it ends with the process that it serves.

By itself the server looks for the end of that process only after it has imported what workers need, which takes
seconds, and multiprocessing's resource tracker stays until then. The pipe between the two does not tell it either:
its other end is also in the requests that wait to be read. So the kernel is asked for a signal when the parent, or
one of its threads, ends.
"""

import ctypes
import os
import signal
import sys

#: The option of Linux's prctl(2), and the signal that it sends, of which no program makes use.
PR_SET_PDEATHSIG, SIGNAL = 1, 63


def end_with_parent() -> None:
    """End this process as soon as its parent has ended."""
    parent = os.getppid()

    def check(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(SIGNAL, check)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGNAL)
    if parent == 1 and os.getsid(0) != os.getsid(1):  # it had ended before
        os._exit(1)


if sys.platform == "linux" and sys.orig_argv[-1].startswith("from multiprocessing.forkserver import main;"):
    end_with_parent()
