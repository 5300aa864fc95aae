"""The runs of a study on the workers of an engine; the driver keeps the only ledger.

    at least as many unfinished runs as workers     the runs are the tasks, in slices
    fewer                                           the searches stay here, and their rollouts go out

A slice is two seconds long, then half of what its runs have taken, at most ten minutes. What a worker has not told
by its end is run again when the worker is lost, so nothing on it is ever needed again.
"""

from collections import defaultdict, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from threadpoolctl import threadpool_limits

from policysearch.compare.checks import what_is_run
from policysearch.compare.run import Job, Result
from policysearch.compare.session import dealt
from policysearch.compare.workers import Died, Event, Work, registered, run_events
from policysearch.engines.engine import Engine, using, workers
from policysearch.engines.evaluator import EngineEvaluator
from policysearch.engines.fingerprint import Fingerprint
from policysearch.engines.flights import LOST, WAIT_SECONDS, Flight, Flights, Say
from policysearch.engines.slices import Order, Piece, Posted, Sliced, run
from policysearch.evaluators.pool import PoolEvaluator
from policysearch.evaluators.recorded import ReplayDiffers
from policysearch.evaluators.runner import Divisible, Runner
from policysearch.plain_data import encode
from policysearch.tasks import Problem
from policysearch.wire import message

#: The shortest and the longest slice, in seconds; between them, the part of what the runs have taken.
FIRST_SLICE, MAX_SLICE, PART = 2.0, 600.0, 0.5
#: Seconds after its end at which a slice is late: a worker may have to import, and to replay, before it begins.
LATE_SECONDS = 5.0
#: Runs that are handed out for every processor, so that none waits while a slice travels.
AHEAD = 2


@contextmanager
def making(engine: Any, say: Say) -> Iterator["Runs"]:
    """What makes runs on an engine, while it is used.

    Raises:
        NoEngine: for a text that names none.
        EngineLost: if nothing answers there.
    """
    with using(engine, say) as found:
        assert found is not None  # noqa: S101 - for type checkers
        yield Runs(found, say)


@dataclass(eq=False)
class Runs:
    """Makes the runs of a study on an engine; see `policysearch.compare.workers.Maker`."""

    engine: Engine
    say: Say

    @property
    def at_a_time(self) -> int:
        """Workers that there are now, at least one."""
        return max(1, self.engine.slots())

    def words(self) -> str:
        """The workers that have answered, and their processors."""
        counts = [place.processors for place in self.engine.seen.values()]
        return f"{workers(len(counts))} with {sum(counts)} processors" if counts else "no worker yet"

    def machines(self) -> str:
        """The workers, each with what its last digits depend on."""
        places = sorted(self.engine.seen.values(), key=lambda place: place.host)
        return "; ".join(f"{place.host}: {place.processors} × {place.kind}" for place in places)

    def make(self, work: Sequence[Work]) -> Generator[Event, None, None]:
        """What happens while the runs are made; None when nothing has for a moment.

        Raises:
            ReplayDiffers: if a search does not go the way that is recorded.
            WorkerDiffers, WorkerFailed: if a worker cannot make them.
            EngineLost: if the engine takes no tasks any more.
        """
        if not work:
            return
        counted: Flights[Job] = Flights(self.engine, self.say, deque())
        counted.count()
        while not counted.slots:
            yield None
            list(counted.landed())  # waits for a moment
            counted.count()
        with threadpool_limits(1):
            problems = self._problems(work) if len(work) < counted.slots else None
            yield from (
                Slices(self.engine, self.say, work).events()
                if problems is None
                else (self._by_rollouts(work, problems, counted))
            )

    def _problems(self, work: Sequence[Work]) -> list[Problem] | None:
        """The searches, with rollouts that go out; None if those of some cannot."""
        problems: list[Problem] = []
        engine = replace(self.engine, slots=lambda: -(-self.engine.slots() // len(work)))
        for item in work:
            study, job = item.study, item.job
            problem = study.problem(job.task, job.optimizer, job.run)
            inner = _inner(problem.evaluator)
            if inner is None:
                for each in (problem, *problems):
                    each.evaluator.close()
                return None
            timeout, depends = study.rollout_timeout, tuple(study.depends or ())
            out = EngineEvaluator(inner, engine, timeout=timeout, depends=depends)
            problems.append(replace(problem, evaluator=out))
        return problems

    def _by_rollouts(
        self, work: Sequence[Work], problems: Sequence[Problem], counted: Flights[Job]
    ) -> Generator[Event, None, None]:
        """The searches in threads of this process; their rollouts go out."""
        costs = [item.study.first_cost(item.job.task, item.job.optimizer) for item in work]
        many = f"{sum(costs)} at a time in their first generations, so no more processors are used"
        self.say(f"engine: {workers(counted.slots)} for {len(work)} runs, whose rollouts go out: {many}")
        told: SimpleQueue[Event | BaseException] = SimpleQueue()

        def search(item: Work, problem: Problem) -> None:
            try:
                for event in run_events(item, problem=problem):
                    told.put(event)
            except BaseException as error:  # the main thread raises it
                told.put(error)

        threads = [Thread(target=search, args=each, daemon=True) for each in zip(work, problems, strict=True)]
        left = len(threads)
        try:
            for thread in threads:
                thread.start()
            while left:
                counted.count()
                event: Event | BaseException = None
                with suppress(Empty):
                    event = told.get(timeout=WAIT_SECONDS)
                if isinstance(event, BaseException):
                    raise event
                left -= isinstance(event, Result | Died)
                yield event
        finally:
            for problem in problems:
                problem.evaluator.close()
            for thread in threads:
                thread.join()


def _inner(evaluator: Runner) -> Divisible | None:
    """What of an evaluator goes out; None if nothing can."""
    inner = evaluator.inner if isinstance(evaluator, PoolEvaluator) else evaluator
    return inner if isinstance(inner, Divisible) else None


class Slices:
    """The runs of a stage of a study, in slices."""

    def __init__(self, engine: Engine, say: Say, work: Sequence[Work]) -> None:
        study = work[0].study
        text = encode(study.document())
        self._environments = message(registered({item.job.task for item in work}))
        self._fingerprint = Fingerprint.of_digests(what_is_run(study))
        self._posted = {
            item.job: Posted(text, item.job, tuple(encode(record) for record in item.known)) for item in work
        }
        self._taken: defaultdict[Job, float] = defaultdict(float)  # seconds, in slices
        self._done: set[Job] = set()
        self._explained: set[str] = set()
        self._flights: Flights[Job] = Flights(engine, say, deque(self._posted))

    def events(self) -> Generator[Event, None, None]:
        """What happens while they are made; None when nothing has for a moment."""
        flights = self._flights
        try:
            while len(self._done) < len(self._posted):
                flights.count()
                self._hand_out()
                for flight, answer in flights.landed():
                    yield from self._lost(flight) if answer is None else self._taken_in(flight, answer)
                    self._hand_out()  # to the worker that has just become free, which has these runs
                yield None
        finally:
            flights.cancel()

    def _hand_out(self) -> None:
        """A group of runs for every worker that is free, and the groups that are late once more."""
        flights, most = self._flights, self._processors()
        free = max(flights.slots - len(flights.flying), int(flights.slots > 0 and not flights.busy))
        groups = [group[: most and AHEAD * most] for group in dealt([*flights.pending], free)]
        out = {job for group in groups for job in group}
        flights.pending = deque(job for job in flights.pending if job not in out)
        for group in filter(None, groups):
            self._submit(group)
        for flight in flights.overdue(lambda flight: flight.seconds + LATE_SECONDS):
            if jobs := [job for job in flight.tasks if job not in self._done]:
                self._submit(jobs, flight)

    def _processors(self) -> int | None:
        """Of the largest worker that has answered."""
        return max((place.processors for place in self._flights.engine.seen.values()), default=None)

    def _submit(self, jobs: list[Job], copy_of: Flight[Job] | None = None) -> None:
        taken = min(self._taken[job] for job in jobs[: self._processors()])
        order = Order(
            tuple(self._posted[job] for job in jobs),
            self._environments,
            self._fingerprint,
            min(max(FIRST_SLICE, PART * taken), MAX_SLICE),
            bool(self._flights.pending),
            frozenset(self._explained),
        )
        self._flights.submit(run, order, jobs, order.seconds, copy_of)

    def _lost(self, flight: Flight[Job]) -> Iterator[Event]:
        for job in self._flights.lose(flight, self._done):
            self._done.add(job)
            yield Died(job, LOST)

    def _taken_in(self, flight: Flight[Job], answer: Sliced) -> Iterator[Event]:
        for piece in answer.pieces:
            if piece.job not in self._done:
                self._taken[piece.job] += flight.seconds
                yield from self._news(piece)
        self._flights.give_back(flight, self._done)

    def _news(self, piece: Piece) -> Iterator[Event]:
        """What is new in a piece: that of a slice that was run twice may be known."""
        job, end = piece.job, piece.end
        if isinstance(end, ReplayDiffers):
            raise end
        known = len(self._posted[job].known) - piece.known
        progress = [step for step in piece.progress if step.record is not None][known:]
        if progress:
            self._posted[job] = self._posted[job].after([step.record for step in progress if step.record])
            self._flights.losses.pop(job, None)
        if progress or (piece.progress and not known):
            yield progress or piece.progress
        if isinstance(end, Died) and end.crash is not None and job.task in self._explained:
            end = replace(end, crash=None)
        if end is not None:
            self._done.add(job)
            self._explained.update([job.task] * isinstance(end, Died))
            yield end
