"""The report: what it says follows from the tables, it needs nothing but itself, and it can be written again."""

import itertools
import math
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Collection
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

import policysearch
from policysearch.compare import power, show, statistics
from policysearch.compare.__main__ import main
from policysearch.compare.comparison import Comparison
from policysearch.compare.groups import Group, groups
from policysearch.compare.journal import StudyJournal
from policysearch.compare.readable import matrix_cells
from policysearch.compare.report import html, latex_table, page
from policysearch.compare.request import file_name
from policysearch.compare.run import Job
from policysearch.compare.saved import load, load_all
from policysearch.compare.session import StudySession
from policysearch.compare.study import Study, StudyError
from policysearch.compare.tables import FAILURES, PURPOSES
from policysearch.compare.tuning import TUNING_COLUMNS
from policysearch.compare.verdict import against, plan, short, verdict
from policysearch.compare.workers import Died
from policysearch.optimizers import OPTIMIZERS
from policysearch.reporting.figures import svg
from policysearch.reporting.tables import number

HOSTILE = "<script>alert('x')</script>&amp; $x_1$ 100%"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison with a hostile label, failing episodes, tuning, and three tasks with references."""
    out = tmp_path_factory.mktemp("report")
    study = out / "study.toml.in"
    study.write_text(
        f"""
        rollouts = 40
        runs = 6
        tune = 2
        [tasks.lqr]
        [tasks.CartPole-v1]
        [tasks."counting_env:Failing-v0"]
        normalise = [-10.0, 0.0]
        [optimizers.random-search]
        [optimizers.cma-es]
        [optimizers."{HOSTILE}"]
        method = "ars"
        """,
        encoding="utf-8",
    )
    assert main([str(study), "--out", str(out / "out"), "--workers", "1", "--latex"]) == 0
    return out / "out"


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of one method whose episodes fail, whose report is soon written again."""
    out = tmp_path_factory.mktemp("failing") / "out"
    flags = shlex.split("--tasks counting_env:Failing-v0 --optimizers random-search --rollouts 40 --runs 2")
    assert main([*flags, "--workers", "1", "--out", str(out)]) == 0
    return out


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "path", "use", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_is_one_file_that_asks_nobody_for_anything(folder: Path) -> None:
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "img", "object", "embed", "form", "base"}
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith("#"), attributes
        assert not any(name.startswith("on") for name in attributes)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"url\((?!#)", text)
    assert "@import" not in text
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


def test_names_stay_text_in_html_and_latex_whatever_they_are(folder: Path) -> None:
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert any(HOSTILE in text for text in page.texts)
    tex = (folder / "table.tex").read_text(encoding="utf-8")
    assert r"\&amp; \$x\_1\$ 100\%" in tex
    body = tex.split("\n", 1)[1]  # below the comment with the command
    assert body.count("&") - body.count(r"\&") == 4 * 3  # three columns, in the head and in every row


def test_the_marks_of_different_pictures_do_not_mix(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    pictures = [each for each in re.findall(r"<svg.*?</svg>", text, re.DOTALL) if "swatch" not in each[:40]]
    assert len(pictures) == 3 * 3 + 2 + 3  # three a task, two for all, one per tuned method
    seen: set[str] = set()
    for picture in pictures:
        root = ET.fromstring(picture)  # noqa: S314 - our own
        marks = {e.get("id", "") for e in root.iter() if e.tag.endswith(("clipPath", "path")) and e.get("id")}
        assert not marks & seen - {"DejaVuSans"}
        seen |= {mark for mark in marks if len(mark) > 10}


def test_every_run_is_in_the_picture(folder: Path) -> None:
    from policysearch.compare import plots

    comparison = Comparison.read(folder)
    for task in comparison.tasks:
        (axis,) = plots.finals(comparison, task).axes
        dots = sum(line.get_xydata().shape[0] for line in axis.lines if line.get_marker() == "o")
        beyond = [int(text.get_text()) for text in axis.texts]
        assert dots + sum(beyond) == 6 * 3


def test_what_is_written_is_read_to_the_last_digit_and_written_again_the_same(
    folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "ledger.sqlite").unlink()
    assert main(["report", str(copy), "--latex"]) == 0
    for name in ("runs.csv", "curves.csv", "summary.csv", "pairs.csv", "overall.csv", "spent.csv", "tuning.csv",
                 "study.toml", "failures.csv", "summary.md", "table.tex", "curves.svg", "environment.json"):  # fmt: skip
        assert (copy / name).read_bytes() == (folder / name).read_bytes(), name
    one, other = (re.sub(r"replay \S+", "", (p / "report.html").read_text()) for p in (folder, copy))
    assert one == other


@pytest.mark.usefixtures("blank_pictures_here")
def test_studies_with_other_methods_are_merged_and_others_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--tasks", "lqr", "--rollouts", "20", "--runs", "2", "--workers", "1"]
    assert main([*small, "--optimizers", "random-search", "--out", str(tmp_path / "a")]) == 0
    assert main([*small, "--optimizers", "hill-climbing", "--out", str(tmp_path / "b")]) == 0
    assert (
        main([*small, "--optimizers", "random-search", "hill-climbing", "--out", str(tmp_path / "both")]) == 0
    )
    parts = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["report", *parts, "--out", str(tmp_path / "merged")]) == 0
    for name in ("summary.csv", "pairs.csv", "study.toml"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "both" / name).read_bytes(), name
    capsys.readouterr()
    assert main(["report", *parts]) == 2
    assert "--out: expected a folder for the report of 2 folders" in capsys.readouterr().err
    assert main([*small, "--seed", "1", "--optimizers", "random-search", "--out", str(tmp_path / "s")]) == 0
    capsys.readouterr()
    assert main(["report", parts[0], str(tmp_path / "s"), "--out", str(tmp_path / "no")]) == 2
    assert "the studies cannot be merged: seed: 0 and 1" in capsys.readouterr().err
    changed = Path(parts[1]) / "runs.csv"
    changed.write_text(changed.read_text().replace("hill-climbing", "random-search"))
    assert main(["report", *parts, "--out", str(tmp_path / "no")]) == 2
    assert "random-search on lqr, run 0: the parts hold different results" in capsys.readouterr().err
    for name, text in (("runs.csv", "a,b\n1,2\n"), ("study.toml", "tasks = 3"), ("environment.json", "{")):
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        shutil.copytree(tmp_path / "both", tmp_path / "c")
        (tmp_path / "c" / name).write_text(text)
        assert main(["report", str(tmp_path / "c")]) == 2
        assert "expected the results of a comparison" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "expected the results of a comparison" in capsys.readouterr().err


def test_a_failed_episode_is_shown_again_by_the_command_in_the_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    commands = re.findall(r"<code>PYTHONPATH=. python -m policysearch.compare (replay .*?)</code>", text)
    assert len(commands) >= 3
    assert all(
        command.endswith(" --trust counting_env") for command in commands
    )  # the code is the user's own
    for command in (commands[0], commands[1], commands[-1]):
        assert main(shlex.split(unescape(command))) == 0
        said = capsys.readouterr().out
        assert "it failed: step: RuntimeError: a leg broke" in said
        assert "it fails:  step: RuntimeError: a leg broke" in said
        assert 'raise RuntimeError("a leg broke")' in said
    failures = pd.read_csv(folder / "failures.csv")
    assert failures["traceback"].str.contains("a leg broke").all()
    assert main([*shlex.split(commands[0]), "--video", "x.gif"]) == 2
    assert "a failed episode, of which no video is made" in capsys.readouterr().err


def test_a_failure_that_was_mended_is_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "failures.npz" / load_all(folder / "failures.npz")[0][0].name
    spec = gym.registry[["counting_env", "Failing-v0"][1]]
    broken, spec.entry_point = spec.entry_point, "counting_env:Counting"
    try:
        assert main(["replay", str(file)]) == 1
    finally:
        spec.entry_point = broken
    assert "it does NOT fail now" in capsys.readouterr().out


def runs_table(
    finals: dict[str, list[float]], task: str = "lqr", settle: int = 0, **changes: Any
) -> Comparison:
    """A comparison with these final returns."""
    count = len(next(iter(finals.values())))
    rows = {label: {"method": "random-search"} for label in finals}
    groups = count // settle if settle else count
    study = Study.resolve({"tasks": [task], "optimizers": rows, "runs": groups, "settle": settle, **changes})
    base = {"task": task, "policy": "linear", "seed": 0, "d": 12, "rollouts": 300, "steps": 30_000, "remarks": "",
            "report_rollouts": 20, "report_steps": 0, "wall_seconds": 0.0, "failed_rollouts": 0, "clipped_steps": 0,
            "start_return": -3.0, "claimed_return": 0.0, "final_return_se": 0.0}  # fmt: skip
    runs = [
        base | {"optimizer": label, "run": run, "final_return": value}
        for label, values in finals.items()
        for run, value in enumerate(values)
    ]
    curves = [
        {"task": task, "policy": "linear", "optimizer": row["optimizer"], "run": row["run"], "rollouts": 30 * i,
         "steps": 3000 * i, "return_mean": row["final_return"], "best_seen": 0.0}
        for row in runs
        for i in range(11)
    ]  # fmt: skip
    columns = {"spent": PURPOSES, "failures": FAILURES, "tuning": TUNING_COLUMNS}
    empty = {name: pd.DataFrame(columns=list(listed)) for name, listed in columns.items()}
    return Comparison(study, pd.DataFrame(runs), pd.DataFrame(curves), **empty)


NOISE = np.array([0.31, -0.52, 0.11, 0.83, -0.24, 0.05, -0.77, 0.46, -0.13, 0.62])


def test_the_verdict_says_what_the_numbers_support_and_no_more() -> None:
    clear = verdict(runs_table({"a": list(NOISE), "b": list(NOISE[::-1] - 5)}))
    assert (
        "**lqr.** a has the highest interquartile mean after 300 rollouts. a is better than b: paired runs are "
        "not exchangeable (at most a 5 % chance" in clear
    )
    close = runs_table({"a": list(NOISE), "b": list(NOISE[::-1] - 0.3)})
    needed = int(close.pairs["runs_needed"].iloc[0])
    assert needed > 10
    assert (
        f"a and b cannot be distinguished on lqr with 10 runs; {needed} would be needed for the observed difference."
        in verdict(close)
    )
    few = verdict(runs_table({"a": list(NOISE[:5]), "b": list(NOISE[:5] - 5)}))
    assert "Of 5 runs no difference is significant at the 5 % level; 6 are the fewest." in few
    assert "better than" not in few
    assert "a and b share the highest interquartile mean after 300 rollouts, run by run the same." in verdict(
        runs_table({"a": list(NOISE), "b": list(NOISE)})
    )
    nothing = runs_table({"a": [float("nan")] * 6, "b": [float("nan")] * 6})
    assert "No method has an interquartile mean" in verdict(nothing)
    assert "a is the only method here" in verdict(runs_table({"a": list(NOISE)}))
    tie = verdict(runs_table({"a": [0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0], "b": [1.0] * 8}))
    assert "a and b share the highest interquartile mean after 300 rollouts." in tie
    three = verdict(runs_table({"b": list(NOISE - 9), "a": list(NOISE), "c": list(NOISE[::-1])}))
    assert "a is better than b" in three
    assert "cannot be distinguished" in three


def part_of(full: Comparison, jobs: Collection[tuple[str, int]]) -> Comparison:
    """The comparison of some (method, run) only, as a shard holds them."""
    held = [(row["optimizer"], row["run"]) in jobs for row in full.runs.to_dict("records")]
    return Comparison(full.study, full.runs[held], full.curves, full.spent, full.failures, full.tuning)


def test_a_method_stands_with_those_that_the_test_does_not_distinguish_from_it() -> None:
    ten = runs_table(
        {
            "b": list(NOISE - 9),
            "a": list(NOISE),
            "c": list(NOISE[::-1]),
            "d": list(NOISE[::-1] - 9.1),
            "e": list(NOISE - 30),
        }
    )
    needed = against(ten, "lqr", "a").set_index("y")["runs_needed"]
    first, second, last = groups(ten, "lqr")
    assert (first.first, [label for label, _ in first.others]) == ("a", ["c"])
    assert first.others[0][1] in (f"{needed['c']:,} or more", f"{needed['c']}", "more than 10")
    assert (second.first, [label for label, _ in second.others]) == ("b", ["d"])
    assert last == Group("e", [])
    apart = part_of(ten, {("a", 0), ("b", 1)})
    assert groups(apart, "lqr") == [Group("a", [("b", "no run in common")])]
    assert groups(runs_table({"a": list(NOISE)}), "lqr") == [Group("a", [])]


@pytest.mark.parametrize(
    ("finals", "said"),
    [
        ({"a": NOISE, "b": NOISE[::-1] - 5, "c": NOISE - 0.01 * NOISE[::-1]},
         ["a has the highest interquartile mean after 300 rollouts.", "With 10 runs the test distinguishes a from 1 of 2 other methods."]),
        ({"a": NOISE[:5], "b": NOISE[:5] - 5},
         ["a has the highest interquartile mean after 300 rollouts.", "With 5 runs no difference is significant; 6 are the fewest that can be."]),
        ({"a": [500.0] * 8, "b": [500.0] * 8, "c": [500.0] * 8},
         ["a and 2 other methods share the highest interquartile mean after 300 rollouts.", "With 8 runs the test distinguishes a from 0 of 2 other methods."]),
        ({"a": [9.0] * 22 + [-50.0] * 2, "b": [2.0] * 24},
         ["a has the highest interquartile mean after 300 rollouts.", "With 24 runs the test distinguishes a from 1 of 1 other method.",
          "See the details: the means do not say the same of every pair."]),
        ({"a": NOISE}, ["a is the only method here."]),
    ],
)  # fmt: skip
def test_the_verdict_of_a_page_is_at_most_three_short_sentences(
    finals: dict[str, Any], said: list[str]
) -> None:
    assert short(runs_table({label: list(values) for label, values in finals.items()}), "lqr") == said


def test_every_method_stands_out_in_every_picture_its_row_and_its_legend(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    pictures = [each for each in re.findall(r"<svg.*?</svg>", text, re.DOTALL) if "swatch" not in each[:40]][
        :-3
    ]
    assert len(pictures) == 3 * 3 + 2
    for mark in ("m0", "m1", "m2"):
        assert all(f'<g class="mark {mark}">' in picture for picture in pictures)
        keys = [tag for tag, attributes in page.tags if attributes.get("class") == f"key {mark}"]
        assert keys.count("span") == 3 + 1  # the legends of three tasks, and of all together
        assert keys.count("tr") == 2 * 3 + 2
        assert f"body:has(.{mark}:hover, .{mark}:focus) .{mark} {{ opacity: 1;" in text
    assert all(
        attributes.get("tabindex") == "0"
        for _, attributes in page.tags
        if "key" in (attributes.get("class") or "")
    )
    assert "<a xlink" not in text


def test_methods_without_a_common_run_are_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    full = runs_table({"a": list(NOISE), "b": list(NOISE[::-1] - 5), "c": list(NOISE - 1)})
    apart = part_of(full, {("a", 0), ("a", 3), ("b", 1), ("c", 2)})
    assert verdict(apart) == (
        "**lqr.** a has the highest interquartile mean after 300 rollouts. a has no run in common with c and b, so "
        "nothing can be said of the difference."
    )
    assert plan(apart).empty
    show.plan(apart)
    assert "Plan for lqr: the leader has no run in common with another method" in capsys.readouterr().out
    some = part_of(
        full, {*(("a", run) for run in range(10)), *(("b", run) for run in range(8)), ("c", 0), ("c", 9)}
    )
    assert "a is better than b" in verdict(some)
    assert "Of " not in verdict(some)  # of the ten runs a difference was significant
    assert "a and c cannot be distinguished on lqr with 2 runs; 6 would" in verdict(some)
    few = part_of(full, {("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("c", 1)})
    assert "Of 1 to 2 runs no difference is significant" in verdict(few)


#: The jobs of a comparison of three methods in three runs, and all its parts.
JOBS = [(label, run) for label in ("a", "b", "c") for run in range(3)]
PARTS = [part for size in range(1, 10) for part in itertools.combinations(JOBS, size)]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([JOBS[:1], [JOBS[0], JOBS[4]], [JOBS[0], JOBS[3], JOBS[8]], JOBS[1:4]], id="some"),
        pytest.param(PARTS, id="all", marks=pytest.mark.nightly),
    ],
)
def test_any_part_of_a_comparison_has_a_report(
    parts: list[Collection[tuple[str, int]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 8)  # their number is not what is tried
    monkeypatch.setattr(power, "STUDIES", 2)
    full = runs_table({"a": [0.0, 2.0, 1.0], "b": [1.0, float("nan"), 5.0], "c": [2.0, 2.0, 1.0]})
    for held in parts:
        part = part_of(full, held)
        assert "lqr" in page(part)
        assert latex_table(part)
        show.plan(part)
        assert "Plan for lqr" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("winner", "loser", "said"),
    [
        (list(NOISE), list(NOISE[::-1] - 5), None),
        (
            [9.0] * 11 + [-50.0],
            [2.0] * 12,
            "a less b is 2.083 in the mean (-4.950 … 9.117), with disasters in 2 of 24",
        ),
        (
            [9.0] * 11 + [math.nan],
            [2.0] * 12,
            "a less b has no mean, with disasters in 2 of 24 runs against 0",
        ),
        ([9.0] * 11 + [5.0], [2.0] * 12, None),
        ([9.0] * 12, [2.0] * 11 + [-80.0], None),  # a disaster of the other method
    ],
)
def test_a_verdict_says_where_the_means_do_not_say_the_same(
    winner: list[float], loser: list[float], said: str | None
) -> None:
    text = verdict(runs_table({"a": winner * 2, "b": loser * 2}))
    assert "a is better than b: paired runs are not exchangeable" in text
    assert (said or "") in text
    assert ("The means do not say so" in text) == (said is not None)


@pytest.mark.parametrize(
    ("runs", "said"), [(1, ""), (2, "at most 50 %"), (5, "at most 94 %"), (6, ""), (10, "")]
)
def test_the_report_says_how_often_intervals_of_few_runs_cover(runs: int, said: str) -> None:
    text = page(runs_table({"a": list(NOISE[:runs]), "b": list(NOISE[:runs] - 1)}))
    assert (f"with {runs} runs a 95 % interval covers {said}" in text) == bool(said)
    assert ("a 95 % interval covers" in text) == bool(said)


def test_a_comparison_with_its_sides_exchanged_is_the_same() -> None:
    one = runs_table({"a": list(NOISE), "b": list(NOISE[::-1] - 1)})
    other = runs_table({"b": list(NOISE[::-1] - 1), "a": list(NOISE)})
    x, y = against(one, "lqr", "a").iloc[0], against(other, "lqr", "a").iloc[0]
    assert (x["x"], x["y"]) == (y["x"], y["y"]) == ("a", "b")
    for name in ("p_improvement", "difference", "effect", "runs_needed", "p", "better"):
        assert x[name] == pytest.approx(y[name]), name
    assert x["ci_low"] <= x["p_improvement"] <= x["ci_high"]
    assert y["ci_low"] <= y["p_improvement"] <= y["ci_high"]


def test_a_plan_gives_runs_and_rollouts_and_what_pairing_saves() -> None:
    common = 10 * NOISE  # episodes matter much more than methods
    comparison = runs_table({"a": list(common + NOISE[::-1]), "b": list(common - 0.2)})
    (row,) = plan(comparison).to_dict("records")
    assert (row["leader"], row["against"]) == ("a", "b")
    gap = NOISE[::-1] + 0.2
    assert row["effect"] == pytest.approx(gap.mean() / gap.std(ddof=1))
    assert row["runs needed"] == comparison.pairs["runs_needed"].iloc[0] < row["without pairing"]
    assert row["rollouts"] == row["runs needed"] * 600
    assert 0.9 < comparison.pairs["variance_removed"].iloc[0] < 1.0


def test_after_several_looks_only_the_sequential_test_decides() -> None:
    comparison = runs_table({"a": list(NOISE), "b": list(NOISE[::-1] - 5)}, settle=2)
    assert comparison.pairs["better"].tolist() == ["a"]
    assert comparison.pairs["p_joint"].isna().all()


def test_adding_a_method_changes_nobodys_scale() -> None:
    two = runs_table({"a": list(NOISE), "b": list(NOISE - 1)})
    three = runs_table({"a": list(NOISE), "b": list(NOISE - 1), "c": list(NOISE + 1000)})
    values = np.array([-3.0, np.nan])
    assert two.normalised("lqr", values).tolist() == three.normalised("lqr", values).tolist()
    assert two.hits("a").tolist() == three.hits("a").tolist()
    columns = ["optimizer", "iqm", "ci_low", "ci_high", "anytime"]
    pd.testing.assert_frame_equal(two.summary[columns], three.summary[columns][:2])
    nothing = runs_table({"a": list(NOISE)}, task="counting_env:Counting-v0")
    assert nothing.normalised_tasks == []
    declared = {"counting_env:Counting-v0": {"normalise": [-10.0, 0.0]}}
    study = Study.resolve({"tasks": declared, "optimizers": ["ars"]})
    assert study.references("counting_env:Counting-v0") == (-10.0, 0.0)
    with pytest.raises(
        StudyError, match=r"normalise: expected \[low, high\] with low < high, got \[1.0, 0.0\]"
    ):
        Study.resolve({"tasks": {"lqr": {"normalise": [1.0, 0.0]}}, "optimizers": ["ars"]})


def test_matrices_are_complementary_and_ruined_runs_do_not_break_the_page() -> None:
    ruined = [*NOISE[:8], float("nan"), -1e300]
    comparison = runs_table({"a": list(NOISE), "b": ruined, "c": [float("nan")] * 10})
    table = comparison.improvement_matrix("lqr")
    values = table.to_numpy()
    assert np.allclose((values + values.T)[~np.eye(3, dtype=bool)], 1.0)
    assert table.loc["a", "c"] == 1.0
    assert comparison.pairs["better"].tolist()[1:] == ["a", "b"]  # whoever has no result loses
    assert matrix_cells(comparison, "lqr")[0][1][0] == ("", "#f4f4f4")
    from policysearch.compare import plots

    for figure in (
        plots.overview(comparison),
        plots.anytime(comparison, "lqr", "steps"),
        plots.ecdf(comparison),
    ):
        assert "<svg" in svg(figure, "x")
    assert "–" in latex_table(comparison) or "--" in latex_table(comparison)


def test_curves_keep_their_value_until_the_next_point_on_either_axis() -> None:
    comparison = runs_table({"a": [1.0, 2.0]})
    comparison.curves.loc[comparison.curves["rollouts"] >= 150, "return_mean"] = 7.0
    comparison.curves.loc[comparison.curves["run"] == 1, "steps"] *= 2
    grid, values = comparison.curve("lqr", "a", "rollouts")
    assert grid.tolist() == list(range(0, 301, 30))
    assert values[:, 0].tolist() == [1.0] * 5 + [7.0] * 6
    grid, values = comparison.curve("lqr", "a", "steps")
    assert values[:, 0].tolist() == [7.0 if steps >= 15_000 else 1.0 for steps in grid]
    assert values[:, 1].tolist() == [7.0 if steps >= 30_000 else 2.0 for steps in grid]


@pytest.mark.nightly
def test_the_report_of_three_thousand_runs_needs_less_than_400_megabytes(tmp_path: Path) -> None:
    returns = np.random.default_rng(0).normal(size=(3, 1000))
    runs_table({label: list(values) for label, values in zip("abc", returns, strict=True)}).write(tmp_path)
    code = (
        "import resource, sys\nfrom policysearch.compare.__main__ import main\n"
        "code = main(['report', sys.argv[1]])\n"
        "print('bytes', 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\nsys.exit(code)"
    )
    made = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(made.stdout.rpartition("bytes ")[2]) < 400e6


def test_numbers_are_short() -> None:
    assert [number(x) for x in (0.0, -0.40256, 23.456, 499.96, 123456.0, -2e21, 1e-7, float("nan"))] == [
        "0.000", "-0.4026", "23.46", "500.0", "1.23e+05", "-2e+21", "1e-07", "–",
    ]  # fmt: skip


def test_from_python_the_tables_and_pictures_are_those_of_the_command(tmp_path: Path) -> None:
    request = {"tasks": ["lqr"], "optimizers": ["random-search", "cma-es"], "rollouts": 40, "runs": 2}
    comparison = policysearch.compare(request, progress=False)
    again = policysearch.compare(request, out=tmp_path / "py", progress=False)
    flags = ["--tasks", "lqr", "--optimizers", "random-search", "cma-es", "--rollouts", "40", "--runs", "2"]
    assert main([*flags, "--workers", "1", "--out", str(tmp_path / "cli")]) == 0
    for name in ("summary.csv", "pairs.csv", "curves.csv", "curves.svg", "study.toml"):
        assert (tmp_path / "py" / name).read_bytes() == (tmp_path / "cli" / name).read_bytes(), name
    pd.testing.assert_frame_equal(comparison.summary, again.summary)
    assert comparison.plot().axes
    assert comparison._repr_markdown_().startswith("| task |")
    with pytest.raises(StudyError, match="unknown task"):
        policysearch.compare({"tasks": ["lqqr"], "optimizers": ["ars"]})


def test_a_run_without_a_result_is_an_error_from_python() -> None:
    class Raising(OPTIMIZERS["random-search"]):  # type: ignore[misc, name-defined]
        def search(self, domain: Any, rng: Any) -> Any:
            raise ZeroDivisionError("a bug")
            yield

    study = Study.resolve({"tasks": ["lqr"], "optimizers": ["random-search"], "runs": 1})
    with StudyJournal(None, study) as journal:
        session = StudySession(study, journal)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(OPTIMIZERS, "random-search", Raising)
            list(session.run(1))
    assert "ZeroDivisionError: a bug" in session.died[0].reason


def test_who_is_better_is_what_was_tested_and_not_what_the_means_say() -> None:
    y = np.arange(20.0)
    x = y - 0.1
    x[10] = 100.0  # one run far above all others
    comparison = runs_table({"x": list(x), "y": list(y)})
    assert comparison.summary["iqm"][0] > comparison.summary["iqm"][1]
    assert comparison.pairs["better"].tolist() == ["y"]
    assert "better than" not in verdict(comparison)
    assert "x has the highest interquartile mean" in verdict(comparison)
    assert "Run by run, though, it loses to y" in verdict(comparison)


def test_a_method_with_few_runs_does_not_take_them_from_the_others() -> None:
    full = runs_table({"a": list(NOISE), "b": list(NOISE[::-1] - 5), "c": list(NOISE - 1)})
    runs = full.runs[(full.runs["optimizer"] != "c") | (full.runs["run"].isin([1, 7]))]
    part = Comparison(full.study, runs, full.curves, full.spent, full.failures, full.tuning)
    assert part.pairs["runs"].tolist() == [10, 2, 2]
    assert part.pairs["better"].tolist() == ["a", "", ""]
    gaps = part._gaps("lqr", [("a", "b"), ("a", "c")])
    assert np.isnan(gaps[:, 1]).tolist() == [run not in (1, 7) for run in range(10)]
    assert gaps[7, 1] == pytest.approx(1.0)


def test_a_group_that_is_not_complete_decides_nothing() -> None:
    complete = runs_table({"a": list(NOISE), "b": list(NOISE[::-1] - 5), "c": list(NOISE)}, settle=2)
    assert complete.pairs["better"].tolist() == ["a", "", "c"]
    runs = complete.runs[(complete.runs["optimizer"] != "c") | (complete.runs["run"] < 9)]
    part = Comparison(
        complete.study, runs, complete.curves, complete.spent, complete.failures, complete.tuning
    )
    assert part.pairs["better"].tolist() == ["", "", ""]


def test_a_run_without_a_result_stands_in_the_tables_and_counts_as_the_worst() -> None:
    study = Study.resolve({"tasks": ["lqr"], "optimizers": ["random-search"], "rollouts": 20, "runs": 4})
    with StudyJournal(None, study) as journal:
        session = StudySession(study, journal)
        list(session.run(1))
        lost = Job("lqr", "random-search", 2)
        del session.results[lost]
        session.died.append(Died(lost, "its process ended 3 times"))
    comparison = Comparison.of(session)
    assert comparison.runs["run"].tolist() == [0, 1, 2, 3]
    assert np.isnan(comparison.final("lqr", "random-search")[2])
    assert "random-search on lqr, run 2: no result: its process ended 3 times" in page(comparison)
    assert np.isfinite(comparison.summary["iqm"][0])  # one of four is within the lowest quarter
    assert html(comparison)


@pytest.mark.parametrize(
    "label",
    [
        "ars[/x]",
        "$\\foo$",
        *(
            pytest.param(x, marks=pytest.mark.nightly)
            for x in ("a|b", "cma-es[sigma=0.5]", "a$b$c", "[red]x")
        ),
    ],
)
def test_labels_are_text_everywhere(label: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "study.toml"
    quoted = label.replace("\\", "\\\\")
    file.write_text(
        f'rollouts = 20\nruns = 1\n[tasks.lqr]\n[optimizers."{quoted}"]\nmethod = "random-search"\n',
        encoding="utf-8",
    )
    assert main([str(file), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    said = capsys.readouterr()
    assert label in said.out
    assert label in said.err
    assert label.replace("|", "\\|") in (tmp_path / "out/summary.md").read_text(encoding="utf-8")
    assert label in (tmp_path / "out/curves.svg").read_text(encoding="utf-8")


def test_different_names_give_different_files() -> None:
    names = [
        ("lqr", "算法一", 0),
        ("lqr", "算法二", 0),
        ("lqr", "a/b", 0),
        ("lqr", "a b", 0),
        ("../lqr", "ars", 0),
    ]
    files = [file_name(*parts) for parts in names]
    assert len(set(files)) == len(files)
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", file) for file in files)
    assert (
        file_name("MountainCarContinuous-v0", "whitened:ars", 3)
        == "MountainCarContinuous-v0__whitened-ars__3"
    )


@pytest.mark.usefixtures("blank_pictures_here")
def test_the_paths_of_failures_survive_reports_of_reports(failing: Path, tmp_path: Path) -> None:
    shutil.copytree(failing, tmp_path / "E")
    before = (tmp_path / "E/failures.csv").read_bytes()
    for _ in range(2):
        assert main(["report", str(tmp_path / "E")]) == 0
        assert (tmp_path / "E/failures.csv").read_bytes() == before
    assert main(["report", str(tmp_path / "E"), str(tmp_path / "E"), "--out", str(tmp_path / "F")]) == 0
    files = pd.read_csv(tmp_path / "F/failures.csv")["file"]
    assert len(files) == len(pd.read_csv(tmp_path / "E/failures.csv")) > 0
    assert all(load(Path(file))[0].failed is not None for file in files)


def test_tables_that_were_cut_off_are_refused(
    failing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(failing, tmp_path / "E")
    whole = (tmp_path / "E/runs.csv").read_text(encoding="utf-8")
    (tmp_path / "E/runs.csv").write_text(whole.rsplit(",", 5)[0], encoding="utf-8")
    assert main(["report", str(tmp_path / "E")]) == 2
    assert "runs.csv: a row has more or fewer entries than the table has columns" in capsys.readouterr().err
    (tmp_path / "E/runs.csv").write_text(whole, encoding="utf-8")
    (tmp_path / "E/environment.json").write_text('["a"]', encoding="utf-8")
    assert main(["report", str(tmp_path / "E")]) == 2
    assert "environment.json: expected a list of sessions" in capsys.readouterr().err
    (tmp_path / "E/environment.json").write_text("[{}]", encoding="utf-8")
    assert main(["report", str(tmp_path / "E")]) == 0


def test_sequential_studies_with_other_groups_are_not_merged() -> None:
    one = runs_table({"a": list(NOISE), "b": list(NOISE - 1)}, settle=2)
    other = runs_table({"a": list(NOISE[:8]), "b": list(NOISE[:8] - 1)}, task="CartPole-v1", settle=2)
    with pytest.raises(ValueError, match="the studies cannot be merged: runs: 5 and 4"):
        Comparison.merge([one, other])
