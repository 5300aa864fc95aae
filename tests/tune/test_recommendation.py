"""What a tuning recommends: the best that did not fail, or the start; and what it says of what is little known."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from policysearch.ledger import LedgerError
from policysearch.space import Choice, Parameter, Space
from policysearch.tune.api import tune
from policysearch.tune.journal import NAME
from policysearch.tune.tuning import _recommended

SPACE = Space((Parameter("kp", 6.0, 0.0, 10.0), Parameter("kd", 0.5, 0.0, 10.0)))
LOST = math.nan


@pytest.mark.parametrize(
    ("returns", "chosen"),
    [
        # rows: the search's recommendation, the start, the best one seen
        ([[2, 2], [1, 1], [3, 3]], 2),  # no luck: the best
        ([[3, 3], [1, 1], [3, 3]], 0),
        ([[1, 1], [1, 1], [1, 1]], 1),  # a tie keeps the start
        ([[1, 1], [1, 1]], 1),
        ([[0, 0], [1, 1]], 1),  # and what is worse does
        ([[2, 2], [LOST, LOST], [3, 3]], 2),  # the start fails
        ([[LOST, LOST], [LOST, LOST], [3, 3]], 2),
        ([[LOST, LOST], [1, 1], [0, 0]], 1),
        ([[LOST, LOST], [LOST, LOST]], 1),
        ([[2, 2, 2, LOST], [1, 1, 1, 1], [3, 3, 3, LOST]], 2),  # one lost episode decides nothing
        ([[2, 1, 3, 2], [0, 1, 1, 0], [9, 0, 9, 9]], 0),  # noise: the best one seen may be luck
        ([[2, 1, 0, 1], [2, 1, 0, 1], [9, 0, 9, 9]], 1),
        ([[0, 1, 0, 1], [2, 1, 0, 2], [9, 0, 9, 9]], 1),
        ([[2, LOST, LOST, LOST], [0, 1, 1, 0], [3, 2, 3, 2]], 2),
        ([[2, 1, 3, LOST], [LOST, LOST, LOST, LOST], [3, 2, 3, 2]], 0),
    ],
)
def test_the_recommendation_is_the_best_that_is_not_luck_and_the_start_where_nothing_is_better(
    returns: list[list[float]], chosen: int
) -> None:
    assert _recommended(np.array(returns, dtype=float), np.zeros(len(returns))) == chosen


def loop(params: Mapping[str, Any], seed: int) -> float:
    """A cost, least at kp = 4.5 and kd = 1.5; too much overshoot fails, that of the start too."""
    if params["kp"] - params["kd"] > 5.0:
        raise RuntimeError("overshoot")
    return float(0.1 + (params["kp"] - 4.5) ** 2 + (params["kd"] - 1.5) ** 2)


def test_where_the_start_fails_the_best_that_was_seen_is_recommended() -> None:
    for seed, method in itertools.product(range(6), ("auto", "cma-es")):
        result = tune(loop, SPACE, 30, method, goal="minimise", seed=seed, report_rollouts=2)
        assert result.held_out.failed == (0, 2)
        assert result.held_out.means[0] <= result.best_seen[1] * (1 + 1e-12)
    assert "failed in 0 of 2 report episodes, the start in 2" in str(result)


def test_one_failed_report_episode_is_said_and_voids_nothing() -> None:
    seeds: list[int] = []

    def fails_once(params: Mapping[str, Any], seed: int) -> float:
        seeds.append(seed)
        if seed == lost:
            raise RuntimeError("a lost packet")
        return (params["kp"] - 3) ** 2 + 0.1 * float(np.random.default_rng(seed).standard_normal())

    lost = -1
    tune(fails_once, SPACE, 40, goal="minimise")
    lost = seeds[-1]  # the last held-out seed
    result = tune(fails_once, SPACE, 40, goal="minimise")
    assert result.held_out.failed == (1, 1)
    assert np.isfinite(result.held_out.means).all()
    assert result.usable
    assert (
        "better than the start where both succeeded; failed in 1 of 20 report episodes, the start in 1"
        in str(result)
    )


def test_where_nothing_is_better_the_start_stays_and_the_budget_is_used() -> None:
    for method, least in (("cma-es", 60), ("auto", 60 - 6 + 1)):  # where a generation of six may not fit
        result = tune(lambda params, seed: 1.0, SPACE, 60, method)
        assert result.values == result.start
        assert "nothing better than the start was found: it stays the recommendation" in str(result)
        assert (result.ended, result.note) == ("budget", "")
        assert len(result.rollouts) >= least


def steps(params: Mapping[str, Any], seed: int) -> int:
    """Whole steps before a fall: none near the start."""
    good = 1.0 - sum((params[n] - g) ** 2 for n, g in zip("abcd", (0.6, 0.5, 0.4, 0.5), strict=True))
    return max(0, int(10 * (good - 0.55) / 0.45))


def test_the_default_leaves_a_plateau() -> None:
    space = Space(tuple(Parameter(name, 0.1, 0.0, 1.0) for name in "abcd"))
    for seed in range(3):
        assert tune(steps, space, 120, seed=seed, report_rollouts=2).held_out.means[0] >= 7


@pytest.mark.parametrize(
    ("parameter", "best"),
    [
        (Parameter("k", 8000.0), 12000.0),
        (Parameter("k", 8000.0, lower=0.0), 12000.0),
        (Parameter("k", 1e-5, upper=1.0), 3e-5),
        (Parameter("k", -200.0), -500.0),
    ],
)
def test_a_parameter_without_two_bounds_moves_by_the_size_of_its_start(
    parameter: Parameter, best: float
) -> None:
    space = Space((parameter, Parameter("gain", 2.0, 0.0, 10.0)))
    result = tune(
        lambda p, seed: ((p["k"] - best) / best) ** 2 + ((p["gain"] - 6) / 10) ** 2,
        space,
        200,
        goal="minimise",
        report_rollouts=2,
    )
    assert result.values["k"] == pytest.approx(best, rel=0.05)
    assert result.hardly_varied == ()


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_both_values_of_a_switch_declared_as_a_whole_number_are_tried(start: float) -> None:
    switch = Parameter("switch", start, 0.0, 1.0, integer=True)
    space = Space((Parameter("kp", 1.0, 0.0, 10.0), switch))
    for seed in range(6):
        result = tune(
            lambda p, seed: (p["kp"] - 3) ** 2 + 4 * (p["switch"] == start),
            space, 24, goal="minimise", seed=seed, report_rollouts=2,
        )  # fmt: skip
        assert set(result.history["switch"]) == {0, 1}


def test_parameters_that_were_hardly_varied_are_listed() -> None:
    # `offset` starts at 0 without bounds, so that its unit is 1, and its step is far too small for the others' range
    space = Space(
        (
            Parameter("kp", 1.0, 0.0, 10.0),
            Parameter("delay", 5.0, 0.0, 1000.0, step=1.0),
            Choice("filter", tuple("abcdefghijklmnopqrstuvwxyz"), "a"),
        )
    )
    result = tune(lambda p, seed: (p["kp"] - 1.0) ** 2, space, 16, goal="minimise", report_rollouts=2)
    assert "delay" in result.hardly_varied
    assert "kp" not in result.hardly_varied
    assert "delay was tried near 5 only, so that little is known of it" in str(result)


def test_a_ledger_continues_only_where_the_scales_are_those_with_which_it_began(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cost(p: Mapping[str, Any], seed: int) -> float:
        return float((p["a"] - 30) ** 2 + (p["b"] - 3) ** 2)

    spaces = {
        "free": Space((Parameter("a", 20.0), Parameter("b", 2.0, 0.0, 10.0))),
        "bounded": Space((Parameter("a", 20.0, 0.0, 100.0), Parameter("b", 2.0, 0.0, 10.0))),
        "one": Space((Parameter("a", 1.0), Parameter("b", 0.0))),
        "switch": Space((Parameter("a", 20.0, 0.0, 40.0), Parameter("b", 0.0, 0.0, 1.0, integer=True))),
    }
    for name, space in spaces.items():
        with monkeypatch.context() as before:
            before.setattr(Space, "revision", 1)  # as a ledger of 0.1.0 says nothing of it
            tune(cost, space, 12, goal="minimise", out=tmp_path / name, report_rollouts=2)
        assert (tmp_path / name / NAME).exists()
        if name in ("free", "switch"):
            with pytest.raises(LedgerError, match="revision of scales of parameters was 1, is 2"):
                tune(cost, space, 24, goal="minimise", out=tmp_path / name, report_rollouts=2)
        else:
            assert (
                len(tune(cost, space, 24, goal="minimise", out=tmp_path / name, report_rollouts=2).rollouts)
                > 12
            )
