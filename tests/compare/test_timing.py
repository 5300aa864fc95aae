"""`--hours` is the limit of a whole comparison: the same share for every search, and what it cuts off is named."""

from pathlib import Path
from typing import Any

import in_process
import pytest

from policysearch import limits
from policysearch.compare.__main__ import main
from policysearch.compare.api import compare
from policysearch.compare.checks import what_is_run
from policysearch.compare.journal import StudyJournal
from policysearch.compare.report import page
from policysearch.compare.run import Job
from policysearch.compare.study import Study
from policysearch.compare.timing import TimeLimit, in_short
from policysearch.ledger import LedgerError

pytestmark = pytest.mark.usefixtures("blank_pictures")

METHODS = ["hill-climbing", "cma-es"]
OPTIONS: dict[str, Any] = {
    "tasks": "lqr",
    "optimizers": METHODS,
    "rollouts": 200,
    "runs": 2,
    "curve_points": 2,
}
SECOND = 1 / 3600


@pytest.fixture(autouse=True)
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves by a second whenever it is read."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(limits, "clock", lambda: float(next(ticks)))


def compared(hours: float | None, out: Path | None = None, **more: Any) -> Any:
    return compare(**OPTIONS | more, hours=hours, out=out, progress=False)


@pytest.mark.parametrize(
    ("stages", "workers", "rounds"),
    [([20], 4, 5), ([21], 4, 6), ([3], 4, 1), ([0, 6], 2, 3), ([6, 4, 4], 2, 7), ([0, 0], 2, 1)],
)
def test_every_search_has_the_same_share_of_the_time(stages: list[int], workers: int, rounds: int) -> None:
    study = Study(tasks={"lqr": {}}, optimizers={"ars": {}}, hours=2.0)
    limit = TimeLimit.of(study, stages, workers, [])
    assert limit.shared(study).hours == 2.0 / rounds
    assert limit.shared(study).model_copy(update={"hours": 2.0}) == study
    unlimited = study.model_copy(update={"hours": None})
    assert TimeLimit.of(unlimited, stages, workers, []).shared(unlimited) is unlimited
    assert not TimeLimit.of(unlimited, stages, workers, []).over


def test_a_comparison_under_a_time_limit_says_who_had_how_much(tmp_path: Path) -> None:
    result = compared(60 * SECOND, tmp_path)
    rollouts = result.runs.groupby("optimizer")["rollouts"].agg(["min", "max"])
    assert (rollouts["min"] == rollouts["max"]).all()  # whatever the order of the runs
    assert (rollouts["max"] < 190).all()
    said = page(result)
    assert "Time limit: 1 min for 4 searches, 1 at a time: 15 s each." in said
    assert (
        "Searches ended when their share of the time was over, so that this is not a comparison on equal"
        in said
    )
    assert (
        "the time limit of 15 s leaves no further generation: 44 rollouts took 7 s, and the evaluation"
        in said
    )
    assert compared(60 * SECOND, tmp_path).runs.equals(result.runs)


def test_where_time_sufficed_the_comparison_is_one_on_equal_rollouts() -> None:
    assert "equal rollouts" not in page(compared(1.0, runs=1))
    assert "1 h for 2 searches, 1 at a time: 30 min each." in page(compared(1.0, runs=1))


def test_more_hours_continue_the_searches_that_time_has_ended(tmp_path: Path) -> None:
    calm, cut = compared(None), compared(60 * SECOND, tmp_path)
    assert not cut.runs["rollouts"].equals(calm.runs["rollouts"])
    more = Study.resolve(OPTIONS | {"tasks": ["lqr"], "hours": 2.0})
    for _ in range(2):  # also after a session that has made none of them
        with StudyJournal(tmp_path, more, runs=what_is_run(more)) as journal:
            assert [past.result for past in journal.past.values()] == [None] * 4
    columns = ["rollouts", "final_return", "claimed_return"]
    assert compared(2.0, tmp_path).runs[columns].equals(calm.runs[columns])
    assert compared(2.0, tmp_path).runs[columns].equals(calm.runs[columns])
    assert compared(None, tmp_path).runs[columns].equals(calm.runs[columns])
    assert compared(60 * SECOND, tmp_path).runs[columns].equals(calm.runs[columns])  # they were made


def test_time_that_was_used_before_counts(tmp_path: Path) -> None:
    study = Study(tasks={"lqr": {}}, optimizers={"ars": {}}, hours=10 * SECOND)

    class Known:
        seconds = 6.0

    assert not TimeLimit.of(study, [4], 2, [Known(), Known()]).over  # type: ignore[list-item]
    assert TimeLimit.of(study, [4], 1, [Known(), Known()]).over  # type: ignore[list-item]


def test_searches_for_which_there_is_no_time_are_named_and_all_methods_are_begun(tmp_path: Path) -> None:
    flags = ["--tasks", "lqr", "--optimizers", *METHODS, "--rollouts", "200", "--runs", "2", "--workers", "1"]
    late = in_process.run(main, *flags, "--hours", f"{12 * SECOND}", "--out", str(tmp_path))
    assert late.returncode == 0, late.stderr
    assert "note: the time limit was over before these runs were finished: " in late.stderr
    unfinished = late.stderr.partition("were finished: ")[2]
    assert "run 0" not in unfinished.partition(";")[0]  # the first runs of both methods came first
    assert "run 1; the same command with more --hours continues" in unfinished
    told = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert (
        "Time limit: 12 s for 4 searches, 1 at a time: 3 s each; cut off: hill-climbing on lqr, run 1" in told
    )
    assert "not begun: cma-es on lqr, run 1" in told
    more = in_process.run(main, *flags, "--hours", "1", "--out", str(tmp_path))
    assert "note: the time limit" not in more.stderr
    assert "equal rollouts" not in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_where_there_was_no_time_for_a_run_nothing_usable_was_found(tmp_path: Path) -> None:
    flags = [
        "--tasks",
        "lqr",
        "--optimizers",
        *METHODS,
        "--rollouts",
        "200",
        "--workers",
        "1",
        "--hours",
        "1e-9",
    ]
    late = in_process.run(main, *flags, "--out", str(tmp_path))
    assert late.returncode == 1
    assert "there is nothing to report" in late.stderr
    with pytest.raises(
        RuntimeError, match="hours: hill-climbing on lqr, runs 0, 1; cma-es on lqr, runs 0, 1: not"
    ):
        compared(1e-9)


def test_another_limit_is_refused_where_it_might_choose_otherwise(tmp_path: Path) -> None:
    compared(1.0, tmp_path, tune=2, rollouts=40, runs=1)
    with pytest.raises(LedgerError, match="hours was 1, is 2"):
        compared(2.0, tmp_path, tune=2, rollouts=40, runs=1)


def test_runs_are_named_by_method() -> None:
    jobs = [Job("lqr", "ars", 3), Job("lqr", "ars", 1), Job("lqr", "cma-es", 0)]
    assert in_short(jobs) == "ars on lqr, runs 1, 3; cma-es on lqr, run 0"
