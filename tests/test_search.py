"""The loop, the budget, the seeds and the named parameters."""

import doctest
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import Values

import policysearch.ask_tell
from policysearch.core import NO_FITNESS_YET, Array, Domain, Evaluation, Proposal
from policysearch.optimizers import CMAES, CrossEntropy, NelderMead, RandomSearch
from policysearch.search import AskTell, Budget, generations
from policysearch.seeding import Key, seed_of, stream
from policysearch.space import Parameter, Space

DOMAIN = Domain.unbounded(np.zeros(3))


class Keyed(Values):
    """Remembers the keys that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[Key] = []

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        self.keys.append(key)
        return super().evaluate(proposal, key)


def test_the_example_in_the_docstring_runs() -> None:
    found = doctest.testmod(policysearch.ask_tell)
    assert found.attempted > 6
    assert found.failed == 0


def test_all_optimizers_meet_the_same_episodes_and_each_has_its_own_randomness() -> None:
    one, two = Keyed(), Keyed()
    first = list(
        generations(RandomSearch(), one, DOMAIN, budget=Budget(30), seed=4, problem=("t", 0), label="a")
    )
    second = list(
        generations(RandomSearch(), two, DOMAIN, budget=Budget(30), seed=4, problem=("t", 0), label="b")
    )
    assert one.keys == two.keys == [(4, "evaluate", "t", 0, g) for g in range(3)]
    assert first[0].proposal.params.tobytes() != second[0].proposal.params.tobytes()
    expected = next(RandomSearch().search(DOMAIN, stream(4, "search", "t", 0, "a"))).params
    assert first[0].proposal.params.tobytes() == expected.tobytes()


def test_generations_add_up_what_was_spent() -> None:
    turns = list(generations(RandomSearch(), Values(), DOMAIN, budget=Budget(47), seed=1))
    assert [turn.rollouts for turn in turns] == [10, 20, 30, 40]
    assert [turn.steps for turn in turns] == [10, 20, 30, 40]
    assert [turn.index for turn in turns] == [0, 1, 2, 3]


def test_a_budget_of_steps_is_checked_between_proposals() -> None:
    turns = list(generations(RandomSearch(), Values(), DOMAIN, budget=Budget(steps=25), seed=1))
    assert [turn.steps for turn in turns] == [10, 20, 30]
    both = list(generations(RandomSearch(), Values(), DOMAIN, budget=Budget(rollouts=20, steps=25), seed=1))
    assert [turn.steps for turn in both] == [10, 20]


@pytest.mark.parametrize("limits", [{}, {"rollouts": 0}, {"rollouts": 10, "steps": 0}])
def test_a_budget_needs_a_limit_of_at_least_one(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="budget: expected rollouts or steps of at least 1, got"):
        Budget(**limits)


def test_a_search_that_ends_by_itself_keeps_its_recommendation() -> None:
    turns = list(generations(CMAES(), Values(), DOMAIN, budget=Budget(100_000), seed=1))
    assert turns[-1].rollouts < 100_000
    assert turns[-1].recommendation == pytest.approx(1.0, abs=1e-4)
    outside = AskTell(CMAES(), DOMAIN, 1, "CMAES")
    for turn in turns:
        outside.tell(turn.evaluation)
    assert outside.finished
    with pytest.raises(RuntimeError, match="the search has ended by itself"):
        outside.ask()


def test_told_numbers_may_be_a_list_or_a_matrix_and_what_is_not_finite_has_failed() -> None:
    one, two = (AskTell(CrossEntropy(population_size=4, elites=2), DOMAIN, 1) for _ in range(2))
    one.tell([1.0, float("nan"), 3.0, float("inf")])
    two.tell(np.array([[1.0], [np.nan], [3.0], [np.nan]]))
    assert one.recommendation.tobytes() == two.recommendation.tobytes()
    assert np.isfinite(one.ask().params).all()


@pytest.mark.parametrize("returns", [[1.0], [1.0] * 5, [[1.0, 2.0]] * 4])
def test_returns_of_the_wrong_shape_are_refused(returns: list[Any]) -> None:
    search = AskTell(CrossEntropy(population_size=4, elites=2), DOMAIN, 1)
    with pytest.raises(ValueError, match=r"returns: expected shape \(candidates, episodes\) = \(4, 1\), got"):
        search.tell(returns)
    assert len(search.ask().params) == 4  # nothing is lost


# Fitness of failures ---------------------------------------------------------------------------------


def evaluation(returns: list[list[float]], **options: float) -> Evaluation:
    values = np.array(returns)
    return Evaluation(np.zeros((len(values), 1)), values, np.ones(values.shape, dtype=int), **options)  # type: ignore[arg-type]


def test_a_failed_candidate_is_worth_the_worst_of_its_generation_minus_the_range() -> None:
    failed = evaluation([[3.0, 5.0], [np.nan, 100.0], [1.0, 1.0]])
    assert failed.fitness.tolist() == [4.0, 1.0 - 3.0, 1.0]
    assert failed.ranking().tolist() == [0, 2, 1]


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(np.nan)), min_size=1, max_size=8))
def test_fitness_is_finite_and_no_failure_beats_a_success(returns: list[float]) -> None:
    fitness = evaluation([[value] for value in returns]).fitness
    failed = np.isnan(returns)
    assert np.isfinite(fitness).all()
    if failed.any() and not failed.all():
        assert fitness[failed].max() < fitness[~failed].min()


def test_equal_fitness_keeps_the_order_of_the_proposal() -> None:
    assert evaluation([[1.0], [2.0], [1.0], [2.0]]).ranking().tolist() == [1, 3, 0, 2]


def test_a_search_remembers_how_bad_things_were_for_generations_that_fail_wholly() -> None:
    seen = []

    class Spy:
        def search(self, domain: Domain, rng: np.random.Generator):  # type: ignore[no-untyped-def]
            while True:
                seen.append((yield Proposal(np.zeros((2, 3)), domain.start)).fitness.tolist())

    search = AskTell(Spy(), DOMAIN, 1)
    for returns in (
        [np.nan, np.nan],
        [-900.0, -700.0],
        [np.nan, np.nan],
        [-1500.0, np.nan],
        [np.nan, np.nan],
    ):
        search.tell(list(returns))
    assert seen == [
        [NO_FITNESS_YET] * 2,
        [-900.0, -700.0],
        [-900.0 - 200.0] * 2,  # the worst so far minus the range so far
        [-1500.0, -1500.0 - 800.0],  # this generation has no range of its own
        [-1500.0 - 800.0] * 2,
    ]


def test_a_failure_never_looks_good_to_a_method_that_tries_one_point_at_a_time() -> None:
    def far_is_broken(x: Array) -> Array:
        return np.where(np.abs(x).max(axis=1) > 0.8, np.nan, -900.0 - np.sum((x - 0.3) ** 2, axis=1))

    *_, last = generations(NelderMead(), Values(far_is_broken), DOMAIN, budget=Budget(300), seed=1)
    assert np.abs(last.recommendation - 0.3).max() < 1e-3


def test_failed_generations_stop_a_search_only_in_a_row() -> None:
    class Flickering(Values):
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            self.failing = 0.0 if int(key[-1]) % 3 == 2 else 1.0  # two of three generations fail wholly
            return super().evaluate(proposal, key)

    *_, last = generations(RandomSearch(), Flickering(), DOMAIN, budget=Budget(300), seed=1)
    assert last.rollouts == 300


def test_what_nobody_measures_ends_no_search() -> None:
    class Skipping(Values):
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            one = super().evaluate(proposal, key)
            skipped = tuple(range(10)) if int(key[-1]) % 4 else (0, 1)  # three generations in four wholly
            one.returns[list(skipped)] = np.nan
            return replace(one, unmeasured=skipped)

    *_, last = generations(RandomSearch(), Skipping(), DOMAIN, budget=Budget(120), seed=1)
    assert last.rollouts == 120


# Seeds -----------------------------------------------------------------------------------------------


def test_different_names_give_different_streams() -> None:
    keys: list[Key] = [
        (1,),
        ("1",),
        (1, "a"),
        ("a", 1),
        ("a", "b"),
        ("ab",),
        ("a,b",),
        (1, 2),
        (12,),
        (-1,),
        (),
    ]
    assert len({stream(*key).random() for key in keys}) == len(keys)
    assert len({seed_of(*key) for key in keys}) == len(keys)


def test_streams_are_what_they_were_when_the_results_were_made() -> None:
    # Written down on 2026-11-20 with numpy 2.4.6; a change here changes every number in results/.
    assert stream(0, "search", "CartPole-v1", 0, "cma-es").random() == 0.1445464137847292
    assert seed_of(0, "report", "CartPole-v1", 0, "episode", 0) == 892507083


def test_a_seed_is_a_non_negative_31_bit_number() -> None:
    assert all(0 <= seed_of("x", i) < 2**31 for i in range(200))
    assert max(seed_of("x", i) for i in range(200)) > 2**30


# Domain and space ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "lower", "upper", "message"),
    [
        ([np.nan], [-1.0], [1.0], "start: expected a finite, non-empty vector"),
        ([], [], [], "start: expected a finite, non-empty vector"),
        ([0.0, 2.0], [-1.0, -1.0], [1.0, 1.0], r"start\[1\]: expected -1 <= start <= 1, got 2"),
        ([0.0], [np.nan], [1.0], r"start\[0\]: expected nan <= start <= 1, got 0"),
    ],
)
def test_a_domain_must_contain_its_start(start: object, lower: object, upper: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Domain(*(np.array(x, dtype=float) for x in (start, lower, upper)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"start": 3.0, "lower": 0.0, "upper": 1.0, "unit": "s"},
            "x: expected a start between 0 and 1 s, got 3",
        ),
        ({"start": 0.0, "lower": 1.0, "upper": -1.0}, "x: expected lower <= upper, got 1 and -1"),
        ({"start": 1.0, "lower": 0.0, "upper": 2.0, "scale": "log"}, "x: a logarithmic scale needs positive"),
        ({"start": 1.0, "step": 0.0}, "x: expected a positive step, got 0"),
        ({"start": float("nan")}, "x: expected a start between -inf and inf, got nan"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameter("x", **options)  # type: ignore[arg-type]


def test_a_space_needs_different_names() -> None:
    with pytest.raises(ValueError, match="expected different names, got a, a"):
        Space((Parameter("a", 0.0), Parameter("a", 1.0)))
    with pytest.raises(ValueError, match="expected at least one parameter, got none"):
        Space(())


SPACE = Space(
    (
        Parameter("torque", 0.5, 0.0, 2.0, unit="N·m/kg"),
        Parameter("gain", 10.0, 1.0, 100.0, scale="log"),
        Parameter("bias", -3.0),
        Parameter("delay", 0.1, lower=0.0, step=0.02, unit="s"),
        Parameter("rate", 5.0, scale="log"),
        Parameter("time", 0.7, 0.5, 0.9, step=0.016, unit="s"),
    )
)


def test_one_unit_is_the_range_or_the_step_and_logarithms_where_asked() -> None:
    domain = SPACE.domain
    assert domain.start == pytest.approx([0.25, 0.5, -1.0, 5.0, np.log(5.0), 0.2 / 0.016])
    assert domain.lower == pytest.approx([0.0, 0.0, -np.inf, 0.0, -np.inf, 0.0])
    assert domain.upper == pytest.approx([1.0, 1.0, np.inf, np.inf, np.inf, 0.4 / 0.016])
    assert SPACE.named(domain.start) == pytest.approx(
        {"torque": 0.5, "gain": 10.0, "bias": -3.0, "delay": 0.1, "rate": 5.0, "time": 0.7}
    )


@given(st.lists(st.floats(-20, 20), min_size=6, max_size=6))
def test_decoding_stays_within_the_bounds_and_is_undone_by_encoding(coordinates: list[float]) -> None:
    z = SPACE.domain.clip(np.array(coordinates))
    values = SPACE.decode(z)
    assert SPACE.encode(values) == pytest.approx(z, abs=1e-9)
    for parameter, value in zip(SPACE.parameters, SPACE.decode(np.array(coordinates)), strict=True):
        assert parameter.lower <= value <= parameter.upper


@pytest.mark.parametrize(
    ("params", "episodes", "message"),
    [
        (np.zeros((0, 2)), 1, r"params: expected n >= 1 rows of d numbers, got shape \(0, 2\)"),
        (np.zeros((1, 2)), 0, "episodes: expected at least 1, got 0"),
    ],
)
def test_an_impossible_proposal_is_refused(params: Array, episodes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Proposal(params, np.zeros(2), episodes)
