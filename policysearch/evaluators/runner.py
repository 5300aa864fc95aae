"""What all ways to run rollouts have in common: `Runner`; and `Divisible`, whose rollouts processes can share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar

from policysearch.core import Evaluation, Proposal
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.shared import Outcome, collect
from policysearch.seeding import Key

Pair = tuple[int, int]  # candidate, episode
R = TypeVar("R", bound="Runner")


class Runner(ABC):
    """An evaluator (`core.Evaluator`) that can compile ahead of its rollouts, and holds what has to be given back.

    Use it as a context manager, or call `close`.
    """

    description: ClassVar[str]  # how rollouts are run, for people, as in "compiled rollouts"
    sequential: ClassVar[bool] = False  # whether what an evaluation gives depends on those before it
    interface: Interface | None = None  # of its environment, if it has one

    @abstractmethod
    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes.

        Raises:
            ValueError: for a proposal that it cannot run.
        """

    def compile(self) -> int:
        """Compile ahead of the first rollout; returns how many functions were neither in memory nor on disk."""
        return 0

    def close(self) -> None:  # noqa: B027 - there may be nothing to give back
        """Give back what it holds, such as threads and processes."""

    def __enter__(self: R) -> R:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Divisible(Runner):
    """A runner whose rollouts do not depend on each other, so that each can be run by itself; see `PoolEvaluator`."""

    common_random_numbers: bool  # whether episode j has the same seed for every candidate

    @abstractmethod
    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that it cannot run."""

    @abstractmethod
    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[Pair]) -> Iterable[Outcome]:
        """What comes of these (candidate, episode) pairs of a proposal; it does not depend on the others."""

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        self.check(proposal)
        return collect(proposal, self.outcomes(proposal, key, proposal.pairs))
