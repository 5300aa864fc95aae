"""Plants that are not given their seeds are not run for every one of them."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.core import Evaluation, Proposal
from policysearch.evaluators import FunctionEvaluator, PoolEvaluator, ProgramEvaluator
from policysearch.evaluators.runner import Runner
from policysearch.evaluators.unseeded import Unseeded
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune

SPACE = Space((Parameter("kp", 1.0, 0.0, 10.0), Parameter("kd", 0.5, 0.0, 10.0)))
PARAMS = np.array([[0.1, 0.2], [0.7, 0.4], [0.9, 0.9]])


def plain(params: Any) -> dict[str, float]:
    if params["kp"] > 8.0:
        raise RuntimeError("unstable")
    return {"return": params["kp"] - params["kd"], "steps": 7, "peak": params["kp"]}


def evaluated(runner: Runner | Unseeded, episodes: int = 5) -> Evaluation:
    return runner.evaluate(Proposal(PARAMS, PARAMS[0], episodes), (4, "report"))


def same(found: Evaluation, expected: Evaluation) -> bool:
    arrays = [(found.returns, expected.returns), (found.steps, expected.steps)]
    arrays += [(found.metrics[name], x) for name, x in expected.metrics.items()]
    places = [[(f.candidate, f.episode, f.seed, f.reason) for f in e.failures] for e in (found, expected)]
    return all(a.tobytes() == b.tobytes() for a, b in arrays) and places[0] == places[1]


def test_of_equal_runs_two_are_made_and_the_evaluation_is_that_of_all() -> None:
    calls = []

    def counted(params: Any) -> dict[str, float]:
        calls.append(params)
        return plain(params)

    found = evaluated(Unseeded(FunctionEvaluator(counted, SPACE)))
    assert len(calls) == 2 * 2 + 2 * 2  # what raises is called again, once
    assert same(found, evaluated(FunctionEvaluator(plain, SPACE)))


def test_a_plant_with_random_numbers_of_its_own_is_run_for_every_episode() -> None:
    draws = itertools.count()
    found = evaluated(Unseeded(FunctionEvaluator(lambda params: float(next(draws)), SPACE)))
    assert len(set(found.returns.ravel())) == found.returns.size


@pytest.mark.parametrize("function", [lambda params, seed: 1.0, lambda *args: 1.0])
def test_a_plant_that_is_given_its_seeds_is_run_for_each(function: Any) -> None:
    calls = []

    def counted(params: Any, seed: int) -> float:
        calls.append(seed)
        return float(function(params, seed))

    evaluated(Unseeded(FunctionEvaluator(counted, SPACE)))
    assert len(calls) == 15


@pytest.mark.parametrize(
    ("runner", "seeded"),
    [
        (lambda: FunctionEvaluator(plain, SPACE), False),
        (lambda: FunctionEvaluator(lambda params, seed: 1.0, SPACE), True),
        (lambda: FunctionEvaluator(lambda *args: 1.0, SPACE), True),
        (lambda: FunctionEvaluator(lambda kp, kd: kp, SPACE), False),
        (lambda: PoolEvaluator(FunctionEvaluator(plain, SPACE), workers=1), False),
        (lambda: ProgramEvaluator("echo {kp} {kd}", SPACE), False),
        (lambda: ProgramEvaluator("echo {kp} {kd} {seed}", SPACE), True),
        (lambda: ProgramEvaluator("echo {json}", SPACE), True),
    ],
)
def test_a_runner_knows_whether_its_rollouts_are_given_seeds(runner: Any, seeded: bool) -> None:
    with runner() as built:
        assert built.seeded is seeded


@pytest.mark.usefixtures("no_tune_pictures")
def test_a_program_without_a_seed_is_run_twice_for_the_report_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = "sh -c 'echo >> {here}/calls; echo {kp}' sh {kd}"
    result = tune(command, SPACE, 12, goal="minimise", directory="{dir}", out=tmp_path / "out", seed=1)
    calls = len(Path("calls").read_text(encoding="utf-8"))
    candidates = len({rollout.candidate for rollout in result.rollouts})
    assert candidates > 1
    assert calls <= 4 + len(result.rollouts) + 2 * 3  # those before the search, of the search, of the report
    assert len(result.held_out.returns) == 20
    assert "the plant is not given a seed and returned the same twice" in str(result)
    again = tune(command, SPACE, 12, goal="minimise", directory="{dir}", out=tmp_path / "out", seed=1)
    assert len(Path("calls").read_text(encoding="utf-8")) == calls
    assert str(again) == str(result)
