"""What a worker process does: it runs tasks, and ends with its parent. The parent's side is `workers`."""

import contextlib
import fcntl
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from policysearch.leftovers import alive, end_children

#: Runs a task in a worker: run(payload, context, tell) -> result. `tell(news)` sends news of it before the result.
Run = Callable[[Any, Any, Callable[[Any], None]], Any]


class Stopped(BaseException):
    """This process is to end; what is raised through its task closes the environments that it holds."""


def _stop(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def _stop_no_more() -> None:
    """A process that a task forks ends at SIGTERM as any other."""
    if signal.getsignal(signal.SIGTERM) is _stop:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def serve(pipe: Any, parcel: Any, memory_limit: int | None, start_method: str) -> None:
    """What a worker does: run tasks until it is told to stop, its parent is gone, or it holds too much memory.

    Args:
        pipe: to the parent.
        parcel: the function that begins, and its arguments; see `workers.Workers`.
        memory_limit: in bytes.
        start_method: how a task starts processes of its own, as it would in the parent.
    """
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    signal.signal(signal.SIGTERM, _stop)
    os.register_at_fork(after_in_child=_stop_no_more)

    stopped = False
    try:
        threadpool_limits(1)
        multiprocessing.current_process().daemon = False  # so that tasks may have processes of their own
        multiprocessing.set_start_method(start_method, force=True)
        _work(pipe, parcel, memory_limit)
    except Stopped:
        stopped = True
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_children(alive(), 0.2)
    if stopped:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)  # as the parent expects of it


def _work(pipe: Any, parcel: Any, memory_limit: int | None) -> None:
    def tell(news: Any) -> None:
        pipe.send((news, False, False))

    try:
        setup, arguments = parcel.open()
    except Exception as error:  # such as a module that cannot be imported here
        pipe.send(
            (
                TypeError(f"a worker cannot rebuild what it was sent: {type(error).__name__}: {error}"),
                True,
                True,
            )
        )
        return
    with setup(*arguments) as run, contextlib.suppress(EOFError, BrokenPipeError):
        pipe.send(None)
        context, leaves = None, False
        while not leaves and (message := pipe.recv()) is not None:
            is_context, value = message
            if is_context:
                context = value
                continue
            try:
                result = run(value, context, tell)
            except Exception as error:  # the parent raises it
                error.add_note(traceback.format_exc())  # which would be lost on the way
                result = error
            leaves = memory_limit is not None and memory_of(os.getpid()) > memory_limit
            pipe.send((result, True, leaves))


def die_with_parent() -> None:
    """Have the kernel kill this process, and those that it starts, when the one that asked for it ends.

    They are a process group of their own, which only Linux kills. The parent that the kernel knows is a server of
    multiprocessing's, which lives as long as its children do. The one that asked holds the other end of a pipe: its
    closing is made a SIGKILL here, whatever this process does.
    """
    os.setsid()
    parent = multiprocessing.parent_process()
    if sys.platform == "linux" and parent is not None:
        pipe = parent.sentinel
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpid())  # negative: the group
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
        if connection.wait([pipe], 0):  # it has just ended
            os._exit(1)


def memory_of(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
