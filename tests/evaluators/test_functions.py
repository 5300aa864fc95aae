"""A function of named parameters as an evaluator."""

import math
import warnings
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators import FunctionEvaluator
from policysearch.evaluators.functions import sign_of
from policysearch.optimizers import CMAES
from policysearch.search import Budget, generations
from policysearch.seeding import seed_of, stream
from policysearch.space import Choice, Parameter, Space

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


class Tensor:
    """One number or several, as arrays of JAX and PyTorch give theirs."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = numbers

    def item(self) -> float:
        if len(self.numbers) != 1:
            raise RuntimeError(f"a Tensor with {len(self.numbers)} elements cannot be converted to Scalar")
        return self.numbers[0]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "ValueError: the function returned nan"),
        (-math.inf, "ValueError: the function returned -inf"),
        (None, "TypeError"),
        (1 + 2j, "TypeError: expected a real number, got"),
        (np.complex128(1 + 2j), "TypeError: expected a real number, got"),
        (np.complex64(3), "TypeError: expected a real number, got"),
        (np.ones(3), "TypeError: expected a real number, got array([1., 1., 1.])"),
        (np.ones(0), "TypeError: expected a real number, got array([]"),
        (np.array([1j]), "TypeError: expected a real number, got array([0.+1.j])"),
        (np.array(["1"]), "TypeError: expected a real number, got array(['1']"),
        (Tensor(1.0, 2.0), "TypeError: expected a real number, got"),
        ((1.0, {"peak": 2.0}), "TypeError: expected a real number, got (1.0, {'peak': 2.0})"),
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


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1.0),
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (np.array(7.0), 7.0),
        (np.int8(-2), -2.0),
        (np.array([7.5]), 7.5),  # as x.T @ Q @ x gives it
        (np.array([[-7.5]]), -7.5),
        (np.array([True]), 1.0),
        (np.longdouble("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
        (pd.Series([2.5]), 2.5),
        (Tensor(0.25), 0.25),
        ({"return": np.array([1.5]), "peak": Tensor(2.0)}, 1.5),
    ],
)
def test_whatever_is_one_real_number_is_a_return(value: Any, number: float) -> None:
    found = run(lambda *_: value, np.zeros((1, 2)))
    assert found.failures == ()
    assert found.returns.tolist() == [[number]]


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


def test_a_mapping_gives_steps_and_metrics_beside_the_return() -> None:
    def function(params: Mapping[str, float], seed: int) -> Mapping[str, float]:
        base = {"return": params["kd"], "steps": 40, "violation": -0.5}
        return {**base, "overshoot": 2 * params["kd"]} if params["kd"] > 0 else base

    found = run(function, np.array([[0.0, 20.0], [0.0, -10.0]]), episodes=2)
    assert found.returns.tolist() == [[2.0, 2.0], [-1.0, -1.0]]
    assert found.steps.tolist() == [[40, 40], [40, 40]]
    assert list(found.metrics) == ["overshoot", "violation"]
    assert found.metrics["violation"].tolist() == [[-0.5, -0.5]] * 2
    assert found.metrics["overshoot"][0].tolist() == [4.0, 4.0]
    assert np.isnan(found.metrics["overshoot"][1]).all()
    assert found.failures == ()


def test_a_number_alone_has_no_metrics() -> None:
    assert run(noisy, np.zeros((2, 2))).metrics == {}


def test_a_reported_violation_fails_its_episode_and_keeps_what_was_measured() -> None:
    first = seed_of(1, "episode", 0)

    def function(params: Mapping[str, float], seed: int) -> Mapping[str, float]:
        return {"return": 9.0, "steps": 7, "violation": 0.25 if seed == first else 0.0, "peak": 3.0}

    found = run(function, np.zeros((1, 2)), episodes=2)
    assert np.isnan(found.returns[0, 0])
    assert found.returns[0, 1] == 9.0
    assert found.steps.tolist() == [[7, 7]]
    (failure,) = found.failures
    assert (failure.episode, failure.reason) == (0, "it reports a violation of 0.25")
    assert found.metrics["peak"].tolist() == [[3.0, 3.0]]
    assert found.metrics["violation"].tolist() == [[0.25, 0.0]]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "ValueError: expected 'return' among the names, got none"),
        (
            {"reward": 1.0},
            "ValueError: expected 'return' among the names, got reward; call what counts 'return'",
        ),
        ({"return": None}, "TypeError: expected a real number, got None"),
        ({"return": math.nan}, "ValueError: the function returned nan"),
        ({"return": 1.0, "steps": 2.5}, "ValueError: steps: expected a whole number, 0 or more, got 2.5"),
        ({"return": 1.0, "steps": -1}, "ValueError: steps: expected a whole number"),
        ({"return": 1.0, "steps": math.inf}, "ValueError: steps: expected a whole number"),
        ({"return": 1.0, "violation": math.nan}, "ValueError: violation: expected a finite number, got nan"),
        (
            {"return": 1.0, "violation": "none"},
            "TypeError: violation: expected a real number, got 'none'",
        ),
        ({"return": 1.0, "steps": [4]}, "TypeError: steps: expected a real number, got [4]"),
    ],
)
def test_a_mapping_that_is_no_answer_fails_its_episode(value: Any, reason: str) -> None:
    found = run(lambda *_: value, np.zeros((1, 2)))
    assert found.failures[0].reason.startswith(reason), found.failures[0].reason


@pytest.mark.parametrize(
    ("beside", "metrics"),
    [
        ({"status": "converged"}, {}),
        ({"settling": None, "peak": 2}, {"peak": 2.0}),
        ({"stable": False}, {"stable": 0.0}),
        ({"timing": {"wall": 0.3}}, {}),
        ({"trajectory": np.zeros(5), "poles": 1j}, {}),
        ({"settling": math.nan}, {"settling": math.nan}),
        ({7: 1.0}, {"7": 1.0}),
    ],
)
def test_what_is_no_number_is_left_out_of_what_else_was_measured(
    beside: dict[Any, Any], metrics: dict[str, float]
) -> None:
    found = run(lambda *_: {"return": 1.0, **beside}, np.zeros((1, 2)))
    assert found.failures == ()
    assert {name: x.item() for name, x in found.metrics.items()} == pytest.approx(metrics, nan_ok=True)


def test_a_function_that_raises_is_called_again_once_with_the_same_seed_and_parameters() -> None:
    calls: list[tuple[float, int]] = []

    def function(params: dict[str, float], seed: int) -> float:
        calls.append((params["kd"], seed))
        params["kd"] = math.nan  # its own copy
        if len(calls) % 2 or len(calls) > 4:
            raise OSError("the port is busy")
        return 1.0

    found = run(function, np.array([[0.0, 20.0]]), episodes=3)
    seeds = [seed_of(1, "episode", j) for j in range(3)]
    assert calls == [(2.0, seed) for seed in seeds for _ in range(2)]
    assert found.returns[0, :2].tolist() == [1.0, 1.0]
    assert found.retried_rollouts == 3
    assert found.steps.tolist() == [[1, 1, 1]]
    (failure,) = found.failures
    assert failure.reason.startswith("OSError: the port is busy (")
    assert 'raise OSError("the port is busy")' in failure.traceback


def test_parameters_that_break_a_constraint_are_not_run_and_have_failed() -> None:
    seen = []

    def function(params: Mapping[str, float], seed: int) -> float:
        seen.append(params["kd"])
        return 1.0

    evaluator = FunctionEvaluator(function, SPACE, constraints=("kd <= kp / 2", "1 / (kd - 1) < 9"))
    params = np.array([[0.5, 4.0], [0.5, 20.0], [0.5, 10.0]])  # kp = 1; kd = 0.4, 2, 1
    found = evaluator.evaluate(Proposal(params, params[0], 2), (1,))
    assert seen == pytest.approx([0.4, 0.4])
    assert [(f.candidate, f.episode) for f in found.failures] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    reasons = {f.reason for f in found.failures}
    assert reasons == {
        "not run, as the parameters break kd <= kp / 2 (by 1.5)",
        "not run, as the parameters break kd <= kp / 2 (by 0.5), 1 / (kd - 1) < 9 (by inf)",
    }
    assert found.steps.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert found.retried_rollouts == 0


def test_constraints_and_the_goal_are_checked_before_the_first_run() -> None:
    space = Space(
        (*SPACE.parameters, Choice("filter", ("none", "median"), "none"), Choice("order", (1, 2), 1))
    )
    assert FunctionEvaluator(noisy, space, constraints=["kd < order"]).constraints[0].text == "kd < order"
    with pytest.raises(ValueError, match="expected one of the parameters kp, kd, order, got 'filter'"):
        FunctionEvaluator(noisy, space, constraints=["kd < filter"])
    with pytest.raises(ValueError, match="goal: expected 'maximise' or 'minimise', got 'minimize'"):
        sign_of("minimize")


def test_the_goal_turns_the_sign_of_returns_and_of_nothing_else() -> None:
    def function(params: Mapping[str, float], seed: int) -> Mapping[str, float]:
        return {"return": noisy(params, seed), "cost": 3.0}

    params = stream(2).standard_normal((4, 2))
    high = run(function, params, 2)
    low = FunctionEvaluator(function, SPACE, goal="minimise").evaluate(Proposal(params, params[0], 2), (1,))
    assert (low.returns == -high.returns).all()
    assert low.ranking().tolist() == high.ranking().tolist()[::-1]
    assert low.metrics["cost"].tolist() == high.metrics["cost"].tolist() == [[3.0, 3.0]] * 4


def test_a_search_finds_whole_numbers_and_options_under_a_constraint() -> None:
    space = Space(
        (
            Parameter("gain", 1.0, 0.0, 10.0),
            Parameter("window", 3, 1, 20, integer=True),
            Choice("filter", ("none", "mean", "median"), "none"),
        )
    )

    def cost(params: Mapping[str, Any], seed: int) -> float:
        assert params["gain"] <= params["window"]
        filters = {"none": 4.0, "mean": 0.0, "median": 2.0}
        return (params["gain"] - 9.0) ** 2 + (params["window"] - 7) ** 2 + filters[params["filter"]]

    evaluator = FunctionEvaluator(cost, space, goal="minimise", constraints=["gain <= window"])
    *_, last = generations(CMAES(), evaluator, space.domain, budget=Budget(1500), seed=3)
    found = space.named(last.recommendation)
    assert (found["window"], found["filter"]) == (
        8,
        "mean",
    )  # (gain − 9)² + (window − 7)² with gain <= window
    assert found["gain"] == pytest.approx(8.0, abs=0.05)
