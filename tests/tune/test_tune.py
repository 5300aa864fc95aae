"""Tuning a function of named parameters: sound recommendations, honest words, nothing lost."""

import inspect
import re
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pytest

from policysearch.asking.prompt import Prompt
from policysearch.interrupts import Interrupted
from policysearch.ledger import LedgerBusy, LedgerError
from policysearch.optimizers import CMAES, HillClimbing, Repeated
from policysearch.reuse import Reuse
from policysearch.space import Bounds, Choice, Parameter, Space, space_of
from policysearch.tune.__main__ import Arguments, main
from policysearch.tune.api import tune
from policysearch.tune.held_out import HeldOut
from policysearch.tune.options import TuneOptions, TuneSettings
from policysearch.tune.prepared import default_method, first_options
from policysearch.tune.request import TuneRequest, read
from policysearch.tune.result import TuneResult

SPACE = Space(
    (
        Parameter("kp", 1.0, 0.1, 100.0, scale="log"),
        Parameter("kd", 0.0, 0.0, 10.0, "s"),
    )
)


def cost(params: Mapping[str, Any], seed: int) -> float:
    """Least, 0, at kp = 20 and kd = 3 s."""
    return float(np.log(params["kp"] / 20) ** 2 + (params["kd"] - 3) ** 2)


def noisy(params: Mapping[str, Any], seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {"return": cost(params, seed) + 0.3 * rng.standard_normal(), "energy": params["kp"] ** 2}


def test_a_function_is_tuned_and_its_improvement_is_that_of_fresh_tries() -> None:
    result = tune(noisy, SPACE, 150, goal="minimise")
    assert result.values["kp"] == pytest.approx(20, rel=0.3)
    assert result.values["kd"] == pytest.approx(3, abs=0.5)
    mean, low, high = result.improvement
    at_start = cost(result.start, 0)
    assert mean == pytest.approx(at_start, rel=0.1)
    assert low <= mean <= high
    # the noise depends on the seed alone, so paired differences have none
    assert high - low < 1e-9
    gap = result.held_out.start_returns - result.held_out.returns
    assert mean == pytest.approx(float(gap.mean()))
    assert "better than the start" in str(result)


def test_maximising_a_function_is_minimising_its_negative() -> None:
    up = tune(lambda params, seed: -cost(params, seed), SPACE, 60)
    down = tune(cost, SPACE, 60, goal="minimise")
    assert up.values == down.values
    assert up.improvement == pytest.approx(down.improvement)
    np.testing.assert_array_equal(up.history["return"], -down.history["return"])


def test_the_history_has_every_try_with_its_parameters_and_what_was_measured_beside() -> None:
    result = tune(noisy, SPACE, 60, "cma-es", goal="minimise")
    history = result.history
    assert len(history) == 60
    np.testing.assert_allclose(history["energy"], history["kp"] ** 2)
    row = history.iloc[7]
    assert abs(row["return"] - cost({"kp": row["kp"], "kd": row["kd"]}, 0)) < 2.0
    best, value = result.best_seen
    assert value == history["return"].min()
    assert best["kp"] == history.loc[history["return"].idxmin(), "kp"]
    assert (
        f"the best value seen was {value:.4g}, by other parameters: on the held-out seeds they give"
        in str(result)
    )


@pytest.mark.parametrize("kind", ["crash", "nan", "text"])
def test_a_function_that_fails_one_time_in_five_ends_in_a_sound_recommendation(kind: str) -> None:
    def fails(params: Mapping[str, Any], seed: int) -> Any:
        if seed % 5 == 0:
            if kind == "crash":
                raise RuntimeError("out of memory")
            return float("nan") if kind == "nan" else "4 mm"
        return cost(params, seed)

    result = tune(fails, SPACE, 200, goal="minimise", report_rollouts=40)
    assert result.values["kd"] == pytest.approx(3, abs=0.5)
    failed = int((result.history["failure"] != "").sum())
    assert 0 < failed < 100
    assert f"{failed} of {len(result.rollouts)} rollouts of the search failed, first:" in str(result)
    lost = int(np.isnan(result.held_out.returns).sum())
    assert 0 < lost < 20
    assert (
        f"better than the start where both succeeded; failed in {lost} of 40 report episodes, the start in {lost}"
        in str(result)
    )


def hangs(params: Mapping[str, Any], seed: int) -> float:
    if (seed + int(1e6 * params["kd"])) % 5 == 0:
        time.sleep(600)
    return cost(params, seed)


@pytest.mark.nightly  # by day a pool of rollouts that hang is tested
def test_a_function_that_hangs_one_time_in_five_ends_in_a_sound_recommendation_too() -> None:
    result = tune(hangs, SPACE, 6, goal="minimise", workers=2, timeout=0.3, report_rollouts=2)
    failed = result.history[result.history["failure"] != ""]
    assert 0 < len(failed) < 5
    assert failed["failure"].str.contains("0.3 s").all()
    assert f"{len(failed)} of 6 rollouts of the search failed, first: " in str(result)
    assert np.isfinite(result.held_out.means).all()
    assert result.improvement[0] > 5.0


def test_a_function_that_always_fails_says_so_and_recommends_the_start() -> None:
    for method, rollouts in (("cma-es", 12), ("auto", 2 + 12)):  # of the start, and two generations
        result = tune(lambda params, seed: float("inf"), SPACE, 200, method)
        assert result.values == result.start
        assert f"all {rollouts} rollouts failed, first: ValueError: the function returned inf" in str(result)
        assert "the search ended early: the start fails, and so did everything else" in str(result)
        assert np.isnan(result.improvement).all()
        assert not result.usable


@pytest.mark.parametrize(("method", "first"), [("cma-es", 6), ("auto", 2), ("auto", 2 + 6)])
def test_a_search_is_not_ended_by_one_generation_that_fails_nor_by_the_start(method: str, first: int) -> None:
    calls: list[int] = []

    def fails_at_first(params: Mapping[str, Any], seed: int) -> float:
        calls.append(seed)
        if len(calls) <= 2 * (2 + first):  # before the search and in its first generation, each run again
            raise RuntimeError("no licence")
        return cost(params, seed)

    result = tune(fails_at_first, SPACE, 32, method, goal="minimise", report_rollouts=2)
    assert (result.history["failure"] != "").sum() == first
    assert len(result.history) > 32 - 6
    assert result.usable


def test_parameters_that_break_a_constraint_are_never_tried() -> None:
    tried = []

    def watched(params: Mapping[str, Any], seed: int) -> float:
        tried.append(dict(params))
        return cost(params, seed)

    result = tune(watched, SPACE, 100, goal="minimise", constraints=["kd <= kp / 10"])
    assert all(params["kd"] <= params["kp"] / 10 for params in tried)
    broken = result.history[result.history["failure"] != ""]
    assert len(broken) > 0
    assert (broken["kd"] > broken["kp"] / 10).all()
    assert "kd <= kp / 10" in broken["failure"].iloc[0]


@dataclass
class Gains:
    kp: Annotated[float, Bounds(0.0, 10.0)] = 1.0
    window: Annotated[int, Bounds(1, 9)] = 1
    filter: Literal["none", "median"] = "none"


def test_whole_numbers_and_choices_come_from_a_dataclass() -> None:
    def value(params: Mapping[str, Any], seed: int) -> float:
        gains = Gains(**params)
        assert isinstance(gains.window, int)
        return -((gains.kp - 4) ** 2) - abs(gains.window - 5) + 5 * (gains.filter == "median")

    result = tune(value, Gains, 200)
    assert result.values["window"] == 5
    assert result.values["filter"] == "median"
    assert result.values["kp"] == pytest.approx(4, abs=0.5)


def test_a_program_is_tuned_too(tmp_path: Path) -> None:
    script = tmp_path / "simulate.py"
    script.write_text(
        "import sys\nx = float(sys.argv[1])\nprint('running')\nprint((x - 3) ** 2)\n", encoding="utf-8"
    )
    space = Space((Parameter("x", 0.0, 0.0, 10.0),))
    command = f"{sys.executable} {script} {{x}} {{seed}}"
    result = tune(
        command, space, 30, "hill-climbing", options={"neighbours": 4}, goal="minimise", report_rollouts=2
    )
    assert abs(result.values["x"] - 3) < 3
    assert result.improvement[0] > 0


def test_a_folder_keeps_everything_and_the_same_call_goes_on(tmp_path: Path) -> None:
    calls = 0

    def counted(params: Mapping[str, Any], seed: int) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == 40:
            raise KeyboardInterrupt
        return noisy(params, seed)

    calm = tune(noisy, SPACE, 60, goal="minimise")
    with pytest.raises(KeyboardInterrupt):
        tune(counted, SPACE, 60, goal="minimise", out=tmp_path)
    again = tune(counted, SPACE, 60, goal="minimise", out=tmp_path)
    assert (
        4 + 60 + 60 <= calls < 4 + 60 + 60 + 10
    )  # four before the search; a generation at most was tried twice
    assert again.values == calm.values
    assert again.history.equals(calm.history)
    np.testing.assert_array_equal(again.held_out.returns, calm.held_out.returns)


def test_a_folder_with_another_request_is_refused_with_what_differs(tmp_path: Path) -> None:
    tune(cost, SPACE, 20, out=tmp_path, report_rollouts=2)
    with pytest.raises(LedgerError, match="goal was maximise, is minimise; choose another folder"):
        tune(cost, SPACE, 20, out=tmp_path, goal="minimise")

    def nested(params: Mapping[str, Any], seed: int) -> float:
        with pytest.raises(LedgerBusy):
            tune(cost, SPACE, 20, out=tmp_path / "busy")
        return 0.0

    tune(nested, SPACE, 8, out=tmp_path / "busy", report_rollouts=2)


def test_the_options_are_described_once() -> None:
    machine = {
        "known",
        "perturb",
        "workers",
        "engine",
        "out",
        "progress",
        "log",
    }  # they change no number of the search
    assert set(TuneOptions.__annotations__) == set(TuneSettings.model_fields) - {
        "rollouts",
        "optimizer",
    } | machine | set(Reuse.model_fields)
    assert all(option.description for option in TuneSettings.model_fields.values())
    assert all(option.description for option in TuneRequest.model_fields.values())
    flags = {field.name for field in fields(Arguments)}
    own = {"what", "ask", "set", "fix", "known", "workers", "engine", "out", "log", *Reuse.model_fields}
    assert flags - own <= set(TuneSettings.model_fields)
    assert {"rollouts", "optimizer", "goal", "safe", "report_rollouts", "timeout"} <= flags
    assert set(inspect.signature(tune).parameters) == {
        "function",
        "space",
        "rollouts",
        "optimizer",
        "options",
    }


def test_a_misspelt_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument .gaol.; did you mean goal\?"):
        tune(cost, SPACE, gaol="minimise")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "cmaes"}, "unknown optimizer 'cmaes'; did you mean"),
        ({"options": {"sigmas": 1}}, "sigmas: not an option; did you mean sigma"),
        (
            {"rollouts": 3, "optimizer": "cma-es"},
            "rollouts: expected at least 6, one generation of cma-es, got 3",
        ),
        ({"rollouts": 1}, "rollouts: expected at least 2, 1 of the start and one generation of auto, got 1"),
        ({"rollouts": 7}, "rollouts: expected at least 8, 2 of the start and one generation of auto, got 7"),
        (
            {"rollouts": 15, "optimizer": "auto", "episodes_per_candidate": 2, "outputs": ["energy <= 2"]},
            "rollouts: expected at least 16, 4 of the start and one generation of auto, got 15",
        ),
        ({"safe": -0.1}, "reach: expected a positive number, got -0.1"),
        ({"perturb": {"load": "./nothing --kp {kp} --kd {kd}"}}, "expected a program that can be run"),
        ({"sensitivity_rollouts": 3}, "sensitivity_rollouts: expected 0, or at least 10, got 3"),
        ({"constraints": ["kd <= ki"]}, "ki"),
    ],
)
def test_a_wrong_request_gets_one_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tune(cost, SPACE, **({"rollouts": 20} | changes))


def test_a_function_may_want_a_dataclass_and_then_says_its_space_itself() -> None:
    def value(gains: Gains, seed: int) -> float:
        return -((gains.kp - 4) ** 2) - abs(gains.window - 5) + 5 * (gains.filter == "median")

    typed = tune(value, None, 60)
    named = tune(lambda params, seed: value(Gains(**params), seed), Gains, 60)
    assert typed.values == named.values

    def alone(gains: Gains, scale: float = 1.0) -> float:  # the seed is for no parameter with a default
        return value(gains, 0) if scale == 1.0 else 0.0

    assert tune(alone, None, 60).values == typed.values
    with pytest.raises(
        ValueError, match="expected parameters, or a function whose first parameter is annotated"
    ):
        tune(lambda params, seed: 0.0, None, 60)


def test_the_best_candidate_is_tried_on_the_same_fresh_seeds_as_the_recommendation() -> None:
    def lucky(params: Mapping[str, Any], seed: int) -> float:  # nothing but luck
        return float(np.random.default_rng([seed, int(1e6 * params["kd"])]).standard_normal())

    result = tune(lucky, SPACE, 100)
    assert result.best_seen_held_out is not None
    assert result.best_seen[1] > 2.0
    assert abs(result.best_seen_held_out.means[0]) < 1.0
    assert "which is no reason to prefer them" in str(result)
    luckier = tune(noisy, SPACE, 12, goal="minimise")
    assert luckier.best_seen_held_out is not None
    gap, low, _ = luckier.best_seen_held_out.improvement
    assert gap == pytest.approx(luckier.held_out.means[0] - luckier.best_seen_held_out.means[0])
    assert ("consider them (kp = " in str(luckier)) == (low > 0)


def test_without_luck_the_best_candidate_is_recommended() -> None:
    result = tune(cost, SPACE, 12, goal="minimise")
    best = result.history["return"].min()
    assert result.best_seen == (result.values, best)
    assert result.held_out.means[0] == pytest.approx(best)
    assert result.best_seen_held_out is None
    assert "the best value seen" not in str(result)
    at_best = Space((Parameter("kp", 20.0, 0.1, 100.0, scale="log"), Parameter("kd", 3.0, 0.0, 10.0)))
    assert tune(cost, at_best, 30, goal="minimise").values == {"kp": pytest.approx(20.0), "kd": 3.0}


def test_the_default_is_auto_and_a_single_parameter_and_choices_have_methods_of_their_own() -> None:
    free = Space((Parameter("a", 0.0), Parameter("b", 0.0)))
    assert default_method(SPACE) == default_method(free) == "auto"
    assert default_method(space_of(Gains)) == default_method(SPACE, constrained=True) == "cma-es"
    allowed = {"goal": "minimise", "outputs": ["energy <= 200"]}
    assert tune(noisy, SPACE, 30, **allowed).history.equals(
        tune(noisy, SPACE, 30, "cma-es", **allowed).history
    )
    for function in (cost, noisy):
        assert tune(function, SPACE, 30).history.equals(tune(function, SPACE, 30, "auto").history)
    assert tune(cost, SPACE, 30).values != tune(cost, SPACE, 30, "cma-es").values
    one = Space((Parameter("x", 0.0, -9.0, 9.0),))
    assert default_method(one) == "local-regression"
    assert default_method(Space((Choice("filter", ("a", "b", "c"), "a"),))) == "hill-climbing"
    tuned = tune(lambda params, seed: -((params["x"] - 3.0) ** 2), one, 60)
    assert tuned.values["x"] == pytest.approx(3.0, abs=0.05)


def test_cma_es_starts_with_small_steps() -> None:
    free = Space((Parameter("a", 0.0), Parameter("b", 0.0)))
    assert first_options("cma-es", SPACE) == {"sigma": 0.1}
    assert first_options("cma-es", free) == first_options("cma-es", space_of(Gains)) == {}
    assert first_options("auto", SPACE) == {}

    def found(**more: Any) -> dict[str, Any]:
        return tune(cost, SPACE, 30, "cma-es", **more).values

    assert found() == found(options={"sigma": 0.1})
    usual = found(options={"sigma": 0.3})
    assert found() != usual
    assert found(settings="source") == usual  # that of CMA-ES's author
    assert found(settings="default") == found()


def test_the_report_says_which_method_auto_took_and_why() -> None:
    said: list[str] = []
    exact = tune(cost, SPACE, 40, goal="minimise", report_rollouts=2, progress=said.append)
    rule = "auto, after 2 rollouts: quadratic-model, as the start has the same return twice"
    assert exact.remarks.count(rule) == said.count(rule) == 1
    assert rule in str(exact).splitlines()
    why = "as a point measured again has another return, or none"
    uncertain = tune(noisy, SPACE, 40, goal="minimise", report_rollouts=2)
    assert f"auto, after 2 rollouts: sep-cma-es, {why}" in uncertain.remarks
    tried: list[Mapping[str, Any]] = []

    def late(params: Mapping[str, Any], seed: int) -> float:
        tried.append(params)
        return cost(params, seed) + (
            0.3 * np.random.default_rng(seed).standard_normal() if len(tried) > 20 else 0.0
        )

    changed = tune(late, SPACE, 60, goal="minimise", report_rollouts=2).remarks
    first, second = (line for line in changed if line.startswith("auto, "))
    assert first == rule
    assert re.fullmatch(rf"auto, after 3\d rollouts: sep-cma-es, {why}", second)
    by_name = tune(cost, SPACE, 40, "quadratic-model", goal="minimise", report_rollouts=2)
    assert not [line for line in by_name.remarks if "quadratic-model" in line]


def test_generations_of_one_candidate_have_a_line_in_ten_unless_they_are_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lines() -> list[str]:
        said: list[str] = []
        tune(cost, SPACE, 200, goal="minimise", report_rollouts=2, progress=said.append)
        return [line.split(", about ")[0] for line in said if line.startswith("generation")]

    few = lines()
    assert few[0].startswith("generation 1: 1 of 200 rollouts")
    assert 10 < len(few) < 40
    monkeypatch.setattr("policysearch.tune.progress.SECONDS_BETWEEN_LINES", 0.0)  # as if each were slow
    every = lines()
    assert len(every) > 100
    assert [line for line in every if line in few] == few
    assert few[-1] == every[-1]  # that of the whole budget


def test_a_recommendation_at_a_bound_is_pointed_out_with_its_unit() -> None:
    result = tune(lambda params, seed: params["kd"] - params["kp"], SPACE, 200)
    assert "kd is at its upper bound of 10 s: if the bound can be moved" in str(result)
    assert "kp is at its lower bound of 0.1:" in str(result)


def test_a_margin_keeps_the_search_away_from_the_bounds() -> None:
    space = Space((Parameter("kp", 5.0, 0.0, 10.0), Parameter("kd", 5.0, 0.0, 10.0)))
    result = tune(lambda params, seed: params["kd"] - params["kp"], space, 200, margin=0.1)
    assert result.values == pytest.approx({"kp": 1.0, "kd": 9.0}, abs=1e-3)
    assert result.history[["kp", "kd"]].min().min() == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ValueError, match=r"kd.*margin"):
        tune(cost, SPACE, 20, margin=0.1)


def test_a_safe_tuning_never_steps_further_than_a_tenth_of_a_range_from_what_has_worked() -> None:
    space = Space((Parameter("kp", 10.0, 0.0, 100.0), Parameter("kd", 1.0, 0.0, 10.0)))

    def falls(params: Mapping[str, Any], seed: int) -> float:
        if params["kp"] > 60.0:
            raise RuntimeError("it fell")
        return -abs(params["kp"] - 55.0) - abs(params["kd"] - 5.0)

    result = tune(falls, space, 300, safe=True)
    history = result.history
    assert history["kp"].max() <= 70.0
    assert history["kp"].max() > 60.0  # it did go there
    worked = [(10.0, 1.0)]
    for _, generation in history.groupby("generation"):
        for row in generation.itertuples():
            nearest = min(max(abs(row.kp - kp) / 100, abs(row.kd - kd) / 10) for kp, kd in worked)
            assert nearest <= 0.1 + 1e-12
        worked += [(row.kp, row.kd) for row in generation.itertuples() if row.failure == ""]
    assert result.values["kp"] == pytest.approx(55.0, abs=5.0)


def test_changed_plants_are_tried_on_the_same_fresh_seeds() -> None:
    def heavier(params: Mapping[str, Any], seed: int) -> float:
        if params["kp"] < 2.0:
            raise RuntimeError("too weak")
        return noisy(params, seed)["return"] + 1.0

    result = tune(noisy, SPACE, 100, goal="minimise", perturb={"twice the load": heavier, "as before": noisy})
    changed = result.perturbed["twice the load"]
    np.testing.assert_allclose(changed.returns, result.held_out.returns + 1.0)
    assert changed.failed == (0, 20)
    np.testing.assert_array_equal(result.perturbed["as before"].start_returns, result.held_out.start_returns)
    table = result.robustness.set_index("plant")
    assert list(table.index) == ["as it is", "twice the load", "as before"]
    assert np.isnan(table.loc["twice the load", "start"])
    assert table.loc["as before", "improvement"] == table.loc["as it is", "improvement"]
    assert "on twice the load: " in str(result)
    said = "the start no return; not compared: too few seeds on which both succeeded"
    assert f"{said}; failed in 0 of 20 report episodes, the start in 20" in str(result)


def test_values_beside_the_recommendation_are_tried_if_asked_for() -> None:
    result = tune(noisy, SPACE, 100, goal="minimise", sensitivity_rollouts=100)
    assert result.sensitivity is not None
    slices = result.sensitivity.slices
    for _, row in slices.iterrows():
        values = result.values | {row["parameter"]: row["value"]}
        gap = cost(result.values, 0) - cost(values, 0)  # positive is better; the noise is that of the seed
        assert row["difference"] == pytest.approx(gap, abs=1e-9)
    assert "around it, " in str(result)
    careful = tune(noisy, SPACE, 100, goal="minimise", sensitivity_rollouts=100, safe=0.05)
    assert careful.sensitivity is not None
    beside = careful.space.encode(np.column_stack([[v["kp"], v["kd"]] for v in _beside(careful)]).T)
    assert np.abs(beside - careful.recommendation).max() <= 0.05 + 1e-9


def _beside(result: TuneResult) -> list[dict[str, Any]]:
    assert result.sensitivity is not None
    rows = result.sensitivity.slices.itertuples()
    return [result.values | {str(row.parameter): row.value} for row in rows]


def test_hopeless_tries_are_given_up_if_the_function_wants_to() -> None:
    def adds_up(params: Mapping[str, Any], seed: int, hopeless: float) -> dict[str, float]:
        total, rate, step = 0.0, cost(params, seed), 0
        rate *= 100.0 if abs(params["kd"] - 3.0) > 1.0 else 1.0  # it falls
        while step < 100:
            step += 1
            total += rate / 100
            if total > hopeless:
                break
        return {"return": total, "steps": step}

    result = tune(adds_up, SPACE, 200, goal="minimise")
    assert result.history["steps"].sum() < 0.97 * 100 * len(result.history)
    assert result.held_out.returns[0] < 0.1
    assert result.history["steps"][:6].eq(100).all()  # nothing is known yet


def test_what_else_was_measured_is_shown_beside_the_return() -> None:
    result = tune(noisy, SPACE, 60, goal="minimise")
    of, of_start = result.held_out.metrics["energy"]
    np.testing.assert_allclose(of, result.values["kp"] ** 2)
    np.testing.assert_allclose(of_start, 1.0)
    assert f"energy: {result.values['kp'] ** 2:.5g}, the start 1" in str(result)
    ahead = result.front("energy")
    assert ahead["return"].is_monotonic_decreasing
    for _, row in ahead.iterrows():
        others = result.candidates
        assert not ((others["energy"] < row["energy"]) & (others["return"] < row["return"])).any()
    with pytest.raises(ValueError, match=r"expected some of return, steps, energy, got effort"):
        result.front("effort")
    assert set(result.pictures()) == {"tries", "sensitivity", "pairs", "tradeoff"}


def test_a_person_is_asked_instead_of_a_function_and_the_folder_remembers(tmp_path: Path) -> None:
    space = Space((Parameter("x", 0.0, -10.0, 10.0, "mm"), Parameter("y", 0.0, -10.0, 10.0, "mm")))
    shown: list[str] = []

    def answer(lines: int) -> Prompt:
        left = iter(range(lines))

        def read(prompt: str) -> str:
            if "Enter ends" in prompt:
                return ""
            if next(left, None) is None:
                raise EOFError
            x, y = (float(line.split()[1]) for line in shown[-2:])
            return str((x - 3) ** 2 + (y + 2) ** 2)

        def say(text: str) -> None:
            shown.extend(text.splitlines())

        return Prompt(read, say)

    calm = tune(answer(100), space, 30, goal="minimise")
    with pytest.raises(Interrupted):
        tune(answer(17), space, 30, goal="minimise", out=tmp_path)
    again = tune(answer(30 + 6 - 17), space, 30, goal="minimise", out=tmp_path)  # not one question more
    assert again.values == calm.values
    np.testing.assert_array_equal(again.held_out.returns, calm.held_out.returns)
    assert calm.improvement[0] > 5
    with pytest.raises(ValueError, match="expected none where a person is asked"):
        tune(answer(1), space, 30, perturb={"load": cost})


def test_a_finished_folder_is_opened_again_without_a_single_try(tmp_path: Path) -> None:
    def runs(params: Mapping[str, Any], seed: int) -> float:
        assert not (tmp_path / "done").exists()
        return noisy(params, seed)["return"]

    def changed(params: Mapping[str, Any], seed: int) -> float:
        return runs(params, seed) + 1.0

    def further(params: Mapping[str, Any], seed: int) -> float:
        return runs(params, seed) + 2.0

    def asked() -> TuneResult:
        plants = {"shifted": changed, "shifted further": further}
        return tune(runs, SPACE, 40, sensitivity_rollouts=60, perturb=plants, out=tmp_path)

    first = asked()
    (tmp_path / "done").touch()
    again = asked()
    assert str(again) == str(first)
    np.testing.assert_allclose(again.perturbed["shifted"].returns, again.held_out.returns + 1.0)
    np.testing.assert_allclose(again.perturbed["shifted further"].returns, again.held_out.returns + 2.0)


def test_a_rival_that_fails_more_often_is_counted_instead_of_advised() -> None:
    base = tune(noisy, SPACE, 12)
    lucky = np.r_[np.full(10, 5.0), np.full(30, np.nan)] + 0.1 * np.arange(40)
    rival = HeldOut("maximise", lucky, 0.1 * np.arange(40) + 0.05 * (np.arange(40) % 2))
    result = replace(base, best_seen_held_out=rival)
    assert rival.improvement[1] > 0
    assert "(they failed on 30 of 40)" in str(result)
    assert "consider them" not in str(result)


def test_a_function_that_exits_has_failed() -> None:
    def leaves(params: Mapping[str, Any], seed: int) -> float:
        if seed % 2:
            sys.exit(0)
        return cost(params, seed)

    result = tune(leaves, SPACE, 60, goal="minimise")
    assert result.history["failure"].str.startswith("SystemExit: 0").any()
    assert 0 < result.held_out.failed[0] < 20


def test_what_was_measured_never_overwrites_a_column_of_the_table() -> None:
    def echoes(params: Mapping[str, Any], seed: int) -> dict[str, float]:
        return {"return": cost(params, seed), "kp": -1.0, "generation": 99.0}

    result = tune(echoes, SPACE, 30)
    assert (result.history["kp"] > 0).all()
    assert result.history["generation"].max() < 30
    assert (result.history["kp (measured)"] == -1.0).all()
    with pytest.raises(
        ValueError, match=r"space: expected other names than generation, .*, got steps, return"
    ):
        tune(cost, Space((Parameter("steps", 1.0), Parameter("return", 1.0))), 30)


@pytest.mark.parametrize("violation", [0.0, 1.0])
def test_only_what_was_measured_is_drawn(violation: float) -> None:
    def measured(params: Mapping[str, Any], seed: int) -> dict[str, float]:
        return {"return": params["kp"], "energy": 2.0, "violation": violation}

    result = tune(measured, SPACE, 12, metrics={"overshot": "minimise"})
    assert ("tradeoff" in result.pictures()) == (violation == 0.0)
    assert str(result).startswith("recommended:" if violation == 0.0 else "nothing usable was found")


def test_a_choice_that_nearly_no_try_changed_has_no_surface() -> None:
    space = Space((Parameter("x", 0.0, -1.0, 1.0), Choice("mode", tuple("abcde"), "c")))
    for rollouts in (6, 8, 10):
        result = tune(lambda params, seed: params["x"], space, rollouts, seed=0)
        assert set(result.pictures()) >= {"tries"}


def test_a_search_that_ends_by_itself_says_so() -> None:
    result = tune(cost, SPACE, 2000, "cma-es", report_rollouts=2)
    assert f"cma-es found nothing left to search after {len(result.history)} of 2000 rollouts" in str(result)
    assert "nothing left to search" not in str(tune(noisy, SPACE, 50))


def test_a_start_that_breaks_a_constraint_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"start: .* got some that break kp >= 2 \(by 1\)"):
        tune(cost, SPACE, 20, constraints=["kp >= 2"], out=tmp_path / "out")
    with pytest.raises(ValueError, match="ppo: expected a method without scores"):
        tune(cost, SPACE, 20, "ppo", out=tmp_path / "out")
    lock = threading.Lock()
    with pytest.raises(
        ValueError, match=r"function: expected one that can be sent .*; build that inside the f"
    ):
        tune(lambda params, seed: float(bool(lock)), SPACE, 20, workers=2, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("optimizer", "options", "expected"),
    [
        (CMAES(), {}, ("cma-es", {"sigma": 0.3})),
        (CMAES(sigma=0.2), {"population_size": 5}, ("cma-es", {"sigma": 0.2, "population_size": 5})),
        (HillClimbing, {}, ("hill-climbing", {})),
    ],
)
def test_a_method_may_be_given_as_itself(optimizer: Any, options: Any, expected: Any) -> None:
    method, hyperparameters = expected
    found = tune(cost, SPACE, 32, optimizer, options=options, goal="minimise", report_rollouts=2)
    named = tune(cost, SPACE, 32, method, options=hyperparameters, goal="minimise", report_rollouts=2)
    assert found.history.equals(named.history)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("CMAES", r"unknown optimizer 'CMAES'; did you mean cma-es\?"),
        (3, "optimizer: expected a name, such as cma-es, or a method, got 3"),
        (dict, "optimizer: expected a name, such as cma-es, or a method, got <class 'dict'>"),
        (Repeated(CMAES(), 2), "expected a method that is around no other.*episodes_per_candidate"),
    ],
)
def test_what_is_no_method_is_refused(optimizer: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tune(cost, SPACE, 32, optimizer)


def test_a_method_whose_extra_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)  # as if it were not installed
    with pytest.raises(ValueError, match=r"optimizer: bayesian needs `pip install 'policysearch\[bo\]'`$"):
        tune(cost, SPACE, 32, "bayesian")


def test_what_is_known_is_said_when_a_folder_is_opened_again(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        tune(cost, SPACE, 12, "cma-es", report_rollouts=2, out=tmp_path, progress=said.append)
    known = [line for line in said if "are known" in line]
    assert known == [f"18 rollouts are known from {tmp_path}: they are not run again"]


def test_the_picture_shows_every_try_and_both_means() -> None:
    result: TuneResult = tune(noisy, SPACE, 30, "cma-es", goal="minimise")
    tries, fresh = result.plot().axes
    shown = [line for line in tries.lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in shown) >= 30  # type: ignore[arg-type]
    means = [line.get_ydata()[0] for line in fresh.lines if len(line.get_ydata()) == 2]  # type: ignore[arg-type,index]
    assert means == pytest.approx([result.held_out.start_returns.mean(), result.held_out.returns.mean()])


# --------------------------------------------------------------------------------------------- the command line

FILE = """
command = "{python} simulate.py {{kp}} {{seed}}"
goal = "minimise"
rollouts = 24

[parameters.kp]
start = 0.0
lower = -10.0
upper = 10.0
unit = "N·m"
"""
PROGRAM = "import sys\nprint((float(sys.argv[1]) - 3) ** 2)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "simulate.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "gains.toml").write_text(FILE.format(python=sys.executable), encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("drawn_pictures")
def test_a_file_is_tuned_its_results_are_kept_and_the_same_command_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("gains.toml", "--optimizer", "hill-climbing", "--rollouts")
    assert here(folder, monkeypatch, *asked, "16") == 0
    first = capsys.readouterr().out
    assert "kp = " in first
    assert " N·m (start 0)" in first
    out = folder / "policysearch-results" / "gains"
    assert first.startswith((out / "result.txt").read_text(encoding="utf-8"))
    assert len(pd.read_csv(out / "history.csv")) == 16
    assert (out / "tries.png").stat().st_size > 1000
    (folder / "simulate.py").write_text("raise SystemExit(9)", encoding="utf-8")
    assert here(folder, monkeypatch, *asked, "16", "--keep", "a test") == 0  # nothing is tried again
    kept = capsys.readouterr().out
    assert kept.replace("kept although file simulate.py has changed: a test\n", "") == first
    assert (
        here(folder, monkeypatch, *asked, "32") == 0
    )  # what was tried is known; all that is tried now fails
    assert "16 of 32 rollouts of the search failed, first: exit code 9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lower = -10.0", "lower = 20.0", "kp: expected lower <= upper, got 20 and 10"),
        ("start = 0.0", "start = 11.0", "kp: expected a start between -10 and 10 N·m, got 11"),
        ('unit = "N·m"', 'scale = "log"', "kp: a logarithmic scale needs positive numbers"),
        ('unit = "N·m"', 'units = "N·m"', "parameters.kp.units: not an option; did you mean unit?"),
        ("simulate.py {kp}", "simulate.py {ki}", "{ki}"),
        ("command = ", "command = 5 #", "command: "),
        ('goal = "minimise"', 'goal = "less"', "goal: "),
        (
            "rollouts = 24",
            "rollouts = 2",
            "rollouts: expected at least 10, one generation of random-search, got 2",
        ),
    ],
)
def test_a_wrong_file_gets_one_line(
    folder: Path,
    old: str,
    new: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (folder / "gains.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "gains.toml").write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.chdir(folder)
    assert main(["gains.toml", "--optimizer", "random-search"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("error:") == 1


def test_a_program_that_prints_nothing_or_is_not_there_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "simulate.py").write_text("", encoding="utf-8")
    assert here(folder, monkeypatch, "gains.toml", "--optimizer", "random-search") == 1
    assert "rollouts failed, first: exit code 0, but it printed nothing" in capsys.readouterr().out
    (folder / "gains.toml").write_text(FILE.format(python="/no/such/program"), encoding="utf-8")
    assert here(folder, monkeypatch, "gains.toml") == 2
    assert "/no/such/program" in capsys.readouterr().err


def here(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command line in this process, in a folder."""
    monkeypatch.chdir(folder)
    return main([*arguments])


MODULE = """
import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from policysearch.space import Bounds


@dataclass
class Gains:
    kp: Annotated[float, Bounds(-10.0, 10.0, unit="N")] = 0.0
    kd: Annotated[float, Bounds(-10.0, 10.0)] = 0.0


def cost(gains: Gains, seed: int) -> dict[str, float]:
    return {"return": (gains.kp - 3) ** 2 + gains.kd**2, "effort": gains.kp**2}


def unannotated(gains, seed):
    return 0.0


def misspelt(gains: "Gain", seed):
    return 0.0
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of somebody else."""
    name = f"plant_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.usefixtures("drawn_pictures")
def test_a_function_is_tuned_by_its_name_and_files_of_another_result_do_not_stay(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (f"{module}:cost", "--goal", "minimise", "--rollouts", "60", "--report-rollouts", "2")
    assert here(tmp_path, monkeypatch, *asked, "--sensitivity-rollouts", "40", "--set", "sigma=0.2") == 0
    out = tmp_path / "policysearch-results" / f"{module}-cost"
    drawn = {"tries.png", "sensitivity.png", "pairs.png", "tradeoff.png"}
    tables = {"result.txt", "result.json", "history.csv", "sensitivity.csv"}
    assert {path.name for path in out.iterdir() if ".sqlite" not in path.name} == drawn | tables
    said = capsys.readouterr()
    assert "kp = " in said.out and " N (start 0)" in said.out  # noqa: PT018
    assert "around it, " in said.out
    assert here(tmp_path, monkeypatch, *asked, "--set", "sigma=0.2") == 0
    assert not (out / "sensitivity.csv").exists()
    assert "rollouts are known from" in capsys.readouterr().err
    assert here(tmp_path, monkeypatch, *asked, "--set", "sigma=0.3") == 2
    assert "holds another request: optimizer.sigma was 0.2, is 0.3; choose another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{module}:unannotated",), "expected parameters, or a function whose first parameter is annotated"),
        (("{module}:misspelt",), "expected parameters, or a function whose first parameter is annotated"),
        (("{module}:nothing",), "function: cannot import"),
        (("no_such_module:cost",), "function: cannot import no_such_module:cost: ModuleNotFoundError"),
        (("{module}:cost", "--optimizer", "ppo"), "ppo: expected a method without scores"),
        (("{module}:cost", "--set", "sigma"), "--set sigma: expected FIELD=VALUE"),
        (("{module}:cost", "--set", "sigma=-1"), "sigma: expected a positive number"),
        (("{module}:cost", "--optimizer", "cma-es", "--rollouts", "2"), "rollouts: expected at least 6"),
        (("{module}:cost", "--rollouts", "2"), "rollouts: expected at least 8"),
        (
            ("{module}:cost", "--sensitivity-rollouts", "3"),
            "sensitivity_rollouts: expected 0, or at least 10",
        ),
        (
            ("{module}:cost", "--report-rollouts", "1"),
            "report_rollouts: Input should be greater than or equal",
        ),
        (("nothing.toml",), "nothing.toml: cannot read it"),
        ((".",), "cannot read it"),
    ],
)
def test_a_wrong_command_gets_one_line_and_leaves_nothing_behind(
    arguments: tuple[str, ...],
    message: str,
    module: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert here(tmp_path, monkeypatch, *(text.format(module=module) for text in arguments)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("error:") == 1
    assert not (tmp_path / "policysearch-results").exists()


def test_a_file_for_a_program_serves_to_ask_a_person_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["4", "undo", *"987654321", "7", "failed", "skip", "2", *"2323", ""])

    def line(prompt: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("policysearch.tune.request.Prompt", lambda: Prompt(line))
    asked = (
        "gains.toml",
        "--ask",
        "--optimizer",
        "nelder-mead",
        "--rollouts",
        "12",
        "--report-rollouts",
        "2",
    )
    assert here(folder, monkeypatch, *asked) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "N·m" in said
    assert "check: the recommendation" in said
    assert "on 2 held-out seeds: " in said
    assert here(folder, monkeypatch, "gains.toml", "--ask", "--out", "other") == 130  # nobody is there
    assert "the same command continues" in capsys.readouterr().err


def test_whole_numbers_among_the_options_stay_whole(tmp_path: Path) -> None:
    text = 'function = "math:hypot"\n[parameters.n]\noptions = [1, 2, 4]\nstart = 2\n'
    (tmp_path / "n.toml").write_text(text, encoding="utf-8")
    space = read(str(tmp_path / "n.toml"), {}).space()
    assert space is not None
    assert repr(space.named(space.domain.start)) == "{'n': 2}"
