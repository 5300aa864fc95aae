"""The checks of what a method makes of returns: failed, equal, in any unit, of any size."""

import functools
import warnings
from dataclasses import replace

import numpy as np

from policysearch.core import Array, Evaluation, Proposal
from policysearch.search import Budget, Generation, SearchFailed, generations
from policysearch.seeding import Key
from policysearch.testing.cases import Case, Conversation, expect, expect_improved, expect_sound, failing
from policysearch.testing.problems import Values, walk


def check_failed_episodes(case: Case) -> None:
    """Episodes without a return leave every proposal finite."""
    expect_sound(
        case, Conversation.of(case, case.generations, seed=5, change=functools.partial(failing, share=0.4))
    )


def check_failed_search(case: Case) -> None:
    """A search in which everything fails recommends no candidate, and is stopped; until then it proposes."""

    class Failing:
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            shape = (len(proposal.params), proposal.episodes)
            none = tuple(() for _ in proposal.params) if proposal.record else ()
            return Evaluation(
                proposal.params, np.full(shape, np.nan), np.zeros(shape, dtype=int), rollouts=none
            )

    made: list[Generation] = []
    try:
        for generation in generations(case.optimizer, Failing(), case.domain, budget=Budget(10_000), seed=1):
            made.append(generation)
            at_start = np.array_equal(generation.recommendation, made[0].proposal.recommendation)
            expect(at_start, "the start, as all else has failed", generation.recommendation)
    except SearchFailed:
        spent = [generation.rollouts for generation in made]
        expect(len(made) >= 3, "at least three generations", len(made))
        expect(spent[-1] >= 10, "at least 10 rollouts", spent[-1])
        expect(len(made) == 3 or spent[-2] < 10, "no generation after three and 10 rollouts", len(made))
        return
    raise AssertionError(f"expected a search that is stopped as failed, got one of {len(made)} generations")


def check_equal_returns(case: Case) -> None:
    """Equal returns end no search; on a function, nothing is better than the start, which stays recommended."""
    for value in (0.0,) if case.on_episodes else (3.0, 0.1, -1e-13):
        constant = Values(functools.partial(_constant, value=value))
        evaluator = walk(factor=0.0) if case.on_episodes else constant
        found = Conversation.of(case, case.generations, evaluator=evaluator)
        expect_sound(case, found)
        expect(found.end is None, f"a search that continues where all returns are {value}", "one that ended")
        if not case.on_episodes:
            for proposal in found.asked:
                kept = bool(np.allclose(proposal.recommendation, case.domain.start, rtol=1e-9, atol=1e-9))
                expect(kept, f"the start where all returns are {value}", proposal.recommendation)


def _constant(params: Array, value: float) -> Array:
    return np.full(len(params), value)


def check_plateau(case: Case) -> None:
    """A search that begins with equal returns still finds what differs later."""
    flat = 1 if case.bounds_needed else 5

    class Plateau(Values):
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            evaluation = super().evaluate(proposal, key)
            lowest = np.full_like(evaluation.returns, -100.0)
            return replace(evaluation, returns=lowest) if key[-1] in range(flat) else evaluation

    expect_improved(case, Plateau(), 600)


def check_unit_of_returns(case: Case) -> None:
    """Whatever the unit of the returns, a search does not end by it, and its recommendation moves."""
    known = Conversation.of(case, case.generations)
    for factor in (1e-12, 1e12):
        found = Conversation.of(case, case.generations, evaluator=case.evaluator(factor))
        expect_sound(case, found)
        counts = len(known.asked), len(found.asked)
        expect(counts[1] >= counts[0], f"{counts[0]} proposals with returns × {factor:g}", counts[1])
        expect(
            _moved(found) or not _moved(known),
            f"a recommendation that moves with returns × {factor:g}",
            "none",
        )


def _moved(conversation: Conversation) -> bool:
    return len({proposal.recommendation.tobytes() for proposal in conversation.asked}) > 1


def check_large_returns(case: Case) -> None:
    """Returns that a float barely holds leave every proposal finite, and no computation overflows with a warning."""

    def huge(params: Array) -> Array:
        return np.where(params[:, 0] > case.domain.start[0], -1e308, -1.7e308)

    for function in (huge, functools.partial(_constant, value=-1e308)):
        for share in (0.0, 0.4):
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                change = functools.partial(failing, share=share)
                found = Conversation.of(case, case.generations, evaluator=Values(function), change=change)
            expect_sound(case, found)


def check_improvement(case: Case) -> None:
    """Returns are maximised: a search on a sphere ends nearer to its top than it has started."""
    expect_improved(case, Values(), 2000)
