"""What an operator meets on a lab day: bouts that are taken out, corrected, interrupted; days, limits, orders."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from test_hitl_session import BARE, SHORT, answered, rate_of, reopened, through

from policysearch.exoskeleton.respirometry import Breaths
from policysearch.hitl import clocks, history, report
from policysearch.hitl.agenda import CONDITIONS
from policysearch.hitl.offers import offer
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView


def breaths(
    count: int = 41, start: float = 0.0, rate: float = 4.0, gap: float = 0.0, **gases: float
) -> Breaths:
    """Breaths every 3 s, with a gap after the first half."""
    time = start + 3.0 * np.arange(count) + gap * (np.arange(count) >= count // 2)
    noise = 0.1 * np.sin(np.arange(count) ** 2.0)
    return Breaths(time, rate + noise, {name: np.full(count, value) for name, value in gases.items()})


# ------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("limit", [0.6, 0.3, 0.05])
def test_no_step_to_the_next_law_is_above_a_limit_that_is_new(limit: float) -> None:
    session = Session.begin(replace(BARE, shuffle=False, start=(0.95, 50.0, 25.0, 10.0)))
    through(session, 2)
    assert session.history[-1].law[0] > 0.6
    session.limit(limit, "it hurts")
    assert (session.path[:, 0] <= limit).all()


def test_a_limit_in_newton_metres_holds_whatever_the_mass_and_however_it_is_corrected() -> None:
    session = Session.begin(replace(BARE, mass=72.0, upper_newton_metres=36.0))
    assert session.upper_torque == 0.5
    session.correct("mass", "90", "weighed again")
    assert session.upper_torque == 0.4
    while session.next is not None:
        assert session.next.law[0] * 90.0 <= 36.0 + 1e-12
        through(session, 1)


def test_the_ceiling_rises_over_the_first_bouts_with_torque_and_never_falls() -> None:
    plan = replace(
        SHORT, first_torque=0.2, familiarization=4, start=(0.9, 50.0, 25.0, 10.0), options={"sigma": 0.01}
    )
    session, highest = Session.begin(plan), []
    while len(highest) < 6:
        assert session.next is not None
        if session.next.law[0] > 0.0:
            highest.append(session.next.law[0])
        through(session, 1)
    np.testing.assert_allclose(highest[:4], [0.2, 0.4, 0.6, 0.8])  # (1 − 0.2)/4 more with every bout
    assert highest[4] == pytest.approx(0.9, abs=0.1)
    assert reopened(session).next.law.tolist() == session.next.law.tolist()  # type: ignore[union-attr]


# ---------------------------------------------------------------------------------------------- what is taken out


def test_an_excluded_bout_is_one_that_was_skipped_at_first() -> None:
    bad, skipped = Session.begin(SHORT), Session.begin(SHORT)
    for session in (bad, skipped):
        through(session, 4)
        if session is bad:
            answered(session, 2.6)
        else:
            session.skip("a strap broke")
        through(session, 7)
    bad.exclude(5, "the mask leaked")
    assert (bad.entries[4].status, bad.entries[4].reason) == ("excluded", "the mask leaked")
    assert bad.entries[4].rate == 2.6  # it is kept
    assert {entry.status for entry in bad.entries[9:]} == {"set aside"}
    assert bad.next is not None
    assert skipped.next is not None
    np.testing.assert_array_equal(bad.proposals[1].params, skipped.proposals[1].params)
    bad.undo("it did not")
    assert {entry.status for entry in bad.entries} == {"measured"}


def test_a_baseline_that_is_excluded_is_walked_again_and_bouts_keep_their_places() -> None:
    session = through(Session.begin(SHORT), 5)
    item = session.next.item if session.next else ""
    session.exclude(1, "the mask leaked")
    assert session.next is not None
    assert session.next.purpose == "baseline"
    assert session.entries[0].status == "excluded"
    assert np.isnan(session.reduction(4.0))
    answered(session, 4.6)
    assert session.next.item == item
    assert session.reduction(4.6) == 0.0


def test_half_of_a_generation_may_be_excluded_and_more_is_walked_again() -> None:
    session = through(Session.begin(BARE), 8)
    for number in range(1, 5):
        session.exclude(number, "the mask leaked")
    assert session.next is not None
    assert session.next.generation == 1
    session.exclude(5, "the mask leaked")
    assert session.next.item == session.entries[4].item


@pytest.mark.parametrize("number", [0, 3, 5])
def test_only_measured_bouts_are_excluded_and_each_once(number: int) -> None:
    session = through(Session.begin(BARE), 4)
    session.exclude(3, "the mask leaked")
    with pytest.raises(ValueError, match=rf"expected the number of a measured one \(1, 2, 4\), got {number}"):
        session.exclude(number, "the mask leaked")


# ------------------------------------------------------------------------------------------ results that follow


def test_results_may_follow_in_any_order_and_a_generation_is_complete_with_the_last() -> None:
    session, calm = Session.begin(SHORT), Session.begin(SHORT)
    rates = []
    for _ in range(9):
        rates.append(rate_of(calm))
        answered(calm, rates[-1])
        if session.entering:
            session.confirm()
        session.follows(of=session.next)
    assert session.next is None
    assert [entry.number for entry in session.waiting] == [*range(1, 10)]
    for number in (9, 2, 4, 3, 8, 7, 5, 6):
        session.result(number, rates[number - 1], 0.1)
    assert session.next is None  # reductions need the baseline
    session = reopened(session)
    session.result(1, rates[0])
    assert session.next is not None
    assert calm.next is not None
    np.testing.assert_array_equal(session.next.law, calm.next.law)
    assert [entry.rate for entry in session.entries] == rates
    assert session.entries[8].standard_error == 0.1
    with pytest.raises(ValueError, match=r"one that waits for its rate \(none\), got 3"):
        session.result(3, 4.0)
    session.undo("the wrong line")
    assert [entry.number for entry in session.waiting] == [1]
    session.exclude(1, "the mask leaked")
    assert session.next.purpose == "baseline"


def test_what_waits_is_neither_measured_nor_skipped_and_the_validation_waits_for_it() -> None:
    session = through(Session.begin(SHORT), 16)
    session.follows()
    assert session.entries[-1].status == "waiting"
    assert session.next is None
    with pytest.raises(ValueError, match="expected the number of a measured one"):
        session.amend(17, 4.0, "misread")
    session.result(17, 4.0)
    assert session.next is not None
    assert session.next.purpose == "validation"
    session.undo("another one")
    session.exclude(17, "the mask leaked")
    assert session.next is not None
    assert session.next.purpose == "validation"
    assert session.entries[16].status == "excluded"


def test_the_validation_of_a_search_that_was_finished_waits_for_what_waits() -> None:
    session = through(Session.begin(SHORT), 10)
    session.follows()
    session.finish("tired")
    assert session.next is None
    session.result(11, 4.0)
    assert session.next is not None
    assert session.next.purpose == "validation"


EXCLUDING = replace(BARE, options={"population_size": 4}, bouts=12, baseline=3.0, retest=1)


class Exclusions(RuleBasedStateMachine):
    """A session in which bouts are excluded at any time; it is compared after an exclusion, and at its end."""

    plan = EXCLUDING

    def __init__(self) -> None:
        super().__init__()
        self.session = Session.begin(self.plan)

    @precondition(lambda self: self.session.next is not None)
    @rule(values=st.lists(st.floats(2.5, 6.0), min_size=1, max_size=6))
    def walk(self, values: list[float]) -> None:
        for value in values:
            if self.session.next is not None:
                answered(self.session, value)

    @precondition(lambda self: self.session.next is not None and self.session.next.is_measured)
    @rule()
    def walk_on(self) -> None:
        if self.session.entering:
            self.session.confirm()
        self.session.follows()

    @precondition(lambda self: self.session.waiting)
    @rule(pick=st.integers(0, 40), rate=st.floats(2.5, 6.0))
    def result(self, pick: int, rate: float) -> None:
        waiting = self.session.waiting
        self.session.result(waiting[pick % len(waiting)].number, rate)

    @rule(pick=st.integers(0, 40))
    def exclude(self, pick: int) -> None:
        numbers = [entry.number for entry in self.session.entries if entry.counts or entry.waits]
        if numbers:
            self.session.exclude(numbers[pick % len(numbers)], "the mask leaked")
            self.check()

    @rule(pick=st.integers(0, 40), rate=st.floats(2.5, 6.0))
    def amend(self, pick: int, rate: float) -> None:
        numbers = [entry.number for entry in self.session.entries if entry.counts]
        if numbers:
            self.session.amend(numbers[pick % len(numbers)], rate, "misread")

    @rule()
    def undo(self) -> None:
        if self.session._log.last is not None:
            self.session.undo("wrong")

    @rule()
    def reopen(self) -> None:
        self.session = reopened(self.session)

    def teardown(self) -> None:
        self.check()

    def check(self) -> None:
        """It is the session in which the excluded bouts were never measured."""
        answers = {e.item: e for e in self.session._state.done.values()}
        fresh = Session.begin(self.plan)
        while fresh.next is not None and fresh.next.item in answers:
            entry = answers[fresh.next.item]
            if entry.counts:
                answered(fresh, entry.rate)
            elif entry.waits:
                if fresh.entering:
                    fresh.confirm()
                fresh.follows()
            elif fresh.next.is_measured:
                fresh.skip("never measured")
            else:
                fresh.walked()
        assert (fresh.next is None) == (self.session.next is None)
        if fresh.next is not None and self.session.next is not None:
            assert fresh.next.item == self.session.next.item
            np.testing.assert_array_equal(fresh.next.law, self.session.next.law)
        for a, b in zip(fresh.proposals, self.session.proposals, strict=True):
            np.testing.assert_array_equal(a.params, b.params)
        np.testing.assert_array_equal(fresh.recommendation, self.session.recommendation)


class CheapExclusions(Exclusions):
    """The same with a method that begins in a tenth of the time."""

    plan = replace(EXCLUDING, optimizer="cross-entropy", options={"population_size": 4, "elites": 2})


def test_a_session_with_exclusions_is_that_in_which_the_bouts_were_never_measured() -> None:
    run_state_machine_as_test(
        Exclusions, settings=settings(max_examples=8, stateful_step_count=8, deadline=None)
    )


@pytest.mark.nightly
def test_five_hundred_histories_with_exclusions_are_those_in_which_the_bouts_were_never_measured() -> None:
    many = settings(max_examples=500, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(CheapExclusions, settings=many)


# ------------------------------------------------------------------------------------------------- start and end


def test_the_log_says_when_a_bout_began_and_ended_by_both_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, now = itertools.count(1.7e9, 60.0), itertools.count(50.0, 60.0)
    monkeypatch.setattr("policysearch.hitl.corrections.monotonic", now.__next__)
    session = Session.begin(BARE, clock=wall.__next__)
    session.confirm()
    session.started(of=session.next)
    session.ended("the time is up")
    assert session.minutes_walked == 1.0
    session.measured(4.0)
    kinds = [kind for kind, _ in session.events]
    assert kinds[-4:] == ["confirm", "started", "ended", "bout"]
    entry, (began, over) = session.entries[0], [body for _, body in session.events[-3:-1]]
    assert (entry.started, entry.ended) == (began["at"], over["at"])
    assert over["monotonic"] - began["monotonic"] == 60.0
    assert session.table().loc[0, ["started", "ended"]].tolist() == [began["at"], over["at"]]
    assert session.minutes_walked is None


@pytest.mark.parametrize(("later", "minutes"), [(30.0, 0.5), (1e6, 2.0), (-1e6, 2.0)])
def test_a_bout_that_was_started_and_never_ended_is_void_with_its_minutes(
    later: float, minutes: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "session.sqlite", clocks.monotonic()
    monkeypatch.setattr("policysearch.hitl.corrections.monotonic", lambda: now)
    with Session.begin(BARE, path) as session:
        session.confirm()
        session.started()
        item = session.next.item if session.next else ""
    now += later  # a computer that was started again has a smaller clock
    with Session.resume(path) as session:
        (entry,) = session.entries
        assert (entry.item, entry.status, entry.minutes) == (item, "void", pytest.approx(minutes, abs=1e-3))
        assert session.next is not None
        assert session.next.item == item
    assert SessionView.of(path).entries[0].reason == "the program ended while it was walked"


def test_a_void_bout_of_no_minutes_needs_no_confirmation_and_is_no_history() -> None:
    session = Session.begin(BARE)
    session.void("the file cannot be read", 0.0)
    assert session.history == []
    assert session.entries[0].minutes == 0.0
    assert reopened(session).entries[0].status == "void"


def test_a_wall_clock_that_is_set_back_does_not_turn_the_report_around(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = itertools.chain([1.7e9, 1.7e9, 1.7e9 + 60.0], itertools.count(1.7e9 - 3600.0, 60.0))
    monkeypatch.setattr("policysearch.hitl.corrections.monotonic", itertools.count(0.0, 60.0).__next__)
    session = through(Session.begin(BARE, clock=times.__next__), 6)
    shown = [moment for moment in history.moments(session.events) if np.isfinite(moment)]
    assert shown == sorted(shown)
    assert shown[-1] - 1.7e9 == pytest.approx(60.0 * (len({*shown}) - 1))


# -------------------------------------------------------------------------------------------------- corrections


def test_a_corrected_standing_rate_is_that_of_a_session_which_knew_it() -> None:
    wrong = through(Session.begin(replace(SHORT, standing_rate=1.9)), 6)
    right = through(Session.begin(SHORT), 6)
    wrong.correct("standing_rate", "1.4", "measured again")
    assert wrong.table()["reduction"].tolist() == right.table()["reduction"].tolist()
    assert wrong.plan.standing_rate == 1.4
    assert reopened(wrong).plan.standing_rate == 1.4


def test_a_corrected_code_is_shown_and_draws_nothing_anew() -> None:
    session = through(Session.begin(SHORT), 3)
    law = session.next.law if session.next else None
    session.correct("participant", "P07", "typed wrongly")
    assert session.participant == "P07"
    assert session.next is not None
    assert session.next.law is not law
    np.testing.assert_array_equal(session.next.law, law)


def test_a_corrected_mass_changes_the_rates_that_were_computed_with_it_and_no_others() -> None:
    session = through(Session.begin(replace(SHORT, mass=60.0)), 1)
    session.confirm()
    volumes = Breaths(np.arange(12.0), np.full(12, 4.0), {"vo2_ml_min": np.full(12, 900.0)}, 60.0)
    session.measured(4.0, 0.1, volumes)
    session.confirm()
    session.measured(3.9)
    session.correct("mass", "80", "the scales")
    assert [entry.rate for entry in session.entries[1:]] == [3.0, 3.9]
    assert session.entries[1].standard_error == pytest.approx(0.075)
    assert session.entries[1].breaths is not None
    assert session.entries[1].breaths.rate[0] == 3.0
    assert session.entries[1].breaths.gases["vo2_ml_min"][0] == 900.0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mas", "70", "correct: expected one of participant, mass, standing_rate, got 'mas'"),
        ("mass", "heavy", "mass: expected a number, got 'heavy'"),
        ("mass", "0", "mass: expected at least 1, got 0.0"),
        ("standing_rate", "98", "standing_rate: expected at most 5, got 98.0"),
        ("standing_rate", "4.9", "standing_rate: expected less than the baseline, 4.4, got 4.9"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(name: str, value: str, message: str) -> None:
    session = Session.begin(SHORT)
    session.measured(4.4)
    with pytest.raises(ValueError, match=re.escape(message)):
        session.correct(name, value, "because")
    with pytest.raises(ValueError, match="reason: expected a few words"):
        session.correct("mass", "71", " ")


def test_an_amendment_takes_breaths_and_their_error() -> None:
    session = through(Session.begin(SHORT), 3)
    session.amend(2, 3.7, "the right file", 0.2, breaths(rate=3.7, heart_rate_bpm=99.0))
    for each in (session, reopened(session)):
        entry = each.entries[1]
        assert (entry.rate, entry.standard_error, entry.status) == (3.7, 0.2, "amended")
        assert entry.breaths is not None
        assert entry.breaths.gases["heart_rate_bpm"].tolist() == [99.0] * 41


# ------------------------------------------------------------------------------------------------------- breaths


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (breaths(), ""),
        (breaths(gap=18.0), "no breath for 21 s: the standard error is "),
        (breaths(count=20), "57 s is short for a bout of 120 s"),
        (breaths(count=26, gap=40.0), "72 s is short for a bout of 120 s"),
        (breaths(vo2_ml_min=900.0, vco2_ml_min=990.0), "RER 1.10 is above 1, where Brockway's equation"),
    ],
)
def test_what_is_to_be_known_of_breaths_is_said(found: Breaths, said: str) -> None:
    session = through(Session.begin(BARE), 1)
    got = offer(session, found, 2.0, "search")
    assert said in "; ".join((*got.said, got.doubt))
    assert bool(got.doubt) == said.endswith(("s", "equation"))


def test_a_gap_is_fitted_with_the_exact_response_and_refused_where_breaths_are_averaged() -> None:
    session = Session.begin(SHORT)
    time = np.concatenate([np.arange(0.0, 60.0, 3.0), np.arange(78.0, 121.0, 3.0)])
    exact = Breaths(time, 4.0 - 2.0 * np.exp(-time / 42.0))
    assert offer(session, exact, 2.0, "search").estimate.rate == pytest.approx(4.0)
    with pytest.raises(ValueError, match="baseline: expected breaths without a gap, got one of 21 s"):
        offer(session, exact, 3.0, "baseline")


def test_breaths_of_a_whole_session_are_not_those_of_a_bout() -> None:
    session = Session.begin(BARE)
    with pytest.raises(
        ValueError, match="expected those of one bout of 120 s, got 2700 s; give the time of day"
    ):
        offer(session, breaths(901), 2.0, "search")


def test_breaths_that_were_taken_for_another_bout_are_refused_also_with_a_row_less() -> None:
    session = Session.begin(BARE)
    session.confirm()
    session.measured(4.0, 0.1, breaths())
    less = breaths()
    some = Breaths(
        np.append(less.time[-6:], less.time[-1] + less.time[1:]), np.append(less.rate[-6:], less.rate[1:])
    )
    for found in (less, Breaths(less.time[1:], less.rate[1:]), some):
        with pytest.raises(ValueError, match="bout 1 has some of these breaths"):
            offer(session, found, 2.0, "search")
    offer(session, less, 2.0, "search", instead_of=1)


@pytest.mark.parametrize(
    ("rate", "doubt"),
    [
        (12.8, "not mL/kg/min"),
        (2.9, "expected gross W/kg, not net"),
        (1.5, "less than 0.5 W/kg above"),
        (4.4, ""),
    ],
)
def test_a_first_rate_in_another_unit_is_asked_about(rate: float, doubt: str) -> None:
    found = Session.begin(SHORT).doubt(rate)
    assert doubt in found
    assert bool(doubt) == bool(found)


def test_a_rate_that_is_the_median_less_standing_is_asked_about() -> None:
    session = Session.begin(SHORT)
    session.measured(4.4)
    assert (
        "3 W/kg is the median so far, 4.4 W/kg, less standing; expected gross W/kg, not net"
        in session.doubt(3.0)
    )
    assert session.doubt(3.4) == ""
    assert session.doubt(2.5) == ""


def test_breaths_are_exported_with_what_else_was_measured(tmp_path: Path) -> None:
    session = Session.begin(BARE)
    session.confirm()
    session.measured(4.0, 0.1, breaths(12, heart_rate_bpm=101.0))
    report.write(session, tmp_path)
    rows = (tmp_path / "breaths.csv").read_text().splitlines()
    assert rows[0] == "bout,time,rate,heart_rate_bpm"
    assert len(rows) == 13
    assert rows[2].startswith("1,3.0,")


# ----------------------------------------------------------------------------------------- days and validations


def test_another_day_has_a_baseline_of_its_own_and_old_reductions_stay() -> None:
    session = Session.begin(SHORT)
    session.measured(4.4)
    through(session, 3)
    before = session.table()["reduction"].tolist()
    session.another_day()
    assert session.next is not None
    assert (session.next.purpose, session.next.label) == ("baseline", "baseline without torque of day 2")
    session.measured(5.4)
    through(session, 1)
    table = reopened(session).table()
    assert table["reduction"].tolist()[:4] == before
    assert table["day"].tolist() == [1] * 4 + [2] * 2
    rate = session.entries[-1].rate
    assert table["reduction"].iloc[-1] == pytest.approx(100.0 * (1.0 - (rate - 1.4) / 4.0))


def test_nothing_is_optimized_before_a_generation_is_complete() -> None:
    session = through(Session.begin(SHORT), 4)
    session.finish("the hour is over")
    conditions = []
    while session.next is not None:
        conditions.append(session.next.condition)
        through(session, 1)
    assert sorted(conditions) == ["reference", "reference", "zero torque", "zero torque"]
    assert "Nothing is optimized: no generation is complete" in report.law_words(session)
    assert not any("optimized law" in line for line in report.findings(session))


def test_a_participant_who_stops_early_leaves_out_all_that_is_left() -> None:
    session = through(Session.begin(SHORT), 18)
    assert session.next is not None
    assert session.next.purpose == "validation"
    session.end("she is tired")
    assert session.next is None
    session.undo("she is not")
    assert session.next is not None


def orders(plan: SessionPlan, codes: list[str]) -> list[tuple[str, ...]]:
    found = []
    for code in codes:
        session = through(Session.begin(replace(plan, participant=code)), 17)
        found.append(tuple(bout.condition for bout in session._agenda.validation())[:3])
    return found


def test_six_participants_have_all_six_orders() -> None:
    plan = replace(SHORT, order="balanced")
    assert sorted(orders(plan, [f"P{number:02d}" for number in range(1, 7)])) == sorted(
        itertools.permutations(CONDITIONS)
    )


def test_twelve_participants_have_every_order_twice_whatever_precedes_their_numbers() -> None:
    plan = replace(SHORT, order="balanced")
    found = orders(plan, [f"P{number:02d}" for number in range(1, 13)])
    assert sorted(found) == sorted([*itertools.permutations(CONDITIONS)] * 2)
    assert found[:6] != found[6:]  # another arrangement in each block of six
    assert orders(plan, ["S-7", "group 2, 7", "7"]) == orders(plan, ["P07"]) * 3


def test_rests_are_between_the_bouts_of_a_validation() -> None:
    session = through(Session.begin(replace(SHORT, validation_rest=2.0)), 17)
    purposes = []
    while session.next is not None:
        purposes.append(session.next.purpose)
        through(session, 1)
    assert purposes == ["validation", "rest"] * 5 + ["validation"]
    assert {entry.status for entry in session.entries if entry.purpose == "rest"} == {"walked"}


def test_conditions_that_are_letters_are_told_nowhere_before_they_are_opened(tmp_path: Path) -> None:
    session = through(Session.begin(replace(SHORT, conditions="letters")), 17)
    labels = []
    while session.next is not None:
        labels.append(session.next.label[-1])
        answered(session, rate_of(session))
    assert labels in ([*"ABCCBA"],)
    report.write(session, tmp_path)
    bouts = (tmp_path / "bouts.csv").read_text().splitlines()[-6:]
    page = (tmp_path / "report.html").read_text()
    for condition in ("zero torque", "optimized"):
        assert not any(f",{condition}," in row for row in bouts)
        assert f"<td>{condition}</td>" not in page
    assert "letters until they are opened" in page
    session.unblind("the study is over")
    assert (
        "% less net energy than zero torque" in report.findings(session)[0]
        or "more" in report.findings(session)[0]
    )
    with pytest.raises(ValueError, match="have their names already"):
        session.unblind("again")


def test_a_session_of_version_0_1_0_is_read_and_continued(tmp_path: Path) -> None:
    asset = Path(__file__).parent.parent / "assets" / "session_0_1_0.sqlite"
    path = tmp_path / "session.sqlite"
    path.write_bytes(asset.read_bytes())
    old = SessionView.of(path)
    assert np.isnan(old.table()["started"]).all()
    assert report.page(old).count("<tr") > len(old.entries)
    with Session.resume(path) as session:
        before: Any = session.table()
        assert before["rate"].tolist() == pytest.approx(old.table()["rate"].tolist(), nan_ok=True)
        number = next(entry.number for entry in session.entries if entry.counts and entry.purpose == "search")
        session.exclude(number, "the mask leaked")
        session.another_day()
    assert SessionView.of(path).entries[number - 1].status == "excluded"
