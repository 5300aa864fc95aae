"""Processes that run tasks for this one and may crash, hang, leak or be killed: `Workers`.

A task whose worker was lost is run again in another one, so it has to be a pure function of what it is sent.

    killed from outside, or too slow            the task is run again, at most `retries_lost` times
    it ended its process, or too much memory    the task is run again, at most `retries_crashed` times
    then                                        the task is lost
    it failed in a worker that had succeeded    the task is run again in a new one, if the caller calls it a failure

The parent holds one pipe per worker and waits on all of them. Workers do not outlive the parent, however it ends
(they end at once on Linux, elsewhere after their task), nor do processes that their tasks start outlive them, unless
these begin a session of their own. They leave Ctrl-C to it. They use one thread for BLAS, whose sums depend on the
number of threads.
"""

import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from multiprocessing import connection, util
from typing import Any, Generic

from policysearch.evaluators.worker import (
    CONTEXT,
    USUAL,
    CannotStart,
    Limits,
    Lost,
    Suspicion,
    T,
    TaskQueue,
    Told,
    Worker,
    end_all,
)
from policysearch.evaluators.worker_process import Run, memory_of
from policysearch.wire import Parcel

#: Signals that come from outside, or from us, and not from the mistakes of a task.
_FROM_OUTSIDE = {-signal.SIGTERM, -signal.SIGKILL, -signal.SIGINT, -signal.SIGHUP}
_WATCH_SECONDS = 0.1  # how often memory is looked at
CLOSING_SECONDS = 5.0  # that a worker may take to close what it holds
_MAX_FAILED_STARTS = 5  # in a row, of workers that are killed before they are ready

__all__ = ["CannotStart", "Limits", "Lost", "Told", "Workers"]


class Workers(Generic[T]):
    """Up to `size` processes, which start when there is work and are kept until `close`.

    Args:
        setup: a function of a module that every worker calls first, with `arguments`; the context manager that it
            returns gives the function that runs a task (see `Run`).
        arguments: what can be sent to another process; see `policysearch.wire`.
        size: how many processes.
        limits: of time, memory and repetitions.
        ahead: how many tasks a worker holds, the one that it runs among them.
        hint: what a user may do when no worker can start.
        preload: modules that all workers need, imported once by the server that forks them if it does not run yet.
    """

    def __init__(
        self,
        setup: Callable[..., AbstractContextManager[Run]],
        arguments: tuple[Any, ...],
        size: int,
        *,
        limits: Limits = USUAL,
        ahead: int = 1,
        hint: str = "what it printed says why",
        preload: Iterable[str] = (),
    ) -> None:
        self.size, self.limits, self.living = size, limits, list[Worker[T]]()
        self._name, self._parcel = setup.__name__, Parcel((setup, arguments))
        self._ahead, self._hint = ahead, hint
        self._failed_starts, self._suspicion = 0, Suspicion()
        util.Finalize(self, end_all, (self.living,), exitpriority=1)  # if it is forgotten, or at exit
        CONTEXT.set_forkserver_preload(["policysearch.fork_server", __name__, setup.__module__, *preload])

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
        failed: Callable[[Any], bool] = lambda result: False,
        idle_seconds: float | None = None,
    ) -> Generator[Told[T] | Lost[T] | None, None, None]:
        """What happens while the tasks are run, and None when nothing has for a while.

        Args:
            tasks: each of them once.
            context: what all tasks have in common; it is sent once to every worker.
            payload: what is sent of a task, every time that it is handed out.
            failed: whether a result may be the fault of what earlier tasks have left in its worker; the result is
                then told as news, and the task is run again.
            idle_seconds: the longest "while".

        All workers are ended if the iterator is closed before its end, or raises.

        Raises:
            CannotStart: if no worker can start.
            TypeError: if `arguments` cannot be sent to a worker.
            Exception: that a task raises.
        """
        queue = TaskQueue(deque(tasks), context, payload, failed)
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
        """Let the workers end by themselves, within a few seconds; then end them."""
        for worker in self.living:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
        limit = time.monotonic() + CLOSING_SECONDS
        for worker in self.living:
            worker.process.join(0.0 if worker.assigned else max(0.0, limit - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """End the workers now; they have a moment to close what they hold, such as a simulator's processes."""
        end_all(self.living)

    def _remove(self, worker: Worker[T]) -> None:
        self.living.remove(worker)
        worker.end()

    def _hand_out(self, queue: TaskQueue[T]) -> None:
        """Start the workers that there is work for, and give every worker its tasks."""
        tasks = len(queue.pending) + sum(len(worker.assigned) for worker in self.living)
        while queue.pending and len(self.living) < min(self.size, tasks):
            self._start()
        for worker in self.living:
            worker.take(queue, self._ahead)

    def _start(self) -> Worker[T] | None:
        """A new worker; None if there are as many as the machine allows."""
        try:
            worker: Worker[T] = Worker.started(self._name, self._parcel, self.limits.memory)
        except OSError as error:  # too many processes or files: those that there are will do
            if not self.living:
                raise CannotStart(f"worker processes cannot start: {error}") from error
            self.size = len(self.living)
            return None
        self.living.append(worker)
        return worker

    def _wait(self, idle_seconds: float | None) -> list[Worker[T]]:
        """The workers that have something to say, as soon as there are any or something else is due."""
        limits = [limit for worker in self.living if (limit := worker.deadline(self.limits)) is not None]
        seconds = [max(0.0, limit - time.monotonic()) for limit in limits]
        seconds += [_WATCH_SECONDS] if self.limits.memory is not None else []
        seconds += [idle_seconds] if idle_seconds is not None else []
        ready = connection.wait([worker.pipe for worker in self.living], min(seconds, default=None))
        return [worker for worker in self.living if worker.pipe in ready]

    def _hear(self, worker: Worker[T], queue: TaskQueue[T]) -> Told[T] | Lost[T] | None:
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
        task = worker.assigned[0]
        if done:
            failed = queue.failed(value)
            if worker.repeats:
                self._suspicion.learn(helped=not failed)
            elif failed and worker.has_succeeded and self._suspicion.is_due():
                self._repeat(worker, queue)
                return Told(task, value, done=False)
            worker.repeats, worker.has_succeeded = False, worker.has_succeeded or not failed
            worker.assigned.popleft()
            worker.began = time.monotonic()
        if leaves:
            queue.give_back(worker)
            worker.process.join(CLOSING_SECONDS)
            self._remove(worker)
        return Told(task, value, done)

    def _repeat(self, worker: Worker[T], queue: TaskQueue[T]) -> None:
        """Replace a worker; the new one begins with the task that the old one has just run."""
        queue.give_back(worker)
        self._remove(worker)
        if (new := self._start()) is not None:
            new.repeats = True
            new.take(queue, 1)

    def _died(self, worker: Worker[T], queue: TaskQueue[T]) -> Lost[T] | None:
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

    def _check(self, worker: Worker[T], queue: TaskQueue[T]) -> Lost[T] | None:
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
