"""A function of named parameters as an evaluator."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators import FunctionEvaluator
from policysearch.optimizers import CMAES
from policysearch.search import Budget, generations
from policysearch.seeding import seed_of, stream
from policysearch.space import Parameter, Space

SPACE = Space((Parameter("kp", 1.0, 0.1, 10.0, scale="log"), Parameter("kd", 0.5, step=0.1)))


def run(function: Any, params: Array, episodes: int = 1, key: Any = (1,)) -> Evaluation:
    return FunctionEvaluator(function, SPACE).evaluate(Proposal(params, params[0], episodes), key)


def noisy(params: Mapping[str, float], seed: int) -> float:
    return params["kp"] + params["kd"] * stream(seed).random()


def test_every_candidate_meets_the_seeds_of_its_episodes() -> None:
    params = np.array([[0.5, 20.0], [1.0, -10.0]])
    found = run(noisy, params, episodes=3, key=(9, "evaluate", 4))
    draws = np.array([stream(seed_of(9, "evaluate", 4, "episode", j)).random() for j in range(3)])
    assert found.returns == pytest.approx(np.array([1.0 + 2.0 * draws, 10.0 - 1.0 * draws]))
    assert found.failures == ()


def test_candidates_may_come_in_any_order() -> None:
    params, order = stream(1).standard_normal((6, 2)), np.array([4, 0, 5, 1, 3, 2])
    straight, shuffled = run(noisy, params, 2), run(noisy, params[order], 2)
    assert shuffled.returns.tobytes() == straight.returns[order].tobytes()


def test_every_call_is_counted_as_a_step_also_one_that_fails() -> None:
    calls = []

    def function(params: Mapping[str, float], seed: int) -> float:
        calls.append(seed)
        return math.nan

    found = run(function, np.zeros((3, 2)), episodes=2)
    assert len(calls) == 6
    assert found.steps.tolist() == [[1, 1]] * 3


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "ValueError: the function returned nan"),
        (-math.inf, "ValueError: the function returned -inf"),
        (None, "TypeError"),
        (1 + 2j, "TypeError: expected a real number, got"),
        (np.complex128(1 + 2j), "TypeError: expected a real number, got"),
        (np.complex64(3), "TypeError: expected a real number, got"),
        (np.ones(3), "TypeError"),
        ([1.0], "TypeError"),
        ("far", "TypeError"),
        (10**400, "OverflowError"),
    ],
)
def test_what_is_not_a_finite_number_fails_its_episode_and_no_other(value: Any, reason: str) -> None:
    bad = seed_of(1, "episode", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in production: a warning stops nothing
        found = run(lambda _, seed: value if seed == bad else 2.5, np.zeros((2, 2)), episodes=3)
    assert np.isnan(found.returns[:, 1]).all()
    assert (found.returns[:, [0, 2]] == 2.5).all()
    assert [(f.candidate, f.episode, f.seed) for f in found.failures] == [(0, 1, bad), (1, 1, bad)]
    assert all(failure.reason.startswith(reason) for failure in found.failures)


@pytest.mark.parametrize("value", [True, 3, np.float32(0.5), np.array(7.0), np.int8(-2)])
def test_whatever_is_a_real_number_is_a_return(value: Any) -> None:
    assert run(lambda *_: value, np.zeros((1, 2))).returns.tolist() == [[float(value)]]


def test_an_interrupt_is_not_a_failure() -> None:
    def function(params: Mapping[str, float], seed: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(function, np.zeros((1, 2)))


@pytest.mark.parametrize("option", ["sample", "record"])
def test_a_function_has_no_actions(option: str) -> None:
    proposal = Proposal(np.zeros((1, 2)), np.zeros(2), **{option: True})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a function has no actions to draw or record; use a method without"):
        FunctionEvaluator(noisy, SPACE).evaluate(proposal, (1,))


def test_a_search_finds_the_best_parameters_of_a_function_in_their_own_units() -> None:
    def distance(params: Mapping[str, float], seed: int) -> float:
        if params["kp"] > 8.0:
            raise RuntimeError("unstable")
        return -(math.log(params["kp"] / 5.0) ** 2) - (params["kd"] + 0.2) ** 2

    evaluator = FunctionEvaluator(distance, SPACE)
    *_, last = generations(CMAES(), evaluator, SPACE.domain, budget=Budget(600), seed=1)
    assert SPACE.named(last.recommendation) == pytest.approx({"kp": 5.0, "kd": -0.2}, abs=1e-2)
