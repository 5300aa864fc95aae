"""Rehearsals: a whole day in minutes, with the prompts, the engine and the guard of a real one."""

import re
from pathlib import Path

import in_process
import pytest
from in_process import Finished

from policysearch.exoskeleton.breath_file import read_breaths
from policysearch.hitl import protocol
from policysearch.hitl.__main__ import main
from policysearch.hitl.engine import actions
from policysearch.hitl.engine.course import Inlet
from policysearch.hitl.engine.engine import Engine
from policysearch.hitl.live import PersonName
from policysearch.hitl.people import walk_to_the_end
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView

pytestmark = pytest.mark.usefixtures("blank_pictures")

SHORT = """bouts = 8
minutes = 2.0
baseline = 3.0
averaged = 1.0
validation = 2.0
validation_rest = 1.0
order = "balanced"
conditions = "letters"
"""


def rehearsed(folder: Path, *flags: str, text: str = SHORT, typed: str = "") -> tuple[SessionView, Finished]:
    file = folder / "short.toml"
    file.write_text(text, encoding="utf-8")
    out = folder / "out"
    finished = in_process.run(
        main, "rehearse", "--protocol", str(file), "--out", str(out), "--speed", "0", *flags, typed=typed
    )
    assert "Traceback" not in finished.stderr
    return SessionView.of(out / "session.sqlite"), finished


def laws(session: SessionView) -> list[tuple[str, list[float]]]:
    return [(e.item, e.law.tolist()) for e in session.entries]


def test_the_same_session_by_terminal_by_rehearse_and_by_the_actions_of_the_engine_has_the_same_laws(
    tmp_path: Path,
) -> None:
    rehearsal, finished = rehearsed(tmp_path, "--unattended", "--no-device", "--cart", "plain")
    assert finished.returncode == 0, finished.stderr
    assert rehearsal.next is None
    assert not rehearsal.is_blind  # the key was opened at the end

    name = PersonName("zhang2017", 0, 0)
    plan = SessionPlan(
        **protocol.read(str(tmp_path / "short.toml")).said, standing_rate=name.person().person.standing_rate
    )
    by_session = Session.begin(plan)
    for _ in walk_to_the_end(by_session, name.person()):
        pass
    assert laws(rehearsal) == laws(by_session)
    assert [e.rate for e in rehearsal.entries if e.counts] == pytest.approx(
        [e.rate for e in by_session.entries if e.counts], rel=1e-9
    )

    by_actions = Engine(Session.begin(plan), Inlet(timed=False))
    rates = iter([e.rate for e in by_session.entries if e.counts])
    typed = []
    while (phase := by_actions.phase) != "over":
        do = {
            "rate": {"do": "rate", "rate": next(rates) if phase == "rate" else 0.0},
            "confirm": {"do": "confirm"},
        }
        assert actions.act(by_actions, do.get(phase, {"do": "done"})) == {"code": 200}
        typed.append({"rate": repr(do["rate"]["rate"]), "confirm": "yes"}.get(phase, ""))
    assert laws(by_actions.session) == laws(by_session)

    from test_hitl_command_line import operated

    by_terminal = Session.begin(plan)
    operated(by_terminal, *typed)
    assert laws(by_terminal) == laws(by_session)


def test_a_rehearsal_shows_what_is_done_and_where_the_report_lies(tmp_path: Path) -> None:
    session, finished = rehearsed(tmp_path, "--unattended", "--no-device")
    out = tmp_path / "out"
    assert f"report: {out / 'report.html'}" in finished.stdout
    assert "of all 9 of 20, 19 of 36 min" in finished.stdout
    assert re.search(r"typed: \d+ lines, \d+ characters, for 20 bouts", finished.stdout)
    assert "  it enters a new region" in finished.stdout  # the prompts of a session
    entry = session.entries[1]
    assert entry.ended - entry.started == 120.0  # by the clock of the rehearsal
    assert len((out / "cart-0.csv").read_text().splitlines()) > 500
    _, finished = rehearsed(tmp_path, "--unattended", "--no-device", "--mass", "80")
    assert finished.returncode == 2
    assert "plan.mass was 70, is 80" in finished.stderr


@pytest.mark.parametrize("layout", ["cosmed", "parvo"])
def test_the_emulated_cart_writes_the_layout_of_a_real_one_which_the_one_reader_reads(
    layout: str, tmp_path: Path
) -> None:
    flags = ("--unattended", "--no-device", "--mass", "81.5", "--cart")
    plain, _ = rehearsed(tmp_path, *flags, "plain")
    (tmp_path / layout).mkdir()
    real, finished = rehearsed(tmp_path / layout, *flags, layout)
    assert finished.returncode == 0, finished.stderr
    assert {e.status for e in real.entries} <= {"measured", "walked"}
    pairs = [(a, b) for a, b in zip(plain.entries, real.entries, strict=True) if a.counts]
    assert pairs
    for a, b in pairs[:9]:  # the laws of one generation: those of the next depend on the ranks
        assert b.rate == pytest.approx(a.rate, rel=0.02)  # times are rounded to seconds
        assert a.breaths is not None
        assert b.breaths is not None
        assert [*b.breaths.gases] == ["vo2_ml_min", "vco2_ml_min", "rer", "heart_rate_bpm"]
        assert b.breaths.rer == pytest.approx(0.85, abs=1e-3)
    (file,) = (tmp_path / layout / "out").glob("cart-*.csv")
    entry = real.entries[0]
    whole = read_breaths(
        file, 81.5, gaps=True, bout=(entry.started, entry.ended)
    )  # the file of the whole day
    assert whole.doubt == ""
    assert entry.breaths is not None
    assert abs(len(whole.time) - len(entry.breaths.time)) <= 1


def test_a_rehearsal_that_was_stopped_continues_like_one_that_was_not(tmp_path: Path) -> None:
    whole, _ = rehearsed(tmp_path, "--unattended", "--no-device", "--people", "novice", "--number", "3")
    (tmp_path / "two").mkdir()
    flags = ("--no-device", "--people", "novice", "--number", "3")
    part, finished = rehearsed(tmp_path / "two", *flags, typed="\nyes\nnote she asks for water\nstop\n")
    assert "stopped; to continue: python -m policysearch.hitl rehearse" in finished.stdout
    assert 0 < len(part.entries) < 20
    rest, _ = rehearsed(tmp_path / "two", *flags, "--unattended")
    counted = [e for e in rest.entries if e.status != "void"]
    assert [e.law.tolist() for e in counted] == [e.law.tolist() for e in whole.entries]


@pytest.mark.parametrize(
    "text",
    [
        SHORT + 'objective = "typed"\nbetter = "higher"\nmeasure = "comfort"\n',
        SHORT + 'objective = "heart rate"\nstanding = 2.0\n',
        SHORT.replace("letters", "named") + "day_bouts = 4\nvalidation_day = true\n",
        """bouts = 8
        reference = [10.0, 15.0]
        parameters = [{name = "extension", unit = "N·m", lower = 0.0, upper = 20.0},
                      {name = "peak", unit = "% stride", lower = 5.0, upper = 25.0}]""",
    ],
)
def test_every_kind_of_protocol_is_rehearsed_to_its_end_without_a_hand(text: str, tmp_path: Path) -> None:
    session, finished = rehearsed(tmp_path, "--unattended", "--no-device", text=text)
    assert finished.returncode == 0, finished.stderr
    assert session.next is None
    assert {e.status for e in session.entries} <= {"measured", "walked"}
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.nightly
def test_the_guard_drives_an_emulated_device_while_the_clock_runs_faster(tmp_path: Path) -> None:
    text = "bouts = 4\nminutes = 1.0\nbaseline = 0.0\nvalidation = 0.0\noptions = {population_size = 4}\n"
    session, finished = rehearsed(tmp_path, "--unattended", "--speed", "30", text=text)
    assert finished.returncode == 0, finished.stderr
    assert session.next is None
    told = [body for kind, body in session.events if kind == "device"]
    assert told[0]["serial"] == "emulated-1"
    in_force = [body["law"] for kind, body in session.events if kind == "law in force"]
    assert session.counted("search")
    assert all(e.law.tolist() in in_force for e in session.counted("search"))


def test_a_person_or_a_cart_of_another_kind_is_refused_with_the_names(tmp_path: Path) -> None:
    flags = ("--people", "giant", "--cart", "cosmos", "--out", str(tmp_path / "out"))
    finished = in_process.run(main, "rehearse", *flags)
    assert finished.returncode == 2
    assert "people: expected one of novice, half-trained, expert, zhang2017, got 'giant'" in finished.stderr
    assert "cart: expected one of cosmed, parvo, plain, got 'cosmos'" in finished.stderr
    assert not (tmp_path / "out").exists()


def test_a_person_is_rebuilt_from_a_history_with_a_bout_that_was_broken_off() -> None:
    session, name = (
        Session.begin(SessionPlan(bouts=8, baseline=0.0, validation=0.0)),
        PersonName("novice", 0, 0),
    )
    session.confirm()
    session.void("the guard", 0.05)
    assert name.person(session.history).walk(session.next) is not None  # type: ignore[arg-type]
