"""The scores of the experiment that compares methods for tune on controllers."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policysearch.core import Proposal
from policysearch.optimizers import CMAES, CrossEntropy

FOLDER = Path(__file__).parent.parent.parent / "experiments/controllers"


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    """All names of the experiment's modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        parts = map(
            importlib.import_module,
            ("best_known", "default_method_searches", "default_method_scores", "default_method"),
        )
        yield SimpleNamespace(**{name: value for part in parts for name, value in vars(part).items()})


def test_regret_is_0_at_the_best_1_at_the_start_and_2_where_there_is_no_return(script: Any) -> None:
    returns = np.array([-2.0, -10.0, -6.0, np.nan, -1.0, -99.0])
    assert script.regret(returns, -10.0, -2.0).tolist() == [0.0, 1.0, 0.5, 2.0, 0.0, 2.0]


def test_near_is_five_percent_of_the_best_whether_it_is_a_cost_or_a_speed(script: Any) -> None:
    assert script.near(np.array([-104.9, -105.1, np.nan]), -100.0).tolist() == [True, False, False]
    assert script.near(np.array([190.1, 189.9]), 200.0).tolist() == [True, False]


def test_a_long_search_stands_where_a_short_one_ended(script: Any) -> None:
    where = script.problem("quadratic", script.NOISY)
    long = script.checkpoints(where, CMAES(), "cma-es", 3, (30, 100))
    short = script.checkpoints(where, CMAES(), "cma-es", 3, (30,))
    assert (long[30].recommendation == short[30].recommendation).all()
    assert (long[30].recommendation != long[100].recommendation).any()
    # its first generation takes 50
    assert set(script.checkpoints(where, CrossEntropy(), "cross-entropy", 3, (30, 100))) == {100}


def test_on_one_episode_a_candidate_always_returns_the_same(script: Any) -> None:
    for name in ("quadratic", "aibo-gait-reduced"):
        noisy, one = (script.problem(name, trials) for trials in script.KINDS)
        start = noisy.domain.start
        twice = Proposal(np.array([start, start]), start, episodes=3)
        returns = [one.evaluator.evaluate(twice, ("g", g)).returns for g in range(2)]
        assert np.unique(returns).size == 1
        assert np.unique(noisy.evaluator.evaluate(twice, ("g", 0)).returns).size > 1


def test_the_best_of_one_episode_is_what_any_search_met_there(script: Any) -> None:
    rows = []
    for trials in script.KINDS:
        for task in script.PROBLEMS:
            rows += [
                (trials, task, script.START, 0, 1, 0, -10.0, np.nan),
                (trials, task, script.BEST, 0, 1, 5000, -3.0, -2.0),
                (trials, task, script.DEFAULT, 1, 1, 30, -4.0, -1.0),
            ]
    table = pd.DataFrame(rows, columns=[*script.Job._fields, "rollouts", "return", "seen"])
    known = script.references(table)
    assert known[script.NOISY, "tanks-pid"] == (-10.0, -3.0)
    assert known[script.ONE, "tanks-pid"] == (-10.0, -1.0)
    found = script.Results.of(table, script.ONE, script.CONTROLLERS[:2], 2)
    m = list(script.METHODS).index(script.DEFAULT)
    assert found.regrets[:, m, 0, 1] == pytest.approx([1 / 3, 1 / 3])  # (−1 + 4)/(−1 + 10)
    assert np.count_nonzero(~np.isnan(found.regrets)) == 2
    assert (found + found).regrets.shape[0] == 4


def test_a_method_with_fewer_seeds_is_compared_on_those(script: Any) -> None:
    methods, tasks = list(script.METHODS), len(script.CONTROLLERS)
    regrets = np.full((tasks, len(methods), len(script.BUDGETS), 10), np.nan)
    m, default = methods.index(script.SLOW), methods.index(script.DEFAULT)
    regrets[:, default, 0] = np.where(np.arange(10) < 5, 0.5, 0.1)
    regrets[:, m, 0, 5:] = 0.2
    results = script.Results(regrets, regrets < 0.15)
    found = script.score(results, m, 0)
    assert (found.regret, found.seeds, found.near, found.worse) == (pytest.approx(0.2), 5, 0.0, 0.0)
    assert found.gap == pytest.approx(0.1)
    assert found.gap_interval == pytest.approx((0.1, 0.1))
    assert found.rank == 1.0  # the default's interquartile mean over all of its seeds is 0.3
    assert script.score(results, m, 1) is None


def test_what_tune_takes_is_compared_by_the_intervals(script: Any) -> None:
    better, worse, open_ = (
        script.Score(0.1, (0.0, 0.2), gap, interval, 1.0, 0.0, 0.0, 20)
        for gap, interval in ((-0.1, (-0.2, -0.01)), (0.1, (0.01, 0.2)), (0.0, (-0.1, 0.1)))
    )
    found = {"Noisy trials": {method: [better, None, open_] for method in script.METHODS}}
    found["Noisy trials"]["nelder-mead"] = [worse, worse, open_]
    lines = script.compared(found).splitlines()
    assert lines[0] == "- `auto`. Noisy trials: better after 30; not distinguished after 300."
    assert lines[-1] == "- `nelder-mead`. Noisy trials: worse after 30, 100; not distinguished after 300."
