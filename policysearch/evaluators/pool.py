"""Rollouts in worker processes, for simulators that are slow, crash, hang or leak.

Every rollout is a pure function of its proposal, key, candidate and episode, so a rollout whose worker was lost is
run again, with the same result; see `policysearch.evaluators.workers` for how often. Then it has failed.
A rollout that raised where others had succeeded is run again in a new worker: what the others have left in the old
one, such as open files, may be the reason. It counts as retried only if that has helped, so that what is counted of a
plant that raises by itself does not depend on the workers.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from policysearch.core import Evaluation, Failure, Proposal
from policysearch.evaluators.runner import Divisible, Outcome, Pair, Runner, collect
from policysearch.evaluators.worker_process import Run
from policysearch.evaluators.workers import Limits, Lost, Told, Workers
from policysearch.seeding import Key

#: How the reason of a failure begins if its process ended, or was ended.
STOPPED = "the rollout was stopped"


class PoolEvaluator(Runner):
    """Runs the rollouts of another evaluator in worker processes; the results are those of `inner`.

    Args:
        inner: what runs a rollout. It is sent to the workers: by reference if it is in a module, else by value.
        workers: how many processes; by default one per processor.
        timeout: the longest that a rollout may take, in seconds.
        memory_limit: in bytes, of a worker. Above it, a worker is replaced after its rollout; above twice
            it, the worker is stopped.
        start_timeout: the longest that a worker may take to build its simulator, in seconds.

    Raises:
        ValueError: for a limit that is not positive.
        TypeError: from `evaluate`, if `inner` cannot be sent to a worker.
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
                inner.close()
                raise ValueError(f"{name}: expected a positive number, got {value}")
        self.inner, self.interface, self.seeded = inner, inner.interface, inner.seeded
        self.workers: Workers[Pair] = Workers(
            _rollouts,
            (inner,),
            workers,
            limits=Limits(timeout, start_timeout, memory_limit),
            ahead=2,  # so that no worker waits for its next rollout
            hint="the simulator cannot be built in a new process; what it printed says why",
        )

    def compile(self) -> int:
        """Compile what the workers will find on disk; returns how many functions were not there yet."""
        return self.inner.compile()

    def close(self) -> None:
        """Stop the workers."""
        self.workers.close()
        self.inner.close()

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        self.inner.check(proposal)
        return collect(proposal, self.outcomes(proposal, key, proposal.pairs))

    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[Pair]) -> list[Outcome]:
        """What comes of these (candidate, episode) pairs, in the order in which they end."""
        outcomes: list[Outcome] = []
        raised: dict[Pair, int] = {}  # in one worker, of those that are run again in another
        lost: Counter[Pair] = Counter()
        running = self.workers.run(pairs, context=(proposal, key), failed=_has_raised)
        with contextlib.closing(running) as events:
            for event in events:
                if isinstance(event, Told) and not event.done:
                    raised[event.task] = 1 + event.value.retried
                elif isinstance(event, Told):
                    again = lost[event.task] + (0 if event.value.failure else raised.get(event.task, 0))
                    outcomes.append(replace(event.value, retried=event.value.retried + again))
                elif isinstance(event, Lost) and event.again:
                    lost[event.task] += 1
                elif isinstance(event, Lost):
                    outcomes.append(replace(self._failed(event, key), retried=lost[event.task]))
        return outcomes

    def first_stopped(self, proposal: Proposal, key: Key) -> Failure | None:
        """The failure of a rollout that ends its worker, or lasts too long; the others are not waited for."""
        running = self.workers.run(proposal.pairs, context=(proposal, key))
        with contextlib.closing(running) as events:
            for event in events:
                if isinstance(event, Lost) and not event.again:
                    return self._failed(event, key).failure
        return None

    def _failed(self, lost: Lost[Pair], key: Key) -> Outcome:
        i, j = lost.task
        times = f", {lost.times} times" if lost.times > 1 else ""
        return Outcome.failed(i, j, self.inner.seed(key, i, j), f"{STOPPED}: {lost.reason}{times}")


def _has_raised(outcome: Outcome) -> bool:
    return outcome.failure is not None and outcome.failure.traceback != ""


@contextlib.contextmanager
def _rollouts(inner: Divisible) -> Iterator[Run]:
    """Runs (candidate, episode) pairs of a proposal and a key, in a worker."""

    def run(pair: Pair, asked: tuple[Proposal, Key], _: Any) -> Outcome:
        (outcome,) = inner.outcomes(*asked, [pair])
        return outcome

    try:
        inner.compile()  # not in the time of the first rollout
        yield run
    finally:
        with contextlib.suppress(Exception):
            inner.close()
