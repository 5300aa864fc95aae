"""Processes that run tasks for this one and may crash, hang, leak or be killed: `Workers`.

A task whose worker was lost is run again in another one, so it has to be a pure function of what it is sent.

    killed from outside, or too slow            the task is run again, at most `retries_lost` times
    it ended its process, or too much memory    the task is run again, at most `retries_crashed` times
    then                                        the task is lost

The parent holds one pipe per worker and waits on all of them. Workers do not outlive the parent, however it ends
(they end at once on Linux, elsewhere after their task). They leave Ctrl-C to it. They use one thread for BLAS, whose
sums depend on the number of threads.
"""

import contextlib
import multiprocessing
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Hashable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any, Generic, TypeVar

from policysearch.errors import MACHINE_TROUBLE, CommandError
from policysearch.evaluators.worker_process import Run, memory_of, serve

#: Signals that come from outside, or from us, and not from the mistakes of a task.
_FROM_OUTSIDE = {-signal.SIGTERM, -signal.SIGKILL, -signal.SIGINT, -signal.SIGHUP}
_WATCH_SECONDS = 0.1  # how often memory is looked at
_MAX_FAILED_STARTS = 5  # in a row, of workers that are killed before they are ready

T = TypeVar("T", bound=Hashable)


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


class Workers(Generic[T]):
    """Up to `size` processes, which start when there is work and are kept until `close`.

    Args:
        setup: a function of a module that every worker calls first, with `arguments`; the context manager that it
            returns gives the function that runs a task (see `Run`).
        arguments: what can be sent to another process.
        size: how many processes.
        limits: of time, memory and repetitions.
        ahead: how many tasks a worker holds, the one that it runs among them.
        daemon: whether the processes may be left to the end of this one; such processes cannot start others.
        hint: what a user may do when no worker can start.
    """

    def __init__(
        self,
        setup: Callable[..., AbstractContextManager[Run]],
        arguments: tuple[Any, ...],
        size: int,
        *,
        limits: Limits = Limits(),
        ahead: int = 1,
        daemon: bool = True,
        hint: str = "what it printed says why",
    ) -> None:
        self.size, self.limits, self.living = size, limits, list[Worker[T]]()
        self._setup, self._arguments = setup, arguments
        self._ahead, self._daemon, self._hint = ahead, daemon, hint
        self._failed_starts = 0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([setup.__module__])

    def __enter__(self) -> "Workers[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        tasks: Iterable[T],
        *,
        context: Any = None,
        payload: Callable[[T], Any] = lambda task: task,
        idle_seconds: float | None = None,
    ) -> Generator[Told[T] | Lost[T] | None, None, None]:
        """What happens while the tasks are run, and None when nothing has for a while.

        Args:
            tasks: each of them once.
            context: what all tasks have in common; it is sent once to every worker.
            payload: what is sent of a task, every time that it is handed out.
            idle_seconds: the longest "while".

        All workers are ended if the iterator is closed before its end, or raises.

        Raises:
            CannotStart: if no worker can start.
            TypeError: if `arguments` cannot be sent to a worker.
            Exception: that a task raises.
        """
        queue = _Queue(deque(tasks), context, payload)
        try:
            while queue.pending or any(worker.assigned for worker in self.living):
                self._hand_out(queue)
                ready = self._wait(idle_seconds)
                for worker in list(self.living):
                    event = self._hear(worker, queue) if worker in ready else self._check(worker, queue)
                    if event is not None:
                        yield event
                if not ready:
                    yield None
        except BaseException:
            self.kill()
            raise

    def close(self) -> None:
        """Let the workers end by themselves, within a second; then end them."""
        for worker in self.living:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
        limit = time.monotonic() + 1.0
        for worker in self.living:
            worker.process.join(0.0 if worker.assigned else max(0.0, limit - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """End the workers now."""
        for worker in self.living:
            worker.process.kill()
        while self.living:
            self._remove(self.living[-1])

    def _remove(self, worker: "Worker[T]") -> None:
        self.living.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.pipe.close()

    def _hand_out(self, queue: "_Queue[T]") -> None:
        """Start the workers that there is work for, and give every worker its tasks."""
        tasks = len(queue.pending) + sum(len(worker.assigned) for worker in self.living)
        while queue.pending and len(self.living) < min(self.size, tasks):
            self._start()
        for worker in self.living:
            worker.take(queue, self._ahead)

    def _start(self) -> None:
        try:
            ours, theirs = self._context.Pipe()
            arguments = (theirs, self._setup, self._arguments, self.limits.memory)
            process = self._context.Process(
                target=serve, args=arguments, name=self._setup.__name__, daemon=self._daemon
            )
            process.start()
        except OSError as error:  # too many processes or files: those that there are will do
            if not self.living:
                raise CannotStart(f"worker processes cannot start: {error}") from error
            self.size = len(self.living)
            return
        except Exception as error:  # whatever the objects inside raise when they are to be sent
            raise TypeError(
                "expected an object that can be sent to another process, "
                f"got {', '.join(map(str, self._arguments))}: {error}; "
                "define its function or environment factory at the top level of a module"
            ) from error
        theirs.close()
        self.living.append(Worker(process, ours))

    def _wait(self, idle_seconds: float | None) -> "list[Worker[T]]":
        """The workers that have something to say, as soon as there are any or something else is due."""
        limits = [limit for worker in self.living if (limit := worker.deadline(self.limits)) is not None]
        seconds = [max(0.0, limit - time.monotonic()) for limit in limits]
        seconds += [_WATCH_SECONDS] if self.limits.memory is not None else []
        seconds += [idle_seconds] if idle_seconds is not None else []
        ready = connection.wait([worker.pipe for worker in self.living], min(seconds, default=None))
        return [worker for worker in self.living if worker.pipe in ready]

    def _hear(self, worker: "Worker[T]", queue: "_Queue[T]") -> Told[T] | Lost[T] | None:
        """Read what a worker says: that it is ready, news, a result, or, by the end of its pipe, that it died."""
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            return self._died(worker, queue)
        if message is None:
            worker.is_ready, worker.began = True, time.monotonic()
            self._failed_starts = 0
            return None
        value, done, leaves = message
        if isinstance(value, Exception):
            raise value
        told = Told(worker.assigned[0], value, done)
        if done:
            worker.assigned.popleft()
            worker.began = time.monotonic()
        if leaves:
            queue.give_back(worker)
            self._remove(worker)
        return told

    def _died(self, worker: "Worker[T]", queue: "_Queue[T]") -> Lost[T] | None:
        worker.process.join(1.0)
        code = worker.process.exitcode
        self._remove(worker)
        from_outside = code in _FROM_OUTSIDE
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS or not from_outside:
                raise self._cannot_start(f"exit code {code}")
            queue.give_back(worker)
        if not worker.assigned:
            return None
        reason, retries = "it ended its process", self.limits.retries_crashed
        if from_outside:
            reason, retries = "its worker was killed", self.limits.retries_lost
        return queue.lose(worker, f"{reason} (exit code {code})", retries, code)

    def _check(self, worker: "Worker[T]", queue: "_Queue[T]") -> Lost[T] | None:
        """End a worker that takes too long or too much memory."""
        limit, memory = worker.deadline(self.limits), self.limits.memory
        if limit is not None and time.monotonic() >= limit:
            if not worker.is_ready:
                raise self._cannot_start(f"it took more than {self.limits.start_seconds:g} s")
            reason, retries = f"it took more than {self.limits.task_seconds:g} s", self.limits.retries_lost
        elif worker.assigned and memory is not None and memory_of(worker.process.pid) > 2 * memory:
            reason, retries = f"it used more than {2 * memory} bytes", self.limits.retries_crashed
        else:
            return None
        self._remove(worker)
        return queue.lose(worker, reason, retries)

    def _cannot_start(self, why: str) -> CannotStart:
        return CannotStart(f"a worker could not start ({why}): {self._hint}")


@dataclass(eq=False)
class Worker(Generic[T]):
    """A process, our end of its pipe, and the tasks that it holds."""

    process: Any
    pipe: Any
    is_ready: bool = False
    began: float = field(default_factory=time.monotonic)  # when it was started, or its task began
    assigned: deque[T] = field(default_factory=deque)  # the first one is running
    queue: "_Queue[T] | None" = None  # whose context it has

    def take(self, queue: "_Queue[T]", ahead: int) -> None:
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

    def deadline(self, limits: Limits) -> float | None:
        """When it will have taken too long."""
        if self.is_ready and not self.assigned:
            return None
        seconds = limits.task_seconds if self.is_ready else limits.start_seconds
        return None if seconds is None else self.began + seconds


@dataclass(eq=False)
class _Queue(Generic[T]):
    """The tasks that no worker holds, and how often each of them lost its worker."""

    pending: deque[T]
    context: Any
    payload: Callable[[T], Any]
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
