"""Runs: what is charged, what is reported, and that nothing disturbs anything else."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from problems import ANYWHERE

from policysearch.compare.recommendation import replay, save
from policysearch.compare.run import Job, Result, execute, jobs, report_key
from policysearch.compare.saved import load
from policysearch.compare.study import Study
from policysearch.core import Proposal
from policysearch.search import Budget, generations
from policysearch.seeding import seed_of
from policysearch.tasks import make_problem

WALK = "counting_env:Counting-v0"


def study(**changes: Any) -> Study:
    data = {
        "tasks": [WALK],
        "optimizers": [*ANYWHERE, "whitened:ars"],
        "rollouts": 60,
        "runs": 2,
        **changes,
    }
    return Study.resolve(data)


def rows(result: Result) -> tuple[Any, ...]:
    return (
        {name: value for name, value in result.row.items() if name != "wall_seconds"},
        result.curve,
        result.params.tobytes(),
    )


@pytest.mark.parametrize("optimizer", [*ANYWHERE, "whitened:ars"])
def test_every_episode_that_ran_is_in_the_books(
    optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = tmp_path / "counts"
    monkeypatch.setenv("COUNTS", str(counts))
    study().task(WALK).meet()  # which resets it once
    counts.unlink(missing_ok=True)
    result = execute(study(), Job(WALK, optimizer, 0))
    seeds = [int(line) for line in counts.read_text().split()]
    assert result.row["rollouts"] <= 60
    assert result.row["rollouts"] + result.row["report_rollouts"] == len(seeds)
    assert result.row["steps"] == 5 * result.row["rollouts"]
    # the report's episodes, and only these, are keyed by ("report", task, run): no search meets them
    reported = {seed_of(*report_key(0, WALK, 0), "episode", j) for j in range(20)}
    searched = [seed for seed in seeds if seed not in reported]
    assert len(searched) == result.row["rollouts"]


def test_the_final_return_is_that_of_fresh_episodes_and_not_what_the_search_saw() -> None:
    chosen = study(tasks=["CartPole-v1"], rollouts=100)
    job = Job("CartPole-v1", "cma-es", 1)
    result = execute(chosen, job)
    env, totals = gym.make("CartPole-v1"), []
    W, b = result.params[:8].reshape(2, 4), result.params[8:]
    for j in range(20):
        obs, _ = env.reset(seed=seed_of(0, "report", "CartPole-v1", 1, "episode", j))
        total, over = 0.0, False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(int(np.argmax(W @ obs.astype(float) + b)))
            total, over = total + float(reward), terminated or truncated
        totals.append(total)
    assert result.row["final_return"] == np.mean(totals)
    assert result.row["final_return_se"] == pytest.approx(np.std(totals, ddof=1) / np.sqrt(20))


def test_the_claim_is_the_best_noisy_value_and_the_curve_is_what_was_recommended_at_the_time() -> None:
    chosen = study(optimizers={"cross-entropy": {"population_size": 10, "elites": 3, "sigma": 2.0}})
    result = execute(chosen, Job(WALK, "cross-entropy", 4))
    task, optimizer = chosen.task(WALK), chosen.optimizer(WALK, "cross-entropy")
    problem = make_problem(task, optimizer, whitened=False, seed=0, run=4)
    search = generations(
        problem.optimizer, problem.evaluator, problem.domain,
        budget=Budget(60), seed=0, problem=(WALK, 4), label="cross-entropy",
    )  # fmt: skip
    turns = list(search)
    assert result.row["claimed_return"] == max(turn.evaluation.returns.max() for turn in turns)
    assert result.params.tobytes() == turns[-1].recommendation.tobytes()
    assert [row["rollouts"] for row in result.curve] == list(range(0, 61, 6))
    for row in result.curve:
        held = [turn for turn in turns if turn.rollouts <= row["rollouts"]]
        params = held[-1].recommendation if held else problem.domain.start
        fresh = problem.evaluator.evaluate(Proposal(params[None], params, 20), report_key(0, WALK, 4))
        assert row["return_mean"] == fresh.returns.mean()
        assert row["steps"] == (held[-1].steps if held else 0)
    best = [row["best_seen"] for row in result.curve[2:]]
    assert best == sorted(best)
    assert result.curve[0]["return_mean"] == result.row["start_return"]
    assert result.curve[-1]["return_mean"] == result.row["final_return"]
    assert (
        max(row["return_mean"] for row in result.curve) > result.row["final_return"]
    )  # the last, not the best


def test_luck_is_claimed_but_not_reported() -> None:
    # All candidates are equal, and those of a generation meet the same episode: the best of 20 generations is
    # the best of 20 draws of N(0, 1), which looks 1.87 better than it is (standard deviation 0.53).
    name = "counting_env:Luck-v0"
    results = [
        execute(study(tasks=[name], rollouts=200, runs=8), Job(name, "random-search", run))
        for run in range(8)
    ]
    finals, claims = (
        [result.row[column] for result in results] for column in ("final_return", "claimed_return")
    )
    assert abs(np.mean(finals)) < 4 / np.sqrt(8 * 20)
    assert abs(np.mean(claims) - 1.87) < 4 * 0.53 / np.sqrt(8)


def test_all_methods_start_at_the_same_policy_also_a_random_one() -> None:
    chosen = study(
        tasks={WALK: {"policy": "mlp:3"}}, optimizers=["random-search", "reinforce", "whitened:ars"]
    )
    starts = [
        [execute(chosen, Job(WALK, label, run)).row["start_return"] for label in chosen.optimizers]
        for run in (0, 1)
    ]
    assert len(set(starts[0])) == len(set(starts[1])) == 1
    assert starts[0][0] != starts[1][0]


def test_a_method_without_scores_searches_the_parameters_of_the_mode_only() -> None:
    chosen = study(optimizers=["random-search", "reinforce"])
    assert execute(chosen, Job(WALK, "random-search", 0)).params.size == 3
    assert execute(chosen, Job(WALK, "reinforce", 0)).params.size == 4
    sampled = study(tasks={WALK: {"deploy": "sample"}}, optimizers=["random-search"])
    assert execute(sampled, Job(WALK, "random-search", 0)).params.size == 4


def test_adding_removing_and_reordering_methods_and_tasks_changes_nobody_elses_rows() -> None:
    small = study(optimizers=["random-search", "reinforce"])
    large = study(optimizers=["cma-es", "reinforce", "ars", "random-search"], tasks=["lqr", WALK], runs=1)
    for label in small.optimizers:
        assert repr(rows(execute(small, Job(WALK, label, 0)))) == repr(
            rows(execute(large, Job(WALK, label, 0)))
        )


def test_jobs_are_in_the_order_of_the_tables() -> None:
    listed = jobs(study(tasks=["lqr", WALK], optimizers=["ars", "cma-es"]))
    assert [tuple(vars(job).values()) for job in listed][:3] == [
        ("lqr", "ars", 0),
        ("lqr", "ars", 1),
        ("lqr", "cma-es", 0),
    ]
    assert len(listed) == 8


def test_failures_are_counted_charged_and_explained() -> None:
    name = "counting_env:Failing-v0"
    result = execute(study(tasks=[name], rollouts=200), Job(name, "random-search", 0))
    # a generation meets one episode, which breaks all ten candidates or none
    assert result.row["failed_rollouts"] in range(10, 100, 10)
    assert result.row["rollouts"] == 200
    assert "RuntimeError: a leg broke" in result.remarks[0]


def test_a_search_in_which_everything_fails_stops_and_says_why() -> None:
    name = "counting_env:Broken-v0"
    result = execute(study(tasks=[name], rollouts=300), Job(name, "random-search", 0))
    assert result.row["rollouts"] == result.row["failed_rollouts"] == 30
    assert any(
        "the search stopped: every episode of the last three generations failed" in r for r in result.remarks
    )
    assert np.isnan(result.row["final_return"])


@pytest.mark.parametrize(
    ("task", "label"),
    [
        ({}, "random-search"), ({}, "reinforce"), ({}, "whitened:ars"),
        ({"deploy": "sample"}, "cma-es"), ({"policy": "mlp:3"}, "whitened:reinforce"),
    ],
)  # fmt: skip
def test_a_saved_recommendation_reproduces_its_return_to_the_last_digit(
    task: dict[str, str], label: str, tmp_path: Path
) -> None:
    chosen = study(tasks={WALK: task}, optimizers=[label])
    result = execute(chosen, Job(WALK, label, 1))
    path = save(tmp_path, chosen, [result])
    replayed = replay(path)
    header = replayed.header
    assert replayed.final_return == header.final_return == result.row["final_return"]
    assert load(path)[1].tobytes() == result.params.tobytes()
    assert header.param_names == result.param_names
    assert len(header.param_names) == result.params.size


@pytest.mark.nightly  # by day for single evaluations, in evaluators/test_compiled.py
def test_compiled_rollouts_give_the_tables_of_the_environments_own_step() -> None:
    """To the last bit where the simulator is the environment to the last bit."""
    small = {
        "tasks": ["CartPole-v1", "MountainCarContinuous-v0", "lqr"],
        "optimizers": ["cma-es", "reinforce", "whitened:ars", "whitened:reinforce"],
        "runs": 1,
    }
    compiled, general = study(**small), study(**small, evaluator="episodes")
    for job in jobs(compiled):
        assert repr(rows(execute(compiled, job))) == repr(rows(execute(general, job))), job


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.nightly
def test_threads_and_processes_change_nothing() -> None:
    small: dict[str, Any] = {"optimizers": ["cma-es", "whitened:reinforce"], "runs": 1}
    for task, kinds in (("CartPole-v1", ("auto", "compiled")), ("counting_env:Failing-v0", ("auto", "pool"))):
        for label in small["optimizers"]:
            results = [
                repr(rows(execute(study(**small, tasks=[task], evaluator=kind), Job(task, label, 0), n)))
                for kind in kinds
                for n in (1, 2)
            ]
            assert all(result == results[0] for result in results), (task, label)


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.nightly
def test_a_recommendation_is_replayed_by_the_evaluator_that_reported_it(tmp_path: Path) -> None:
    for kind in ("episodes", "pool", "compiled"):
        chosen = study(tasks=["Acrobot-v1"], optimizers=["random-search"], rollouts=10, evaluator=kind)
        path = save(tmp_path / kind, chosen, [execute(chosen, Job("Acrobot-v1", "random-search", 0))])
        replayed = replay(path)
        assert (replayed.header.evaluator, replayed.same) == (kind, True)
