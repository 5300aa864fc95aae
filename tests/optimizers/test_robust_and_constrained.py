"""Methods around others: several scenarios of every candidate, and constraints on what rollouts report."""

import re
from typing import Any

import numpy as np
import pytest

from policysearch.constraints import TOLERANCE, Constraint
from policysearch.core import Domain, Evaluation, Optimizer, Proposal
from policysearch.optimizers import CMAES, SNES, RandomSearch
from policysearch.optimizers.constrained import Constrained, Outputs
from policysearch.optimizers.robust import Robust, over_scenarios
from policysearch.search import Budget, Generation, generations

DOMAIN = Domain(np.full(2, 0.9), np.zeros(2), np.ones(2))


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("mean", 2.5),
        ("worst", 1.0),
        ("cvar:1", 2.5),
        ("cvar:0.5", 1.5),
        ("cvar:0.25", 1.0),
        ("cvar:0.1", 1.0),
        ("cvar:0.75", 2.0),
        ("cvar:0.375", (1.0 + 0.5 * 2.0) / 1.5),  # one scenario and half of the next
    ],
)
def test_what_of_the_scenarios_counts(objective: str, expected: float) -> None:
    values = np.array([[3.0, 1.0, 4.0, 2.0, 30.0, 10.0, 40.0, 20.0]])  # two repetitions of four scenarios
    assert over_scenarios(values, 4, objective) == pytest.approx(np.array([[expected, 10 * expected]]))
    values[0, 6] = np.nan
    assert np.isnan(over_scenarios(values, 4, objective)).tolist() == [[False, True]]


@pytest.mark.parametrize(
    "objective", ["best", "cvar", "cvar:0", "cvar:1.5", "cvar:x", "mean:1", "worst:", "cvar:nan"]
)
def test_another_objective_is_refused(objective: str) -> None:
    message = f"objective: expected mean, worst, or cvar:q with 0 < q <= 1, got {objective}"
    with pytest.raises(ValueError, match=re.escape(message)):
        Robust(RandomSearch(), 3, objective)


class Plant:
    """Returns and metrics of two parameters."""

    def __init__(self, scenarios: int = 1) -> None:
        self.scenarios, self.run = scenarios, list[Proposal]()

    def evaluate(self, proposal: Proposal, key: Any) -> Evaluation:
        self.run.append(proposal)
        x, y = proposal.params.T
        s = np.arange(proposal.episodes) % self.scenarios
        returns = -((x[:, None] - 0.5) ** 2) - (y[:, None] - 0.2 - 0.2 * s) ** 2
        metrics = {"sum": (x + y)[:, None] + 0.0 * s, "far": x[:, None] + 0.1 * s}
        return Evaluation(proposal.params, returns, np.ones(returns.shape, dtype=int), metrics=metrics)


def found(method: Optimizer, plant: Plant, rollouts: int) -> list[Generation]:
    return list(generations(method, plant, DOMAIN, budget=Budget(rollouts), seed=1))


def test_every_scenario_is_run_and_charged() -> None:
    plant = Plant(3)
    search = found(Robust(CMAES(sigma=0.2), 3, "worst"), plant, 420)
    assert {proposal.episodes for proposal in plant.run} == {3}
    assert search[-1].rollouts == sum(3 * len(proposal.params) for proposal in plant.run)
    assert search[-1].recommendation == pytest.approx([0.5, 0.4], abs=0.02)  # the middle of 0.2, 0.4 and 0.6
    mean = found(Robust(SNES(sigma=0.2), 3), Plant(3), 900)
    assert mean[-1].recommendation == pytest.approx([0.5, 0.4], abs=0.03)


@pytest.mark.parametrize("method", [CMAES(sigma=0.2), SNES(sigma=0.2)], ids=["cma-es", "snes"])
@pytest.mark.parametrize(
    ("text", "optimum"),
    [
        ("sum <= 0.5", [0.4, 0.1]),  # from (0.5, 0.2), perpendicular to the border
        ("0.5 >= sum", [0.4, 0.1]),
        ("sum >= 1.0", [0.65, 0.35]),
        ("sum == 0.9", [0.6, 0.3]),
        ("sum <= 1.5", [0.5, 0.2]),  # not active
    ],
)
def test_a_search_ends_at_the_best_that_meets_its_constraint(
    method: Optimizer, text: str, optimum: list[float]
) -> None:
    last = found(Constrained(method, Outputs((text,))), Plant(), 600)[-1]
    assert last.recommendation == pytest.approx(optimum, abs=0.03)


def test_the_search_is_the_same_in_other_units_of_return_and_gap() -> None:
    class Scaled(Plant):
        def evaluate(self, proposal: Proposal, key: Any) -> Evaluation:
            plain = super().evaluate(proposal, key)
            metrics = {"sum": 1024 * plain.metrics["sum"], "far": plain.metrics["far"]}
            return Evaluation(plain.params, 256 * plain.returns, plain.steps, metrics=metrics)

    plain = found(Constrained(CMAES(), Outputs(("sum <= 0.5",))), Plant(), 120)
    scaled = found(Constrained(CMAES(), Outputs(("sum <= 512",))), Scaled(), 120)
    assert scaled[-1].recommendation == pytest.approx(plain[-1].recommendation, abs=1e-9)


def test_gaps_on_scenarios_are_those_of_the_objective() -> None:
    metrics = {"far": np.array([[0.1, 0.2, 0.3, 0.3, 0.4, np.nan]])}  # two repetitions of three scenarios
    for objective, value in {"mean": 0.8 / 3, "worst": 0.3, "cvar:1": 0.8 / 3}.items():  # of 0.2, 0.3 and 0.3
        assert Outputs(("far <= 0.5",), 3, objective).gaps(metrics, 1)[0, 0] == pytest.approx(value - 0.5)
    assert Outputs(("far == 0.22",), 3, "worst").gaps(metrics, 1)[0, 0] == pytest.approx(0.3 - 0.22)


def test_a_constraint_holds_up_to_its_tolerance() -> None:
    metrics = {"v": np.array([[1.0], [1.0 + 0.9 * TOLERANCE], [1.5], [np.nan]])}
    assert Outputs(("v == 1",)).broken(metrics, 4) == pytest.approx(
        [0, 0, 0.5 - TOLERANCE, np.nan], nan_ok=True
    )
    assert Outputs(("v <= 1", "v >= 1.2")).broken(metrics, 4) == pytest.approx(
        [0.2, 0.2 - 0.9 * TOLERANCE + 0.9 * TOLERANCE, 0.5, np.nan], nan_ok=True
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("overshoot", "constraint: expected a comparison such as kd <= kp / 2, got 'overshoot'"),
        (
            "a <= 1 and b <= 2",
            "constraint: expected a comparison such as kd <= kp / 2; write two constraints",
        ),
        (
            "0 <= a <= 1",
            "outputs: expected one comparison of reported values, as overshoot <= 0.1, got 0 <= a <= 1",
        ),
        ("1 <= 2", "outputs: expected one comparison of reported values, as overshoot <= 0.1, got 1 <= 2"),
        ("a != 1", "constraint: expected comparisons by <, <=, > or >="),
        ("open(a) <= 1", "constraint: expected numbers, parameters, + - * / **, min, max and abs only"),
    ],
)
def test_a_constraint_on_outputs_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Constrained(CMAES(), Outputs((text,)))


def test_names_of_outputs_are_those_of_the_language() -> None:
    read = Constraint.of_outputs("max(rise, 2 * `settling time`) == abs(pid.kp)")
    assert read.names == ["rise", "settling time", "pid.kp"]
    assert read.gap({"rise": 1.0, "settling time": 2.0, "pid.kp": -3.0}) == 1.0


def test_a_metric_that_is_not_reported_is_named() -> None:
    with pytest.raises(
        ValueError, match="outputs: expected rise to be reported, as rise <= 1 needs it, got sum, far"
    ):
        found(Constrained(CMAES(), Outputs(("rise <= 1",))), Plant(), 60)
