"""What a session leaves for others: tables of bouts and events, and a page to sign."""

import csv
import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_hitl_session import SHORT, rate_of

from policysearch.exoskeleton.respirometry import Breaths
from policysearch.hitl import LOG, corrections, evidence
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView
from policysearch.ledger import checksum, read

HOSTILE = '=cmd|"x"!A1\t<script>alert(1)</script>\x1b[31m'
START = 1.7e9


def gases(count: int = 12) -> Breaths:
    time = 3.0 * np.arange(count)
    return Breaths(
        time, np.full(count, 4.0), {"vo2_ml_min": np.full(count, 900.0), "vco2_ml_min": np.full(count, 810.0)}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session in which three bouts were timed, one of them void, and the second amended with a file."""
    now, folder = itertools.count(50.0, 5.0).__next__, tmp_path_factory.mktemp("session")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corrections, "monotonic", now)
        _walk(folder)
    return folder


def _walk(folder: Path) -> None:
    wall = itertools.count(START, 5.0).__next__
    with Session.begin(replace(SHORT, participant="P1", conditions="letters"), folder / LOG, wall) as session:
        session.tell("operator", who=HOSTILE)
        for number in range(1, 4):
            if session.entering:
                session.confirm()
            session.started()
            session.ended("the time is up")
            if number == 3:
                session.void(HOSTILE, 1.0)
                break
            session.tell("file", name=f"{number}.csv", sha256=f"{number}" * 64, item=session.next.item)
            session.measured(4.4, 0.1, gases())
        session.amend(2, 3.9, "the right file", 0.1, gases())
        session.tell("file", name="right.csv", sha256="a" * 64, item=session.entries[1].item)
        session.tell("adverse event", text="a blister")
        evidence.write(session, folder)


def test_the_table_of_bouts_has_both_clocks_gases_and_files(folder: Path) -> None:
    first, second, void = csv.DictReader((folder / "bouts.csv").read_text(encoding="utf-8").splitlines())
    assert float(first["ended"]) - float(first["started"]) == 5.0
    assert float(first["ended monotonic"]) - float(first["started monotonic"]) == 5.0
    assert float(first["started"]) >= START > 1e6 > float(first["started monotonic"])
    assert (float(first["mean vo2_ml_min"]), float(first["mean rer"])) == (900.0, 0.9)
    assert first["mean heart_rate_bpm"] == ""
    assert (first["file"], first["sha256"]) == ("1.csv", "1" * 64)
    assert (second["file"], second["sha256"]) == ("right.csv", "a" * 64)
    assert (void["file"], void["status"]) == ("", "void")


def test_the_events_are_those_of_bids(folder: Path) -> None:
    text = (folder / "events.tsv").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines()]
    assert lines[0] == list(json.loads((folder / "events.json").read_text(encoding="utf-8")))
    assert lines[0][:3] == ["onset", "duration", "trial_type"]
    assert {len(line) for line in lines} == {6}
    onsets = [float(line[0]) for line in lines[1:]]
    assert onsets == sorted(onsets)
    bouts = [line[1:5] for line in lines if line[3] in ("1", "2", "3")]
    assert bouts == [
        ["5", "baseline", "1", "measured"],
        ["5", "search", "2", "amended"],
        ["5", "search", "3", "void"],
    ]
    assert [line[5] for line in lines if line[2] == "adverse event"] == ["a blister"]
    assert "'=cmd" in text
    assert "\x1b" not in text


def test_the_audit_page_has_who_why_and_the_checksum_to_sign(folder: Path) -> None:
    page = (folder / "audit.html").read_text(encoding="utf-8")
    assert checksum(read(folder / LOG)) in page
    for words in (
        "right.csv",
        "a" * 64,
        "the right file",
        "a blister",
        "policysearch",
        "1 void",
        "not covered",
    ):
        assert words.lower() in page.lower()
    assert "<script" not in page
    assert "\x1b" not in page
    assert not re.search(r"(src|href)=", page)


def test_a_log_that_has_continued_or_is_elsewhere_has_no_checksum(folder: Path, tmp_path: Path) -> None:
    view = SessionView.of(folder / LOG)
    assert "There is no checksum" in evidence.audit(view, tmp_path / "elsewhere" / LOG)
    copy = Path(shutil.copy(folder / LOG, tmp_path / LOG))
    assert "There is no checksum" not in evidence.audit(view, copy)
    with Session.resume(copy) as session:
        session.note("more")
    assert "There is no checksum" in evidence.audit(view, copy)


def test_nothing_tells_the_conditions_while_they_are_letters(tmp_path: Path) -> None:
    plan = replace(SHORT, conditions="letters")
    with Session.begin(plan, tmp_path / LOG) as session:
        while session.next is not None:
            if session.entering:
                session.confirm()
            session.started()
            session.ended("the time is up")
            session.measured(rate_of(session))
        evidence.write(session, tmp_path)
        for name in ("events.tsv", "bouts.csv"):
            assert "optimized" not in (tmp_path / name).read_text(encoding="utf-8")
        assert "optimized" not in re.sub(
            r"<pre>.*</pre>", "", (tmp_path / "audit.html").read_text(), flags=re.DOTALL
        )
        session.unblind("the end of the study")
        evidence.write(session, tmp_path)
        assert "\toptimized\t" in (tmp_path / "events.tsv").read_text(encoding="utf-8")
