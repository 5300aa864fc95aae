"""What runs on a worker of an engine: some rollouts of a proposal, in processes that guard the worker.

The processes are kept from chunk to chunk.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from policysearch.core import Array, Evaluation, Proposal
from policysearch.engines.fingerprint import Fingerprint
from policysearch.engines.guarded import Place, Refused, guarded, here
from policysearch.evaluators.pool import PoolEvaluator
from policysearch.evaluators.runner import Divisible, Outcome, Pair
from policysearch.seeding import Key
from policysearch.wire import opened

#: Evaluators that a worker holds with their processes; the one that was used longest ago is closed first.
MAX_HELD = 4


@dataclass(frozen=True, eq=False)
class Sent:
    """An evaluator on its way to workers, and what these must have in common with the driver."""

    message: bytes
    fingerprint: Fingerprint
    common_random_numbers: bool
    timeout: float | None
    memory_limit: int | None

    @property
    def name(self) -> str:
        """The same for the same evaluator with the same limits."""
        parts = (self.message, self.fingerprint, self.timeout, self.memory_limit)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Order:
    """A chunk: (candidate, episode) pairs, and the rows of the proposal that they need."""

    sent: Sent
    proposal: Proposal  # without its candidates
    size: int  # candidates that it has
    candidates: Int[Array, "m"]
    rows: Float[Array, "m d"]
    key: Key
    pairs: tuple[Pair, ...]

    @classmethod
    def of(cls, sent: Sent, proposal: Proposal, key: Key, pairs: Sequence[Pair]) -> "Order":
        """The order for some pairs of a proposal."""
        rows = np.array(sorted({i for i, _ in pairs}))
        small = _with_params(proposal, proposal.recommendation[None])
        return cls(sent, small, len(proposal.params), rows, proposal.params[rows], key, tuple(pairs))

    def whole(self) -> Proposal:
        """The proposal, with zeros for candidates that are not in this chunk."""
        params = np.zeros((self.size, self.rows.shape[1]))
        params[self.candidates] = self.rows
        return _with_params(self.proposal, params)


def _with_params(proposal: Proposal, params: Float[Array, "n d"]) -> Proposal:
    return replace(proposal, params=params, diagnostics={}, origin="")


@dataclass(frozen=True, eq=False)
class Done:
    """The outcomes of a chunk, the seconds that it took on the worker, and where."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    place: Place


class Arrived(Divisible):
    """An evaluator that is rebuilt in the processes that guard a worker, and not in the worker itself."""

    description = "rollouts on a worker of an engine"

    def __init__(self, message: bytes, common_random_numbers: bool) -> None:
        self.message, self.common_random_numbers = message, common_random_numbers
        self._inner: Divisible | None = None

    def check(self, proposal: Proposal) -> None:
        """Nothing: the driver has checked it."""

    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[Pair]) -> Iterable[Outcome]:
        """What comes of these pairs."""
        return self._here().outcomes(proposal, key, pairs)

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        return self._here().evaluate(proposal, key)

    def compile(self) -> int:
        """Compile what the evaluator compiles."""
        return self._here().compile()

    def close(self) -> None:
        """Give back what the evaluator holds."""
        if self._inner is not None:
            self._inner.close()

    def _here(self) -> Divisible:
        if self._inner is None:
            self._inner = opened(self.message)
        assert self._inner is not None  # noqa: S101 - for type checkers
        return self._inner


_held: dict[str, PoolEvaluator] = {}


def run(order: Order) -> Done | Refused:
    """The outcomes of a chunk; it never raises."""
    return guarded(order.sent.fingerprint, lambda: _run(order))


def _run(order: Order) -> Done:
    pool = _pool(order.sent)
    began = time.monotonic()
    outcomes = pool.outcomes(order.whole(), order.key, order.pairs)
    return Done(tuple(outcomes), time.monotonic() - began, here())


def _pool(sent: Sent) -> PoolEvaluator:
    """The guarding processes of an evaluator, kept from chunk to chunk."""
    pool = _held.pop(sent.name, None)
    if pool is None:
        while len(_held) >= MAX_HELD:
            _held.pop(next(iter(_held))).close()
        inner = Arrived(sent.message, sent.common_random_numbers)
        pool = PoolEvaluator(
            inner, workers=here().processors, timeout=sent.timeout, memory_limit=sent.memory_limit
        )
    _held[sent.name] = pool
    return pool
