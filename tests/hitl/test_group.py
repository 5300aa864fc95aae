"""Results over participants: paired differences of the conditions, who is left out and why, and the page."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import in_process
import numpy as np
import pytest

from policysearch.hitl import LOG
from policysearch.hitl.__main__ import main
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session

PLAN = SessionPlan(bouts=8, baseline=3.0, validation=3.0, standing_rate=1.4)
HOSTILE = "=1+1<script>alert(1)</script>\x1b[31m"
#: Rates (W/kg) without torque, under the reference law, and under the optimized one.
RATES = {"P1": (4.4, 3.9, 3.6), "P2": (4.9, 4.4, 4.5), "P3": (4.4, 4.2, 3.8)}
CONDITIONS = ("zero torque", "reference", "optimized")


def walked(folder: Path, rates: tuple[float, ...], plan: SessionPlan, *, validated: bool = True) -> Path:
    """The folder of a session with these rates in its validation, which ends before it unless it is `validated`."""
    folder.mkdir(parents=True)
    with Session.begin(plan, folder / LOG) as session:
        while (bout := session.next) is not None:
            if bout.purpose == "validation" and not validated:
                session.end("no time")
                break
            if session.entering:
                session.confirm()
            session.measured(dict(zip(CONDITIONS, rates, strict=True)).get(bout.condition, 4.0))
        if validated:
            session.exclude(2, f"a leak {HOSTILE}")
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three participants who are compared, one without a validation, one who is blind."""
    root = tmp_path_factory.mktemp("people")
    folders = [walked(root / name, rates, replace(PLAN, participant=name)) for name, rates in RATES.items()]
    folders += [walked(root / "short", RATES["P1"], replace(PLAN, participant=HOSTILE), validated=False)]
    folders += [walked(root / "blind", RATES["P1"], replace(PLAN, participant="P5", conditions="letters"))]
    return [str(folder) for folder in folders]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def grouped(*arguments: str) -> in_process.Finished:
    return in_process.run(main, "group", *arguments)


def test_the_paired_differences_are_those_of_the_arithmetic(people: list[str], tmp_path: Path) -> None:
    done = grouped(*people, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "differences.csv")
    pairs = [(row["condition"], row["than"], row["participants"]) for row in rows]
    assert pairs == [
        ("reference", "zero torque", "3"),
        ("optimized", "zero torque", "3"),
        ("optimized", "reference", "3"),
    ]
    # −0.8, −0.4, −0.6: mean −0.6, sd 0.2; t of 2 degrees of freedom is 4.30265; 0.2/√3 · 4.30265 = 0.49683
    row = rows[1]
    assert float(row["mean (W/kg)"]) == pytest.approx(-0.6)
    assert float(row["sd (W/kg)"]) == pytest.approx(0.2)
    assert (float(row["low (W/kg)"]), float(row["high (W/kg)"])) == pytest.approx(
        (-1.09683, -0.10317), abs=1e-5
    )
    # of the net rates 3, 3.5 and 3: 26.667, 11.429 and 20 % less
    assert float(row["mean (%)"]) == pytest.approx(-np.mean([80 / 3, 40 / 3.5, 60 / 3]))
    assert "optimized − zero torque: −0.6000 W/kg [−1.097 … −0.1032]; " in done.stdout


def test_who_is_left_out_is_listed_with_the_reason_and_not_compared(
    people: list[str], tmp_path: Path
) -> None:
    assert grouped(*people, "--out", str(tmp_path), "--exclude", "P2=wore it the wrong way").returncode == 0
    rows = {row["participant"]: row for row in table(tmp_path / "participants.csv")}
    assert rows["P2"]["left out"] == "wore it the wrong way"
    assert rows["P5"]["left out"] == "the conditions are letters until they are opened (unblind REASON)"
    assert rows["P5"]["optimized (W/kg)"] == rows["P5"]["order"] == ""
    assert rows["P1"]["left out"] == ""
    assert [row["left out"][:32] for code, row in rows.items() if "script" in code] == [
        "fewer than two conditions of the"
    ]
    page = (tmp_path / "group.html").read_text(encoding="utf-8")
    assert "5 sessions; 2 are compared, 3 left out." in page
    assert "wore it the wrong way" in page
    assert {row["participants"] for row in table(tmp_path / "differences.csv")} == {"2"}


def test_names_and_reasons_stay_text_in_page_tables_and_terminal(people: list[str], tmp_path: Path) -> None:
    done = grouped(*people, "--out", str(tmp_path))
    page = (tmp_path / "group.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(?!#)", page)
    for text in (
        page,
        done.stdout,
        *((tmp_path / f"{name}.csv").read_text() for name in ("participants", "differences")),
    ):
        assert "\x1b" not in text
    assert "'=1+1<script>" in (tmp_path / "participants.csv").read_text()


def test_plans_that_differ_are_told(people: list[str], tmp_path: Path) -> None:
    other = walked(
        tmp_path / "other", RATES["P1"], replace(PLAN, participant="P9", mass=80.0, validation=4.0)
    )
    assert grouped(people[0], str(other), "--out", str(tmp_path / "out")).returncode == 0
    page = (tmp_path / "out" / "group.html").read_text(encoding="utf-8")
    assert "validation: 3.0 (P1); 4.0 (P9)" in page
    assert "mass:" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no session is there"),
        (["0", "0"], "participant 'P1' is given more than once"),
        (["0", "--exclude", "P1"], "--exclude P1: expected CODE=REASON"),
        (["0", "--exclude", "P1= "], "--exclude P1= : expected CODE=REASON"),
        (["0", "--exclude", "P8=why"], "--exclude P8: no session is of this participant"),
    ],
)
def test_what_cannot_be_grouped_is_refused(
    people: list[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = [people[0] if each == "0" else each for each in arguments]
    done = grouped(*given, "--out", str(tmp_path))
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_group_without_anybody_to_compare_is_said_and_has_a_page(people: list[str], tmp_path: Path) -> None:
    done = grouped(people[3], "--out", str(tmp_path))
    assert done.returncode == 1
    assert "No participant can be compared" in done.stdout
    assert "No participant can be compared" in (tmp_path / "group.html").read_text(encoding="utf-8")
