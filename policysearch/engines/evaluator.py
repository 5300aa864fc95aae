"""Rollouts on the workers of an engine, with the bits of the evaluator that is sent there.

A rollout is a pure function of proposal, key, candidate and episode. So a chunk that is lost is handed out again, and
one that is late is run twice: the first answer is as good as any.
"""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field, replace

from policysearch.core import Evaluation, Proposal
from policysearch.engines.chunk import Done, Order, Refused, Sent, run
from policysearch.engines.engine import Engine, EngineLost
from policysearch.engines.fingerprint import Fingerprint, WorkerDiffers
from policysearch.evaluators.pool import STOPPED
from policysearch.evaluators.runner import Divisible, Outcome, Pair, Runner, collect
from policysearch.seeding import Key
from policysearch.wire import message

#: What a chunk should take, chunks that a slot holds, and how often the slots are counted, in seconds.
CHUNK_SECONDS, AHEAD, COUNT_SECONDS = 0.5, 2, 1.0
#: Rollouts of a chunk while nothing is known of their time.
FIRST_CHUNK = 4
#: A chunk is late after this many times what it should take, and so many seconds.
LATE_TIMES, LATE_SECONDS = 3.0, 1.0
#: A rollout that was lost so often has failed.
MAX_LOSSES = 3

Say = Callable[[str], None]


@dataclass(eq=False)
class Flight:
    """A chunk that was handed out."""

    pairs: list[Pair]
    began: float
    seconds: float | None  # that it should take, if known
    doubled: bool = False

    def is_late(self, now: float) -> bool:
        """Whether it is to be run twice."""
        known = self.seconds is not None and not self.doubled
        return known and now - self.began > LATE_SECONDS + LATE_TIMES * AHEAD * (self.seconds or 0.0)


@dataclass(eq=False)
class Flights:
    """The rollouts of one proposal: those that wait, those that were handed out, and what came of them."""

    order: Callable[[list[Pair]], Order]
    engine: Engine
    pending: deque[Pair]
    say: Say
    pace: "Pace"
    flying: dict["Future[Done | Refused]", Flight] = field(default_factory=dict)
    outcomes: dict[Pair, Outcome] = field(default_factory=dict)
    losses: Counter[Pair] = field(default_factory=Counter)
    slots: int = 0
    counted: float = -COUNT_SECONDS

    def count(self) -> None:
        """Ask for the slots, unless that was a moment ago; late joiners count."""
        now = time.monotonic()
        if now - self.counted < COUNT_SECONDS:
            return
        before, first = self.slots, self.counted < 0
        self.slots, self.counted = self.engine.slots(), now
        if not self.slots and (before or first):
            self.say("waiting for workers")

    def hand_out(self) -> None:
        """Two chunks for every slot; those that are late are run twice, whether a slot is free or not."""
        busy = sum(not flight.doubled for flight in self.flying.values())
        while self.pending and busy < AHEAD * self.slots:
            size = self.pace.size(len(self.pending), self.slots)
            self.submit([self.pending.popleft() for _ in range(min(size, len(self.pending)))])
            busy += 1
        now = time.monotonic()
        for flight in [flight for flight in self.flying.values() if flight.is_late(now)]:
            flight.doubled = True
            if pairs := [pair for pair in flight.pairs if pair not in self.outcomes]:
                self.submit(pairs)

    def submit(self, pairs: list[Pair]) -> None:
        """Hand out a chunk.

        Raises:
            EngineLost: if the engine takes none.
        """
        try:
            future = self.engine.executor.submit(run, self.order(pairs))
        except (RuntimeError, OSError) as error:
            raise EngineLost(error) from error
        self.flying[future] = Flight(pairs, time.monotonic(), self.pace.expected(len(pairs)))

    def land(self, future: "Future[Done | Refused]") -> list[Pair]:
        """Take in what came of a chunk; gives the rollouts that were lost for good.

        Raises:
            WorkerDiffers: if a worker has refused it.
            EngineLost: if the engine is.
        """
        flight = self.flying.pop(future)
        try:
            answer = future.result()
        except BrokenExecutor as error:
            raise EngineLost(error) from error
        except BaseException as error:  # the engine's own trouble: a chunk raises nothing
            if isinstance(error, KeyboardInterrupt):
                raise
            self.engine.slots()  # or it is lost
            return self.lose(flight)
        if isinstance(answer, Refused):
            hint = (
                "install the same there, or end that worker"
                if answer.differs
                else "what it printed says more"
            )
            raise WorkerDiffers(f"a worker of the engine runs nothing of this: {answer.reason}; {hint}")
        self.pace.learn(len(flight.pairs), answer.seconds)
        for outcome in answer.outcomes:
            self.outcomes.setdefault((outcome.candidate, outcome.episode), outcome)
        return []

    def lose(self, flight: Flight) -> list[Pair]:
        """Put the rollouts of a lost chunk first in the queue; gives those that were lost too often."""
        elsewhere = {pair for other in self.flying.values() for pair in other.pairs}
        lost = [pair for pair in flight.pairs if pair not in self.outcomes and pair not in elsewhere]
        self.losses.update(lost)
        self.pending.extendleft(reversed([pair for pair in lost if self.losses[pair] < MAX_LOSSES]))
        return [pair for pair in lost if self.losses[pair] >= MAX_LOSSES]

    def cancel(self) -> None:
        """Take back what has not come."""
        for future in self.flying:
            with contextlib.suppress(Exception):  # the engine may be lost
                future.cancel()


@dataclass(eq=False)
class Pace:
    """The time of a rollout on a worker, from the latest chunk, for the size of the next."""

    each: float | None = None

    def learn(self, rollouts: int, seconds: float) -> None:
        """Take in a chunk."""
        self.each = max(seconds, 1e-6) / rollouts

    def expected(self, rollouts: int) -> float | None:
        """Seconds that a chunk should take; None while nothing is known."""
        return None if self.each is None else self.each * rollouts

    def size(self, left: int, slots: int) -> int:
        """Rollouts of the next chunk: half a second of them, fewer towards the end."""
        most = FIRST_CHUNK if self.each is None else int(CHUNK_SECONDS / self.each)
        return max(1, min(most, -(-left // (AHEAD * slots))))


class EngineEvaluator(Runner):
    """Runs the rollouts of another evaluator on the workers of an engine; the results are those of `inner`.

    Args:
        inner: what runs a rollout; it is sent to the workers.
        engine: where.
        timeout: the longest that a rollout may take, in seconds.
        memory_limit: of the processes that guard a worker, in bytes; see `PoolEvaluator`.
        depends: files and folders that workers must have with the same content.
        say: is told when there is no worker.

    Raises:
        ValueError: for a file that cannot be read.
        WorkerDiffers: from `evaluate`, if a worker has other software, modules or files; it has then run nothing.
        EngineLost: from `evaluate`, if the engine takes no tasks any more.
    """

    description = "rollouts on the workers of an engine"

    def __init__(
        self,
        inner: Divisible,
        engine: Engine,
        *,
        timeout: float | None = None,
        memory_limit: int | None = None,
        depends: tuple[str, ...] = (),
        say: Say = lambda line: None,
    ) -> None:
        self.inner, self.engine, self.say = inner, engine, say
        self.interface, self.seeded = inner.interface, inner.seeded
        packed = message(inner)
        fingerprint = Fingerprint.of(packed, depends)
        self.sent = Sent(packed, fingerprint, inner.common_random_numbers, timeout, memory_limit)
        self._pace = Pace()

    def compile(self) -> int:
        """Compile what the evaluator compiles."""
        return self.inner.compile()

    def close(self) -> None:
        """Give back what the evaluator holds here; the engine stays."""
        self.inner.close()

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        self.inner.check(proposal)
        return collect(proposal, self._outcomes(proposal, key))

    def _outcomes(self, proposal: Proposal, key: Key) -> Iterator[Outcome]:
        flights = Flights(
            lambda pairs: Order.of(self.sent, proposal, key, pairs),
            self.engine,
            deque(proposal.pairs),
            self.say,
            self._pace,
        )
        try:
            while len(flights.outcomes) < proposal.cost:
                flights.count()
                flights.hand_out()
                if not flights.flying:
                    time.sleep(0.1)
                    continue
                done, _ = wait(flights.flying, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in done:
                    for i, j in flights.land(future):
                        flights.outcomes[i, j] = self._lost(key, i, j)
        finally:
            flights.cancel()
        for outcome in flights.outcomes.values():
            yield self._seeded(outcome, key)

    def _seeded(self, outcome: Outcome, key: Key) -> Outcome:
        """An outcome whose failure names the seed that the evaluator gives, which a worker does not know."""
        if outcome.failure is None:
            return outcome
        seed = self.inner.seed(key, outcome.candidate, outcome.episode)
        return replace(outcome, failure=replace(outcome.failure, seed=seed))

    def _lost(self, key: Key, candidate: int, episode: int) -> Outcome:
        reason = f"{STOPPED}: the engine lost its worker, {MAX_LOSSES} times"
        return Outcome.failed(candidate, episode, self.inner.seed(key, candidate, episode), reason)
