"""The loop between an optimizer and an evaluator, and the budget that it may spend.

`generations` is an iterator: logging, plots and early stopping are the body of the caller's `for`.
`AskTell` is the same search seen from outside, for people who run their own loop.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import (
    NO_FITNESS_YET,
    Array,
    Domain,
    Evaluation,
    Evaluator,
    Optimizer,
    Proposal,
    just_below,
)
from policysearch.seeding import Key, stream


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


def held_out(params: Float[Array, "n d"], episodes: int) -> Proposal:
    """Each parameter vector on the same `episodes` episodes; a key that no search has makes them held-out ones."""
    return Proposal(params, params[0], episodes, purpose="report")


class SearchFailed(RuntimeError):  # noqa: N818 - a state of affairs, as in "the search failed"
    """Three generations in a row, at least ten episodes among them, had no finite return."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.params = evaluation.params
        reason = evaluation.failures[-1].reason if evaluation.failures else "non-finite returns"
        shown = np.array2string(evaluation.params[0], precision=4, threshold=6, edgeitems=2, separator=", ")
        super().__init__(f"every episode of the last three generations failed ({reason}), parameters {shown}")


class _FitnessOfFailure:
    """The fitness of failed candidates, from all generations so far; see `core.Evaluation.fitness`."""

    def __init__(self) -> None:
        self.worst, self.best = np.inf, -np.inf

    def fill(self, evaluation: Evaluation) -> Evaluation:
        mean = evaluation.returns.mean(axis=1)
        finite = mean[np.isfinite(mean)]
        if finite.size:
            self.worst = min(self.worst, float(finite.min()))
            self.best = max(self.best, float(finite.max()))
        if finite.size == mean.size:
            return evaluation
        if self.worst > self.best:
            return replace(evaluation, failed_fitness=NO_FITNESS_YET)
        spread = self.best - self.worst
        failed = self.worst - (spread if spread > 0 else 1.0)
        return replace(evaluation, failed_fitness=just_below(self.worst, failed))


class AskTell:
    """A search seen from outside: `ask`, run the candidates yourself, `tell`.

    >>> from policysearch.optimizers import RandomSearch
    >>> search = AskTell(RandomSearch(population_size=2), Domain.unbounded(np.zeros(3)), seed=1)
    >>> proposal = search.ask()
    >>> search.tell([-np.sum(params**2) for params in proposal.params])
    >>> search.recommendation.shape
    (3,)
    """

    def __init__(self, optimizer: Optimizer, domain: Domain, seed: int, *names: int | str) -> None:
        self._search = optimizer.search(domain, stream(seed, "search", *names))
        self._failed = _FitnessOfFailure()
        self._proposal: Proposal | None = next(self._search)
        self.recommendation: Float[Array, "d"] = self._proposal.recommendation

    @property
    def finished(self) -> bool:
        """Whether the optimizer has ended by itself, so that there is no further proposal."""
        return self._proposal is None

    def ask(self) -> Proposal:
        """The proposal to run now; the same one until it is told.

        Raises:
            RuntimeError: if the search has ended by itself.
        """
        if self._proposal is None:
            raise RuntimeError("ask: the search has ended by itself; use .recommendation")
        return self._proposal

    def tell(self, result: Evaluation | Sequence[Any] | Array) -> None:
        """Hand back the returns of the asked candidates: an `Evaluation`, n numbers, or n × k of them.

        Raises:
            ValueError: if the returns do not have the shape of the proposal or are not real numbers, or if
                the proposal asks for rollouts and gets numbers.
        """
        proposal = self.ask()
        if isinstance(result, Evaluation):
            returns = result.returns
        elif proposal.record:
            raise ValueError("tell: the proposal asks for rollouts (record=True); expected an Evaluation")
        elif np.iscomplexobj(result):
            raise ValueError(f"returns: expected real numbers, got {result}")
        else:
            returns = np.array(result, dtype=float)
        returns = returns[:, None] if returns.ndim == 1 else returns
        expected = (proposal.params.shape[0], proposal.episodes)
        if returns.shape != expected:
            raise ValueError(
                f"returns: expected shape (candidates, episodes) = {expected}, got {returns.shape}"
            )
        if isinstance(result, Evaluation):
            evaluation = result
        else:
            returns = np.where(np.isfinite(returns), returns, np.nan)
            evaluation = Evaluation(proposal.params, returns, np.zeros(expected, dtype=int))
        try:
            self._proposal = self._search.send(self._failed.fill(evaluation))
            self.recommendation = self._proposal.recommendation
        except StopIteration as end:
            self._proposal, self.recommendation = None, end.value


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
    search = AskTell(optimizer, domain, seed, *problem, label or type(optimizer).__name__)
    rollouts = steps = index = failing = failed_episodes = 0
    while not search.finished and budget.allows(search.ask(), rollouts, steps):
        proposal = search.ask()
        key = (seed, "evaluate", *problem, index)
        evaluation = evaluator.evaluate(proposal, key)
        rollouts += proposal.cost
        steps += int(evaluation.steps.sum())
        search.tell(evaluation)
        yield Generation(index, proposal, evaluation, search.recommendation, rollouts, steps, key)
        index += 1
        wholly_failed = evaluation.measured.size > 0 and not np.isfinite(evaluation.returns).any()
        failing = failing + 1 if wholly_failed else 0
        failed_episodes = failed_episodes + proposal.cost if wholly_failed else 0
        if failing >= 3 and failed_episodes >= 10:
            raise SearchFailed(evaluation)
