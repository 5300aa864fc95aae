"""A search that is rebuilt from answers: asked afresh whenever an answer that it was given has changed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators.recorded import digest
from policysearch.hitl.plan import Plan
from policysearch.search import AskTell, Budget
from policysearch.seeding import stream


@dataclass(eq=False)
class Turn:
    """A generation: what was asked, in which order it is walked, and what the method was told."""

    generation: int
    proposal: Proposal
    order: tuple[tuple[int, int], ...]  # candidate and episode
    told: Evaluation | None = None

    def __post_init__(self) -> None:
        self.digest = digest(self.proposal)
        self.items = [f"search/{self.generation}/{self.digest}/{i}/{j}" for i, j in self.order]


class RebuiltSearch:
    """The search of a plan.

    Attributes:
        turns: its generations so far; the last one waits for answers while `is_open`.
        is_open: whether there is a generation that the budget has room for.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._domain = plan, plan.space.domain
        self._restart()

    @property
    def recommendation(self) -> Float[Array, "d"]:
        """What to deploy now, as coordinates."""
        return self._search.recommendation

    def update(self, answers: Callable[[Turn], Evaluation | None]) -> None:
        """Tell the method what it has not been told, or everything afresh if it was told something else."""
        if any(turn.told is not None and not _same(turn.told, answers(turn)) for turn in self.turns):
            self._restart()
        while self.is_open and (evaluation := answers(self.turns[-1])) is not None:
            self.turns[-1].told = evaluation
            self._search.tell(evaluation)
            self._ask()

    def _restart(self) -> None:
        plan = self._plan
        self._search = AskTell(plan.method(), self._domain, plan.seed, "session", plan.participant)
        self.turns: list[Turn] = []
        self.is_open = True
        self._ask()

    def _ask(self) -> None:
        """Open the next generation, if the budget has room for it."""
        spent = sum(turn.proposal.cost for turn in self.turns)
        if self._search.finished or not Budget(self._plan.bouts).allows(self._search.ask(), spent, 0):
            self.is_open = False
            return
        proposal, g = self._search.ask(), len(self.turns)
        pairs = proposal.pairs
        if self._plan.shuffle:
            order = stream(self._plan.seed, "order", self._plan.participant, g).permutation(len(pairs))
            pairs = [pairs[i] for i in order]
        self.turns.append(Turn(g, proposal, tuple(pairs)))


def _same(a: Evaluation, b: Evaluation | None) -> bool:
    return b is not None and np.array_equal(a.returns, b.returns, equal_nan=True)
