"""The CSV log of a running search: a row per rollout, never one twice, whatever ended the search before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from policysearch.asking.prompt import Prompt
from policysearch.interrupts import Interrupted
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune

SPACE = Space((Parameter("kp", 1.0, 0.0, 10.0), Parameter("kd", 1.0, 0.0, 10.0)))
#: Calls of `cost`, and the one at which it is stopped.
STATE = {"calls": 0, "stop": 0}


def cost(params: Mapping[str, Any], seed: int) -> dict[str, float]:
    STATE["calls"] += 1
    if STATE["calls"] == STATE["stop"]:
        raise KeyboardInterrupt
    more = {"overshoot": params["kd"]} if params["kp"] > 1.5 else {}
    return {"return": float((params["kp"] - 3.0) ** 2 + params["kd"]), **more}


def tuned(folder: Path, stop: int = 0, **more: Any) -> Any:
    STATE.update(calls=0, stop=stop)
    options: dict[str, Any] = {"optimizer": "cma-es", "goal": "minimise", "report_rollouts": 2, **more}
    return tune(cost, SPACE, 24, out=folder / "out", log=folder / "logs/log.csv", **options)


def test_a_row_per_rollout_is_there_while_the_search_runs(tmp_path: Path) -> None:
    seen: list[int] = []

    def said(line: str) -> None:
        if line.startswith("generation"):
            seen.append(len((tmp_path / "logs/log.csv").read_text().splitlines()) - 1)

    result = tuned(tmp_path, progress=said)
    assert seen == [6, 12, 18, 24]
    log = pd.read_csv(tmp_path / "logs/log.csv")
    assert list(log) == list(result.history)
    history = result.history.replace({"failure": {"": float("nan")}})
    pd.testing.assert_frame_equal(log, history, check_dtype=False)


def test_what_is_measured_later_gets_a_column_in_all_rows(tmp_path: Path) -> None:
    calls = [0]

    def late(params: Mapping[str, Any], seed: int) -> dict[str, float]:
        calls[0] += 1
        return {"return": params["kp"], **({"overshoot": params["kd"]} if calls[0] > 4 + 8 else {})}

    result = tune(late, SPACE, 24, "cma-es", report_rollouts=2, log=tmp_path / "log.csv")
    log = pd.read_csv(tmp_path / "log.csv")
    assert log["kp"].tolist() == result.history["kp"].tolist()
    assert 0 < log["overshoot"].isna().sum() < 24
    lines = (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()
    assert {line.count(",") for line in lines} == {log.shape[1] - 1}


@pytest.mark.parametrize("damage", ["none", "torn", "gone", "more", "other"])
def test_a_search_that_continues_has_no_row_twice(damage: str, tmp_path: Path) -> None:
    (tmp_path / "calm").mkdir()
    tuned(tmp_path / "calm")
    whole = (tmp_path / "calm/logs/log.csv").read_bytes()
    with pytest.raises(Interrupted):
        tuned(tmp_path, stop=4 + 14)
    log = tmp_path / "logs/log.csv"
    first = log.read_bytes()
    assert whole.startswith(first)
    assert first.count(b"\n") == 1 + 12
    damaged = {
        "none": first, "torn": first[:-7], "more": first + b"a torn r", "other": first.replace(b"0,1,", b"0,9,", 1)
    }  # fmt: skip
    log.unlink() if damage == "gone" else log.write_bytes(damaged[damage])
    inode = log.stat().st_ino if log.exists() else 0
    tuned(tmp_path)
    assert log.read_bytes() == whole
    assert not inode or log.stat().st_ino == inode  # whoever follows the file still does
    tuned(tmp_path)
    assert log.read_bytes() == whole


def test_a_corrected_answer_writes_the_rows_after_it_anew(tmp_path: Path) -> None:
    typed = iter(["5", "4", "3", "2", "1", "0.5", "amend 2 8", *["1"] * 40])

    def read(prompt: str) -> str:
        return "" if "Enter ends" in prompt else next(typed)

    result = tune(
        Prompt(read, lambda text: None),
        SPACE,
        12,
        "cma-es",
        goal="minimise",
        report_rollouts=2,
        log=tmp_path / "log.csv",
    )
    log = pd.read_csv(tmp_path / "log.csv")
    assert log["return"].tolist() == result.history["return"].tolist()
    assert log["return"].tolist()[:2] == [5.0, 8.0]


def test_a_file_that_is_no_log_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("time,angle\n0,1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"log: .*data\.csv holds something else than the log of a tuning"):
        tune(cost, SPACE, 12, log=tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_text() == "time,angle\n0,1\n"
    (tmp_path / "link.csv").symlink_to(tmp_path / "target.csv")
    with pytest.raises(OSError, match=r"link\.csv"):
        tune(cost, SPACE, 12, log=tmp_path / "link.csv")
    assert not (tmp_path / "target.csv").exists()
