"""What is reported of recommendations that fail in some of their report episodes."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policysearch.compare.recommendation import replay, save
from policysearch.compare.reported import (
    FAILED,
    failure_return,
    failures_in_words,
    in_words,
    mean_return,
    standard_error,
    with_counts,
)
from policysearch.compare.run import Job, execute, report_key
from policysearch.compare.study import Study, StudyError
from policysearch.compare.tables import Tables
from policysearch.search import held_out

NAN = math.nan
FAILING, FRAGILE = "counting_env:Failing-v0", "counting_env:FRAGILE"


@pytest.mark.parametrize(
    ("returns", "failure", "mean", "error"),
    [
        ([1.0, 3.0], None, 2.0, 1.0),
        ([1.0, 3.0], -9.0, 2.0, 1.0),
        ([1.0, NAN, 3.0, 2.0], -8.0, -0.5, math.sqrt((1.5**2 + 7.5**2 + 3.5**2 + 2.5**2) / 3) / 2),
        ([1.0, NAN, 3.0, NAN], None, 2.0, 1.0),
        ([NAN, 4.0], None, 4.0, NAN),  # one episode has no standard error
        ([NAN, NAN], None, NAN, NAN),
        ([NAN, NAN], -8.0, -8.0, 0.0),
        ([NAN, 0.0], 0.0, 0.0, 0.0),
    ],
)
def test_a_failed_episode_counts_as_declared_or_is_left_out(
    returns: list[float], failure: float | None, mean: float, error: float
) -> None:
    assert mean_return(np.array(returns), failure) == pytest.approx(mean, nan_ok=True)
    assert standard_error(np.array(returns), failure) == pytest.approx(error, nan_ok=True)


def study(task: str, choice: dict[str, Any], **changes: Any) -> Study:
    rows = {"tasks": {task: choice}, "optimizers": ["random-search"], "rollouts": 20, "curve_points": 1}
    return Study.resolve({**rows, **changes})


@pytest.mark.parametrize(
    ("task", "choice", "value"),
    [
        (FAILING, {}, None),
        (FAILING, {"normalise": [-30.0, 0.0]}, -30.0),
        (FAILING, {"normalise": [-30.0, 0.0], "failure_return": -70.0}, -70.0),
        (FAILING, {"failure_return": 0.0}, 0.0),
        (FRAGILE, {}, -99.0),
        (FRAGILE, {"normalise": [-30.0, 0.0]}, -99.0),
        (FRAGILE, {"failure_return": -70.0}, -70.0),
        ("CartPole-v1", {}, 22.3),
    ],
)
def test_the_return_of_a_failure_is_the_studys_the_tasks_or_the_lower_reference(
    task: str, choice: dict[str, Any], value: float | None
) -> None:
    assert failure_return(study(task, choice), task) == value


@pytest.mark.parametrize("choice", [{}, {"failure_return": -70.0}])
def test_a_run_that_fails_in_some_report_episodes_has_a_return_which_is_replayed(
    choice: dict[str, Any], tmp_path: Path
) -> None:
    chosen = study(FAILING, choice)
    result = execute(chosen, Job(FAILING, "random-search", 2))
    problem = chosen.problem(FAILING, "random-search", 2)
    returns = problem.evaluator.evaluate(
        held_out(result.params[None], 20), report_key(0, FAILING, 2)
    ).returns[0]
    failed, value = int(np.isnan(returns).sum()), choice.get("failure_return")
    assert 0 < failed < 20
    expected = np.nanmean(returns) if value is None else np.where(np.isnan(returns), value, returns).mean()
    assert result.row["final_return"] == result.curve[-1]["return_mean"] == pytest.approx(expected)
    assert result.row[FAILED] == failed
    assert math.isfinite(result.row["start_return"])
    assert f"failed in {failed} of 20 report episodes" in result.remarks[-1]
    replayed = replay(save(tmp_path, chosen, [result]))
    assert replayed.final_return == replayed.header.final_return == result.row["final_return"]
    assert (replayed.failed_episodes, replayed.same) == (failed, True)
    assert not dataclasses.replace(replayed, failed_episodes=failed - 1).same  # though the rest agree
    forgotten = replayed.header.model_copy(update={"failed_episodes": None})
    assert dataclasses.replace(replayed, header=forgotten).same


def test_failures_are_said_in_words() -> None:
    assert (
        in_words(1, 20, None) == "failed in 1 of 20 report episodes; the return is the mean of the other 19"
    )
    assert in_words(1, 20, -7.0) == "failed in 1 of 20 report episodes, each of which counts as -7.000"
    assert in_words(20, 20, None) == "failed in 20 of 20 report episodes: there is no return"
    assert failures_in_words({"a": 0.0, "b": 0.0}, None) == ""
    assert failures_in_words({"a": 0.05, "b": 0.0}, None) == (
        "Failed report episodes, left out of the returns: a 5 %, b 0 %."
    )


def test_what_counts_as_a_failure_is_a_number() -> None:
    with pytest.raises(StudyError, match="failure_return: Input should be a finite number"):
        study("lqr", {"failure_return": math.inf})


def test_tables_without_failures_keep_their_columns_and_counts_are_whole_numbers() -> None:
    plain = pd.DataFrame({"final_return": [1.0], "remarks": [""]})
    assert list(with_counts(plain)) == ["final_return", "remarks"]
    joined = with_counts(pd.concat([plain, plain.assign(**{FAILED: 2})], ignore_index=True))
    assert list(joined) == ["final_return", FAILED, "remarks"]
    assert joined[FAILED].tolist() == [0, 2]
    assert joined[FAILED].dtype == int


@pytest.mark.parametrize(
    ("finals", "failed", "nothing"),
    [
        ([1.0, NAN], None, False),
        ([NAN, NAN], None, True),
        ([-70.0, NAN], [20, 0], True),  # every episode of the one failed, the other has no result
        ([-70.0, -69.0], [20, 19], False),
    ],
)
def test_runs_in_which_every_report_episode_failed_are_of_no_use(
    finals: list[float], failed: list[int] | None, nothing: bool
) -> None:
    runs = pd.DataFrame({"final_return": finals} | ({FAILED: failed} if failed else {}))
    empty = pd.DataFrame()
    assert Tables(study(FAILING, {}), runs, empty, empty, empty, empty).nothing_usable == nothing
