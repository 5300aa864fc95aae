"""`python -m policysearch.gradients`: what it measures, writes and refuses."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policysearch.core import Array
from policysearch.estimates import measurement as estimates
from policysearch.estimates import report as estimates_report
from policysearch.estimates.__main__ import main
from policysearch.estimates.measurement import Estimates, Request, measured
from policysearch.gradients.estimators import FROM_RETURNS, FROM_ROLLOUTS
from policysearch.seeding import stream
from policysearch.tasks import find_task


def answer(request: Request) -> Estimates:
    *shares, found = measured(request)
    assert isinstance(found, Estimates)
    assert shares == sorted(shares)  # type: ignore[type-var]
    assert shares[-1] == 1.0
    return found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.nightly] * (name not in {"lqr", "aliased-gridworld"}))
        for name in estimates.TRUTHS
    ],
)
@pytest.mark.nightly
def test_a_closed_form_agrees_with_the_mean_of_many_rollouts(name: str) -> None:
    task = find_task(name)
    policy = task.make_policy()
    size, reference = (0.03, 6000) if name == "lqr" else (0.7, 2000)
    params = task.start_of(policy, stream(1)) + size * stream(2, name).standard_normal(policy.num_params)
    request = Request(
        task=task,
        estimators=["reward-to-go, average per step"],
        rollouts=[10],
        repeats=2,
        params=params,
        reference=reference,
    )
    truth = estimates.known_truth(request, params)
    assert truth is not None
    evaluator = estimates.make_evaluator(task, policy)
    found = estimates._reference(request, evaluator, params)
    assert np.linalg.norm(found.error) < 0.1 * np.linalg.norm(truth.gradient)
    z = np.abs(found.gradient - truth.gradient) / np.maximum(found.error, 1e-9)
    assert (z < 4).all()


@pytest.mark.parametrize("name", ["chain", "bandit", "aliased-gridworld"])
def test_a_closed_form_is_that_of_the_discount(name: str) -> None:
    task = find_task(name)
    params = 0.3 * stream(2, name).standard_normal(task.make_policy().num_params)
    whole, discounted = (
        estimates.known_truth(
            Request(task=task, estimators=["SPSA"], rollouts=[10], repeats=2, discount=gamma), params
        )
        for gamma in (1.0, 0.7)
    )
    assert whole is not None
    assert discounted is not None
    assert np.allclose(whole.gradient, discounted.gradient) == (
        name == "bandit"
    )  # its episodes have one step


def test_there_is_no_closed_form_for_another_policy_or_a_discounted_regulator() -> None:
    task = find_task("lqr")
    params = np.zeros(15)
    assert (
        estimates.known_truth(Request(task=task, estimators=["SPSA"], rollouts=[10], repeats=2), params)
        is not None
    )
    assert (
        estimates.known_truth(
            Request(task=task, estimators=["SPSA"], rollouts=[10], repeats=2, discount=0.9), params
        )
        is None
    )
    other = dataclasses.replace(task, policy="mlp:4")
    assert (
        estimates.known_truth(Request(task=other, estimators=["SPSA"], rollouts=[10], repeats=2), params)
        is None
    )


def test_the_numbers_of_a_row_are_those_of_the_estimates_worked_by_hand() -> None:
    truth = estimates.Truth(np.array([3.0, 4.0]), np.zeros(2), "closed form")
    row = estimates._row("SPSA", 10, np.array([[3.0, 0.0], [3.0, 10.0]]), truth)
    # mean (3, 5), off by 1 of 5; variance 0 + 50; noise √(50/2)/5; cosines 3·3/(3·5) and (9 + 40)/(√109·5)
    assert row["bias"] == pytest.approx(0.2)
    assert row["std"] == pytest.approx(np.sqrt(50) / 5)
    assert row["noise"] == pytest.approx(5 / 5)
    assert row["z"] == pytest.approx(0.2)
    assert row["snr"] == pytest.approx(np.sqrt(34 / 50))
    assert row["cosine"] == pytest.approx((0.6 + 49 / (5 * np.sqrt(109))) / 2)
    assert row["cosine_low"] < row["cosine"] < row["cosine_high"] <= 1.0
    uncertain = dataclasses.replace(truth, error=np.array([0.0, 12.0]))
    assert estimates._row("SPSA", 10, np.array([[3.0, 0.0], [3.0, 10.0]]), uncertain)[
        "noise"
    ] == pytest.approx(13 / 5)


@pytest.mark.nightly
def test_unbiased_estimators_are_found_to_be_and_a_biased_one_is_found_out() -> None:
    names = ["whole return", "whole return, own average", "reward-to-go, average per step"]
    found = answer(
        Request(task=find_task("chain"), estimators=names, rollouts=[2], repeats=600, discount=0.9)
    )
    z = found.table.set_index("estimator")["z"]
    assert z["whole return"] < 3
    assert z["reward-to-go, average per step"] < 3
    assert z["whole return, own average"] > 4
    bias = found.table.set_index("estimator")["bias"]["whole return, own average"]
    assert bias == pytest.approx(1 / 2, abs=0.15)
    words = "\n".join(estimates_report.verdict(found))
    assert "whole return, own average is biased by" in words
    assert "should be unbiased" not in words


def test_common_episodes_make_differences_less_noisy() -> None:
    found = answer(
        Request(task=find_task("chain"), estimators=["SPSA", "SPSA, common"], rollouts=[40], repeats=30)
    )
    std = found.table.set_index("estimator")["std"]
    assert std["SPSA, common"] < 0.3 * std["SPSA"]


def test_the_same_seed_gives_the_same_table_and_estimators_do_not_disturb_each_other() -> None:
    request = Request(
        task=find_task("chain"), estimators=["SPSA", "reward-to-go"], rollouts=[5, 20], repeats=4
    )
    table = answer(request).table
    pd.testing.assert_frame_equal(table, answer(request).table)
    alone = answer(dataclasses.replace(request, estimators=["reward-to-go"])).table
    pd.testing.assert_frame_equal(table.iloc[2:].reset_index(drop=True), alone)
    other = answer(dataclasses.replace(request, seed=1)).table
    assert not np.allclose(table["std"], other["std"])


def test_every_estimator_runs_on_a_task_without_a_closed_form() -> None:
    request = Request(
        task=find_task("CartPole-v1"), estimators=estimates.NAMES, rollouts=[20], repeats=3, reference=500
    )
    found = answer(request)
    assert set(found.table["estimator"]) == set(FROM_ROLLOUTS) | set(FROM_RETURNS)
    assert found.truth.source == "mean of 480 rollouts"
    assert found.truth.error.any()
    assert np.isfinite(found.table.drop(columns=["estimator", "biased_because"]).to_numpy(float)).all()


def test_files_table_and_words_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "folder"
    flags = ["chain", "--rollouts", "20", "5", "--repeats", "5", "--out", str(out)]
    assert main([*flags, "--estimators", "reward-to-go", "central differences"]) == 0
    said = capsys.readouterr().out
    assert "the truth is the closed form" in said
    assert "Nearest to the true direction with 20 rollouts" in said
    table = pd.read_csv(out / "estimates.csv")
    assert table["rollouts"].tolist() == [
        5,
        20,
        20,
    ]  # central differences need 20 rollouts for ten parameters
    text = (out / "estimates.md").read_text(encoding="utf-8")
    assert "policysearch.gradients chain --rollouts 20 5" in text
    assert "numpy" in text
    assert (out / "estimates.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "estimates.svg").read_text(encoding="utf-8").count("reward-to-go") == 1


@pytest.mark.usefixtures("blank_pictures_here")
def test_the_gradient_may_be_taken_where_a_comparison_has_arrived(tmp_path: Path) -> None:
    import policysearch

    study = {"tasks": ["bandit"], "optimizers": ["reinforce"], "rollouts": 100, "runs": 1}
    comparison = policysearch.compare(study, out=tmp_path / "study")
    file = tmp_path / "study/recommendations.npz"
    flags = [
        "bandit",
        "--at",
        str(file),
        "--repeats",
        "5",
        "--rollouts",
        "10",
        "--estimators",
        "reward-to-go",
    ]
    assert main([*flags, "--out", str(tmp_path / "out")]) == 0
    assert len(comparison.runs) == 1


@pytest.mark.usefixtures("blank_pictures_here")
def test_parameters_of_another_task_are_refused_and_those_of_a_mode_are_completed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import policysearch

    study = {"tasks": ["lqr"], "optimizers": ["cma-es"], "rollouts": 50, "runs": 1}
    policysearch.compare(study, out=tmp_path / "study")
    file = tmp_path / "study/recommendations.npz"
    flags = ["--at", str(file), "--repeats", "3", "--rollouts", "10", "--out", str(tmp_path / "out")]
    assert (
        main(["lqr", *flags, "--estimators", "reward-to-go"]) == 0
    )  # 12 of 15 numbers, and log_std at its start
    capsys.readouterr()
    assert main(["chain", *flags, "--estimators", "reward-to-go"]) == 2
    assert "expected parameters for chain with policy tabular, got lqr with linear" in capsys.readouterr().err


def test_a_request_names_everything_once() -> None:
    with pytest.raises(ValueError, match=re.escape("estimators: expected each once, got ['SPSA', 'SPSA']")):
        Request(task=find_task("chain"), estimators=["SPSA", "SPSA"], rollouts=[10], repeats=2)


BAD: list[tuple[list[str], str]] = [
    (["chainz"], "unknown task; did you mean chain"),
    (
        ["chain", "--estimators", "reward to go"],
        "estimators: unknown 'reward to go'; did you mean reward-to-go?",
    ),
    (["chain", "--repeats", "1"], "repeats: expected at least 2"),
    (
        ["chain", "--rollouts", "5", "--estimators", "central differences"],
        "rollouts: 5 are too few for central",
    ),
    (
        ["lqr", "--perturbation", "1e5", "--estimators", "SPSA", "--repeats", "2", "--rollouts", "4"],
        "choose a smaller perturbation",
    ),
    (["chain", "--reference", "-5"], "reference: expected at least 80 rollouts, got -5"),
    (["chain", "--rollouts", "0"], "rollouts: expected numbers of at least 1"),
    (["chain", "--discount", "1.5"], "discount: expected above 0 and at most 1, got 1.5"),
    (["chain", "--perturbation", "0"], "perturbation: expected a positive number, got 0"),
    (["chain", "--at", "nowhere.npz"], "nowhere.npz: no such file"),
    (["chain", "--policy", "gaussian-linear"], "is for continuous actions"),
    (["chain", "--policy", "tree"], "unknown policy 'tree'"),
]


@pytest.mark.parametrize(("flags", "message"), BAD)
def test_what_cannot_be_done_ends_in_one_message(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*flags, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert re.search(re.escape(message), said)
    assert said.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_the_machines_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["chain", "--repeats", "2", "--rollouts", "4", "--out", str(tmp_path / "file")]) == 3
    assert "cannot write" in capsys.readouterr().err


def test_parameters_at_which_an_episode_fails_are_refused() -> None:
    task, wild = find_task("lqr"), np.full(15, 1e5)
    with pytest.raises(ValueError, match="the gradient is not finite here: the policy diverges"):
        list(measured(Request(task=task, estimators=["reward-to-go"], rollouts=[5], repeats=2, params=wild)))
    with pytest.raises(ValueError, match=r"an episode failed: .*; choose other parameters"):
        list(
            measured(
                Request(
                    task=task,
                    estimators=["reward-to-go"],
                    rollouts=[5],
                    repeats=2,
                    params=wild,
                    discount=0.9,
                    reference=500,
                )
            )
        )
    with pytest.raises(ValueError, match=r"an episode failed: .*; choose a smaller perturbation"):
        list(measured(Request(task=task, estimators=["SPSA"], rollouts=[5], repeats=2, perturbation=1e5)))


def test_a_reference_that_cannot_tell_the_gradient_from_zero_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"zero here|cannot tell the gradient from zero .* raise --reference"
    ):
        list(
            measured(
                Request(
                    task=find_task("MountainCar-v0"),
                    estimators=["reward-to-go"],
                    rollouts=[5],
                    repeats=2,
                    reference=500,
                )
            )
        )


def test_a_gradient_of_zero_is_refused() -> None:
    task = dataclasses.replace(find_task("rock-paper-scissors"), start=None)  # uniform: the optimum
    with pytest.raises(ValueError, match="the gradient is zero here"):
        list(measured(Request(task=task, estimators=["reward-to-go"], rollouts=[5], repeats=2)))


def test_help_and_list_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in (*FROM_ROLLOUTS, *FROM_RETURNS))
    run: Any = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "policysearch.gradients", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "python -m policysearch.gradients" in run.stdout
    for heavy in ("numba", "matplotlib", "pandas", "gymnasium"):
        assert f" {heavy}\n" not in run.stderr


def of_exact_regulator(theta: Array) -> float:
    from policysearch.simulators.lqr import chain

    return chain().expected_return(theta[:9].reshape(3, 3), theta[12:])


def test_the_gradient_of_a_policy_with_bias_is_that_of_a_state_that_is_always_one() -> None:
    theta = 0.05 * stream(3).standard_normal(15)
    theta[9:12] = 0.0  # at no bias the other components are those of the plain regulator
    truth = estimates.TRUTHS["lqr"].gradient(theta, 1.0)
    h = 1e-6
    numeric = [
        (of_exact_regulator(theta + h * e) - of_exact_regulator(theta - h * e)) / (2 * h) for e in np.eye(15)
    ]
    assert np.delete(truth, [9, 10, 11]) == pytest.approx(np.delete(np.array(numeric), [9, 10, 11]), rel=1e-4)
