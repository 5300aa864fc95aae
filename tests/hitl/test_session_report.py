"""The report of a session: its numbers are the session's, it needs nothing but itself, and it can be written again."""

import csv
import errno
import itertools
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from policysearch.exoskeleton.respirometry import Breaths, sensitivity
from policysearch.hitl import evidence, history, report
from policysearch.hitl.people import SimulatedPerson, walk_next
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView

HOSTILE = "<script>alert(1)</script>"
SHORT = SessionPlan(bouts=8, baseline=3.0, validation=3.0)
#: W/kg; net of 1.4 standing: 3, 2.4 and 2.1.
MEASURED = {"zero torque": 4.4, "reference": 3.8, "optimized": 3.5}


def clock() -> Callable[[], float]:
    """A minute between events, from 2023-11-14 22:13:20 UTC."""
    return itertools.count(1.7e9, 60.0).__next__


def validated(rates: Mapping[str, float], error: float = np.nan) -> Session:
    """A session with the rates 4.1, 4.0, 3.9, … in its search, and these in its validation, ± 0.1 around them."""
    session = Session.begin(SHORT, clock=clock())
    while (bout := session.next) is not None:
        if session.entering:
            session.confirm()
        if bout.purpose == "search":
            session.measured(4.2 - 0.1 * len(session.entries))
        elif bout.purpose == "validation":
            first = bout.condition not in {entry.condition for entry in session.entries}
            session.measured(rates[bout.condition] + (0.1 if first else -0.1), error)
        else:
            session.measured(4.4, error)
    return session


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a session of a hostile participant, in which an operator did one of everything."""
    path = tmp_path_factory.mktemp("session") / "session.sqlite"
    plan = SessionPlan(
        participant=HOSTILE, mass=81.0, seed=3, bouts=16, retest=1, rest=2.0, warm_up=3.0, baseline=3.0
    )
    time, person = clock(), SimulatedPerson("zhang2017", (3, "person"))
    session = Session.begin(plan, path, time)
    for turn in itertools.count(1):
        if session.next is None:
            session.close()
            return path
        if session.entering:
            session.confirm()
        if turn == 6:
            session.void(f"belt {HOSTILE}", 1.0)
        elif turn == 9:
            session.skip("too uncomfortable")
        elif turn == 12:
            session.undo("typed wrongly")
        elif turn == 18:
            session.amend(4, 3.5, "the mask leaked")
            session.amend(4, 3.25, "it leaked more")
            session.undo("it did not")
            session.amend(4, 3.125, "it did")
            session.limit(0.7, "a sore ankle")
            session.note("drank water; 3 < 4")
            session.retest()
            session.close()
            session = Session.resume(path, time)
        else:
            walk_next(session, person)
    raise AssertionError


@pytest.fixture(scope="module")
def session(path: Path) -> Session:
    return SessionView.of(path)


@pytest.fixture(scope="module")
def written(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.write(session, tmp_path_factory.mktemp("report") / "a" / "folder")


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, its text, and the cells of its tables row by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.rows = "", [[""]]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_reductions_and_their_standard_errors_are_those_of_the_arithmetic() -> None:
    # net 3, 2.4 and 2.1 W/kg; two bouts of ± 0.12 each: a mean of ± 0.12/√2 = 0.08485
    # optimized against zero torque: 1 − 2.1/3 = 30 %, ± 100/3 · 0.08485 · √(1 + 0.7²) = 3.45
    # reference against zero torque: 1 − 2.4/3 = 20 %, ± 100/3 · 0.08485 · √(1 + 0.8²) = 3.62
    # optimized against reference: 1 − 2.1/2.4 = 12.5 %, ± 100/2.4 · 0.08485 · √(1 + 0.875²) = 4.70
    lines = report.findings(validated(MEASURED, 0.12))
    assert lines[:3] == [
        "Validation: the optimized law took 30.0 % less net energy than zero torque (standard error 3.5).",
        "Validation: the reference law took 20.0 % less net energy than zero torque (standard error 3.6).",
        "Validation: the optimized law took 12.5 % less net energy than the reference law (standard error 4.7).",
    ]
    # 0.2 W/kg between two bouts under the same law: 9.5 % of 2.1
    assert "differed by up to 9.5 %" in lines[3]
    assert "noisy measurement" in lines[3]


def test_without_standard_errors_of_the_bouts_none_is_made_up() -> None:
    session = validated(MEASURED)
    found = report.compared(session, "optimized", "zero torque")
    assert found is not None
    assert found.reduction == pytest.approx(30.0)
    assert np.isnan(found.standard_error)
    assert not any("(standard error" in line for line in report.findings(session))


def test_an_amended_bout_takes_the_standard_error_of_its_condition_with_it() -> None:
    session = validated(MEASURED, 0.12)
    bout = next(entry for entry in session.entries if entry.condition == "optimized")
    session.amend(bout.number, 3.6, "the mask leaked")
    against = {to: report.compared(session, "optimized", to) for to in ("zero torque", "reference")}
    assert all(found is not None and np.isnan(found.standard_error) for found in against.values())
    found = report.compared(session, "reference", "zero torque")
    assert found is not None
    assert found.standard_error == pytest.approx(3.62, abs=0.005)


def test_laws_that_differ_by_less_than_two_standard_errors_are_not_distinguished() -> None:
    said = "differ by less than two standard errors"
    worse = {**MEASURED, "optimized": 4.0}
    assert any(said in line for line in report.findings(validated(worse, 0.12)))  # −8.3 %, error 5.4
    assert not any(said in line for line in report.findings(validated(MEASURED, 0.12)))  # 12.5 %, error 4.7
    assert "8.3 % more net energy than the reference law" in report.findings(validated(worse, 0.12))[2]


def test_the_best_single_estimate_is_reported_next_to_what_the_validation_measured() -> None:
    # the last of the search's eight bouts: 4.2 − 0.8 = 3.4 W/kg, net 2 of 3
    (line,) = [line for line in report.findings(validated(MEASURED)) if "best single estimate" in line]
    assert "33.3 % less net energy than the baseline (bout 9): the best of 8 noisy numbers" in line
    assert line.endswith("The recommended law, validated: 30.0 % less net energy than zero torque.")


def test_without_a_baseline_the_best_single_estimate_is_a_rate() -> None:
    session = Session.begin(SessionPlan(bouts=8, baseline=0.0, validation=0.0))
    for rate in (3.9, 3.7, 3.8):
        if session.entering:
            session.confirm()
        session.measured(rate)
    assert "The best single estimate of the search was 3.70 W/kg (bout 2)" in report.findings(session)[-1]


def test_the_page_has_the_recommended_law_in_both_units(session: Session, written: Path) -> None:
    peak_torque, peak, rise, fall = session.recommendation.tolist()
    text = Page(written.read_text(encoding="utf-8")).text
    assert (
        f"{peak_torque:.3f} N·m/kg, which is {81.0 * peak_torque:.1f} N·m for 81 kg, at {peak:.1f} % stride"
        in text
    )
    assert (
        f"rise {rise:.1f} %, fall {fall:.1f} % (onset {peak - rise:.1f} %, end {peak + fall:.1f} %)" in text
    )
    assert "upper torque 0.7 N·m/kg (57 N·m), lowered from 1 N·m/kg" in text
    for line in report.findings(session):
        assert line in text


def test_the_table_of_bouts_is_the_sessions(session: Session, written: Path) -> None:
    page, table = Page(written.read_text(encoding="utf-8")), session.table()
    start = next(i for i, row in enumerate(page.rows) if "reason" in row) + 1
    rows = page.rows[start : start + len(table)]
    for cells, entry in zip(rows, table.to_dict("records"), strict=True):
        assert cells[0] == str(entry["number"])
        assert cells[1] == (entry["condition"] or entry["purpose"])
        assert cells[2] == (str(entry["generation"] + 1) if entry["purpose"] == "search" else "")
        if entry["peak torque"] > 0.0:
            law = [entry[name] for name in ("peak torque", "peak time", "rise time", "fall time")]
            assert [float(cells[i]) for i in (4, 6, 7, 8)] == [round(law[0], 3), *np.round(law[1:], 1)]
            assert float(cells[5]) == round(81.0 * law[0], 1)
        numbers = [float(number) for number in cells[9].split(" ± ") if number]
        assert numbers == [round(x, 2) for x in (entry["rate"], entry["standard error"]) if np.isfinite(x)]
        shown = float(cells[10].removesuffix(" %").replace("−", "-")) if cells[10] else np.nan
        np.testing.assert_equal(shown, round(entry["reduction"], 1))
        assert cells[11:] == [entry["status"], entry["reason"]]
    statuses = {"walked", "measured", "amended", "void", "skipped", "undone", "set aside"}
    assert {row[11] for row in rows} == statuses


def test_the_operators_doings_are_listed_with_old_values_reasons_and_times(
    session: Session, written: Path
) -> None:
    done = history.actions(session)
    first = session.entries[3]
    assert first.status == "amended"
    rates = [body["rate"] for kind, body in session.events if kind == "bout" and body["item"] == first.item]
    expected = [
        ("void", f"bout 6: belt {HOSTILE}"),
        ("skip", "bout 9: too uncomfortable"),
        ("undo", "bout of bout 11 taken back: typed wrongly"),
        ("amend", f"bout 4: {rates[0]:g} → 3.5 W/kg: the mask leaked"),
        ("amend", "bout 4: 3.5 → 3.25 W/kg: it leaked more"),
        ("undo", "amend taken back: it did not"),
        ("amend", "bout 4: 3.5 → 3.125 W/kg: it did"),
        ("limit", "upper torque 0.7 N·m/kg: a sore ankle"),
        ("note", "drank water; 3 < 4"),
        ("retest", "the reference law next"),
    ]
    assert [(kind, words) for _, kind, words in done if kind != "confirm"] == expected
    confirmed = [words for _, kind, words in done if kind == "confirm"]
    assert confirmed[0] == "bout 1: a law in a new region"
    assert len(confirmed) == sum(kind == "confirm" for kind, _ in session.events)
    at = next(body["at"] for kind, body in session.events if kind == "note")
    seconds = int(at - 1.7e9) + 22 * 3600 + 13 * 60 + 20
    time = f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    assert (time, "note", "drank water; 3 < 4") in done
    rows = Page(written.read_text(encoding="utf-8")).rows
    assert [list(action) for action in done] == rows[-len(done) - 1 : -1]


def test_bouts_that_depend_on_the_time_constant_are_named(session: Session) -> None:
    time = np.arange(3.0, 121.0, 3.0)
    steep = Breaths(time, 4.0 - 1.5 * np.exp(-time / 60.0) + 0.01 * np.cos(time))
    flat = Breaths(time, 4.0 + 0.01 * np.cos(2.0 * time))
    long = Breaths(3.0 * time, 4.0 - 1.5 * np.exp(-3.0 * time / 60.0) + 0.01 * np.cos(time))
    session = Session.begin(SessionPlan(bouts=8, baseline=6.0, validation=0.0), clock=clock())
    session.measured(4.4, 0.1, steep)  # the mean of its last minutes, whatever τ is
    for breaths in (steep, flat, None, steep, long):
        if session.entering:
            session.confirm()
        session.measured(4.0, 0.1, breaths)
    session.amend(5, 3.9, "the mask leaked")  # what counts is not what its breaths say
    assert [(entry.number, found.warn) for entry, found in report.sensitivities(session)] == [
        (2, True),
        (3, False),
    ]
    text = Page(report.page(session)).text
    low, middle, high = sensitivity(steep).rates
    assert "Of 2 fitted bouts, 1 would have another result" in text
    assert "30 or 54 s, not 42 s (results with 30, 42, 54 s):" in text
    assert f"bout 2: {low:.2f}, {middle:.2f}, {high:.2f} W/kg" in text
    assert "bout 3:" not in text


def test_what_people_typed_stays_text_and_nothing_is_fetched(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    page = Page(text)
    assert f"Session of participant {HOSTILE}" in page.text
    assert f"belt {HOSTILE}" in page.text
    assert not {tag for tag, _ in page.tags} & {"script", "img", "image", "iframe", "link", "object", "form"}
    links = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name.endswith(("href", "src"))
    ]
    assert all((value or "").startswith("#") for value in links)
    policy = next(
        attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes and tag == "meta"
    )
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not re.search(r"url\((?!['\"]?#)|@import", text)


def test_ids_in_the_page_are_unique(written: Path) -> None:
    ids = [attributes["id"] for tag, attributes in Page(written.read_text(encoding="utf-8")).tags
           if tag in ("path", "clipPath", "use") and "id" in attributes]  # fmt: skip
    assert len(ids) == len(set(ids)) > 10


def test_the_same_log_gives_the_same_bytes(path: Path, written: Path, tmp_path: Path) -> None:
    again = report.write(SessionView.of(path), tmp_path)
    assert again.read_bytes() == written.read_bytes()
    assert (tmp_path / "bouts.csv").read_bytes() == (written.parent / "bouts.csv").read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "audit.html", "bouts.csv", "breaths.csv", "events.json", "events.tsv", "report.html",
    ]  # fmt: skip


def test_every_bout_stands_out_in_the_pictures_that_show_it(session: Session, written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    rows = {attributes["class"] for tag, attributes in Page(text).tags if "tabindex" in attributes}
    for entry in session.entries:
        assert rows & {f"key b{entry.number}", f"key b{entry.number} out"}
        pictures = text.count(f'<g class="mark b{entry.number}">')
        if entry.purpose == "search" and entry.status == "measured":
            assert (
                pictures >= 1 + 4 + 2
            )  # its law, its place in four pictures, its breaths and their response
    assert "<a xlink" not in text


def test_bouts_csv_is_the_sessions_table_and_more(session: Session, written: Path) -> None:
    with (written.parent / "bouts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, entry in zip(rows, evidence.bouts_table(session).to_dict("records"), strict=True):
        assert list(row) == list(entry)
        assert list(row)[: len(session.table().columns)] == list(session.table().columns)
        for name, value in entry.items():
            assert row[name] == ("" if value in ("", None) or str(value) == "nan" else str(value)), name


def test_a_report_obeys_no_name_and_no_reason(tmp_path: Path) -> None:
    session = Session.begin(SessionPlan(participant="</script>\x1b]0;owned\x07", bouts=8), clock=clock())
    session.void("=cmd|' /C calc'!A0", 1.0)
    session.note("@SUM(1)\x9b2J")
    page = report.write(session, tmp_path).read_text(encoding="utf-8")
    table = (tmp_path / "bouts.csv").read_text(encoding="utf-8")
    assert not re.search("[\x00-\x06\x08\x0b-\x1f\x7f-\x9f]", page + table)
    assert "</script>\\u001b" not in page
    assert ",'=cmd|" in table


def unwritable(_: Path, target: Path) -> None:
    raise PermissionError(
        errno.EACCES, "Permission denied", "a file that is not there yet", None, str(target)
    )


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    session = Session.begin(SHORT, clock=clock())
    before = report.write(session, tmp_path).read_bytes()
    session.measured(4.4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", unwritable)
        with pytest.raises(PermissionError, match=r"bouts\.csv"):
            report.write(session, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before


def test_a_session_that_has_just_begun_claims_nothing() -> None:
    text = Page(report.page(Session.begin(SessionPlan(), clock=clock()))).text
    assert "It is not over; next: baseline without torque." in text
    assert "Search: cma-es, 32 bouts of 2 min (64 min), seed 0; generations walked so far: 0." in text
    assert "Around it: baseline without torque 6 min; validation, six bouts of 6 min." in text
    assert "No law was measured yet: this is where the search starts." in text
    assert "There is no validation yet" in text
    assert "0 min were walked in all" in text
    assert "best single estimate" not in text


def test_the_page_says_when_how_long_and_with_what(session: Session, written: Path) -> None:
    text = Page(written.read_text(encoding="utf-8")).text
    assert "2023-11-14 22:13 to " in text
    assert "It is over." in text
    walked = [entry for entry in session.entries if entry.status != "skipped" and entry.purpose != "rest"]
    assert f"{sum(entry.minutes for entry in walked):g} min were walked in all" in text
    assert (
        "warm-up 3 min; baseline without torque 3 min; rest after a generation 2 min; validation, six" in text
    )
    assert "the reference law again after every generation." in text
    assert "Limits in software do not replace the device’s own limits, nor its physical stop." in text
    versions = report.versions(session)
    assert len(versions) == 2, "it was opened again once"
    assert all(line in text and "numpy" in line for line in versions)
