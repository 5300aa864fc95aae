"""One worker process as its parent holds it, the queue of tasks, and what is told of them; see `workers`."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from policysearch.errors import MACHINE_TROUBLE, CommandError
from policysearch.evaluators.worker_process import serve
from policysearch.wire import Parcel, starting

T = TypeVar("T", bound=Hashable)

#: Workers are forked from a server that has loaded what they need.
CONTEXT = multiprocessing.get_context("forkserver")


class CannotStart(CommandError, RuntimeError):  # noqa: N818 - it states what was found
    """Worker processes cannot be started, or end before they are ready."""

    exit_code = MACHINE_TROUBLE


@dataclass(frozen=True)
class Limits:
    """When a worker is replaced, and how often a task is run again; None means without limit."""

    task_seconds: float | None = None
    start_seconds: float | None = None
    memory: int | None = None  # bytes; above it a worker is replaced after its task, above twice it at once
    retries_lost: int = 2
    retries_crashed: int = 1


USUAL = Limits()
STOPPING_SECONDS = 3.0  # that workers have to close what they hold when they are to end at once


@dataclass(frozen=True, eq=False)
class Told(Generic[T]):
    """News of a task, or its result if it is `done`."""

    task: T
    value: Any
    done: bool


@dataclass(frozen=True, eq=False)
class Lost(Generic[T]):
    """A task that lost its worker; `again` says whether it is run again."""

    task: T
    reason: str
    code: int | None  # the worker's exit code, if it ended by itself
    times: int  # that the task lost its worker
    again: bool


def end_all(living: "list[Worker[Any]]") -> None:
    """End all of these workers now; they have a moment to close what they hold."""
    for worker in living:
        worker.process.terminate()
    limit = time.monotonic() + STOPPING_SECONDS
    for worker in living:
        worker.process.join(max(0.0, limit - time.monotonic()))
    while living:
        living.pop().end()


@dataclass(eq=False)
class Worker(Generic[T]):
    """A process, our end of its pipe, and the tasks that it holds."""

    process: Any
    pipe: Any
    is_ready: bool = False
    began: float = field(default_factory=time.monotonic)  # when it was started, or its task began
    assigned: deque[T] = field(default_factory=deque)  # the first one is running
    queue: "TaskQueue[T] | None" = None  # whose context it has
    has_succeeded: bool = False  # with any task
    repeats: bool = False  # its first task, which has failed in another worker

    @classmethod
    def started(cls, name: str, parcel: Parcel, memory: int | None) -> "Worker[T]":
        """A new process, which opens the parcel: see `worker_process.serve`.

        Raises:
            OSError: if there are too many processes or files.
            CannotStart: if this process may start none.
            TypeError: if what is in the parcel cannot be sent.
        """
        if multiprocessing.current_process().daemon:
            raise CannotStart(
                "worker processes cannot start in a daemonic process, such as one of multiprocessing.Pool: use "
                "concurrent.futures.ProcessPoolExecutor there, or one worker"
            )
        ours, theirs = CONTEXT.Pipe()
        arguments = (theirs, parcel, memory, multiprocessing.get_start_method())
        process = CONTEXT.Process(target=serve, args=arguments, name=name, daemon=True)
        try:
            with starting():
                process.start()
        except OSError:
            raise
        except Exception as error:  # whatever the objects inside raise when they are to be sent
            raise TypeError(
                "expected what can be sent to another process, got something that cannot: "
                f"{type(error).__name__}: {error}; build such an object in the function that uses it"
            ) from error
        theirs.close()
        return cls(process, ours)

    def take(self, queue: "TaskQueue[T]", ahead: int) -> None:
        """Send it tasks until it holds `ahead` of them."""
        while queue.pending and len(self.assigned) < ahead:
            with contextlib.suppress(OSError):  # it is dead, as its pipe will say
                if self.queue is not queue:
                    self.pipe.send((True, queue.context))
                    self.queue = queue
                if not self.assigned and self.is_ready:
                    self.began = time.monotonic()
                self.pipe.send((False, queue.payload(queue.pending[0])))
            self.assigned.append(queue.pending.popleft())

    def end(self) -> None:
        """End the process now, and those that it has started: its group."""
        pid = self.process.pid
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the last one has ended
            os.killpg(pid, signal.SIGKILL)

    def deadline(self, limits: Limits) -> float | None:
        """When it will have taken too long."""
        if self.is_ready and not self.assigned:
            return None
        seconds = limits.task_seconds if self.is_ready else limits.start_seconds
        return None if seconds is None else self.began + seconds


@dataclass(eq=False)
class TaskQueue(Generic[T]):
    """The tasks that no worker holds, and how often each of them lost its worker."""

    pending: deque[T]
    context: Any
    payload: Callable[[T], Any]
    failed: Callable[[Any], bool]  # whether a result may be the fault of what is left of earlier tasks
    losses: Counter[T] = field(default_factory=Counter)

    def give_back(self, worker: Worker[T]) -> None:
        """Put the tasks of a worker first in the queue."""
        self.pending.extendleft(reversed(worker.assigned))
        worker.assigned.clear()

    def lose(self, worker: Worker[T], reason: str, retries: int, code: int | None = None) -> Lost[T]:
        """Put the running task of a lost worker into the queue again, or give it up."""
        task = worker.assigned.popleft()
        self.give_back(worker)
        self.losses[task] += 1
        again = self.losses[task] <= retries
        if again:
            self.pending.appendleft(task)
        return Lost(task, reason, code, self.losses[task], again)


@dataclass(eq=False)
class Suspicion:
    """Whether a task that failed is run again in a new worker: less and less often while that is in vain.

    A worker may fail for what earlier tasks have left in it, such as open files; or the task fails in every worker.
    Of n failures of the second kind, log₂ n start a worker.
    """

    waiting: int = 0  # failures until the next one that is run again
    pause: int = 0  # their number after the last one that was

    def is_due(self) -> bool:
        """Whether this failure is to be run again."""
        self.waiting -= 1
        return self.waiting < 0

    def learn(self, *, helped: bool) -> None:
        """Take note of whether a new worker has helped."""
        self.pause = 0 if helped else 2 * self.pause + 1
        self.waiting = self.pause
