"""Tunings with constraints on outputs, and on several scenarios."""

import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from policysearch.asking.prompt import Prompt
from policysearch.evaluators import FunctionEvaluator, PoolEvaluator
from policysearch.evaluators.unseeded import Unseeded
from policysearch.interrupts import Interrupted
from policysearch.search import held_out
from policysearch.space import Bounds, Parameter, Space
from policysearch.tune.__main__ import main
from policysearch.tune.api import tune
from policysearch.tune.journal import OtherRequest
from policysearch.tune.records import Measurement, best_of
from policysearch.tune.result import TuneResult
from policysearch.tune.tuning import _recommended

SPACE = Space((Parameter("kp", 5.0, 1.0, 100.0, scale="log"), Parameter("kd", 1.0, 0.0, 10.0)))


def plant(params: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Least at kp = 20 · mass and kd = 3; the overshoot grows with kp."""
    kp, kd, mass = params["kp"], params["kd"], params.get("mass", 1.0)
    noise = 0.01 * np.random.default_rng(seed).standard_normal()
    return {
        "return": float((kp / (20 * mass) - 1) ** 2 + (kd - 3) ** 2 + noise),
        "overshoot": kp / 40 - kd / 20,
    }


def tuned(rollouts: int = 120, **options: Any) -> TuneResult:
    return tune(plant, SPACE, rollouts, goal="minimise", report_rollouts=3, **options)


def test_the_answer_meets_the_constraints_on_outputs() -> None:
    free, result = tuned(), tuned(outputs=["overshoot <= 0.1"])
    assert free.held_out.metrics["overshoot"][0].mean() > 0.2
    assert result.held_out.metrics["overshoot"][0].mean() <= 0.1
    assert (result.broken, result.usable) == (0.0, True)
    assert "overshoot <= 0.1 holds (overshoot 0." in str(result)
    assert result.held_out.means[0] < 0.5  # 0.25 at best
    assert result.best_seen[1] > free.best_seen[1]  # of those that meet them


def test_how_far_the_nearest_is_from_constraints_that_nothing_meets() -> None:
    result = tuned(60, outputs=["overshoot <= -9"])
    assert not result.usable
    assert result.broken == pytest.approx(9 + result.held_out.metrics["overshoot"][0].mean())
    assert f"overshoot <= -9 is broken by {result.broken:.3g}" in str(result)
    assert "no candidate met all constraints on outputs: this one breaks them least" in str(result)


def test_patience_and_targets_count_what_meets_the_constraints() -> None:
    assert tuned(36, target=1e9).ended == "target"
    assert tuned(36, target=1e9, outputs=["overshoot <= -9"]).ended == "budget"
    assert tuned(36, patience=18, outputs=["overshoot <= -9"]).ended == "patience"


@pytest.mark.parametrize(
    ("broken", "chosen"),
    [
        ([0, 0, 0], 0),
        ([1, 0, 0], 2),
        ([1, 0, 1], 1),
        ([0, 1, 1], 0),
        ([3, 2, 1], 2),
        ([1, 1, 2], 0),
        ([1, np.inf, 1], 0),
    ],
)
def test_what_breaks_constraints_least_is_recommended(broken: list[float], chosen: int) -> None:
    returns = np.array(
        [[2.0, 3.1], [1.0, 2.0], [1.5, 2.6]]
    )  # noisy: of the search, of the start, the best one seen
    assert _recommended(returns, np.array(broken, dtype=float)) == chosen


def test_the_best_candidate_is_one_that_breaks_constraints_least() -> None:
    made = [Measurement(0, i, 0, "search", {}, np.zeros(1), ret, 1, broken=x) for i, (ret, x) in enumerate(
        [(1.0, 0.5), (2.0, 0.0), (3.0, 0.0)])]  # fmt: skip
    assert best_of(made, "minimise").candidate == 1
    assert best_of(made, "maximise").candidate == 2


def test_every_scenario_is_charged_and_the_worst_is_reported() -> None:
    result = tuned(450, scenarios={"mass": [0.8, 1.0, 1.2]}, objective="worst")
    assert len(result.rollouts) <= 450
    assert result.history["mass"].tolist()[:3] == [0.8, 1.0, 1.2]
    assert result.values["mass"] == 1.0
    assert result.values["kp"] == pytest.approx(
        19.2, rel=0.08
    )  # as far from 16 as from 24, in shares of each
    table = result.scenarios
    assert table is not None
    assert table["mass"].tolist() == [0.8, 1.0, 1.2]
    assert table["nominal"].tolist() == [False, True, False]
    worst = table["recommended"].max()
    assert worst <= result.held_out.means[0] + 1e-9  # of each seed the worst, then the mean
    assert f"worst (mass = {table['mass'][table['recommended'].argmax()]:g}): " in str(result)
    assert "nominal (mass = 1): " in str(result)
    first = [r.ret for r in result.rollouts if (r.generation, r.candidate) == (0, 0)]
    assert result.completed[0].ret == max(first)


def test_combinations_of_two_lists_are_all_run() -> None:
    def cost(kp: float, kd: float, mass: float, wind: str) -> float:
        return (kp / (20 * mass) - 1) ** 2 + (kd - 3) ** 2 + (0.1 if wind == "storm" else 0.0)

    result = tune(
        cost,
        SPACE,
        48,
        goal="minimise",
        scenarios={"mass": [1.0, 2.0], "wind": ["calm", "storm"]},
        objective="cvar:0.5",
    )
    assert result.scenarios is not None
    assert result.scenarios[["mass", "wind", "nominal"]].to_numpy().tolist() == [
        [1.0, "calm", True], [1.0, "storm", False], [2.0, "calm", False], [2.0, "storm", False],
    ]  # fmt: skip
    assert result.held_out.returns == pytest.approx(
        result.held_out.returns[0]
    )  # run twice on each, as it has no seed
    assert result.scenarios["recommended"].nlargest(2).mean() == pytest.approx(result.held_out.means[0])


@dataclass
class Gains:
    kp: Annotated[float, Bounds(1.0, 100.0, scale="log")] = 5.0
    mass: Annotated[float, Bounds(0.5, 2.0)] = 1.0


def of_gains(gains: Gains, seed: int) -> float:
    return (gains.kp / (20 * gains.mass) - 1) ** 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "worst"}, "objective: expected scenarios for worst, got none"),
        (
            {"scenarios": {"mass": [1.0, 2.0]}, "objective": "best"},
            "objective: expected mean, worst, or cvar:q",
        ),
        ({"scenarios": {"mass": []}}, "scenarios: expected different values of mass, got []"),
        ({"scenarios": {"mass": [1.0, 1.0]}}, "scenarios: expected different values of mass, got [1.0, 1.0]"),
        ({"scenarios": {"mass": [1.0, 5.0]}}, "mass: expected a start between 0.5 and 2, got 5"),
        ({"scenarios": {"wind": [1.0, 5.0]}}, "scenarios: expected fields of Gains, got wind"),
        ({"outputs": ["overshoot"]}, "constraint: expected a comparison"),
        (
            {"outputs": ["rise <= 1"]},
            "outputs: expected rise to be reported, as rise <= 1 needs it, got nothing but its return",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        tune(of_gains, rollouts=40, goal="minimise", **options)


def test_a_field_of_the_scenarios_is_not_searched() -> None:
    result = tune(of_gains, rollouts=40, goal="minimise", scenarios={"mass": [0.8, 1.2]})
    assert [p.name for p in result.space.searched] == ["kp"]
    with pytest.raises(ValueError, match="scenarios: expected none where a person is asked"):
        tune(Prompt(lambda _: "1", lambda _: None), SPACE, 40, scenarios={"mass": [0.8, 1.2]})


def test_a_folder_belongs_to_its_scenarios_and_outputs(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "optimizer": "cma-es",
        "scenarios": {"mass": [0.8, 1.2]},
        "objective": "worst",
        "outputs": ["overshoot <= 0.3"],
    }
    whole = tuned(96, **options)
    tuned(48, out=tmp_path, **options)
    again = tuned(96, out=tmp_path, **options)
    assert again.history.equals(whole.history)
    assert str(again) == str(whole)
    for change in ({"objective": "mean"}, {"outputs": []}, {"scenarios": {"mass": [0.8, 1.3]}}):
        with pytest.raises(OtherRequest, match=next(iter(change))):
            tuned(96, out=tmp_path, **options | change)
    assert len(tuned(known=tmp_path).known) == 48 + 48


def test_the_command_line_takes_scenarios_and_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program = (
        r"""awk "BEGIN { printf \"{\\\"return\\\": %.17g, \\\"peak\\\": %s}\", ($1 / $2 - 3) ^ 2, $1 }" """
    )
    Path("plant.sh").write_text(program, encoding="utf-8")  # which starts sooner than Python
    text = 'command = "sh plant.sh {kp} {mass}"\ngoal = "minimise"\nrollouts = 16\nreport_rollouts = 2\n'
    text += 'optimizer = "local-regression"\n'
    text += "[parameters.kp]\nlower = 0.0\nupper = 9.0\n[scenarios]\nmass = [1.0, 1.5]\n"
    Path("plant.toml").write_text(text, encoding="utf-8")
    code = main(
        ["plant.toml", "--out", "out", "--objective", "worst", "--outputs", "peak <= 5", "--workers", "2"]
    )
    assert code == 0
    said = capsys.readouterr().out
    assert "nominal (mass = 1): " in said
    assert "peak <= 5 holds (peak " in said
    assert main(["plant.toml", "--out", "other", "--scenarios", "mass=1"]) == 2
    assert "scenarios.mass: " in capsys.readouterr().err


def test_the_scenarios_of_a_repetition_share_its_seed() -> None:
    seeds: dict[int, set[float]] = {}

    def cost(params: Mapping[str, Any], seed: int) -> float:
        seeds.setdefault(seed, set()).add(params["mass"])
        return float(params["kp"])

    tune(cost, SPACE, 24, goal="minimise", report_rollouts=2, scenarios={"mass": [0.8, 1.0, 1.2]})
    searched = list(seeds.values())
    assert all(masses == {0.8, 1.0, 1.2} for masses in searched[2:])  # after those of the check


def test_failures_on_one_scenario_are_those_of_its_episodes() -> None:
    def evaluate(scenario: float) -> float:
        if scenario == 2.0:
            raise ValueError("too heavy")
        return scenario

    space = Space((Parameter("m", 1.0),))
    inner = FunctionEvaluator(lambda m, mass: evaluate(mass), Space((*space.parameters, Parameter("mass", 1.0, 1.0, 1.0))),
                              scenarios=({"mass": 1.0}, {"mass": 2.0}))  # fmt: skip
    found = Unseeded(inner, 2).evaluate(held_out(np.array([[1.0]]), 8), (0,))
    assert found.returns.tolist()[0][::2] == [1.0] * 4
    assert np.isnan(found.returns[0, 1::2]).all()
    assert [failure.episode for failure in found.failures] == [1, 3, 5, 7]


def ends(params: Mapping[str, Any], seed: int) -> float:
    if params["mass"] == 2.0:
        os._exit(1)
    return float(seed)


def test_a_rollout_that_is_lost_is_named_with_the_seed_of_its_repetition() -> None:
    inner = FunctionEvaluator(ends, SPACE, scenarios=({"mass": 1.0}, {"mass": 2.0}))
    proposal = held_out(np.array([[5.0, 1.0]]), 4)
    with PoolEvaluator(inner, workers=1) as pool:
        evaluation = pool.evaluate(proposal, (1, "lost"))
    assert [failure.episode for failure in evaluation.failures] == [1, 3]
    given = evaluation.returns[0, [0, 2]].tolist()  # of the other scenario of each repetition
    assert [failure.seed for failure in evaluation.failures] == given


def test_what_a_stopped_search_recommends_counts_its_scenarios() -> None:
    calls = [0]

    def stopped(params: Mapping[str, Any], seed: int) -> float:
        calls[0] += 1
        if calls[0] > 60:
            raise KeyboardInterrupt
        return params["mass"]

    with pytest.raises(Interrupted) as found:
        tune(stopped, SPACE, 90, goal="minimise", scenarios={"mass": [1.0, 2.0, 6.0]}, objective="worst")
    assert found.value.result.best_seen[1] == 6.0
    assert pickle.loads(pickle.dumps(found.value.result)).completed[0].ret == 6.0  # noqa: S301
