"""The problems on which optimizers are checked, recorded searches, and what is expected of every proposal."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from policysearch.core import Domain, Evaluation, Evaluator, Optimizer, Proposal, needs_of
from policysearch.search import Budget, generations
from policysearch.seeding import stream
from policysearch.testing.problems import BOX, FREE, Values, sphere, walk

#: Generations of a search that is compared with another one.
GENERATIONS = 6

#: Changes an evaluation before the optimizer is told it; the generation is the second argument.
Change = Callable[[Evaluation, int], Evaluation]


@dataclass(frozen=True)
class Case:
    """An optimizer and a problem that it can search.

    That is a function of four parameters; for a method that needs scores or observations, it is episodes of a
    linear-Gaussian policy. A method that needs bounds has them, and shorter searches, as it models what it is told.
    One that refuses four parameters, and says that it expects 1 parameter, has one.
    """

    optimizer: Optimizer
    domain: Domain
    on_episodes: bool
    bounds_needed: bool
    generations: int  # of a search in which something may go wrong
    budgets: tuple[int, ...]  # in rollouts

    @classmethod
    def of(cls, method: Any) -> "Case":
        """The case of a method with its default hyperparameters, or as it is configured."""
        optimizer: Optimizer = method() if isinstance(method, type) else method
        needs = needs_of(optimizer)
        domain = BOX if needs.bounds else FREE
        try:
            first = next(optimizer.search(domain, stream(0)))
        except ValueError as error:
            if "1 parameter" not in str(error):
                raise
            domain = Domain(domain.start[:1], domain.lower[:1], domain.upper[:1])
            first = next(optimizer.search(domain, stream(0)))
        on_episodes = needs.scores or first.sample or first.record or first.moments
        least = 3 * first.cost if needs.bounds else max(100, 3 * first.cost)
        budgets = (least,) if needs.bounds else (least, least + 57)
        return cls(
            optimizer, domain, on_episodes, needs.bounds, 8 if needs.bounds or on_episodes else 20, budgets
        )

    def evaluator(self, factor: float = 1.0) -> Evaluator:
        """What runs the proposals; returns are multiplied by the factor."""
        function = Values(lambda params: factor * sphere(params), noise=0.1 * factor)
        return walk(factor=factor) if self.on_episodes else function


@dataclass(frozen=True)
class Conversation:
    """A recorded search."""

    asked: list[Proposal]
    told: list[Evaluation]
    end: Any = None  # the last recommendation, if the search has ended by itself

    @classmethod
    def of(
        cls,
        case: Case,
        count: int = GENERATIONS,
        *,
        seed: int = 3,
        evaluator: Evaluator | None = None,
        change: Change = lambda evaluation, generation: evaluation,
    ) -> "Conversation":
        """The first `count` generations of a search, and the proposal after them."""
        evaluator = evaluator or case.evaluator()
        search = case.optimizer.search(case.domain, stream(seed))
        asked, told = [next(search)], list[Evaluation]()
        try:
            for generation in range(count):
                told.append(change(evaluator.evaluate(asked[-1], (seed, generation)), generation))
                asked.append(search.send(told[-1]))
        except StopIteration as stop:
            return cls(asked, told, stop.value)
        search.close()
        return cls(asked, told)


def expect(holds: bool, expected: str, found: object) -> None:
    """Raise AssertionError unless it holds."""
    if not holds:
        raise AssertionError(f"expected {expected}, got {found}")


def same(a: Proposal, b: Proposal) -> bool:
    """Whether two proposals ask for the same, to the last bit."""
    return (
        a.params.tobytes() == b.params.tobytes()
        and a.recommendation.tobytes() == b.recommendation.tobytes()
        and (a.episodes, a.sample, a.record, a.moments, a.purpose)
        == (b.episodes, b.sample, b.record, b.moments, b.purpose)
    )


def expect_same(a: list[Proposal], b: list[Proposal]) -> None:
    """Raise AssertionError unless two searches have proposed the same."""
    differing = [i for i, (one, two) in enumerate(zip(a, b, strict=False)) if not same(one, two)]
    expect(
        not differing and len(a) == len(b), "the same proposals", f"another one in generation {differing[:1]}"
    )


def expect_sound(case: Case, conversation: Conversation) -> None:
    """Proposals and recommendations are finite, have the right shapes, and lie within the bounds."""
    domain, d = case.domain, case.domain.start.size
    rows = [proposal.params for proposal in conversation.asked]
    rows += [np.atleast_2d(proposal.recommendation) for proposal in conversation.asked]
    rows += [] if conversation.end is None else [np.atleast_2d(conversation.end)]
    for params in rows:
        expect(params.ndim == 2 and params.shape[1] == d, f"{d} parameters", f"shape {params.shape}")
        expect(bool(np.isfinite(params).all()), "finite parameters", params)
        inside = (domain.lower <= params) & (params <= domain.upper)
        expect(bool(inside.all()), f"parameters from {domain.lower} to {domain.upper}", params)
    for proposal in conversation.asked:
        expect(
            proposal.recommendation.shape == (d,),
            f"a recommendation of shape ({d},)",
            proposal.recommendation.shape,
        )
        wrong = {name: x for name, x in proposal.diagnostics.items() if not np.isfinite(x)}
        expect(not wrong, "finite diagnostics", wrong)


def expect_improved(case: Case, evaluator: Evaluator, rollouts: int) -> None:
    """Raise AssertionError unless a search of the function `sphere` takes a fifth off the loss of its start."""
    budget = Budget(rollouts if len(case.budgets) > 1 else case.budgets[0])
    made = list(generations(case.optimizer, evaluator, case.domain, budget=budget, seed=1))
    start, end = sphere(np.array([case.domain.start, made[-1].recommendation]))
    expect(bool(end > 0.8 * start), f"a return above {0.8 * start:.4g}", f"{end:.4g}")


def failing(evaluation: Evaluation, generation: int, share: float) -> Evaluation:
    """The same, but a share of the episodes failed."""
    failed = stream("failing", generation).random(evaluation.returns.shape) < share
    kept = tuple(
        tuple(rollout for rollout, lost in zip(episodes, row, strict=True) if not lost)
        for episodes, row in zip(evaluation.rollouts, failed.tolist(), strict=bool(evaluation.rollouts))
    )
    return replace(evaluation, returns=np.where(failed, np.nan, evaluation.returns), rollouts=kept)


def partly_measured(evaluation: Evaluation, generation: int) -> Evaluation:
    """The same, but half of the candidates were left out, and every fourth one that was alone."""
    n = len(evaluation.params)
    left_out = stream(generation).permutation(n)[: n // 2 if n > 1 else int(generation % 4 == 2)]
    returns = evaluation.returns.copy()
    returns[left_out] = np.nan
    return replace(evaluation, returns=returns, unmeasured=tuple(left_out.tolist()))
