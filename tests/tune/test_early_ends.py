"""Tunings that end early: a time limit, a target, patience."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from policysearch import limits
from policysearch.asking.prompt import Prompt
from policysearch.compare.api import compare
from policysearch.compare.report import page
from policysearch.ledger import read
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune
from policysearch.tune.journal import NAME
from policysearch.tune.result import TuneResult

SPACE = Space((Parameter("a", 8.0, 0.0, 10.0), Parameter("b", 8.0, 0.0, 10.0)))


class Clock:
    """Seconds that pass with rollouts only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(limits, "clock", lambda: self.now)

    def cost(self, params: Mapping[str, Any], seed: int) -> float:
        self.now += 10.0
        return float((params["a"] - 3) ** 2 + (params["b"] - 1) ** 2 + 0.01 * (seed % 7))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def tuned(clock: Clock, rollouts: int = 60, **options: Any) -> TuneResult:
    given: dict[str, Any] = {"optimizer": "cma-es", "goal": "minimise", "report_rollouts": 2, **options}
    return tune(clock.cost, SPACE, rollouts, **given)


def test_what_ended_a_tuning_is_in_its_result_and_its_report(clock: Clock) -> None:
    whole = tuned(clock, 100)
    assert (whole.ended, whole.note) == ("budget", "")
    result = tuned(clock, 100, target=1.0)
    assert result.ended == "target"
    n = len(result.rollouts)
    assert result.history.equals(whole.history[:n])
    assert (
        f"the search ended early: a candidate reached the target of 1 with {result.best_seen[1]:.4g}, after {n} rollouts"
        in str(result)
    )
    assert "the target of 1 is " in str(result)
    idle = tuned(clock, 100, patience=24)
    assert idle.ended == "patience"
    assert "rollouts brought no better candidate" in str(idle)


def test_used_time_is_recorded_and_counts_in_the_next_session(clock: Clock, tmp_path: Path) -> None:
    whole = tuned(clock, 120, out=tmp_path / "whole")
    hour = 3600.0
    first = tuned(clock, 120, hours=360 / hour, out=tmp_path / "cut")
    n = len(first.rollouts)
    assert first.ended == "time"
    assert n < 36  # of 360 s, what the evaluation of three candidates takes is left
    assert f"leaves no further generation: {n} rollouts took {n // 6} min" in str(first)
    seconds = [event.body["seconds"] for event in read(tmp_path / "cut" / NAME) if event.kind == "generation"]
    assert seconds == [10.0 * made for made in sorted({6 * (i + 1) for i in range(n // 6)})]
    clock.now += 9999.0  # between the sessions
    began = clock.now
    again = tuned(clock, 120, hours=360 / hour, out=tmp_path / "cut")
    assert clock.now == began  # nothing was run
    assert again.history.equals(first.history)
    assert str(again) == str(first)

    def slow(line: str) -> None:  # replaying takes a while
        clock.now += 999.0 * line.startswith("generation 1:")

    more = tuned(clock, 120, hours=500 / hour, out=tmp_path / "cut", progress=slow)
    assert len(more.rollouts) == n + 12
    assert tuned(clock, 120, out=tmp_path / "cut").history.equals(whole.history)


def test_a_person_ends_by_a_word_and_not_by_the_clock() -> None:
    with pytest.raises(ValueError, match="hours: expected none where a person is asked"):
        tune(Prompt(lambda _: "1", lambda _: None), SPACE, 12, hours=1.0)
    answers = iter(["5"] * 60)
    result = tune(
        Prompt(lambda prompt: "" if "Enter" in prompt else next(answers), lambda _: None),
        SPACE,
        60,
        "cma-es",
        patience=12,
    )
    assert result.ended == "patience"
    assert len(result.rollouts) == 18  # six, and twelve that were no better


@pytest.mark.usefixtures("blank_pictures_here")
def test_a_comparison_with_a_target_says_that_its_searches_differ_in_rollouts() -> None:
    methods = ["hill-climbing", "cma-es"]
    options: dict[str, Any] = {"tasks": "lqr", "optimizers": methods, "rollouts": 200, "runs": 2}
    aimed = compare(**options, target=-1e9)
    assert (aimed.runs["rollouts"] <= 16).all()
    assert "Searches ended on lqr with a candidate of -1e+09 or better, so that this" in page(aimed)
    assert "equal rollouts" not in page(compare(**options | {"rollouts": 16, "runs": 1}))
