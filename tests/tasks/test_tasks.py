"""Tasks whose policy is a controller with named parameters."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policysearch.aibo.half_ellipse_gait import SPACE
from policysearch.compare.__main__ import main
from policysearch.compare.study import Study, StudyError
from policysearch.core import Proposal
from policysearch.optimizers import ARS, PGPE, Reinforce
from policysearch.policies.controller import Controller
from policysearch.simulators.cart_pole_force import linear_problem
from policysearch.simulators.lqr import chain as chain_of_masses
from policysearch.simulators.problems import STEP_COST, aliased_gridworld, bandit, chain, coin_policy
from policysearch.simulators.rock_paper_scissors import ROUNDS, expected_return
from policysearch.tasks import TASKS, find_task, incompatibility, make_evaluator, make_problem

REDUCED = "aibo-gait-reduced"
CONTROLLERS = Path(__file__).parent.parent.parent / "experiments/controllers"
BEST_KNOWN = pd.read_csv(CONTROLLERS / "best_known.csv", index_col="task")


def test_a_search_of_a_controller_starts_and_stays_within_its_space() -> None:
    problem = make_problem(find_task(REDUCED), PGPE(), whitened=False, seed=0, run=0)
    assert np.array_equal(problem.domain.start, SPACE.domain.start)
    assert np.array_equal(problem.domain.lower, SPACE.domain.lower)
    assert np.array_equal(problem.domain.upper, SPACE.domain.upper)
    problem.evaluator.close()


def test_a_method_that_needs_scores_says_that_a_controller_has_none() -> None:
    with pytest.raises(ValueError, match="needs a distribution over actions, which a controller is not"):
        make_problem(find_task(REDUCED), Reinforce(), whitened=False, seed=0, run=0)


def test_whitening_says_that_a_controller_has_no_layer_to_take_it() -> None:
    policy = find_task(REDUCED).make_policy()
    assert "whitening needs a policy" in (incompatibility(policy, ARS(), whitened=True) or "")
    assert incompatibility(policy, ARS(), whitened=False) is None


def test_a_controller_cannot_be_deployed_by_sampling() -> None:
    with pytest.raises(StudyError, match="a controller has nothing to sample"):
        Study.resolve(
            {"tasks": {REDUCED: {"deploy": "sample"}}, "optimizers": {"random-search": {}}, "rollouts": 20}
        )


def test_candidates_of_a_real_robot_do_not_meet_the_same_traversals() -> None:
    task = find_task(REDUCED)
    evaluator = make_evaluator(task, task.make_policy())
    twins = np.tile(SPACE.domain.start, (2, 1))
    first, second = evaluator.evaluate(Proposal(twins, twins[0]), ("key",)).returns[:, 0]
    assert first != second
    evaluator.close()


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.nightly
def test_the_default_comparison_leaves_out_what_cannot_search_a_controller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--tasks", REDUCED, "--rollouts", "100", "--runs", "1", "--workers", "1", "--out", str(tmp_path)]
    assert main(flags) == 0
    said = capsys.readouterr()
    assert (
        f"left out: reinforce, off-policy-reinforce, natural-gradient, trpo, ppo: on {REDUCED}: n" in said.err
    )
    assert f"left out: whitened:ars: on {REDUCED}: whitening needs" in said.err
    assert "pgpe" in said.out
    assert "left out: pgpe" not in said.err


def test_a_replayed_controller_is_shown_by_name_and_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--tasks", REDUCED, "--optimizers", "random-search", "--rollouts", "10", "--runs", "1"]
    assert main([*flags, "--workers", "1", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["replay", str(tmp_path / "recommendations.npz")]) == 0
    said = capsys.readouterr().out
    assert "front locus height    " in said
    assert " cm\n" in said
    assert "the same to the last digit" in said


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.nightly) if n in ("swimmer-cpg", "cart-pole-lqr") else n
        for n in BEST_KNOWN.index
    ],
)
def test_what_is_known_of_a_controllers_task_is_what_the_experiment_found(name: str) -> None:
    known, task = BEST_KNOWN.loc[name], find_task(name)
    script: dict[str, Any] = runpy.run_path(str(CONTROLLERS / "best_known.py"))
    policy = task.make_policy()
    assert isinstance(policy, Controller)
    params = [policy.space.domain.start]
    rule = task.references.get("Ziegler & Nichols 1942")
    assert task.normalise == (known["start"], known["best_known"])
    assert task.references["best known"] == known["best_known"] > known["start"] > known["idle"]
    if name in script["RULES"]:
        assert rule == known["ziegler_nichols"]
        params.append(policy.space.encode(np.array(script["RULES"][name])))
    returns = script["mean_returns"](task, np.array(params))
    assert returns == pytest.approx([known["start"], rule][: len(params)], rel=1e-4)


def test_the_reference_of_the_linear_pole_is_its_riccati_optimum() -> None:
    reference = find_task("cart-pole-lqr").references["optimum of the linear plant (Riccati)"]
    assert reference == pytest.approx(linear_problem().optimal_return(), rel=1e-5)


def test_rules_of_thumb_and_the_start_are_within_the_bounds_and_below_the_best_known() -> None:
    rules = runpy.run_path(str(CONTROLLERS / "best_known.py"))["RULES"]
    assert set(rules) == {"motor-pid", "thermal-pid", "tanks-pid"}
    for name, gains in rules.items():
        task = find_task(name)
        policy = task.make_policy()
        assert isinstance(policy, Controller)
        lower, upper = policy.space.bounds
        assert ((lower < gains) & (gains < upper)).all()
        assert task.references["Ziegler & Nichols 1942"] < task.references["best known"]


def test_returns_of_models_with_closed_forms_are_what_they_compute() -> None:
    """They stand in `policysearch.tasks.known` as numbers, because importing the models takes a while."""
    lqr, arms, cells, grid = chain_of_masses(), bandit(), chain(), aliased_gridworld()
    untouched = lqr.expected_return(np.zeros(lqr.B.T.shape), np.full(lqr.B.shape[1], -np.inf))
    coin = grid.expected_return(coin_policy())
    remembered = 1 - STEP_COST * sum((3, 2, 1, 4, 3)) / 5
    at_random = {problem: problem.expected_return(np.zeros(problem.table)) for problem in (arms, cells, grid)}
    computed: dict[str, tuple[dict[str, float], tuple[float, float]]] = {
        "lqr": ({"optimum (Riccati)": lqr.optimal_return()}, (untouched, lqr.optimal_return())),
        "bandit": ({"optimum": arms.optimal_return()}, (at_random[arms], arms.optimal_return())),
        "chain": ({"optimum": cells.optimal_return()}, (at_random[cells], cells.optimal_return())),
        "aliased-gridworld": (
            {
                "optimum, seeing the cell": grid.optimal_return(),
                "best memoryless": coin,
                "best deterministic memoryless": grid.best_deterministic_return(),
            },
            (at_random[grid], coin),
        ),
        "aliased-gridworld-history": (
            {"optimum, seeing the cell": grid.optimal_return(), "best with memory": remembered},
            (at_random[grid], remembered),
        ),
        "rock-paper-scissors": (
            {"optimum (uniform)": 0.0, "deterministic": expected_return(np.eye(3)[0])},
            (expected_return(np.eye(3)[0]), 0.0),
        ),
    }
    for name, (references, normalise) in computed.items():
        assert dict(TASKS[name].references) == pytest.approx(references, rel=1e-12)
        assert TASKS[name].normalise == pytest.approx(normalise, rel=1e-12)
    assert TASKS["rock-paper-scissors"].max_episode_steps == ROUNDS + 1
    assert [TASKS[name].max_episode_steps for name in ("bandit", "chain", "aliased-gridworld")] == [
        problem.horizon + 1 for problem in (arms, cells, grid)
    ]
