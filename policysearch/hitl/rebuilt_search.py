"""A search that is rebuilt from answers: it is run again when an answer changes that it has been told."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from policysearch.asking.search import AskedGeneration
from policysearch.core import Array, Evaluation
from policysearch.evaluators.recorded import digest
from policysearch.hitl.plan import SessionPlan
from policysearch.search import AskTell, Budget
from policysearch.seeding import stream


class RebuiltSearch:
    """The search of a plan.

    Attributes:
        space: of the laws.
        generations: what was asked so far, each with its questions in the order of walking.
        told: the evaluations of them that the method was told.
    """

    def __init__(self, plan: SessionPlan) -> None:
        self._plan, self.space = plan, plan.space
        self._restart()

    @property
    def is_open(self) -> bool:
        """Whether the last generation waits for answers; else the search has ended."""
        return len(self.told) < len(self.generations)

    @property
    def recommendation(self) -> Float[Array, "d"]:
        """What to deploy now, as coordinates."""
        return self._search.recommendation

    def update(self, answers: Callable[[AskedGeneration], Evaluation | None]) -> None:
        """Tell the method what it has not been told, or all of it again if it was told something else."""
        if any(not _same(told, answers(g)) for g, told in zip(self.generations, self.told, strict=False)):
            self._restart()
        while self.is_open and (evaluation := answers(self.generations[-1])) is not None:
            self.told.append(evaluation)
            self._search.tell(evaluation)
            self._ask()

    def _restart(self) -> None:
        plan = self._plan
        self._search = AskTell(plan.method(), self.space.domain, plan.seed, "session", plan.participant)
        self.generations: list[AskedGeneration] = []
        self.told: list[Evaluation] = []
        self._ask()

    def _ask(self) -> None:
        """Open the next generation, if the budget has room for it."""
        spent = sum(generation.proposal.cost for generation in self.generations)
        if self._search.finished or not Budget(self._plan.bouts).allows(self._search.ask(), spent, 0):
            return
        proposal, g = self._search.ask(), len(self.generations)
        pairs = proposal.pairs
        if self._plan.shuffle:
            order = stream(self._plan.seed, "order", self._plan.participant, g).permutation(len(pairs))
            pairs = [pairs[i] for i in order]
        self.generations.append(AskedGeneration.of(proposal, g, digest(proposal), pairs))


def _same(a: Evaluation, b: Evaluation | None) -> bool:
    return b is not None and np.array_equal(a.returns, b.returns, equal_nan=True)
