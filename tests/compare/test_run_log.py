"""The CSV log of a running comparison: a row per rollout of its searches, never one twice, whatever ended it before."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from policysearch.compare import journal
from policysearch.compare.api import compare
from policysearch.compare.log import COLUMNS, LogFailed, RunLog
from policysearch.compare.run import Job
from policysearch.compare.study import Study, StudyError
from policysearch.evaluators.recorded import Record
from policysearch.interrupts import Interrupted
from policysearch.ledger import Ledger, read

pytestmark = pytest.mark.usefixtures("warm_workers", "blank_pictures")

OPTIONS: dict[str, Any] = {
    "tasks": "lqr",
    "optimizers": ["cma-es", "random-search"],
    "rollouts": 40,
    "runs": 2,
}


def compared(folder: Path, **more: Any) -> Any:
    return compare(**OPTIONS, out=folder / "out", log=folder / "logs/log.csv", progress=False, **more)


def stop_after(monkeypatch: pytest.MonkeyPatch, generations: int) -> None:
    """Press Ctrl-C when so many generations are written down."""
    count = [0]
    evaluated = journal.StudyJournal.evaluated

    def stopping(self: Any, *arguments: Any) -> None:
        evaluated(self, *arguments)
        count[0] += 1
        if count[0] == generations:
            raise KeyboardInterrupt

    monkeypatch.setattr(journal.StudyJournal, "evaluated", stopping)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_rollout_of_every_search_has_a_row(workers: int, tmp_path: Path) -> None:
    result = compared(tmp_path, workers=workers)
    log = pd.read_csv(tmp_path / "logs/log.csv")
    assert list(log) == list(COLUMNS)
    counts = log.groupby(["optimizer", "run"]).size().to_dict()
    assert counts == {
        (row["optimizer"], row["run"]): row["rollouts"] for row in result.runs.to_dict("records")
    }
    place = ["stage", "task", "optimizer", "run", "generation", "candidate", "episode"]
    assert not log.duplicated(place).any()
    generations = [event for event in read(tmp_path / "out/ledger.sqlite") if event.kind == "generation"]
    returns = [value for event in generations for row in event.body["returns"] for value in row]
    assert log["return"].tolist() == returns  # in the order of the ledger


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """The whole log of a comparison, and the folder of one that was interrupted after four generations."""
    folder = tmp_path_factory.mktemp("log")
    compared(folder / "calm")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        stop_after(patch, 4)
        compared(folder / "interrupted")
    return (folder / "calm/logs/log.csv").read_bytes(), folder / "interrupted"


@pytest.mark.parametrize(
    "damage",
    ["torn", "other", *(pytest.param(each, marks=pytest.mark.nightly) for each in ("none", "gone", "more"))],
)
def test_a_comparison_that_continues_has_no_row_twice(
    damage: str, interrupted: tuple[bytes, Path], tmp_path: Path
) -> None:
    whole, folder = interrupted
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    log = tmp_path / "logs/log.csv"
    first = log.read_bytes()
    assert whole.startswith(first)
    assert first.count(b"\n") > 4
    damaged = {
        "none": first, "torn": first[:-7], "more": first + b"a torn r", "other": first.replace(b"lqr,cma", b"lqr,ars", 1)
    }  # fmt: skip
    log.unlink() if damage == "gone" else log.write_bytes(damaged[damage])
    compared(tmp_path)
    assert log.read_bytes() == whole


def test_searches_that_took_turns_do_so_in_the_log_of_one_that_continues(tmp_path: Path) -> None:
    study = Study(tasks={"lqr": {}}, optimizers={"ars": {}})
    with Ledger(tmp_path / journal.NAME) as ledger:
        ledger.append("study", (), study.document())
        for run in (0, 1, 0):
            body = {"proposal": "p", "purpose": "search", "returns": [[1.0]], "steps": [[1]]}
            ledger.append("generation", ("final", "lqr", "ars", run), body)
    with journal.StudyJournal(tmp_path, study, log=RunLog(tmp_path / "log.csv")):
        log = pd.read_csv(tmp_path / "log.csv")
    assert log[["run", "generation"]].to_numpy().tolist() == [[0, 0], [1, 0], [0, 1]]


def test_reasons_are_text_and_what_was_not_measured_has_no_row(tmp_path: Path) -> None:
    record: Record = {
        "purpose": "search", "returns": [[1.0, float("nan")], [3.0, 4.0]], "steps": [[5, 6], [7, 8]], "unmeasured": [1],
        "failures": [[0, 1, 17, "=1+1\x1b[2J\udcff", "trace"]],
    }  # fmt: skip
    log = RunLog(tmp_path / "log.csv")
    log.add("final", Job("=lqr", "ars", 3), record)
    assert not (tmp_path / "log.csv").exists()
    log.write()
    assert (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines() == [
        ",".join(COLUMNS),
        "final,'=lqr,ars,3,0,0,0,search,1.0,5,",
        "final,'=lqr,ars,3,0,0,1,search,,6,'=1+1\\u001b[2J?",
    ]


def test_a_long_log_is_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policysearch.compare.log.MAX_ROWS", 3)
    log = RunLog(tmp_path / "log.csv")
    for i in range(4):
        log.add("final", Job("lqr", "ars", 0), {"purpose": "search", "returns": [[float(i)]], "steps": [[1]]})
    assert pd.read_csv(tmp_path / "log.csv")["generation"].tolist() == [0, 1, 2, 3]


def test_a_file_that_is_no_log_is_not_touched_and_a_disk_that_is_full_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("time,angle\n0,1\n", encoding="utf-8")
    with pytest.raises(
        StudyError, match=r"log: .*data\.csv holds something else than the log of a comparison"
    ):
        compare(**OPTIONS, log=tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_text() == "time,angle\n0,1\n"
    (tmp_path / "link.csv").symlink_to(tmp_path / "target.csv")
    with pytest.raises(
        LogFailed, match=r"link\.csv: cannot write the log: .*; the runs are safe in the ledger"
    ):
        compare(**OPTIONS, out=tmp_path / "out", log=tmp_path / "link.csv")
    assert not (tmp_path / "target.csv").exists()
    compare(**OPTIONS, out=tmp_path / "out")  # the same folder continues
    assert json.loads((tmp_path / "out/result.json").read_text())["remarks"] is not None
