"""Runs over worker processes, each of which may die without anything being lost.

A worker is handed a run and what is recorded of it, and sends back what happens: the records of its
generations, in groups a fifth of a second apart, and in the end its result. The run of a worker that died is
handed to another, which replays it up to where it was, at most `RETRIES` times. Workers do not outlive the
parent.
"""

import contextlib
import multiprocessing
import signal
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any

from threadpoolctl import threadpool_limits

from policysearch.compare.run import Job, Result, Turn, progress
from policysearch.compare.study import Study
from policysearch.errors import MACHINE_TROUBLE, CommandError
from policysearch.evaluators.pool import die_with_parent
from policysearch.evaluators.recorded import Record, ReplayDiffers
from policysearch.ledger import decode

RETRIES = 2
STARTS = 3  # failed ones, after which it is no accident
#: How long a worker may keep records to itself, and how often the parent is given a moment, in seconds.
SECONDS_TO_SEND, SECONDS_TO_WAIT = 0.2, 0.2
#: A generation that took longer is sent at once: it is too dear to be lost.
SLOW_GENERATION = 0.02


@dataclass(frozen=True)
class Work:
    """A run that is to be made, and what is known of it."""

    study: Study
    job: Job
    known: Sequence[Record] = ()


@dataclass(frozen=True)
class Died:
    """A run that ended its worker again and again, or raised: it has no result."""

    job: Job
    reason: str


class CannotStart(CommandError):  # noqa: N818 - it states what was found
    """Worker processes die before they are ready."""

    exit_code = MACHINE_TROUBLE


Event = list[Turn] | Result | Died | None


def run_all(work: Sequence[Work], workers: int) -> Iterator[Event]:
    """What happens while the runs are made; None when nothing has for a moment.

    BLAS has one thread everywhere: its sums depend on the number.

    Raises:
        ReplayDiffers: if a search does not go the way that is recorded.
    """
    if workers == 1 or not work:
        with threadpool_limits(1):
            for item in work:
                yield from _run_here(item)
        return
    threads = max(1, workers // len(work))  # few runs share the processors by threads
    yield from _Crew(min(workers, len(work)), threads, work).events()


def _run_here(item: Work) -> Iterator[Event]:
    turns = progress(item.study, item.job, known=item.known)
    while True:
        try:
            yield [next(turns)]
        except StopIteration as end:
            yield end.value
            return
        except ReplayDiffers:
            raise
        except Exception:  # a bug, or an environment that breaks outside its episodes
            yield _raised(item.job)
            return


def _raised(job: Job) -> Died:
    return Died(job, traceback.format_exc(limit=-6).strip())


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Any
    work: Work | None = None
    records: list[str] = field(default_factory=list)  # of its run, in case that it dies
    is_ready: bool = False


@dataclass(eq=False)
class _Crew:
    """The processes, and what is still to be done."""

    size: int
    threads: int
    work: Sequence[Work]
    workers: list[_Worker] = field(default_factory=list)
    deaths: Counter[Job] = field(default_factory=Counter)
    failed_starts: int = 0

    def events(self) -> Iterator[Event]:
        """Everything that happens until all is done."""
        self.pending = deque(self.work)
        methods = multiprocessing.get_all_start_methods()
        self.context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self.context.set_forkserver_preload([__name__])
        try:
            while self.pending or any(worker.work for worker in self.workers):
                self._hand_out()
                ready = connection.wait([worker.pipe for worker in self.workers], SECONDS_TO_WAIT)
                for worker in [worker for worker in self.workers if worker.pipe in ready]:
                    yield from self._hear(worker)
                if not ready:
                    yield None
        finally:
            for worker in self.workers:
                worker.process.kill()
            for worker in self.workers:
                worker.process.join()
                worker.pipe.close()

    def _hand_out(self) -> None:
        while self.pending and len(self.workers) < self.size:
            try:
                ours, theirs = self.context.Pipe()
                process = self.context.Process(target=_serve, args=(theirs, self.threads), name="runs")
                process.start()
            except OSError as error:  # too many processes or files: those that there are will do
                if not self.workers:
                    raise CannotStart(f"worker processes cannot start: {error}") from error
                self.size = len(self.workers)
                break
            theirs.close()
            self.workers.append(_Worker(process, ours))
        for worker in self.workers:
            if worker.work is None and self.pending:
                worker.work = self.pending.popleft()
                worker.records = []
                with contextlib.suppress(OSError):  # it is dead, as its pipe will say
                    worker.pipe.send(worker.work)

    def _hear(self, worker: _Worker) -> Iterator[Event]:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._lost(worker)
            return
        if isinstance(message, ReplayDiffers):
            raise message
        if message is None:
            worker.is_ready = True
            return
        if isinstance(message, list):
            worker.records += [turn.record for turn in message if turn.record is not None]
        else:
            worker.work = None
        yield message

    def _lost(self, worker: _Worker) -> Iterator[Event]:
        """Hand the run of a dead worker to another, or give it up."""
        worker.process.join(1.0)
        code, work = worker.process.exitcode, worker.work
        self.workers.remove(worker)
        worker.pipe.close()
        if not worker.is_ready:
            self.failed_starts += 1
            if self.failed_starts >= STARTS:
                raise CannotStart(
                    f"worker processes cannot start (exit code {code}; what they printed says why). A script "
                    'needs `if __name__ == "__main__":` around what it runs; one worker needs no processes'
                )
        if work is None:
            return
        self.deaths[work.job] += 1
        if self.deaths[work.job] <= RETRIES:
            known = [*work.known, *map(decode, worker.records)]
            self.pending.appendleft(Work(work.study, work.job, known))
        else:
            yield Died(
                work.job,
                f"its process ended {self.deaths[work.job]} times (exit code {code}; "
                f"{signal.Signals(-code).name if code and code < 0 else 'the environment ended it'}); "
                "with --evaluator pool a rollout that ends its process counts as failed",
            )


def _serve(pipe: Any, threads: int) -> None:
    """What a worker does: make runs until its parent is gone."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    threadpool_limits(1)
    with contextlib.suppress(EOFError, BrokenPipeError):
        pipe.send(None)
        while True:
            work = pipe.recv()
            try:
                pipe.send(_run(work, threads, pipe))
            except ReplayDiffers as differs:
                pipe.send(differs)
            except (EOFError, BrokenPipeError):
                raise
            except Exception:
                pipe.send(_raised(work.job))


def _run(work: Work, threads: int, pipe: Any) -> Result:
    """Make a run, sending its turns along the way."""
    turns = progress(work.study, work.job, threads, work.known)
    waiting: list[Turn] = []
    sent = began = time.monotonic()
    while True:
        try:
            waiting.append(next(turns))
        except StopIteration as end:
            if waiting:
                pipe.send(waiting)
            result: Result = end.value
            return result
        now = time.monotonic()
        if now - sent > SECONDS_TO_SEND or now - began > SLOW_GENERATION:
            pipe.send(waiting)
            waiting, sent = [], now
        began = now
