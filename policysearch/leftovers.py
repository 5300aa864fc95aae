"""What the user's code leaves at the end of a process: children and threads, for which Python would wait for ever.

At its end, Python joins the children that `multiprocessing` has started and the threads that are no daemons.
"""

import contextlib
import multiprocessing
import os
import sys
import threading
import time
from typing import Any

#: Seconds that what is left has to end by itself.
GRACE = 2.0


def alive() -> set[Any]:
    """The children and the threads for which this process would wait at its end."""
    threads = (thread for thread in threading.enumerate() if not thread.daemon)
    return {*multiprocessing.active_children(), *threads}


def end_children(left: set[Any], seconds: float) -> None:
    """End those of `left` that are processes and do not end by themselves within so many seconds."""
    children = [child for child in left if isinstance(child, multiprocessing.process.BaseProcess)]
    for end, patience in ((lambda child: None, seconds), (lambda child: child.terminate(), 0.5)):
        limit = time.monotonic() + patience
        for child in children:
            end(child)
        for child in children:
            child.join(max(0.0, limit - time.monotonic()))
    for child in children:
        child.kill()


def exit_without(left: set[Any], code: int) -> None:
    """Have this process end with `code` also if those of `left` that are threads do not end when it does."""
    threads = [item for item in left if isinstance(item, threading.Thread)]

    def watch() -> None:
        threading.main_thread().join()
        time.sleep(GRACE)
        if any(thread.is_alive() for thread in threads):
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(code)

    if threads:
        threading.Thread(target=watch, name="exit", daemon=True).start()
