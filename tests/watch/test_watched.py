"""What a page of a study shows follows from the ledger: at any time, and in the end as the report has it."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policysearch.compare.__main__ import main
from policysearch.compare.comparison import Comparison
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.ledger import Event, Ledger, read
from policysearch.reporting import figures
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune
from policysearch.watch import tuning
from policysearch.watch.comparison import WatchedStudy
from policysearch.watch.follow import Follower
from policysearch.watch.person import WatchedSession
from policysearch.watch.tuning import WatchedTuning

STATIC = Path(tuning.__file__).parent / "shell/static"


@pytest.fixture(scope="module", autouse=True)
def _blank(blank_pictures: None) -> None:
    """No picture is drawn."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two methods on two tasks, one of which fails at times."""
    out = tmp_path_factory.mktemp("watch") / "out"
    tasks = ["--tasks", "lqr", "counting_env:Failing-v0", "--optimizers", "random-search", "hill-climbing"]
    assert main([*tasks, "--rollouts", "40", "--runs", "3", "--workers", "1", "--out", str(out)]) == 0
    return out


def shown(view: Any) -> dict[str, Any]:
    """The parts of a view, as a page gets them."""
    parts: dict[str, Any] = json.loads(json.dumps(dict(view.parts()), allow_nan=False))
    return parts


def taken(view: Any, events: list[Event]) -> Any:
    for event in events:
        view.take(event)
    return view


def test_a_finished_study_is_shown_with_the_numbers_of_its_report(study: Path) -> None:
    view, comparison = taken(WatchedStudy(study), read(study / "ledger.sqlite")), Comparison.read(study)
    parts = shown(view)
    head = parts["head"]
    assert (head["done"], head["total"], head["over"]) == (12, 12, True)
    assert head["rollouts"] == comparison.runs["rollouts"].sum()
    for number, task in enumerate(comparison.tasks):
        part = parts[f"task {number}"]
        assert (part["name"], part["unit"], part["budget"]) == (task, "rollouts", 40)
        assert part["decided"] is None  # no test, however many runs there are
        for method in part["methods"]:
            label, (iqm, low, high) = method["label"], method["final"]
            (row,) = comparison.summary.query("task == @task and optimizer == @label").to_dict("records")
            np.testing.assert_allclose(
                [iqm, low, high], [row["iqm"], row["ci_low"], row["ci_high"]], rtol=1e-6
            )
            assert method["done"] == method["total"] == method["part"] == 3
            assert [value for _, value in method["finals"]] == comparison.final(task, label).tolist()
            grid, values = comparison.curve(task, label, "rollouts")
            np.testing.assert_allclose(method["curve"][0], grid)
            np.testing.assert_allclose(method["curve"][1], np.sort(values)[:, :].mean(axis=1), rtol=1e-6)
    assert all("step: RuntimeError: a leg broke" in failure["reason"] for failure in parts["failures"])
    assert parts["failures"]
    assert parts["head"]["versions"][0].startswith("policysearch ")


def test_the_commands_of_failures_and_runs_are_those_that_work(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shlex

    view = taken(WatchedStudy(study), read(study / "ledger.sqlite"))
    command = shown(view)["failures"][0]["command"].removeprefix("PYTHONPATH=. ")
    assert main(shlex.split(command)[3:]) == 0
    assert "it fails:  step: RuntimeError: a leg broke" in capsys.readouterr().out
    detail = view.detail(("lqr", "random-search", "1"))
    assert main(shlex.split(detail["command"])[3:]) == 0
    assert "the same to the last digit" in capsys.readouterr().out
    assert detail["rollouts"][-1] == 40
    assert len(detail["rollouts"]) == len(detail["series"]["best candidate"])
    with pytest.raises(KeyError):
        view.detail(("lqr", "random-search", "17"))


def test_a_study_can_be_shown_after_any_event(study: Path) -> None:
    view, done, parts = WatchedStudy(study), 0.0, dict[str, Any]()
    assert shown(view)["head"]["tasks"] == []
    for event in read(study / "ledger.sqlite"):
        before = parts
        view.take(event)
        parts = dict(view.parts())
        now = sum(
            m["part"] for name, part in parts.items() if name.startswith("task") for m in part["methods"]
        )
        assert done <= now <= 12
        done = now
        if event.kind in ("generation", "run"):  # what it is not of stays the same object
            other = "task 1" if event.key[1] == "lqr" else "task 0"
            assert parts[other] is before[other]
        shown(view)


def test_a_retry_takes_back_what_is_run_again(study: Path) -> None:
    events = read(study / "ledger.sqlite")
    view = taken(WatchedStudy(study), events)
    whole = shown(view)
    view.take(Event(len(events) + 1, "retry", (), "{}"))
    after = shown(view)
    assert after["failures"] == []
    assert after["task 0"] == whole["task 0"]
    for method in after["task 1"]["methods"]:
        assert (
            method["done"] == method["total"] - whole["task 1"]["methods"][0]["failed"]
            or method["failed"] == 0
        )
    assert after["head"]["done"] < 12


def test_only_sequential_testing_decides_while_a_study_runs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ["--tasks", "lqr", "--optimizers", "random-search", "hill-climbing", "cma-es", "--rollouts", "40"]
    assert main([*flags, "--runs", "4", "--settle", "2", "--workers", "1", "--out", str(out)]) == 0
    part = shown(taken(WatchedStudy(out), read(out / "ledger.sqlite")))["task 0"]
    pairs = Comparison.read(out).pairs
    for label, (better, worse, open_) in part["decided"].items():
        mine = pairs[(pairs["x"] == label) | (pairs["y"] == label)]
        assert better == (mine["better"] == label).sum()
        assert better + worse == (mine["better"] != "").sum()
        assert better + worse + open_ == 2


def test_the_tables_are_those_of_the_study_and_no_cell_is_computed(study: Path) -> None:
    view = taken(WatchedStudy(study), read(study / "ledger.sqlite"))
    runs = pd.read_csv(study / "runs.csv")
    found = pd.DataFrame(view.table("runs")).sort_values(["task", "optimizer", "run"])
    expected = runs.sort_values(["task", "optimizer", "run"])
    assert found["final_return"].tolist() == expected["final_return"].tolist()
    generations = pd.DataFrame(view.table("generations"))
    last = generations.groupby(["task", "optimizer", "run"])["rollouts"].max()
    assert last.tolist() == expected["rollouts"].tolist()
    with pytest.raises(KeyError):
        view.table("../ledger")


def cost(params: Mapping[str, Any], seed: int) -> float:
    if params["kp"] > 9.0:
        raise ValueError("=too stiff")
    return float((params["kp"] - 3.0) ** 2 + params["kd"])


SPACE = Space((Parameter("kp", 1.0, 0.0, 10.0), Parameter("kd", 1.0, 0.0, 10.0)))


@pytest.mark.usefixtures("no_tune_pictures")
@pytest.mark.parametrize("method", ["cma-es", "random-search", "nelder-mead"])
def test_a_tuning_is_shown_with_the_parameters_of_its_candidates(method: str, tmp_path: Path) -> None:
    result = tune(cost, SPACE, 60, out=tmp_path, goal="minimise", optimizer=method, report_rollouts=2)
    view = taken(WatchedTuning(tmp_path), read(tmp_path / "tune.sqlite"))
    parts, history = shown(view), result.history
    columns, head = parts["candidates"]["columns"], parts["head"]
    assert columns["kp"] == history["kp"].tolist()
    assert columns["kd"] == history["kd"].tolist()
    assert columns["value"] == [None if np.isnan(x) else x for x in history["return"]]
    assert columns["rollouts"] == [*range(1, len(history) + 1)]
    lows = history["return"].dropna().cummin().drop_duplicates()
    assert parts["candidates"]["best"][1] == pytest.approx(lows.tolist())
    assert head["best"]["value"] == history["return"].min()
    assert (head["candidates"], head["rollouts"], head["method"]) == (len(history), len(history), method)
    assert len(parts["failures"]) == (history["failure"] != "").sum()
    assert all("=too stiff" in failure["reason"] for failure in parts["failures"])


@pytest.mark.usefixtures("no_tune_pictures")
def test_a_tuning_whose_method_asks_otherwise_is_shown_without_parameters(tmp_path: Path) -> None:
    tune(cost, SPACE, 30, out=tmp_path, goal="minimise", report_rollouts=2)
    events = read(tmp_path / "tune.sqlite")
    generations = [i for i, event in enumerate(events) if event.kind == "generation"]
    old = events[generations[1]]
    changed = re.sub('"proposal":"[0-9a-f]{4}', '"proposal":"ffff', old.text)
    events[generations[1]] = Event(old.number, old.kind, old.key, changed)
    columns = shown(taken(WatchedTuning(tmp_path), events))["candidates"]["columns"]
    first = sum(value is not None for value in columns["kp"])
    assert 0 < first < len(columns["kp"])
    assert None not in columns["value"][:first]


def test_of_many_candidates_the_recent_and_the_best_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_SHOWN", 40)
    view = WatchedTuning(Path())
    values = np.random.default_rng(0).normal(size=1000)
    view._rows = [{"rollouts": i + 1, "value": float(x), "failure": ""} for i, x in enumerate(values)]
    best = view._best()
    kept = view._shown(best)
    assert len(kept) <= 50
    assert {*best} <= {*kept}
    assert {*range(990, 1000)} <= {*kept}


def test_a_session_is_shown_and_what_is_blind_stays_blind(tmp_path: Path) -> None:
    path = tmp_path / "session.sqlite"
    session = Session.begin(SessionPlan(bouts=8, baseline=3.0, validation=3.0, conditions="letters"), path)
    with session:
        while (bout := session.next) is not None:
            if session.entering:
                session.confirm()
            session.measured(4.0) if bout.is_measured else session.walked()
            if bout.purpose == "validation" and bout.condition == "zero torque":
                break
    parts = shown(taken(WatchedSession(tmp_path), read(path)))
    assert parts["head"]["kind"] == "session"
    blind = [row for row in parts["bouts"]["rows"] if row[1] == "validation"]
    assert blind
    assert all(row[4:9] == [""] * 5 for row in blind)  # no law
    assert len(parts["bouts"]["numbers"]) == len(parts["bouts"]["rows"]) - len(blind)
    assert "until they are opened" in parts["head"]["findings"][0]


def test_a_ledger_that_is_replaced_is_shown_anew_and_trouble_is_said(study: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    follower = Follower(path, lambda: WatchedStudy(tmp_path))
    assert follower.update()
    assert "no such ledger" in follower.trouble
    assert not follower.update()
    shutil.copyfile(study / "ledger.sqlite", path)
    assert follower.update()
    assert follower.trouble == ""
    assert shown(follower.view)["head"]["done"] == 12
    assert not follower.update()
    path.unlink()
    with Ledger(path) as ledger:  # begun anew, as by --fresh
        for event in read(study / "ledger.sqlite")[:40]:
            ledger.append_text(event.kind, event.key, event.text.replace("Xeon", "Y"))
        ledger.append("note", (), {})
    assert follower.update()
    assert shown(follower.view)["head"]["done"] < 12
    assert "cannot be shown: ValueError: unknown kind 'note'" in follower.trouble
    assert not follower.update()


def test_a_study_that_was_killed_is_shown_as_far_as_it_was_committed(study: Path, tmp_path: Path) -> None:
    events = read(study / "ledger.sqlite")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for event in events[:60]:
            ledger.append_text(event.kind, event.key, event.text)
        ledger.commit()
        killed = tmp_path / "killed"  # what is on the disk if it is killed now
        killed.mkdir()
        for suffix in ("", "-wal"):
            shutil.copyfile(tmp_path / f"ledger.sqlite{suffix}", killed / f"ledger.sqlite{suffix}")
    follower = Follower(killed / "ledger.sqlite", lambda: WatchedStudy(killed))
    assert follower.update()
    assert follower.trouble == ""
    expected = shown(taken(WatchedStudy(killed), events[:60]))
    found = shown(follower.view)
    assert found.keys() == expected.keys()
    assert all(found[name] == expected[name] for name in found if name != "head")  # which has the time left


@pytest.mark.parametrize(
    ("name", "view", "kind", "text"),
    [
        ("ledger.sqlite", WatchedStudy, "study", "{}"),
        ("ledger.sqlite", WatchedStudy, "study", '{"tasks": {"lqr": 3}, "optimizers": {}}'),
        ("ledger.sqlite", WatchedStudy, "generation", "[1]"),
        ("tune.sqlite", WatchedTuning, "request", "{}"),
        ("tune.sqlite", WatchedTuning, "generation", "{}"),
        ("session.sqlite", WatchedSession, "plan", '{"optimizer": "no_such_module:Method"}'),
        ("session.sqlite", WatchedSession, "note", '{"text": "a"}'),
    ],
)
def test_a_ledger_of_something_else_is_trouble_and_no_crash(
    name: str, view: Any, kind: str, text: str, tmp_path: Path
) -> None:
    with Ledger(tmp_path / name) as ledger:
        ledger.append_text(kind, ("final", "lqr", "ars", 0), text)
    follower = Follower(tmp_path / name, lambda: view(tmp_path))
    assert follower.update()
    assert follower.parts().keys() == {"head"}
    assert "cannot be shown" in follower.trouble
    assert not follower.update()
    assert follower.parts().keys() == {"head"}


def test_colours_of_the_pages_are_those_of_the_report() -> None:
    script = (STATIC / "elements.js").read_text(encoding="utf-8")
    assert f"COLOURS = {json.dumps(figures.COLOURS)}" in script
    dashes = [[] if style == "-" else list(style[1]) for style in figures.DASHES]
    assert f"DASHES = {json.dumps(dashes)}" in script


@pytest.mark.parametrize(
    "file",
    sorted(STATIC.parent.parent.glob("**/*.js")) + sorted(STATIC.parent.parent.glob("**/*.html")),
    ids=lambda p: p.name,
)
def test_pages_have_no_markup_of_strings_and_load_nothing_from_elsewhere(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if file.name != "uPlot.js":
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|style=|<script>|\son\w+=\"",
            text,
        )
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
