"""What every optimizer promises, whatever its method, as checks by name."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from policysearch.core import Array, Domain, Evaluation, Evaluator, Proposal, needs_of, tunable_of
from policysearch.optimizers import source_of
from policysearch.plain_data import encode
from policysearch.search import Budget, generations
from policysearch.seeding import Key, stream
from policysearch.testing import returns
from policysearch.testing.cases import (
    Case,
    Conversation,
    expect,
    expect_improved,
    expect_same,
    expect_sound,
    failing,
    partly_measured,
    same,
)
from policysearch.testing.problems import Values


def check_hyperparameters(case: Case) -> None:
    """An optimizer is a frozen dataclass, and its fields are its configuration."""
    optimizer: Any = case.optimizer
    expect(dataclasses.is_dataclass(optimizer), "a dataclass", type(optimizer))
    expect(type(optimizer).__dataclass_params__.frozen, "a frozen dataclass", type(optimizer))
    expect(replace(optimizer) == optimizer, "a copy that equals it", replace(optimizer))
    expect(repr(optimizer).startswith(type(optimizer).__name__), "its class in its repr", repr(optimizer))
    document = dataclasses.asdict(optimizer)
    try:
        encode(document)
    except TypeError as error:
        raise AssertionError(f"expected hyperparameters of plain data, got {error}") from error
    unknown = tunable_of(type(optimizer)).keys() - document.keys()
    expect(not unknown, "tunable hyperparameters that are fields", ", ".join(unknown))
    replace(optimizer, **source_of(type(optimizer)))  # unknown or impossible values are refused
    wrong = {name: ends for name, ends in tunable_of(type(optimizer)).items() if not 0 < ends[0] < ends[1]}
    expect(not wrong, "tunable ranges with 0 < low < high", wrong)


def check_needs(case: Case) -> None:
    """A search draws actions, or keeps rollouts, only if the method says that it needs scores."""
    needs = needs_of(case.optimizer)
    asked = Conversation.of(case, 2).asked
    uses = any(proposal.record or proposal.sample for proposal in asked)
    expect(
        needs.scores or not uses, "needs = Needs(scores=True) where actions are drawn or rollouts kept", needs
    )


def check_seeds(case: Case) -> None:
    """The same seed gives the same search, another seed another."""
    first, second, other = (Conversation.of(case, seed=seed).asked for seed in (3, 3, 4))
    expect_same(first, second)
    differ = any(not same(a, b) for a, b in zip(first, other, strict=False))
    expect(differ, "other proposals with another seed", "the same")


def check_replay(case: Case) -> None:
    """A search that is told the recorded evaluations proposes the same again."""
    known = Conversation.of(case)
    search = case.optimizer.search(case.domain, stream(3))
    again = [next(search), *(search.send(evaluation) for evaluation in known.told[: len(known.asked) - 1])]
    expect_same(known.asked, again)


def check_arguments(case: Case) -> None:
    """Nothing that was given or told is ever changed."""
    start = case.domain.start.copy()
    start.flags.writeable = False

    class Guarding:
        def __init__(self, inner: Evaluator) -> None:
            self.inner = inner

        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            evaluation = self.inner.evaluate(proposal, key)
            rewards = [rollout.rewards for episodes in evaluation.rollouts for rollout in episodes]
            for array in (evaluation.params, evaluation.returns, evaluation.steps, *rewards):
                array.flags.writeable = False
            return evaluation

    given = replace(case, domain=replace(case.domain, start=start))
    Conversation.of(given, evaluator=Guarding(case.evaluator()))


def check_aliasing(case: Case) -> None:
    """Whoever changes in place what a search has proposed, was given or was told changes no search."""
    known = Conversation.of(case)
    start = case.domain.start.copy()
    search = case.optimizer.search(replace(case.domain, start=start), stream(3))
    again, proposal = list[Proposal](), next(search)
    for told in known.told[: len(known.asked) - 1]:
        again.append(replace(proposal))
        evaluation = replace(told, params=told.params.copy(), returns=told.returns.copy())
        start[:] = proposal.params[:] = proposal.recommendation[:] = 1e6
        proposal = search.send(evaluation)
        evaluation.params[:] = evaluation.returns[:] = 1e6
    expect_same(known.asked, [*again, proposal])


def check_global_randomness(case: Case) -> None:
    """NumPy's global generator is neither read nor changed."""
    before: Any = np.random.get_state()  # noqa: NPY002 - the point of the check
    try:
        np.random.seed(11)  # noqa: NPY002
        state: Any = np.random.get_state()  # noqa: NPY002
        first = Conversation.of(case).asked
        now: Any = np.random.get_state()  # noqa: NPY002
        expect(state[1].tobytes() == now[1].tobytes(), "an unchanged global generator", "another state")
        np.random.seed(12)  # noqa: NPY002
        expect_same(first, Conversation.of(case).asked)
    finally:
        np.random.set_state(before)  # noqa: NPY002


def check_budget(case: Case) -> None:
    """A search never overspends, and every rollout is counted."""
    for rollouts in case.budgets:
        spent = 0
        for last in generations(
            case.optimizer, case.evaluator(), case.domain, budget=Budget(rollouts), seed=1
        ):
            spent += last.evaluation.returns.size
            expect(last.rollouts == spent, f"{spent} rollouts counted", last.rollouts)
        expect(0 < spent <= rollouts, f"1 to {rollouts} rollouts", spent)


def check_bounds(case: Case) -> None:
    """Proposals and recommendations stay within the bounds, also where the optimum is on them."""
    d = case.domain.start.size
    bounded = replace(case, domain=Domain(np.full(d, 0.5), np.zeros(d), np.ones(d)))
    evaluator = Values(lambda x: np.sum(x, axis=1))
    expect_sound(bounded, Conversation.of(bounded, case.generations, evaluator=evaluator))


def check_one_parameter(case: Case) -> None:
    """A single parameter is searched as several are, or refused with the number that is needed."""
    single = replace(case, domain=Domain(*(array[:1] for array in _ends(case.domain))))
    try:
        next(single.optimizer.search(single.domain, stream(0)))
    except ValueError as error:
        expect("at least" in str(error), "an error with the number of parameters that is needed", error)
        return
    expect_sound(single, Conversation.of(single, case.generations, evaluator=Values()))
    expect_improved(single, Values(), 400)


def check_corners(case: Case) -> None:
    """A search that starts in a corner of its bounds stays within them, and leaves the corner for what is better."""
    d = min(case.domain.start.size, 2)
    lower, upper = np.array([-2.0, -1.0])[:d], np.array([3.0, 5.0])[:d]
    for signs in itertools.product((False, True), repeat=d):
        corner = replace(case, domain=Domain(np.where(signs, upper, lower), lower, upper))
        expect_sound(corner, Conversation.of(corner, case.generations, evaluator=Values()))
        expect_improved(corner, Values(), 800)


def _ends(domain: Domain) -> tuple[Array, Array, Array]:
    return domain.start, domain.lower, domain.upper


def check_candidates_left_out(case: Case) -> None:
    """Where half of the candidates are not measured, the search continues and recommends none of them."""
    for share in (0.0, 0.2):

        def change(evaluation: Evaluation, generation: int, share: float = share) -> Evaluation:
            return partly_measured(failing(evaluation, generation, share), generation)

        found = Conversation.of(case, case.generations, seed=5, change=change)
        expect_sound(case, found)
        measured, left_out = {found.asked[0].recommendation.tobytes()}, set[bytes]()
        for proposal, evaluation in zip(found.asked[1:], found.told, strict=False):
            rows = [row.tobytes() for row in evaluation.params]
            measured |= {rows[i] for i in evaluation.measured}
            left_out |= {rows[i] for i in evaluation.unmeasured}
            recommended = proposal.recommendation.tobytes()
            expect(
                recommended not in left_out - measured, "a measured recommendation", proposal.recommendation
            )
        expect(
            len({proposal.params.tobytes() for proposal in found.asked}) >= 4, "new candidates", "old ones"
        )


def check_ending(case: Case) -> None:
    """A search can be closed at any time; one that ends by itself returns its recommendation."""
    search = case.optimizer.search(case.domain, stream(3))
    search.send(case.evaluator().evaluate(next(search), (3, 0)))
    search.close()
    end = Conversation.of(case).end
    shape = case.domain.start.shape
    expect(end is None or np.shape(end) == shape, f"a last recommendation of shape {shape}", end)


#: The checks by name.
CHECKS: dict[str, Callable[[Case], None]] = {
    "hyperparameters": check_hyperparameters,
    "needs": check_needs,
    "seeds": check_seeds,
    "replay": check_replay,
    "arguments": check_arguments,
    "global randomness": check_global_randomness,
    "budget": check_budget,
    "bounds": check_bounds,
    "failed episodes": returns.check_failed_episodes,
    "failed search": returns.check_failed_search,
    "equal returns": returns.check_equal_returns,
    "unit of returns": returns.check_unit_of_returns,
    "aliasing": check_aliasing,
    "ending": check_ending,
    "candidates left out": check_candidates_left_out,
    "large returns": returns.check_large_returns,
    "plateau": returns.check_plateau,
    "one parameter": check_one_parameter,
    "corners": check_corners,
    "improvement": returns.check_improvement,
}
#: Those of methods that search a function, without episodes of a policy.
ON_FUNCTIONS = (
    "bounds", "candidates left out", "large returns", "plateau", "one parameter", "corners", "improvement",
)  # fmt: skip


def check_optimizer(method: Any) -> None:
    """Check that a method keeps what methods promise.

    Args:
        method: its class, which is checked with the default hyperparameters, or an instance.

    Raises:
        AssertionError: naming the first check that fails, what was expected and what was found.
    """
    for _, check in optimizer_checks(method):
        check()


def optimizer_checks(method: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """The names of the checks that apply to a method, and the checks, each of which may raise AssertionError."""
    on_episodes = _case(method).on_episodes
    for name in CHECKS:
        if not (on_episodes and name in ON_FUNCTIONS):
            yield name, functools.partial(_checked, name, method)


def _case(method: Any) -> Case:
    try:
        return Case.of(method)
    except Exception as error:
        expected = "a class with defaults for all hyperparameters, whose search begins with a proposal"
        raise AssertionError(f"start: expected {expected}, got {type(error).__name__}: {error}") from error


def _checked(name: str, method: Any) -> None:
    """Run a check; whatever it raises is an AssertionError that names it."""
    try:
        CHECKS[name](Case.of(method))
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from error
    except Exception as error:
        raise AssertionError(f"{name}: expected no error, got {type(error).__name__}: {error}") from error
