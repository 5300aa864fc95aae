"""The loop between an optimizer and an evaluator, and the budget that it may spend.

`generations` is an iterator: logging, plots and early stopping are the body of the caller's `for`.
`AskTell` (`policysearch.ask_tell`) is the same search seen from outside, for people who run their own loop.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float

from policysearch.ask_tell import AskTell, Conversation, SearchFailed, check_shape
from policysearch.core import Array, Domain, Evaluation, Evaluator, Optimizer, Proposal
from policysearch.seeding import Key

__all__ = ["AskTell", "Budget", "Generation", "SearchFailed", "generations", "held_out"]


@dataclass(frozen=True)
class Budget:
    """The most a search may spend: rollouts, environment steps, or whichever ends first.

    A proposal that does not fit into the rollouts is not run. Steps cannot be known in advance: they are
    checked between proposals and the last one may overshoot.

    Raises:
        ValueError: if neither limit is given, or one is below 1.
    """

    rollouts: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        limits = [limit for limit in (self.rollouts, self.steps) if limit is not None]
        if not limits or min(limits) < 1:
            raise ValueError(f"budget: expected rollouts or steps of at least 1, got {self}")

    def allows(self, proposal: Proposal, rollouts: int, steps: int) -> bool:
        """Whether `proposal` may run after `rollouts` and `steps` have been spent."""
        fits = self.rollouts is None or rollouts + proposal.cost <= self.rollouts
        return fits and (self.steps is None or steps < self.steps)


@dataclass(frozen=True, eq=False)
class Generation:
    """One generation: a proposal and its evaluation, and the state of the search after it."""

    index: int
    proposal: Proposal
    evaluation: Evaluation
    recommendation: Float[Array, "d"]  # what to deploy now
    rollouts: int  # spent so far, this generation included
    steps: int
    key: Key = ()  # names the episodes of the generation
    ahead: int = 0  # rollouts of what the search proposes next; 0 where it has ended


def held_out(params: Float[Array, "n d"], episodes: int) -> Proposal:
    """Each parameter vector on the same `episodes` episodes; a key that no search has makes them held-out ones."""
    return Proposal(params, params[0], episodes, purpose="report")


def generations(
    optimizer: Optimizer,
    evaluator: Evaluator,
    domain: Domain,
    *,
    budget: Budget,
    seed: int,
    problem: Key = (),
    label: str | None = None,
) -> Iterator[Generation]:
    """The generations of one search, until the budget does not allow the next proposal.

    The optimizer draws from `stream(seed, "search", *problem, label)`, the label being the optimizer's
    class name unless given; the episodes of generation g are keyed by `(seed, "evaluate", *problem, g)`.
    So all optimizers meet the same episodes, and none shares its randomness with another.

    Raises:
        SearchFailed: when three generations in a row, with at least ten episodes, fail wholly.
    """
    search = Conversation(optimizer, domain, seed, *problem, label or type(optimizer).__name__)
    rollouts = steps = index = 0
    while (proposal := search.proposal) is not None and budget.allows(proposal, rollouts, steps):
        key = (seed, "evaluate", *problem, index)
        evaluation = evaluator.evaluate(proposal, key)
        rollouts += proposal.cost
        steps += evaluation.total_steps
        check_shape(evaluation.returns, proposal)
        search.send(evaluation)
        ahead = 0 if search.proposal is None else search.proposal.cost
        yield Generation(index, proposal, evaluation, search.recommendation, rollouts, steps, key, ahead)
        index += 1
        if search.failed is not None:
            raise search.failed
