"""Protocol files: what a file says is what is walked, and everything that is wrong with it is told at once."""

import itertools
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import in_process
import numpy as np
import pytest

from policysearch.exoskeleton.respirometry import Breaths
from policysearch.hitl import protocol
from policysearch.hitl.__main__ import main
from policysearch.hitl.agenda import williams
from policysearch.hitl.engine import actions
from policysearch.hitl.engine.course import Inlet
from policysearch.hitl.engine.engine import Engine
from policysearch.hitl.people import SimulatedPerson, walk_to_the_end
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView

HIP = """
bouts = 6
minutes = 1.0
options = {population_size = 6}
standing = 1.0
baseline = 1.0
averaged = 1.0
validation = 0.0
reference = [10.0, 0.2, 15.0]
first_torque = 0.1
familiarization = 4
parameters = [
    {name = "extension torque", unit = "N·m", lower = 0.0, upper = 28.0},
    {name = "flexion torque", unit = "N·m/kg", lower = 0.0, upper = 0.3},
    {name = "peak", unit = "% stride", lower = 5.0, upper = 25.0, start = 10.0},
]
"""


def plan_of(text: str, folder: Path, **person: Any) -> SessionPlan:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    found = protocol.read(str(path))
    assert not found.wrong, found.wrong
    return SessionPlan(**found.said, **person)


def walked(session: Session, rate: float = 4.0) -> Session:
    """The session after all of it was walked, at rates around this one."""
    number = 0
    while session.next is not None:
        number += 1
        if session.day_is_over:
            session.another_day()
        if session.entering:
            session.confirm()
        if session.next.is_measured:
            session.measured(1.4 if session.next.purpose == "standing" else rate + 0.01 * number)
        else:
            session.walked()
    return session


def mistakes(text: str, folder: Path) -> list[str]:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    finished = in_process.run(main, "plan", "--protocol", str(path))
    assert finished.returncode == 2, finished.stdout
    assert "Traceback" not in finished.stderr
    return finished.stderr.strip().splitlines()


# ------------------------------------------------------------------------------------------- those in the package


def test_the_protocol_of_2017_is_the_session_without_a_file() -> None:
    found = protocol.read("zhang2017")
    assert found.wrong == []
    plain = SessionPlan(order="balanced")
    plan = SessionPlan(**found.said)
    assert plan.document() == plain.document()
    laws = [
        [
            bout.law.tolist()
            for bout, _ in walk_to_the_end(Session.begin(each), SimulatedPerson("zhang2017", (0, "p")))
        ]
        for each in (plan, plain)
    ]
    assert len(laws[0]) == 39
    assert laws[0] == laws[1]


@pytest.mark.parametrize(
    ("name", "days", "minutes"),
    [
        ("zhang2017", 1, 106.0),
        ("poggensee2021", 4, 3 * 82.0 + 4 + 6 + 36 + 10),
        ("hip", 1, 15 + 48 + 9 + 48 + 21),
    ],
)
def test_every_protocol_of_the_package_is_complete_and_has_its_days(
    name: str, days: int, minutes: float
) -> None:
    found = protocol.read(name)
    assert found.wrong == []
    assert {*found.texts} == {"title", "source"}
    bouts = protocol.dry_run(SessionPlan(**found.said))
    assert max(each.day for each in bouts) == days
    assert sum(each.bout.minutes for each in bouts) == minutes
    shown = in_process.run(main, "plan", "--protocol", name)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"protocol {name}.toml, SHA-256 {found.sources[f'protocol {name}.toml']}" in shown.stdout
    assert f"  day {days}: " in shown.stdout
    assert name in in_process.run(main, "plan").stdout


# ------------------------------------------------------------------------------------------------- mistakes


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = """
    bouts = "many"
    minuts = 2.0
    mass = 70.0
    better = "faster"
    shuffle = 3
    standing = 0.5
    upper_torque = 2.0
    start = [0.5, 60.0, 25.0, 10.0]
    optimizer = "cma"
    validated = ["zero torque", "shoes"]
    """
    told = mistakes(text, tmp_path)
    for expected in (
        "own.toml: minuts: not an option of a protocol; did you mean minutes?",
        "own.toml: mass: not an option of a protocol; it belongs to a person; give it with the session",
        "bouts: .* got 'many'",
        "better: expected lower or higher, got 'faster'",
        "shuffle: .*got 3",
        "standing: expected 0, or at least the 3 minutes that are averaged, got 0.5",
        "upper_torque: expected at most 1, got 2.0",
        "start: peak time: expected 35 to 55 % stride, got 60.0",
        "validated: expected some of zero torque, reference, optimized, no device, got 'shoes'",
        "cma",
    ):
        assert [line for line in told if re.search(expected, line)], (expected, told)
    assert len(told) == 10, told


PARAMETER = (
    'parameters = [{name = "a", unit = "N·m", lower = 0.0, upper = 10.0}, %s]\nreference = [1.0, 1.0]\n'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PARAMETER % '{name = "a", unit = "s", lower = 0.0, upper = 1.0}', "parameters: expected different names, got a, a"),
        (PARAMETER % '{name = "b", unit = "s", lower = 2.0, upper = 1.0}', "parameters: b: expected lower <= upper, got 2 and 1"),
        (PARAMETER % '{name = "b", unit = "N·m", lower = -1.0, upper = 1.0}', "b: expected a torque of at least 0, got lower -1"),
        (PARAMETER % '{name = "b", unit = "s", lower = 0.0}', "parameters.1.upper: Field required"),
        (PARAMETER % '{name = "b", unit = "s", low = 0.0, lower = 0.0, upper = 1.0}', "parameters.1.low: not an option; did you mean lower?"),
        (PARAMETER % '{name = "b", unit = "s", lower = 0.0, upper = inf}', "parameters.1.upper: Input should be a finite number"),
        ('parameters = [{name = "a", unit = "s", lower = 0.0, upper = 1.0}]', "expected a torque, whose unit is N·m/kg or N·m, got none"),
        (PARAMETER % '{name = "b", unit = "s", lower = 0.0, upper = 0.5}', "reference: b: expected 0 to 0.5 s, got 1.0"),
        (PARAMETER.replace("[1.0, 1.0]", "[1.0]") % '{name = "b", unit = "s", lower = 0.0, upper = 2.0}', "reference: expected 2 finite numbers (a, b), got (1.0,)"),
        (PARAMETER % '{name = "b", unit = "s", lower = 0.0, upper = 2.0}' + "upper_torque = 0.5", "upper_torque: expected none, as the ranges of the parameters say it, got 0.5"),
        ("other_laws = {strong = [2.0, 50.0, 25.0, 10.0]}", "other_laws: strong: peak torque: expected 0 to 1 N·m/kg, got 2.0"),
        ('validated = ["optimized", "optimized"]', "validated: expected different conditions"),
        ('objective = "speed"', "objective: expected metabolic, heart rate, typed or lsl:SOURCE_ID, got 'speed'"),
        ("warm_start = 3", "warm_start: expected folders of earlier sessions, got 3"),
        ("bouts = 3", "bouts: expected at least one generation of cma-es, 8, got 3"),
        ("bouts = 3\nbouts = 4", "not valid TOML: Cannot overwrite a value"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_name_what_is_expected_and_what_is_there(
    text: str, expected: str, tmp_path: Path
) -> None:
    told = mistakes(text, tmp_path)
    assert len(told) == 1, told
    assert expected in told[0]


def test_a_file_that_is_not_there_and_flags_next_to_a_file_are_refused(tmp_path: Path) -> None:
    finished = in_process.run(main, "plan", "--protocol", str(tmp_path / "no.toml"))
    assert finished.returncode == 2
    assert "expected a protocol file, or one of hip, poggensee2021, zhang2017" in finished.stderr
    run = ("run", "--out", str(tmp_path / "out"), "--protocol", "zhang2017", "--bouts", "16", "--rest", "1")
    finished = in_process.run(main, *run)
    assert finished.returncode == 2
    assert "--bouts: the protocol file says it\n" in finished.stderr
    assert "--rest: the protocol file says it\n" in finished.stderr


# ------------------------------------------------------------------------------------------ in the log of a session


def test_name_and_hash_of_the_file_are_in_the_log_and_a_changed_file_does_not_continue_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_hitl_command_line import started

    monkeypatch.setattr("policysearch.hitl.engine.client.started", started)
    file, out = tmp_path / "short.toml", tmp_path / "out"
    file.write_text("bouts = 8\nbaseline = 0.0\nvalidation = 0.0\n")
    run = ("run", "--out", str(out), "--protocol", str(file), "--no-countdown")
    person = ("--participant", "7", "--mass", "80", "--standing-rate", "1.3")
    assert in_process.run(main, *run, *person, typed="yes\n4.0\nstop\n").returncode == 0
    session = SessionView.of(out / "session.sqlite")
    assert session.plan.sources == protocol.read(str(file)).sources
    assert (session.plan.participant, session.plan.bouts) == ("7", 8)
    assert "Made from protocol short.toml, SHA-256" in (out / "report.html").read_text()
    assert in_process.run(main, *run, typed="stop\n").returncode == 0
    file.write_text("bouts = 16\nbaseline = 0.0\nvalidation = 0.0\n")
    finished = in_process.run(main, *run, typed="stop\n")
    assert finished.returncode == 2
    assert "protocol was " in finished.stderr


def test_a_warm_start_is_the_mean_of_earlier_recommendations_and_names_their_logs(tmp_path: Path) -> None:
    plan, laws = SessionPlan(bouts=8, minutes=1.0, baseline=0.0, validation=0.0), []
    for seed in (1, 2):
        with Session.begin(replace(plan, seed=seed), tmp_path / f"P{seed}.sqlite") as session:
            laws.append(walked(session).recommendation)
    found = protocol.warmed(plan, [tmp_path / "P1.sqlite", tmp_path / "P2.sqlite"])
    assert found.start is not None
    np.testing.assert_allclose(found.start, np.mean(laws, axis=0), rtol=1e-12)
    assert {*found.sources} == {"warm start P1.sqlite", "warm start P2.sqlite"}
    Session.begin(plan, tmp_path / "begun.sqlite").close()
    with pytest.raises(ValueError, match="expected a session with a complete generation"):
        protocol.warmed(plan, [tmp_path / "begun.sqlite"])
    with pytest.raises(
        ValueError, match="expected laws of extension torque, flexion torque, peak, got peak torque"
    ):
        protocol.warmed(plan_of(HIP, tmp_path), [tmp_path / "P1.sqlite"])


# --------------------------------------------------------------------------------------------- own parameters


def test_laws_of_own_parameters_stay_in_their_ranges_and_below_a_ceiling_that_rises_for_all_torques(
    tmp_path: Path,
) -> None:
    plan = plan_of(HIP, tmp_path, mass=70.0)
    assert plan.highest == 0.4  # 28 N·m / 70 kg
    session = walked(Session.begin(plan))
    laws = np.array([entry.law for entry in session.entries])
    assert laws[:2].tolist() == [[0.0, 0.0, 15.0], [0.0, 0.0, 15.0]]  # standing, and without torque
    ceilings = np.array([0.1 + 0.3 * k / 4 for k in range(4)] + [0.4, 0.4])
    assert (laws[2:, 0] <= 70.0 * ceilings + 1e-12).all()
    assert (laws[2:, 0] > 2.0 * ceilings).any()  # it is in N·m, the ceiling in N·m/kg
    assert (laws[2:, 1] <= ceilings + 1e-12).all()
    assert ((laws[2:, 2] >= 5.0) & (laws[2:, 2] <= 25.0)).all()
    assert [*session.table()][6:9] == ["extension torque", "flexion torque", "peak"]
    assert "extension torque" in actions.table(session)


def test_a_torque_is_shown_in_both_units_and_steps_begin_without_torque(tmp_path: Path) -> None:
    session = Session.begin(plan_of(HIP, tmp_path, mass=70.0))
    session.measured(1.4)
    session.measured(4.0)
    assert session.entering == ("extension torque", "flexion torque", "peak")
    first = session.path[0]
    assert 0.0 < first[0] <= 0.25 * 28.0 + 1e-12
    law = session.next.law  # type: ignore[union-attr]
    lines = session.plan.laws.lines(law)
    assert lines[0] == f"extension torque {law[0]:6.1f} N·m = {law[0] / 70.0:.3f} N·m/kg"
    assert lines[1] == f"flexion torque   {law[1]:6.3f} N·m/kg = {law[1] * 70.0:.1f} N·m"
    assert session.plan.laws.lines(session.plan.laws.no_torque) == ["no torque"]


def test_a_law_with_torque_on_one_side_only_is_one_with_torque(tmp_path: Path) -> None:
    laws = plan_of(HIP, tmp_path).laws
    assert laws.assists(np.array([0.0, 0.1, 15.0]))
    assert not laws.assists(np.array([0.0, 0.0, 25.0]))


# ------------------------------------------------------------------------------------ days, standing, objectives


def test_a_day_ends_after_its_bouts_and_the_validation_has_its_own(tmp_path: Path) -> None:
    plan = SessionPlan(
        bouts=16,
        minutes=1.0,
        warm_up=1.0,
        baseline=1.0,
        averaged=0.5,
        validation=1.0,
        day_bouts=8,
        validation_day=True,
    )
    bouts = protocol.dry_run(plan)
    days = [[each.bout.purpose for each in bouts if each.day == day] for day in (1, 2, 3)]
    assert days[0] == days[1] == ["warm-up", "baseline", *["search"] * 8]
    assert days[2] == ["warm-up", "baseline", *["validation"] * 6]
    session = Session.begin(plan)
    for _ in range(10):
        if session.entering:
            session.confirm()
        session.measured(4.0) if session.next.is_measured else session.walked()  # type: ignore[union-attr]
    engine = Engine(session, Inlet(timed=False))
    assert actions.state(engine)["phase"] == "day"
    assert "got the phase 'day'" in actions.act(engine, {"do": "rate", "rate": 4.0})["error"]
    with pytest.raises(ValueError, match="it belongs to another day; day begins it"):
        session.walked()
    assert actions.act(engine, {"do": "day"}) == {"code": 200}
    assert (session.day, session.next.item) == (2, "warm-up/2")  # type: ignore[union-attr]


def test_what_is_measured_standing_takes_the_place_of_the_standing_rate_of_its_day() -> None:
    plan = SessionPlan(bouts=8, standing=3.0, validation=0.0, standing_rate=1.0)
    session = Session.begin(plan)
    assert session.next.purpose == "standing"  # type: ignore[union-attr]
    assert session.doubt(3.0, "standing") == "3 W/kg is much for standing still"
    session.measured(1.5)
    session.measured(4.5)  # the baseline
    assert session.reduction(4.2) == 100.0 * (1.0 - 2.7 / 3.0)
    assert session.doubt(4.2) == ""  # 1.5 W/kg is not compared with walking
    session.another_day()
    session.measured(1.3)
    assert session.reduction(4.5) == pytest.approx(0.0)
    assert session.standing == 1.3


def test_a_typed_objective_of_which_higher_is_better_is_searched_upwards_and_has_no_doubt(
    tmp_path: Path,
) -> None:
    text = 'objective = "typed"\nmeasure = "walking speed"\nunit = "m/s"\nbetter = "higher"\nbouts = 16\nvalidation = 0.0\n'
    plan = plan_of(text + "options = {sigma = 0.3}", tmp_path)
    session = Session.begin(plan)
    session.measured(1.0)  # the baseline
    while session.next is not None:
        if session.entering:
            session.confirm()
        session.measured(float(session.next.law[0]) - 2.0)  # also negative numbers
    told = [np.nanmean([e.law[0] for e in session.counted("search") if e.generation == g]) for g in (0, 1)]
    assert told[1] > told[0]
    assert session.reduction(1.5) == 0.5
    with pytest.raises(ValueError, match="walking speed: expected a finite number, got nan"):
        session.doubt(np.nan)
    assert actions.state(Engine(session, Inlet()))["objective"] == {"name": "walking speed", "unit": "m/s"}


def test_a_heart_rate_is_the_mean_of_the_last_half_of_a_bout() -> None:
    session = Session.begin(SessionPlan(objective="heart rate", bouts=8, validation=0.0))
    time = np.arange(0.0, 120.0, 3.0)
    heart = np.where(time > 57.0, 100.0, 140.0)
    heart[-1] = np.nan
    breaths = Breaths(time, np.full(len(time), 4.0), {"heart_rate_bpm": heart})
    assert session.estimate(breaths, 2.0).rate == 100.0
    with pytest.raises(
        ValueError, match="heart_rate_bpm: expected at least 2 values in the last 1 min, got 0"
    ):
        session.estimate(Breaths(time, np.full(len(time), 4.0)), 2.0)
    assert session.doubt(300.0) == "300 bpm is not between 40 and 220 bpm"


# ---------------------------------------------------------------------------------------------------- orders


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_a_williams_design_has_every_condition_at_every_place_and_after_every_other_equally_often(
    count: int,
) -> None:
    orders = williams(count)
    rows = count * (1 + count % 2)
    assert len(orders) == rows
    places = Counter((place, condition) for order in orders for place, condition in enumerate(order))
    assert set(places.values()) == {rows // count}
    pairs = Counter(pair for order in orders for pair in itertools.pairwise(order))
    assert len(pairs) == count * (count - 1)
    assert len(set(pairs.values())) == 1


def test_further_conditions_are_walked_in_a_balanced_order_once_or_and_back(tmp_path: Path) -> None:
    text = """bouts = 8
    validated = ["zero torque", "optimized", "no device", "strong"]
    order = "balanced"
    reversal = false
    other_laws = {strong = [0.9, 50.0, 25.0, 10.0]}
    """
    orders = set()
    for participant in "1234":
        session = walked(Session.begin(plan_of(text, tmp_path, participant=participant)))
        conditions = [entry.condition for entry in session.entries if entry.purpose == "validation"]
        orders.add(tuple(conditions))
        strong = next(e for e in session.entries if e.condition == "strong")
        assert strong.law.tolist() == [0.9, 50.0, 25.0, 10.0]
        assert next(e for e in session.entries if e.condition == "no device").law[0] == 0.0
    assert len(orders) == 4
    assert all(len(order) == 4 for order in orders)
