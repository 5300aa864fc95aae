"""Rollouts on the workers of an engine, with the bits of the evaluator that is sent there.

A rollout is a pure function of proposal, key, candidate and episode.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from policysearch.core import Evaluation, Proposal
from policysearch.engines.chunk import Order, Sent, run
from policysearch.engines.engine import Engine, EngineLost
from policysearch.engines.fingerprint import Fingerprint
from policysearch.engines.flights import COUNT_SECONDS, LOST, Flight, Flights, Say
from policysearch.evaluators.pool import STOPPED
from policysearch.evaluators.runner import Divisible, Outcome, Pair, Runner, collect
from policysearch.seeding import Key
from policysearch.wire import message

#: What a chunk should take, and at least, in seconds, and chunks that a slot holds. A chunk costs some 10 ms of a
#: processor: at driver, scheduler and worker.
CHUNK_SECONDS, SHORT_SECONDS, AHEAD = 0.5, 0.05, 2
#: The most rollouts of a chunk while nothing is known of their time.
FIRST_CHUNK = 64
#: A chunk is late after this many times what it should take, and so many seconds; or after so many seconds while
#: nothing is known of their time.
LATE_TIMES, LATE_SECONDS, FIRST_LATE_SECONDS = 3.0, 1.0, 120.0


@dataclass(eq=False)
class Pace:
    """The time of rollouts on a worker, from the latest chunk, for the size of the next.

    Attributes:
        each: seconds of a chunk in parts of its rollouts; None while nothing is known.
        alone: seconds of a rollout.
        processors: of a worker; its rollouts run at the same time on as many.
    """

    each: float | None = None
    alone: float = 0.0
    processors: int = 1

    def learn(self, rollouts: int, seconds: float, processors: int) -> None:
        """Take in a chunk."""
        self.processors = processors
        self.each, self.alone = max(seconds, 1e-6) / rollouts, seconds / self._rounds(rollouts)

    def _rounds(self, rollouts: int) -> int:
        return -(-rollouts // self.processors)

    def late(self, flight: Flight[Pair]) -> float:
        """Seconds after which a chunk is late."""
        if self.each is None:
            return FIRST_LATE_SECONDS
        return LATE_SECONDS + LATE_TIMES * AHEAD * self.alone * self._rounds(len(flight.tasks))

    def size(self, left: int, slots: int) -> int:
        """Rollouts of the next chunk: one for every processor, or half a second of them; fewer towards the end."""
        share, smaller = -(-left // slots), -(-left // (AHEAD * slots))
        if self.each is None:
            return min(FIRST_CHUNK, smaller)
        fewest = max(self.processors, int(SHORT_SECONDS / self.each))
        return min(share, max(fewest, min(int(CHUNK_SECONDS / self.each), smaller)))


@dataclass(eq=False)
class Chunks:
    """The rollouts of one proposal."""

    flights: Flights[Pair]
    order: Callable[[list[Pair]], Order]
    pace: Pace
    outcomes: dict[Pair, Outcome]

    def hand_out(self) -> None:
        """Two chunks for every slot, and those that are late once more."""
        pending, busy = self.flights.pending, self.flights.busy
        size = self.pace.size(len(pending), self.flights.slots) if self.flights.slots else 0
        while pending and busy < AHEAD * self.flights.slots:
            self._submit([pending.popleft() for _ in range(min(size, len(pending)))])
            busy += 1
        for flight in self.flights.overdue(self.pace.late):
            if pairs := [pair for pair in flight.tasks if pair not in self.outcomes]:
                self._submit(pairs, flight)

    def _submit(self, pairs: list[Pair], copy_of: Flight[Pair] | None = None) -> None:
        self.flights.submit(run, self.order(pairs), pairs, copy_of=copy_of)

    def take_in(self) -> list[Pair]:
        """What has come of them; gives rollouts that were lost for good."""
        lost: list[Pair] = []
        for flight, done in self.flights.landed():
            if done is None:
                lost += self.flights.lose(flight, self.outcomes)
                continue
            self.pace.learn(len(flight.tasks), done.seconds, done.place.processors)
            for outcome in done.outcomes:
                self.outcomes.setdefault((outcome.candidate, outcome.episode), outcome)
        return lost


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
        WorkerFailed: from `evaluate`, if a worker cannot start what guards it.
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
        self._pace, self._closed = Pace(), False
        self._counted = 0, -COUNT_SECONDS  # slots, and when: they are not asked for every proposal

    def compile(self) -> int:
        """Compile what the evaluator compiles."""
        return self.inner.compile()

    def close(self) -> None:
        """Give back what the evaluator holds here, and end an evaluation in another thread; the engine stays."""
        self._closed = True
        self.inner.close()

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        self.inner.check(proposal)
        return collect(proposal, self._outcomes(proposal, key))

    def _outcomes(self, proposal: Proposal, key: Key) -> Iterator[Outcome]:
        flights = Flights(self.engine, self.say, deque(proposal.pairs), *self._counted)
        chunks = Chunks(flights, lambda pairs: Order.of(self.sent, proposal, key, pairs), self._pace, {})
        try:
            while len(chunks.outcomes) < proposal.cost:
                if self._closed:
                    raise EngineLost("it was closed")
                flights.count()
                chunks.hand_out()
                for i, j in chunks.take_in():
                    reason = f"{STOPPED}: {LOST}"
                    chunks.outcomes[i, j] = Outcome.failed(i, j, self.inner.seed(key, i, j), reason)
        finally:
            self._counted = flights.slots, flights.counted
            flights.cancel()
        for outcome in chunks.outcomes.values():
            yield self._seeded(outcome, key)

    def _seeded(self, outcome: Outcome, key: Key) -> Outcome:
        """An outcome whose failure names the seed that the evaluator gives, which a worker does not know."""
        if outcome.failure is None:
            return outcome
        seed = self.inner.seed(key, outcome.candidate, outcome.episode)
        return replace(outcome, failure=replace(outcome.failure, seed=seed))
