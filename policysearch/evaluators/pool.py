"""Rollouts in worker processes, for simulators that are slow, crash, hang or leak.

Every rollout is a pure function of its proposal, key, candidate and episode, so a rollout whose worker died
is simply run again, with the same result. The parent holds one pipe per worker and waits on all of them; a
worker holds the rollout it runs and the next one, so that it never waits.

    lost worker, time-out                        the rollout is run again, at most twice
    exit, segmentation fault, too much memory    the rollout is run again once
    then                                         the rollout has failed

Workers do not outlive the parent, however it ends (on Linux at once, elsewhere after their rollout).
"""

import contextlib
import fcntl
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from policysearch.core import Evaluation, Failure, Proposal
from policysearch.evaluators.runner import Divisible, Pair, Runner
from policysearch.evaluators.shared import Outcome, collect, episode_seed
from policysearch.seeding import Key

#: How often a rollout is run again after its worker was lost (or took too long), and after it crashed.
RETRIES_LOST, RETRIES_CRASHED = 2, 1
#: Signals that come from outside, or from us, and not from the simulator's own mistakes.
_FROM_OUTSIDE = {
    -signal.SIGTERM,
    -getattr(signal, "SIGKILL", 9),
    -signal.SIGINT,
    -getattr(signal, "SIGHUP", 1),
}
_WATCH_SECONDS = 0.1  # how often memory is looked at
_STARTS = 5  # how often in a row a worker may fail to start


class PoolEvaluator(Runner):
    """Runs the rollouts of another evaluator in worker processes; the results are those of `inner`.

    Args:
        inner: what runs a rollout. It is sent to the workers, so its environment factory has to be a
            function of a module, not a lambda.
        workers: how many processes; by default one per processor.
        timeout: the longest that a rollout may take, in seconds.
        memory_limit: in bytes, of a worker. Above it, a worker is replaced after its rollout; above twice
            it, the worker is stopped.
        start_timeout: the longest that a worker may take to build its simulator, in seconds.

    Raises:
        ValueError: for a limit that is not positive.
        TypeError: if `inner` cannot be sent to a worker.
    """

    description = "rollouts in a pool of processes"

    def __init__(
        self,
        inner: Divisible,
        *,
        workers: int | None = None,
        timeout: float | None = None,
        memory_limit: int | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        workers = (os.cpu_count() or 1) if workers is None else workers
        limits = {"workers": workers, "timeout": timeout, "memory_limit": memory_limit}
        for name, value in {**limits, "start_timeout": start_timeout}.items():
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected a positive number, got {value}")
        self.inner, self.timeout, self.memory_limit = inner, timeout, memory_limit
        self.interface = inner.interface
        self.start_timeout = start_timeout
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self._context.set_forkserver_preload([__name__])
        self._workers: list[_Worker | None] = [None] * workers

    def compile(self) -> int:
        """Compile what the workers will find on disk; returns how many functions were not there yet."""
        return self.inner.compile()

    def close(self) -> None:
        """Stop the workers."""
        for slot, worker in enumerate(self._workers):
            if worker is not None:
                worker.stop()
                self._workers[slot] = None
        self.inner.close()

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        self.inner.check(proposal)
        pairs = [(i, j) for i in range(len(proposal.params)) for j in range(proposal.episodes)]
        outcomes, retried = self._run(proposal, key, pairs)
        evaluation = collect(proposal, outcomes)
        return replace(evaluation, retried_rollouts=evaluation.retried_rollouts + retried)

    def _run(self, proposal: Proposal, key: Key, pairs: Sequence[Pair]) -> tuple[list[Outcome], int]:
        batch = _Batch(self, proposal, key, deque(pairs))
        try:
            while len(batch.outcomes) < len(pairs):
                self._turn(batch)
        except BaseException:
            for slot in range(len(self._workers)):
                self._kill(slot)  # in the middle of rollouts that nobody wants any more
            raise
        return batch.outcomes, batch.retried

    def _turn(self, batch: "_Batch") -> None:
        """Hand out work, wait for something to happen, and deal with it."""
        for slot in range(min(len(self._workers), len(batch.pending) + batch.running)):
            if self._workers[slot] is None and batch.pending:
                self._workers[slot] = self._start()
        for worker in self._living():
            worker.take(batch)
        busy = [(slot, worker) for slot, worker in enumerate(self._workers) if worker and worker.is_busy]
        deadlines = [limit for _, worker in busy if (limit := worker.deadline(self)) is not None]
        waits = [max(0.0, limit - time.monotonic()) for limit in deadlines]
        waits += [_WATCH_SECONDS] if self.memory_limit is not None else []
        ready = connection.wait([worker.pipe for _, worker in busy], min(waits) if waits else None)
        for slot, worker in busy:
            if worker.pipe in ready:
                self._hear(slot, worker, batch)
            elif (limit := worker.deadline(self)) is not None and time.monotonic() >= limit:
                self._overdue(slot, worker, batch)
            elif worker.assigned and self.memory_limit and worker.memory() > 2 * self.memory_limit:
                batch.again(worker, f"it used more than {2 * self.memory_limit} bytes", RETRIES_CRASHED)
                self._kill(slot)

    def _living(self) -> "list[_Worker]":
        return [worker for worker in self._workers if worker is not None]

    def _hear(self, slot: int, worker: "_Worker", batch: "_Batch") -> None:
        """Read what a worker says: that it is ready, an outcome, or, by the end of its pipe, that it died."""
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            self._lost(slot, worker, batch)
            return
        if message is None:
            worker.is_ready, batch.failed_starts = True, 0
            worker.began = time.monotonic()
            return
        outcome, leaves = message
        batch.outcomes.append(outcome)
        worker.assigned.popleft()
        worker.began = time.monotonic()
        if leaves:
            batch.give_back(worker)
            self._kill(slot)

    def _lost(self, slot: int, worker: "_Worker", batch: "_Batch") -> None:
        worker.process.join(1.0)
        code = worker.process.exitcode
        if not worker.is_ready:
            batch.failed_starts += 1
            if batch.failed_starts >= _STARTS or code not in _FROM_OUTSIDE:
                raise RuntimeError(
                    f"a worker could not start (exit code {code}): the simulator cannot be built in a new "
                    "process; what it printed says why"
                )
            batch.give_back(worker)
        elif code in _FROM_OUTSIDE:
            batch.again(worker, f"its worker was killed (exit code {code})", RETRIES_LOST)
        else:
            batch.again(worker, f"it ended its process (exit code {code})", RETRIES_CRASHED)
        self._kill(slot)

    def _overdue(self, slot: int, worker: "_Worker", batch: "_Batch") -> None:
        if not worker.is_ready:
            raise RuntimeError(f"a worker took more than {self.start_timeout:g} s to build the simulator")
        batch.again(worker, f"it took more than {self.timeout:g} s", RETRIES_LOST)
        self._kill(slot)

    def _start(self) -> "_Worker":
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self.inner, self.memory_limit)
        process = self._context.Process(target=_serve, args=arguments, name="rollouts", daemon=True)
        try:
            process.start()
        except Exception as error:  # whatever the objects inside raise when they are to be sent
            raise TypeError(
                f"inner: expected an evaluator that can be sent to another process, got {self.inner}: "
                f"{error}; define its environment factory at the top level of a module"
            ) from error
        theirs.close()
        return _Worker(process, ours)

    def _kill(self, slot: int) -> None:
        worker, self._workers[slot] = self._workers[slot], None
        if worker is not None:
            worker.kill()


@dataclass(eq=False)
class _Batch:
    """One evaluation: what is still to be run, and what has come of the rest."""

    owner: PoolEvaluator
    proposal: Proposal
    key: Key
    pending: deque[Pair]
    outcomes: list[Outcome] = field(default_factory=list)
    attempts: Counter[Pair] = field(default_factory=Counter)
    retried: int = 0
    failed_starts: int = 0

    @property
    def running(self) -> int:
        """Rollouts that workers hold."""
        return sum(len(worker.assigned) for worker in self.owner._living())

    def give_back(self, worker: "_Worker") -> None:
        """Put what a worker held first in the queue."""
        self.pending.extendleft(reversed(worker.assigned))
        worker.assigned.clear()

    def again(self, worker: "_Worker", reason: str, retries: int) -> None:
        """The rollout that a worker was running is run again, or has failed."""
        i, j = pair = worker.assigned.popleft()
        self.give_back(worker)
        self.attempts[pair] += 1
        if self.attempts[pair] <= retries:
            self.retried += 1
            self.pending.appendleft(pair)
            return
        seed = episode_seed(self.key, i, j, common=self.owner.inner.common_random_numbers)
        times = f", {self.attempts[pair]} times" if self.attempts[pair] > 1 else ""
        failure = Failure(i, j, seed, f"the rollout was stopped: {reason}{times}")
        self.outcomes.append(Outcome(i, j, failure=failure))


@dataclass(eq=False)
class _Worker:
    """A process, our end of its pipe, and what it was given to do."""

    process: Any
    pipe: Any
    is_ready: bool = False
    began: float = field(default_factory=time.monotonic)  # when it was started, or its rollout began
    assigned: deque[Pair] = field(default_factory=deque)
    batch: _Batch | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is to be expected from it."""
        return bool(self.assigned) or not self.is_ready

    def take(self, batch: _Batch) -> None:
        """Keep it busy: one rollout to run, and one to go on with."""
        while batch.pending and len(self.assigned) < 2:
            with contextlib.suppress(OSError):  # a dead worker: its pipe will say so
                if self.batch is not batch:
                    self.pipe.send((batch.proposal, batch.key))
                    self.batch = batch
                if not self.assigned and self.is_ready:
                    self.began = time.monotonic()
                self.pipe.send(batch.pending[0])
            self.assigned.append(batch.pending.popleft())

    def deadline(self, owner: PoolEvaluator) -> float | None:
        """When it will have taken too long."""
        if not self.is_ready:
            return self.began + owner.start_timeout
        return None if owner.timeout is None else self.began + owner.timeout

    def memory(self) -> int:
        """Bytes of memory that the process holds now."""
        return _memory(self.process.pid)

    def stop(self) -> None:
        """Let it end by itself, within a second."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.process.join(0 if self.assigned else 1.0)
        self.kill()

    def kill(self) -> None:
        """End it now."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


def _serve(pipe: Any, inner: Divisible, memory_limit: int | None) -> None:
    """What a worker does: run rollouts until it is told to stop, its parent is gone, or it is too big."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    threadpool_limits(1)
    inner.compile()  # not in the time of the first rollout
    pipe.send(None)
    current: tuple[Proposal, Key] | None = None
    with contextlib.suppress(EOFError, BrokenPipeError):
        while (message := pipe.recv()) is not None:
            if isinstance(message[0], Proposal):
                current = message
                continue
            assert current is not None  # noqa: S101 - the proposal always comes first
            (outcome,) = inner.outcomes(*current, [message])
            leaves = memory_limit is not None and _memory(os.getpid()) > memory_limit
            pipe.send((outcome, leaves))
            if leaves:
                break
    with contextlib.suppress(Exception):
        inner.close()


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that asked for it ends; only Linux can.

    The parent that the kernel knows is a server of multiprocessing's, which lives as long as its children do. The
    one that asked holds the other end of a pipe: its closing is made a SIGKILL here, whatever this process does.
    """
    parent = multiprocessing.parent_process()
    if sys.platform == "linux" and parent is not None:
        pipe = parent.sentinel
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
        if connection.wait([pipe], 0):  # it has just ended
            os._exit(1)


def _memory(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
