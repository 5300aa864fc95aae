"""What runs on a worker of an engine at the level of a study: some runs for some seconds, in processes of their own.

A run continues while its slice travels: its process waits only when nothing more of what it tells is taken. The runs
of the latest slice are kept; any other worker replays them from their records.
"""

import contextlib
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing import connection

import gymnasium as gym

from policysearch.compare.run import Job, Progress, Result
from policysearch.compare.study import Study
from policysearch.compare.workers import Died, Event, Work, crew_of, happenings, run_sent
from policysearch.engines.fingerprint import Fingerprint
from policysearch.engines.guarded import Place, Refused, guarded, here
from policysearch.evaluators.recorded import ReplayDiffers
from policysearch.evaluators.worker_process import Run
from policysearch.evaluators.workers import Workers
from policysearch.plain_data import decode
from policysearch.wire import opened

#: How often the clock is looked at.
TICK_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class Posted:
    """A run on its way to the process that makes it: the study and the records as text."""

    study: str
    job: Job
    known: tuple[str, ...] = ()

    def read(self) -> Work:
        """The run."""
        return Work(_study(self.study), self.job, [*map(decode, self.known)])

    def after(self, records: Sequence[str]) -> "Posted":
        """The same with these records after those that are known."""
        return replace(self, known=(*self.known, *records))


@lru_cache(4)
def _study(text: str) -> Study:
    return Study(**decode(text))


@dataclass(frozen=True, eq=False)
class Order:
    """Some runs of a study, and for how long; with `more` others wait for processors that these leave free."""

    posted: tuple[Posted, ...]
    environments: bytes  # that were registered by the caller; see `policysearch.wire.message`
    fingerprint: Fingerprint
    seconds: float
    more: bool
    explained: frozenset[str]  # tasks of which an episode is known that ends its process


@dataclass(eq=False)
class Piece:
    """What came of a run in a slice."""

    job: Job
    known: int  # records before it
    progress: list[Progress] = field(default_factory=list)
    end: Result | Died | ReplayDiffers | None = None

    @property
    def records(self) -> list[str]:
        """Those of its new generations."""
        return [step.record for step in self.progress if step.record is not None]


@dataclass(frozen=True, eq=False)
class Sliced:
    """What came of the runs of a slice that were begun, and where."""

    pieces: tuple[Piece, ...]
    place: Place


@dataclass(eq=False)
class Live:
    """A run in its process."""

    crew: Workers[Job]
    events: Generator[Event, None, None]
    known: int  # its records so far

    def news(self, piece: Piece) -> None:
        """Take in what has happened since.

        Raises:
            RuntimeError: if there is nothing more, though it has not ended: to wait for it would be for ever.
        """
        try:
            event = next(self.events)
        except ReplayDiffers as differs:
            event, piece.end = None, differs
        except StopIteration:
            raise RuntimeError(f"the run of {piece.job} has no end") from None
        if isinstance(event, list):
            piece.progress += event
            self.known += sum(step.record is not None for step in event)
        elif event is not None:
            piece.end = event


_live: dict[tuple[str, Job], Live] = {}
_idle: list[tuple[bytes, Workers[Job]]] = []


def run(order: Order) -> Sliced | Refused:
    """What comes of the runs of a slice; it never raises."""
    return guarded(order.fingerprint, lambda: _run(order))


def _run(order: Order) -> Sliced:
    until = time.monotonic() + order.seconds
    _leave_out(order)
    waiting, pieces = deque(order.posted), dict[tuple[str, Job], Piece]()
    threads = max(1, here().processors // len(waiting))
    while time.monotonic() < until:
        open_ = [name for name, piece in pieces.items() if piece.end is None]
        while waiting and len(open_) < here().processors:
            posted = waiting.popleft()
            name = posted.study, posted.job
            pieces[name] = Piece(posted.job, len(posted.known))
            _begin(order, posted, threads)
            _hear(name, pieces[name], order)  # which hands it to its process
            open_ += [name] if pieces[name].end is None else []
        if not open_ or (order.more and not waiting and len(open_) < len(order.posted)):
            break  # the rest are under way, and a processor will be free
        pipes = [worker.pipe for name in open_ for worker in _live[name].crew.living]
        connection.wait(pipes, min(TICK_SECONDS, max(0.0, until - time.monotonic())))
        for name in open_:
            _hear(name, pieces[name], order)
    return Sliced(tuple(pieces.values()), here())


def _leave_out(order: Order) -> None:
    """End the runs that are not in this slice, or are not as far as the driver knows them."""
    known = {(posted.study, posted.job): len(posted.known) for posted in order.posted}
    for name, live in [*_live.items()]:
        if known.get(name) != live.known:
            _live.pop(name).events.close()  # which ends its process
            live.crew.close()


def _begin(order: Order, posted: Posted, threads: int) -> None:
    """Let a run begin in a process that waits for one, or in a new one, unless it is there."""
    name = posted.study, posted.job
    if name in _live:
        return
    while _idle and _idle[-1][0] != order.environments:
        _idle.pop()[1].close()
    crew = (
        _idle.pop()[1] if _idle else crew_of(_runs, order.environments, 1, ["policysearch.evaluators.ready"])
    )
    events = happenings(crew, {posted.job: posted}, threads, set(order.explained), idle_seconds=0.0)
    _live[name] = Live(crew, events, len(posted.known))


def _hear(name: tuple[str, Job], piece: Piece, order: Order) -> None:
    """Take in what a run tells. One that has ended, or cannot be made, is not kept: it would tell nothing more."""
    try:
        _live[name].news(piece)
    except BaseException:
        _live.pop(name).crew.close()
        raise
    if piece.end is not None:
        _free(name, order)


def _free(name: tuple[str, Job], order: Order) -> None:
    """Keep the process of a run that has ended for the next one."""
    live = _live.pop(name)
    for _ in live.events:  # there are none, but its end
        pass
    _idle.append((order.environments, live.crew))


def _runs(environments: bytes) -> AbstractContextManager[Run]:
    """Makes runs, in a process that guards the worker."""
    gym.registry.update(opened(environments))
    return contextlib.nullcontext(run_sent)
