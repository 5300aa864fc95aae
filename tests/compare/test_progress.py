"""Watching: what the live table and the lines say is what has happened."""

import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from policysearch.compare import progress
from policysearch.compare.journal import StudyJournal
from policysearch.compare.progress import Board, watched
from policysearch.compare.run import Job, Progress
from policysearch.compare.session import FINAL, StudySession, Update
from policysearch.compare.study import Study
from policysearch.compare.workers import Died
from policysearch.reporting import silence


def session(**changes: Any) -> StudySession:
    data = {
        "tasks": ["lqr", "CartPole-v1"],
        "optimizers": ["random-search", "reinforce"],
        "rollouts": 60,
        "runs": 2,
    }
    study = Study.resolve({**data, **changes})
    return StudySession(study, StudyJournal(None, study))


def text(board: Board) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(board.table())
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_runs_rollouts_and_time_add_up_to_what_was_run() -> None:
    made = session(tune=2)
    board = Board(made)
    assert board.line().startswith("tuning 0/8, 0/8 runs, 0 rollouts, ? s left")
    seen = []
    for update in made.run(1):
        board.update(update)
        seen.append(board.seconds_left())
    rows = [result.row for result in (*made.tuning.values(), *made.results.values())]
    assert board.rollouts == sum(row["rollouts"] + row["report_rollouts"] for row in rows)
    assert (board.done, board.total, board.tuned) == (8, 8, 8)
    assert board.seconds_left() == 0.0
    assert all(left >= 0 for left in seen[1:])
    table = text(board)
    assert table.count("2/2") == 4
    assert "tuning 8/8, 8/8 runs" in table


def test_a_run_that_goes_on_shows_how_it_does_and_one_that_died_is_counted() -> None:
    made = session(runs=1)
    board = Board(made)
    for update in made.run(1):
        board.update(update)
        event = update.event
        if isinstance(event, Progress) and event.job.optimizer == "reinforce":
            assert f"{event.value:.4g}" in text(board)
    board.update(Update(FINAL, Died(Job("lqr", "reinforce", 0), "lost")))
    assert "1/1 (1 died)" in text(board)


def test_groups_of_runs_are_added_as_they_come() -> None:
    made = session(settle=2, tasks=["lqr"], optimizers=["random-search", "cma-es"])
    board = Board(made)
    for update in made.run(1):
        board.update(update)
    assert board.done == board.total == len(made.results)


def test_without_a_terminal_there_are_lines_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -10.0)
    monkeypatch.setattr(progress, "SECONDS_TO_FIRST_LINE", -10.0)
    made = session(runs=1)
    updates = list(watched(made.run(1), made))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(updates) + 1
    assert lines[-1].startswith("4/4 runs, ")
    assert "\x1b" not in lines[-1]


def test_after_a_long_silence_it_is_said_how_a_rollout_can_be_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(silence, "SECONDS", 0.2)
    made = session(runs=1)
    update = Update(FINAL, Progress(Job("lqr", "reinforce", 0), 2, 2, -3.0, None))

    def silent(seconds: float) -> Iterator[Update]:
        for _ in range(5):
            time.sleep(seconds / 5)
            yield Update(FINAL, None)  # the workers live
        yield update

    assert list(watched(silent(0.5), made))[-1] == update
    assert "--evaluator pool --rollout-timeout SECONDS; what was run is kept" in capsys.readouterr().err
    assert list(watched(silent(0.0), made))[-1] == update
    limited = session(runs=1, evaluator="pool", rollout_timeout=9.0)
    assert list(watched(silent(0.5), limited))[-1] == update
    assert "note" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(7, "7 s"), (90, "2 min"), (3 * 3600, "3.0 h"), (2 * 86400, "2.0 days"), (float("nan"), "? s")],
)
def test_durations_are_short(seconds: float, words: str) -> None:
    assert progress._duration(seconds) == words
