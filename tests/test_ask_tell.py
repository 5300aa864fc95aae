"""The loop and the conversation seen from outside, where `test_search.py` does not look."""

import copy
import json
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import WALKER, Values, walk

from policysearch.core import Domain, Evaluation, Failure, Proposal, needs_of
from policysearch.optimizers import (
    CMAES,
    OPTIMIZERS,
    CrossEntropy,
    HillClimbing,
    RandomSearch,
    Reinforce,
    Repeated,
)
from policysearch.search import AskTell, Budget, SearchFailed, generations
from policysearch.seeding import Key, stream
from policysearch.space import Parameter, Space

DOMAIN = Domain.unbounded(np.zeros(3))


class Told:
    """Proposes `size` candidates for ever and keeps the fitness that it is told."""

    def __init__(self, size: int, episodes: int = 1, turns: int = 10**9) -> None:
        self.size, self.episodes, self.turns = size, episodes, turns
        self.fitness: list[list[float]] = []

    def search(self, domain: Domain, rng: np.random.Generator) -> Any:
        for turn in range(self.turns):
            params = np.full((self.size, domain.start.size), float(turn))
            evaluation = yield Proposal(params, domain.start + turn, self.episodes)
            self.fitness.append(evaluation.fitness.tolist())
        return domain.start - 1.0


class Scripted:
    """An evaluator with the given returns per generation; the last row repeats."""

    def __init__(self, *rows: list[float]) -> None:
        self.rows, self.keys = list(rows), list[Key]()

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        self.keys.append(key)
        row = self.rows[min(len(self.keys), len(self.rows)) - 1]
        returns = np.array(row, dtype=float).reshape(len(proposal.params), proposal.episodes)
        failed = np.argwhere(np.isnan(returns)).tolist()
        failures = tuple(Failure(i, j, 99, f"fault {len(self.keys)}") for i, j in failed)
        return Evaluation(proposal.params, returns, 2 * np.ones(returns.shape, dtype=int), failures)


NAN = float("nan")


# Asking and telling ----------------------------------------------------------------------------------


def test_a_proposal_stays_until_it_is_told() -> None:
    search = AskTell(Told(2), DOMAIN, 1)
    assert search.ask() is search.ask()
    before = search.ask()
    search.tell([1.0, 2.0])
    assert search.ask() is not before
    assert search.recommendation.tolist() == search.ask().recommendation.tolist() == [1.0] * 3


def test_the_search_draws_from_the_stream_of_its_names() -> None:
    asked = AskTell(RandomSearch(), DOMAIN, 5, "task", 2, "label").ask().params
    expected = next(RandomSearch().search(DOMAIN, stream(5, "search", "task", 2, "label"))).params
    assert asked.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ([1.0, 2.0, 3.0], r"returns: expected shape \(candidates, episodes\) = \(2, 1\), got \(3, 1\)"),
        (np.zeros((1, 2)), r"= \(2, 1\), got \(1, 2\)"),
        (np.zeros((2, 1, 1)), r"= \(2, 1\), got \(2, 1, 1\)"),
        (3.0, r"= \(2, 1\), got \(\)"),
        ([1 + 2j, 1.0], "returns: expected real numbers, got"),
        (np.array([1 + 2j, 1.0]), "returns: expected real numbers, got"),
        (["fast", "slow"], "expected real numbers, got 'fast'"),
        (["1.0", "2.0"], "expected real numbers, got '1.0'"),
        ([True, False], "expected real numbers, got True"),
        (np.array([True, False]), "expected real numbers, got True"),
    ],
)
def test_what_cannot_be_the_returns_is_refused_and_the_search_goes_on(returns: Any, message: str) -> None:
    optimizer = Told(2)
    search = AskTell(optimizer, DOMAIN, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=message):
            search.tell(returns if not isinstance(returns, float) else np.array(returns))
    assert optimizer.fitness == []
    search.tell([1.0, 2.0])
    assert optimizer.fitness == [[1.0, 2.0]]


def test_none_and_infinity_are_failures() -> None:
    optimizer = Told(4)
    AskTell(optimizer, DOMAIN, 1).tell([None, 1.0, float("-inf"), 3.0])
    assert optimizer.fitness == [[-1.0, 1.0, -1.0, 3.0]]


def test_a_search_that_fails_wholly_is_given_up_as_in_the_loop() -> None:
    search = AskTell(RandomSearch(population_size=4), DOMAIN, 1)
    for _ in range(3):
        search.tell(search.ask(), [None] * 4)
    with pytest.raises(SearchFailed, match="every episode of the last three generations failed"):
        search.ask()
    np.testing.assert_array_equal(search.recommendation, DOMAIN.start)  # and no candidate that has failed


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_arrays_that_leave_a_search_may_be_changed_in_place(name: str) -> None:
    if needs_of(OPTIMIZERS[name]).scores or name == "bayesian":
        pytest.skip("it is asked for rollouts, or slow")

    class Scribbling(Values):
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            evaluation = super().evaluate(replace(proposal, params=proposal.params.copy()), key)
            proposal.params[:] = proposal.recommendation[:] = 1e6
            return evaluation

    def recommended(evaluator: Values) -> list[bytes]:
        found = []
        domain = Domain(np.full(4, 0.2), np.zeros(4), np.full(4, 2.0))
        for made in generations(OPTIMIZERS[name](), evaluator, domain, budget=Budget(150), seed=1):
            found.append(made.recommendation.tobytes())
            if isinstance(evaluator, Scribbling):
                made.recommendation[:] = -1e6
        assert (domain.start == 0.2).all()
        return found

    assert recommended(Scribbling()) == recommended(Values())


def test_a_method_that_needs_rollouts_refuses_numbers() -> None:
    search = AskTell(Reinforce(episodes=2), Domain.unbounded(np.zeros(4)), 1)
    with pytest.raises(ValueError, match=r"the proposal asks for rollouts \(record=True\); expected an Eval"):
        search.tell(np.zeros((1, 2)))
    before = search.recommendation
    search.tell(walk().evaluate(search.ask(), (1,)))
    assert search.recommendation.tolist() != before.tolist()


def test_a_search_that_returns_is_finished_and_recommends_what_it_returned() -> None:
    search = AskTell(Told(1, turns=2), DOMAIN, 1)
    search.tell([0.0])
    assert not search.finished
    search.tell([0.0])
    assert search.finished
    assert search.recommendation.tolist() == [-1.0] * 3
    for call in (search.ask, lambda: search.tell([0.0])):
        with pytest.raises(RuntimeError, match=r"the search has ended by itself; use \.recommendation"):
            call()


# Returns that belong to the proposal ------------------------------------------------------------------


def box(x: np.ndarray) -> list[float]:
    return [-float(np.sum((row - 0.7) ** 2)) for row in x]


SQUARE = Domain(np.full(2, 0.5), np.zeros(2), np.ones(2))


def told(generations: int = 3, optimizer: Any = None, seed: int = 0) -> AskTell:
    search = AskTell(optimizer or CMAES(), SQUARE, seed)
    for _ in range(generations):
        search.tell(box(search.ask().params))
    return search


def test_a_search_is_not_told_the_returns_of_another_one() -> None:
    saved, lab = [], told(0)
    for _ in range(5):
        saved.append([lab.ask().token, box(lab.ask().params)])
        lab.tell(*saved[-1])
    saved = json.loads(json.dumps(saved))
    again = told(0)
    for token, returns in saved:
        again.tell(token, returns)
    assert again.ask().token == lab.ask().token
    assert again.recommendation.tobytes() == lab.recommendation.tobytes()
    other = told(0, seed=1)
    with pytest.raises(
        ValueError, match=r"tell: expected returns .* got those of another search .*; continue a"
    ):
        other.tell(*saved[0])


@pytest.mark.parametrize(
    ("belongs", "message"),
    [
        (told(2).ask(), "those of generation 2 of this search"),
        (told(2).ask().token, "those of generation 2 of this search"),
        (told(4).ask(), "those of generation 4 of this search"),
        (told(3, seed=1).ask(), "another search"),
        (told(3, RandomSearch(population_size=6)).ask(), "another search"),
        (AskTell(CMAES(), Domain(np.full(2, 0.5), np.zeros(2), np.full(2, 2.0)), 0).ask(), "another search"),
        (Proposal(np.zeros((6, 2)), np.zeros(2)), "another search"),
        ("", "another search"),
        (told(3).ask().token[:-1], "generation 3 of this search"),
    ],
)
def test_a_proposal_that_is_not_the_open_one_is_refused(belongs: Any, message: str) -> None:
    search = told(3)
    with pytest.raises(ValueError, match=message):
        search.tell(belongs, [1.0] * 6)
    search.tell(search.ask(), [1.0] * 6)  # and the search continues
    assert search.ask().origin.startswith("4-")


def test_an_evaluation_of_other_parameters_is_refused() -> None:
    search, other = told(3), told(2).ask()
    with pytest.raises(
        ValueError, match="expected an evaluation of the open proposal, got one of other param"
    ):
        search.tell(Evaluation(other.params, np.zeros((6, 1)), np.ones((6, 1), dtype=int)))


def test_candidates_may_be_told_one_by_one_in_any_order() -> None:
    whole, parts = told(0, Repeated(CMAES(), 2)), told(0, Repeated(CMAES(), 2))
    for generation in range(4):
        proposal = parts.ask()
        returns = [[value, value - generation] for value in box(proposal.params)]
        returns[1] = [None, 0.0]  # type: ignore[list-item]
        whole.tell(returns)
        parts.tell({5: [9.0, 9.0]})  # a mistake, which is corrected below
        parts.tell(proposal, {3: returns[3], 0: np.array(returns[0])})
        assert parts.missing == [1, 2, 4]
        assert parts.ask() is proposal
        parts.tell(proposal.token, {np.int64(5): returns[5], 2: returns[2], 4: returns[4]})
        parts.tell({1: returns[1]})
        assert parts.missing == list(range(6))
        assert parts.ask().params.tobytes() == whole.ask().params.tobytes()


@pytest.mark.parametrize(
    ("some", "message"),
    [
        ({6: 1.0}, "tell: expected candidates from 0 to 5, got 6"),
        ({-1: 1.0}, "got -1"),
        ({"0": 1.0}, "got '0'"),
        ({True: 1.0}, "got True"),
        ({1.5: 1.0}, r"got 1\.5"),
        ({0: [1.0, 2.0]}, r"tell: expected 1 returns of candidate 0, got \[1\.0, 2\.0\]"),
        ({0: 1j}, "expected real numbers"),
    ],
)
def test_what_is_no_candidate_is_refused(some: Any, message: str) -> None:
    search = told(1)
    with pytest.raises(ValueError, match=message):
        search.tell(some)
    assert len(search.missing) == 6


COPIES: dict[str, Callable[[AskTell], AskTell]] = {
    "pickle": lambda search: pickle.loads(pickle.dumps(search)),  # noqa: S301
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_a_search_continues_as_the_original(name: str, how: str) -> None:
    needs = needs_of(OPTIMIZERS[name])
    for module in needs.modules:
        pytest.importorskip(module)
    domain = Domain.unbounded(np.zeros(WALKER.num_params)) if needs.scores else SQUARE
    evaluator = walk() if needs.scores else Values()
    search = AskTell(OPTIMIZERS[name](), domain, 3, name)
    for generation in range(3):
        search.tell(evaluator.evaluate(search.ask(), (generation,)))
    if not search.ask().record:
        search.tell({0: [0.25] * search.ask().episodes})  # of several, or all of them
    twin = COPIES[how](search)
    assert twin.missing == search.missing
    for generation in range(3):
        assert twin.ask().token == search.ask().token
        assert twin.recommendation.tobytes() == search.recommendation.tobytes()
        evaluation = evaluator.evaluate(search.ask(), (9, generation))
        search.tell(evaluation)
        assert twin.ask().token != search.ask().token  # they share nothing
        twin.tell(evaluation)


def test_a_copy_of_a_search_that_goes_another_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pickle.dumps(told(3))
    monkeypatch.setattr(CMAES, "search", RandomSearch(population_size=6).search)  # as another version might
    with pytest.raises(
        ValueError, match=r"expected to continue with 3-.*, got another proposal: another version"
    ):
        pickle.loads(packed)  # noqa: S301


def test_a_search_that_has_ended_can_be_copied() -> None:
    search = AskTell(Told(1, turns=1), DOMAIN, 1)
    search.tell([0.0])
    assert copy.copy(search).finished


def test_a_search_begins_at_the_best_point_that_is_known_before() -> None:
    search = AskTell(HillClimbing(), SQUARE, 0)
    search.inject([[0.1, 0.2], [0.6, 0.8], [0.3, 0.3]], [None, -1.0, -2.0])
    assert search.ask().recommendation.tolist() == [0.6, 0.8]
    assert copy.copy(search).ask().token == search.ask().token
    expected = AskTell(HillClimbing(), Domain(np.array([0.6, 0.8]), np.zeros(2), np.ones(2)), 0)
    assert search.ask().token == expected.ask().token


@pytest.mark.parametrize(
    ("points", "returns", "message"),
    [
        ([[0.1, 0.2], [0.3, 0.4]], None, "inject: expected a return for each of 2 points, got none"),
        ([[0.1, 0.2]], [None], "expected 1 returns, some of them finite, got"),
        ([[0.1, 0.2]], [1.0, 2.0], "expected 1 returns, some of them finite, got"),
        ([0.1, 1.2], None, r"start\[1\]: expected 0 <= start <= 1, got 1.2"),
    ],
)
def test_points_that_no_search_can_begin_at_are_refused(points: Any, returns: Any, message: str) -> None:
    search = AskTell(CMAES(), SQUARE, 0)
    with pytest.raises(ValueError, match=message):
        search.inject(points, returns)
    search.inject(np.array([0.1, 0.2]))
    assert search.ask().recommendation.tolist() == [0.1, 0.2]
    with pytest.raises(ValueError, match="inject: expected before the first ask"):
        search.inject([0.1, 0.2])


# What a failure is worth -----------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.just(NAN), st.floats(allow_nan=False)), min_size=2, max_size=2),
        min_size=1,
        max_size=6,
    )
)
def test_what_an_optimizer_is_told_is_finite_whatever_happened_before(history: list[list[float]]) -> None:
    optimizer = Told(2)
    search = AskTell(optimizer, DOMAIN, 1)
    for returns in history:
        search.tell(returns)
    assert np.isfinite(optimizer.fitness).all()


@settings(deadline=None)
@given(st.lists(st.one_of(st.just(NAN), st.floats(-1e12, 1e12)), min_size=1, max_size=12))
def test_a_failure_of_one_point_at_a_time_is_worse_than_everything_before_it(history: list[float]) -> None:
    optimizer = Told(1)
    search = AskTell(optimizer, DOMAIN, 1)
    for value in history:
        search.tell([value])
    told = [row[0] for row in optimizer.fitness]
    for turn, value in enumerate(history):
        before = [earlier for earlier in history[:turn] if np.isfinite(earlier)]
        if np.isnan(value) and before:
            spread = max(before) - min(before)
            assert told[turn] == pytest.approx(min(before) - (spread or 1.0), rel=1e-12)
            assert told[turn] < min(before)
        elif np.isfinite(value):
            assert told[turn] == value


def test_a_range_beyond_what_numbers_can_hold_stays_finite() -> None:
    optimizer = Told(1)
    search = AskTell(optimizer, DOMAIN, 1)
    for value in (1.7e308, -1.7e308, NAN):
        search.tell([value])
    assert optimizer.fitness[2] == [-np.finfo(float).max]


# The loop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidates", "episodes", "expected"),
    [(10, 1, 3), (5, 2, 3), (4, 1, 3), (3, 1, 4), (2, 1, 5), (1, 1, 10), (1, 4, 3)],
)
def test_a_search_fails_after_three_generations_and_ten_episodes_without_a_return(
    candidates: int, episodes: int, expected: int
) -> None:
    evaluator = Scripted([NAN] * candidates * episodes)
    turns = []
    with pytest.raises(SearchFailed, match=rf"\(fault {expected}\), parameters \[{expected - 1}") as failed:
        for turn in generations(Told(candidates, episodes), evaluator, DOMAIN, budget=Budget(500), seed=1):
            turns.append(turn)
    assert len(turns) == len(evaluator.keys) == expected
    assert turns[-1].rollouts == expected * candidates * episodes  # failures are paid for
    assert turns[-1].steps == 2 * turns[-1].rollouts
    assert failed.value.params.tolist() == turns[-1].proposal.params.tolist()


def test_a_single_finite_return_keeps_a_search_going() -> None:
    evaluator = Scripted([NAN] * 10, [NAN] * 10, [NAN] * 9 + [1.0], [NAN] * 10, [NAN] * 10, [NAN] * 9 + [2.0])
    turns = list(generations(Told(10), evaluator, DOMAIN, budget=Budget(60), seed=1))
    assert len(turns) == 6


def test_ten_failed_episodes_are_counted_in_a_row() -> None:
    row = [NAN, NAN]
    evaluator = Scripted(*[row] * 4, [NAN, 1.0], *[row] * 4, [NAN, 1.0], *[row] * 4, [1.0, 1.0])
    turns = list(generations(Told(2), evaluator, DOMAIN, budget=Budget(30), seed=1))
    assert len(turns) == 15


def test_a_failure_without_a_reason_is_called_non_finite() -> None:
    with pytest.raises(SearchFailed, match=r"\(non-finite returns\)"):
        list(generations(Told(10), Values(failing=1.1), DOMAIN, budget=Budget(100), seed=1))


def test_a_budget_is_spent_to_the_last_rollout_and_not_beyond() -> None:
    for budget, expected in ((4, 0), (5, 1), (9, 1), (10, 2), (11, 2)):
        evaluator = Scripted([1.0] * 5)
        turns = list(generations(Told(5), evaluator, DOMAIN, budget=Budget(budget), seed=1))
        assert len(turns) == len(evaluator.keys) == expected


def test_a_budget_of_steps_may_be_overshot_by_the_last_proposal_only() -> None:
    for budget, expected in ((1, 10), (10, 10), (11, 20), (20, 20)):
        *_, last = generations(Told(5), Scripted([1.0] * 5), DOMAIN, budget=Budget(steps=budget), seed=1)
        assert last.steps == expected


def test_the_problem_separates_both_the_episodes_and_the_randomness_of_the_search() -> None:
    def first(**options: Any) -> tuple[bytes, Key]:
        evaluator = Scripted([1.0] * 10)
        (turn,) = generations(RandomSearch(), evaluator, DOMAIN, budget=Budget(10), **options)
        return turn.proposal.params.tobytes(), evaluator.keys[0]

    plain, task, run = first(seed=1), first(seed=1, problem=("t",)), first(seed=1, problem=("t", 1))
    other = first(seed=2)
    assert len({params for params, _ in (plain, task, run, other)}) == 4
    assert [key for _, key in (plain, task, run, other)] == [
        (1, "evaluate", 0), (1, "evaluate", "t", 0), (1, "evaluate", "t", 1, 0), (2, "evaluate", 0),
    ]  # fmt: skip
    assert first(seed=1, label="RandomSearch") == plain  # the default label
    assert first(seed=1, label="random-search")[0] != plain[0]


def test_the_recommendation_of_a_generation_is_what_the_optimizer_made_of_it() -> None:
    turns = list(generations(Told(2, turns=3), Scripted([1.0, 2.0]), DOMAIN, budget=Budget(100), seed=1))
    assert [turn.recommendation.tolist() for turn in turns] == [[1.0] * 3, [2.0] * 3, [-1.0] * 3]
    assert [turn.proposal.recommendation.tolist() for turn in turns] == [[0.0] * 3, [1.0] * 3, [2.0] * 3]


def test_replaying_the_evaluations_gives_the_search_again() -> None:
    turns = list(generations(CrossEntropy(), Values(noise=0.5), DOMAIN, budget=Budget(200), seed=3))
    again = AskTell(CrossEntropy(), DOMAIN, 3, "CrossEntropy")
    for turn in turns:
        assert again.ask().params.tobytes() == turn.proposal.params.tobytes()
        again.tell(turn.evaluation.returns)
        assert again.recommendation.tobytes() == turn.recommendation.tobytes()


def test_a_search_that_was_saved_as_the_returns_that_it_was_told_goes_on_with_the_same_question() -> None:
    space = Space((Parameter("kp", 1.0, 0.1, 100.0, "N/m", "log"), Parameter("kd", 0.0, 0.0, 10.0, "N·s/m")))

    def machine(kp: float, kd: float) -> float | None:
        return None if kd > 5.0 else -(np.log(kp / 20.0) ** 2) - (kd - 3.0) ** 2

    def resumed(saved: str) -> AskTell:
        search = AskTell(Repeated(CMAES(), 2), space.domain, 0)
        for returns in json.loads(saved):
            search.tell(returns)
        return search

    search, told = resumed("[]"), list[Any]()
    for _ in range(15):
        proposal = search.ask()
        told.append([[machine(**space.named(row))] * proposal.episodes for row in proposal.params])
        search.tell(told[-1])
        again = resumed(json.dumps(told))
        assert again.ask().params.tobytes() == search.ask().params.tobytes()
        assert again.recommendation.tobytes() == search.recommendation.tobytes()
    assert [None, None] in sum(told, [])  # noqa: RUF017 - failed tries among them
    assert space.named(search.recommendation)["kp"] == pytest.approx(20.0, rel=0.2)


def test_a_loop_that_is_left_early_runs_nothing_more() -> None:
    evaluator = Scripted([1.0, 1.0])
    for turn in generations(Told(2), evaluator, DOMAIN, budget=Budget(100), seed=1):
        if turn.index == 2:
            break
    assert len(evaluator.keys) == 3
