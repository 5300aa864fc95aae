"""A session: what is walked next, what the method is told, and that neither a kill nor a correction confuses it."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cma
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from policysearch.evaluators.recorded import ReplayDiffers
from policysearch.exoskeleton.torque_law import GENERIC
from policysearch.exoskeleton.torque_profile import why_infeasible
from policysearch.hitl.agenda import AVERAGED, CONDITIONS
from policysearch.hitl.laws import NO_TORQUE
from policysearch.hitl.log import Log
from policysearch.hitl.people import SimulatedPerson, walk_next, walk_to_the_end
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView
from policysearch.ledger import Ledger, LedgerBusy, LedgerError, LedgerRefused
from policysearch.plain_data import decode, encode
from policysearch.search import AskTell
from policysearch.seeding import stream

SHORT = SessionPlan(bouts=16, baseline=3.0, validation=3.0)
BARE = SessionPlan(bouts=16, baseline=0.0, validation=0.0)


def answered(session: Session, rate: float) -> None:
    """The next bout is done; its rate, if it has one, is `rate`."""
    if session.entering:
        session.confirm()
    assert session.next is not None
    if session.next.is_measured:
        session.measured(rate)
    else:
        session.walked()


def rate_of(session: Session) -> float:
    """A rate that depends on the law, smooth and without noise."""
    assert session.next is not None
    torque, peak, rise, fall = session.next.law
    return float(
        3.5 + 2 * (torque - 0.6) ** 2 + ((peak - 50) / 20) ** 2 + ((rise - 25) / 60) ** 2 + fall / 100
    )


def through(session: Session, bouts: int) -> Session:
    for _ in range(bouts):
        answered(session, rate_of(session))
    return session


def reopened(session: Session) -> Session:
    """The session that the log of another one gives."""
    return Session(session.plan, Log(None, [tuple(event) for event in decode(encode(session.events))]))


# --------------------------------------------------------------------------------------------------- the agenda


def test_a_session_is_warm_up_baseline_generations_with_rests_and_re_tests_and_a_double_reversal() -> None:
    plan = SessionPlan(bouts=16, warm_up=5.0, rest=1.0, retest=2, seed=3)
    session, seen = Session.begin(plan), []
    while session.next is not None:
        seen.append((session.next.purpose, session.next.minutes, session.next.condition))
        answered(session, rate_of(session))
    purposes = [purpose for purpose, _, _ in seen]
    generation = ["search"] * 8 + ["rest"]
    assert purposes == ["warm-up", "baseline", *generation, *generation, "re-test", *["validation"] * 6]
    conditions = [condition for _, _, condition in seen[-6:]]
    assert sorted(conditions[:3]) == sorted(CONDITIONS)
    assert conditions[3:] == conditions[2::-1]
    assert [minutes for _, minutes, _ in seen[:3]] == [5.0, 6.0, 2.0]


def test_the_laws_of_a_generation_are_those_of_the_method_in_an_order_of_their_own() -> None:
    session = Session.begin(SHORT)
    search = AskTell(SHORT.method(), SHORT.space.domain, SHORT.seed, "session", SHORT.participant)
    walked = []
    through(session, 1)
    for _ in range(8):
        assert session.next is not None
        walked.append((session.next.candidate, session.next.law))
        assert why_infeasible(session.next.law) == ""
        through(session, 1)
    assert (
        sorted(candidate for candidate, _ in walked)
        == list(range(8))
        != [candidate for candidate, _ in walked]
    )
    proposed = SHORT.space.decode(search.ask().params)
    for candidate, law in walked:
        np.testing.assert_allclose(law[:2], proposed[candidate][:2])  # torque and peak are only clipped
    in_order = Session.begin(replace(SHORT, shuffle=False))
    through(in_order, 9)
    assert [entry.candidate for entry in in_order.entries[1:]] == list(range(8))


def test_the_search_is_that_of_asking_and_telling_by_hand() -> None:
    session = Session.begin(SHORT)
    through(session, 1 + 16)
    search = AskTell(SHORT.method(), SHORT.space.domain, SHORT.seed, "session", SHORT.participant)
    entries = [entry for entry in session.entries if entry.purpose == "search"]
    for g in range(2):
        mine = sorted((e for e in entries if e.generation == g), key=lambda e: e.candidate)
        search.tell([session.reduction(entry.rate) for entry in mine])
    np.testing.assert_array_equal(session.recommendation[:2], SHORT.space.decode(search.recommendation)[:2])


def test_a_method_that_uses_values_is_told_reductions() -> None:
    plan = replace(SHORT, optimizer="finite-difference", options={"perturbations": 4})
    session = through(Session.begin(plan), 1)
    search = AskTell(plan.method(), plan.space.domain, plan.seed, "session", plan.participant)
    count = search.ask().cost
    through(session, count)
    entries = sorted(session.entries[1:], key=lambda entry: (entry.candidate, entry.item))
    search.tell([session.reduction(entry.rate) for entry in entries])
    np.testing.assert_array_equal(session.proposals[1].params, search.ask().params)


def test_the_budget_of_bouts_is_never_exceeded_and_a_generation_that_does_not_fit_is_not_begun() -> None:
    session = Session.begin(replace(BARE, bouts=23))
    through(session, 16)
    assert session.next is None
    with pytest.raises(RuntimeError, match="the session is over"):
        session.measured(4.0)


def test_reductions_are_of_net_rates_and_relative_to_the_walk_without_torque() -> None:
    session = Session.begin(replace(SHORT, standing_rate=1.5))
    session.measured(4.5)
    assert session.reduction(4.5) == 0.0
    assert session.reduction(3.0) == 50.0  # net 1.5 instead of 3 W/kg


def test_validation_compares_the_means_of_both_bouts_with_those_without_torque() -> None:
    session = Session.begin(replace(SHORT, standing_rate=1.5))
    through(session, 17)
    rates = {"zero torque": [4.4, 4.6], "reference": [3.8, 4.0], "optimized": [3.5, 3.7]}
    while session.next is not None:
        answered(session, rates[session.next.condition].pop())
    found = session.validation().set_index("condition")
    assert found.loc["zero torque", "rate"] == pytest.approx(4.5)
    assert found.loc["optimized", "reduction"] == pytest.approx(30.0)  # net 2.1 instead of 3
    assert found.loc["reference", "reduction"] == pytest.approx(20.0)


def test_a_validation_of_another_law_is_set_aside() -> None:
    session = through(Session.begin(SHORT), 17)
    for _ in range(3):
        answered(session, {"zero torque": 4.4, "reference": 3.8, "optimized": 2.0}[session.next.condition])  # type: ignore[union-attr]
    assert list(session.validation()["bouts"]) == [1, 1, 1]
    best = min(session.entries[1:17], key=lambda entry: entry.rate)
    session.amend(best.number, 9.0, "another person's file")  # so another law is recommended
    assert session.validation().empty
    assert [entry.status for entry in session.entries[-3:]] == ["set aside"] * 3
    session.undo("it was the right file")
    assert list(session.validation()["bouts"]) == [1, 1, 1]


def test_the_table_of_a_session_without_any_bout_has_its_columns() -> None:
    table = Session.begin(SHORT).table()
    assert table.empty
    assert list(table.columns) == list(through(Session.begin(SHORT), 2).table().columns)


def test_every_method_without_scores_goes_through_a_session() -> None:
    for name, options in (
        ("hill-climbing", {"neighbours": 7}), ("nelder-mead", {}), ("spsa", {}), ("random-search", {"population_size": 8}),
        ("cross-entropy", {"population_size": 8, "elites": 3}), ("finite-difference", {"perturbations": 8}),
    ):  # fmt: skip
        session = Session.begin(replace(BARE, optimizer=name, options=options))
        while session.next is not None:
            answered(session, rate_of(session))
        assert why_infeasible(session.recommendation) == ""
        assert 14 <= len(session.entries) <= 16, name


# --------------------------------------------------------------------------------------- skipped and void bouts


def test_cma_es_is_told_only_what_was_measured() -> None:
    session = Session.begin(replace(BARE, shuffle=False))
    skipped = (1, 6)
    for i in range(8):
        if i in skipped:
            session.skip("a strap broke")
        else:
            through(session, 1)
    rng = stream(BARE.seed, "search", "session", BARE.participant)
    domain = BARE.space.domain
    options = {"randn": lambda *shape: rng.standard_normal(shape), "seed": np.nan, "verbose": -9, "verb_log": 0,
               "bounds": [domain.lower, domain.upper]}  # fmt: skip
    es: Any = cma.CMAEvolutionStrategy(domain.start, 0.3, options)
    asked = es.ask()
    measured = [i for i in range(8) if i not in skipped]
    rates = {entry.candidate: entry.rate for entry in session.entries}
    es.tell([asked[i] for i in measured], [rates[i] for i in measured])
    np.testing.assert_array_equal(session.proposals[1].params, np.array(es.ask()))


def test_a_law_that_was_not_walked_is_never_recommended() -> None:
    session = Session.begin(replace(BARE, optimizer="nelder-mead", shuffle=False))
    for rate in (4.4, None, 4.1, 4.1, 4.1):  # a median that is the best rate
        if rate is None:
            session.skip("a strap broke")
        else:
            answered(session, rate)
    skipped = session.entries[1].law
    assert not np.array_equal(session.recommendation, skipped)


def test_a_generation_that_is_asked_for_anew_has_a_rest_and_a_re_test_of_its_own() -> None:
    session = through(
        Session.begin(replace(BARE, bouts=24, rest=1.0, retest=1)), 21
    )  # two generations and theirs
    best = min((e for e in session.entries[:8]), key=lambda entry: entry.rate)
    session.amend(best.number, 9.0, "misread")
    purposes = []
    while session.next is not None and session.next.generation < 2:
        purposes.append(session.next.purpose)
        through(session, 1)
    assert purposes[:10] == ["search"] * 8 + ["rest", "re-test"]


def test_at_least_half_of_a_generation_has_to_be_measured() -> None:
    session = Session.begin(BARE)
    for _ in range(4):
        session.skip("tired")
    with pytest.raises(ValueError, match="at least half of a generation has to be measured, and 4 of 8"):
        session.skip("tired")
    through(session, 4)
    assert session.next is not None
    assert session.next.generation == 1


def test_a_method_that_asks_for_one_law_at_a_time_gets_an_answer_for_each() -> None:
    session = Session.begin(replace(BARE, optimizer="nelder-mead"))
    through(session, 5)
    assert len(session.proposals[-1].params) == 1
    with pytest.raises(ValueError, match="at least half"):
        session.skip("tired")


def test_a_void_bout_is_repeated_does_not_count_and_is_in_the_history() -> None:
    session = through(Session.begin(SHORT), 4)
    before = session.next
    assert before is not None
    if session.entering:
        session.confirm()
    session.void("stumbled", minutes=0.7)
    assert session.next is not None
    assert session.next.item == before.item
    assert session.entries[-1].status == "void"
    assert session.history[-1].minutes == 0.7
    assert np.isnan(session.entries[-1].rate)


def test_the_baseline_cannot_be_skipped() -> None:
    with pytest.raises(ValueError, match="all reductions need it"):
        Session.begin(SHORT).skip("no time")


# -------------------------------------------------------------------------------------------------- corrections


def test_an_amended_session_is_one_in_which_the_right_value_was_typed_at_first() -> None:
    wrong, right = Session.begin(BARE), Session.begin(BARE)
    for session in (wrong, right):
        through(session, 3)
        answered(session, 9.0 if session is wrong else 3.0)
        through(session, 2)
    wrong.amend(4, 3.0, "a typing error")
    for session in (wrong, right):
        through(session, 4)
    assert wrong.next is not None
    assert right.next is not None
    assert wrong.next.item == right.next.item
    np.testing.assert_array_equal(wrong.recommendation, right.recommendation)
    entry = wrong.entries[3]
    assert (entry.rate, entry.status) == (3.0, "amended")
    assert "9 W/kg before: a typing error" in entry.reason
    assert any(body.get("rate") == 9.0 for _, body in wrong.events)  # the old value is kept


def test_amending_an_earlier_generation_sets_later_laws_aside_only_if_ranks_change() -> None:
    session = through(Session.begin(BARE), 12)
    best = min(session.entries[:8], key=lambda entry: entry.rate)
    session.amend(best.number, best.rate - 0.001, "rounding")  # it stays the best
    assert all(entry.status in ("measured", "amended") for entry in session.entries)
    asked = session.proposals[1]
    session.amend(best.number, 9.0, "another line of the file")
    assert [entry.status for entry in session.entries[8:]] == ["set aside"] * 4
    assert not np.array_equal(session.proposals[1].params, asked.params)
    session.undo("it was the right line")  # and what was set aside comes back
    assert np.array_equal(session.proposals[1].params, asked.params)
    assert all(entry.status in ("measured", "amended") for entry in session.entries)


def test_undo_takes_the_latest_step_in_force_back_one_after_the_other() -> None:
    session = Session.begin(BARE)
    items = []
    for _ in range(3):
        assert session.next is not None
        items.append(session.next.item)
        through(session, 1)
    session.skip("tired")
    assert session.undo("not tired after all").startswith("skip")
    for item in reversed(items):
        assert session.undo("the mask was loose") == f"bout {item}"
        assert session.next is not None
        assert session.next.item == item
    with pytest.raises(ValueError, match="nothing to take back"):
        session.undo("once more")
    assert len(session.history) == 3  # walked it was


def test_another_baseline_changes_reductions_but_no_law_of_a_method_that_looks_at_ranks() -> None:
    session = through(Session.begin(SHORT), 12)
    item, reduction = session.next.item if session.next else "", session.reduction(3.0)
    session.amend(1, 5.0, "the calibration gas was off")
    assert session.next is not None
    assert session.next.item == item
    assert session.reduction(3.0) > reduction


def test_a_re_test_comes_next_and_is_not_told_to_the_method() -> None:
    session, other = through(Session.begin(BARE), 3), through(Session.begin(BARE), 3)
    session.retest()
    assert session.next is not None
    assert session.next.purpose == "re-test"
    np.testing.assert_array_equal(session.next.law, GENERIC)
    answered(session, 2.0)
    through(session, 5)
    through(other, 5)
    np.testing.assert_array_equal(session.recommendation, other.recommendation)


def test_after_finish_the_validation_is_next_with_the_law_recommended_so_far() -> None:
    session = through(Session.begin(SHORT), 12)
    law = session.recommendation
    session.finish("the hour is over")
    assert session.next is not None
    assert session.next.purpose == "validation"
    np.testing.assert_array_equal(session.recommendation, law)
    with pytest.raises(ValueError, match="has ended already"):
        session.finish("again")
    session.undo("ten minutes more")
    assert session.next.purpose == "search"


# ------------------------------------------------------------------------------------------------------ safety


def test_a_lower_limit_holds_for_every_law_from_then_on_and_is_never_raised() -> None:
    session = through(Session.begin(SHORT), 4)
    session.limit(0.3, "it hurts")
    while session.next is not None:
        assert session.next.law[0] <= 0.3
        answered(session, rate_of(session))
    assert session.recommendation[0] <= 0.3
    for value in (0.4, 0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"at most 0\.3 N·m/kg, as limits are only ever lowered"):
            session.limit(value, "better now")
    assert reopened(session).upper_torque == 0.3


def test_a_law_far_from_all_before_is_walked_only_when_it_is_confirmed() -> None:
    session = Session.begin(replace(BARE, shuffle=False))
    assert set(session.entering) == {"peak torque", "peak time", "rise time", "fall time"}
    with pytest.raises(ValueError, match="is far from any law before; confirm it first"):
        session.measured(4.0)
    session.confirm()
    assert session.entering == ()
    session.measured(4.0)
    visited = [session.entries[0].law]
    for _ in range(15):
        assert session.next is not None
        law, margin = session.next.law, BARE.widths
        low, high = np.min(visited, axis=0) - margin, np.max(visited, axis=0) + margin
        assert bool(session.entering) == bool(((law < low) | (law > high)).any())
        through(session, 1)
        visited.append(law)


def test_the_way_to_the_next_law_takes_no_step_larger_than_a_quarter_of_the_ranges() -> None:
    session = Session.begin(SHORT)
    before = None
    while session.next is not None:
        path = session.path
        if session.next.law[0] > 0.0:
            np.testing.assert_array_equal(path[-1], session.next.law)
        else:
            assert path[-1][0] == 0.0
        ends = path if before is None else np.vstack([before, path])
        assert (np.abs(np.diff(ends, axis=0)) <= SHORT.widths * (1 + 1e-12)).all()
        before = session.next.law if session.next.law[0] > 0.0 else None
        answered(session, rate_of(session))


def test_the_result_of_another_bout_or_of_another_law_is_refused() -> None:
    session = through(Session.begin(BARE), 3)
    shown = session.next
    assert shown is not None
    session.confirm()
    session.limit(0.5 * float(shown.law[0]), "it hurts")
    with pytest.raises(
        ValueError, match="bout: expected the result of generation 1, bout 4 of 8, got that of"
    ):
        session.measured(4.0, of=shown)
    through(session, 1)
    with pytest.raises(ValueError, match="bout: expected the result of"):
        session.measured(4.0, of=shown)


# ------------------------------------------------------------------------------------------------- wrong values


def test_a_baseline_below_standing_would_turn_the_search_around_and_is_refused() -> None:
    session = Session.begin(SHORT)  # standing takes 1.4 W/kg
    assert "less than 0.5 W/kg above standing" in session.doubt(1.5)
    for rate in (1.4, 1.39):
        with pytest.raises(ValueError, match=r"baseline: expected more than the 1\.4 W/kg of standing"):
            session.measured(rate)
    through(session, 2)
    with pytest.raises(ValueError, match="baseline: expected more than"):
        session.amend(1, 1.2, "misread")
    with pytest.raises(ValueError, match="standing_rate: expected at most 5, got 98"):
        replace(SHORT, standing_rate=98.0)  # W, not W/kg


@pytest.mark.parametrize("minutes", [-0.1, -1.0, 2.1, float("nan")])
def test_the_minutes_of_a_void_bout_are_not_negative_and_at_most_those_of_the_bout(minutes: float) -> None:
    session = through(Session.begin(BARE), 2)
    session.confirm()
    with pytest.raises(ValueError, match="minutes: expected at least 0 and at most 2"):
        session.void("stumbled", minutes=minutes)


@pytest.mark.parametrize("rate", [0.0, -3.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused_and_nothing_is_lost(rate: float) -> None:
    session = through(Session.begin(BARE), 2)
    session.confirm()
    count = len(session.events)
    with pytest.raises(ValueError, match="expected a positive number of W/kg"):
        session.measured(rate)
    assert len(session.events) == count


def test_a_value_ten_times_too_large_is_doubted() -> None:
    session = through(Session.begin(BARE), 2)
    assert session.doubt(4.0) == ""
    assert "median so far" in session.doubt(10 * session.entries[0].rate) or "not between" in session.doubt(
        40.0
    )
    assert "times the median so far" in session.doubt(9.0)
    assert "not between 0.5 and 20" in session.doubt(0.4)
    assert Session.begin(BARE).doubt(9.0) == ""  # nothing to compare with


@pytest.mark.parametrize("reason", ["", "  "])
def test_whatever_changes_the_log_needs_a_reason(reason: str) -> None:
    session = through(Session.begin(BARE), 2)
    session.confirm()
    for change in (
        lambda: session.void(reason), lambda: session.skip(reason), lambda: session.undo(reason),
        lambda: session.amend(1, 4.0, reason), lambda: session.finish(reason), lambda: session.limit(0.5, reason),
        lambda: session.note(reason),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="reason: expected a few words"):
            change()


def test_only_measured_bouts_in_force_can_be_amended() -> None:
    session = through(Session.begin(BARE), 2)
    with pytest.raises(ValueError, match=r"expected the number of a measured one \(1, 2\), got 3"):
        session.amend(3, 4.0, "no such bout")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 0.0}, "minutes: expected at least 1, got 0"),
        ({"bouts": 0}, "bouts: expected a whole number of at least 1, got 0"),
        ({"tau": float("nan")}, "tau: expected at least 1, got nan"),
        ({"validation": 2.0}, "validation: expected 0, or at least the 3 minutes that are averaged, got 2"),
        ({"start": (1.2, 50.0, 25.0, 10.0)}, "start: peak torque: expected 0 to 1 N·m/kg, got 1.2"),
        ({"reference": (0.5, 55.0, 25.0, 15.0)}, "reference: end: expected at most 65 % stride"),
        ({"start": (0.5, float("nan"), 25.0, 10.0)}, "start: expected four finite numbers"),
        ({"upper_torque": 0.4}, "reference: peak torque: expected 0 to 0.4 N·m/kg, got 0.536"),
        ({"optimizer": "cmaes"}, "unknown optimizer 'cmaes'; did you mean cma-es"),
        ({"options": {"sigmas": 1.0}}, "sigmas: not an option; did you mean sigma"),
        ({"optimizer": "reinforce"}, "needs a distribution over actions"),
        ({"seed": True}, "seed: expected a whole number of at least 0, got True"),
        ({"upper_torque": 8.0}, "upper_torque: expected at most 1, got 8.0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_one_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(SessionPlan(), **changes)


# ------------------------------------------------------------------------------------------------------ the log


def test_a_plan_survives_the_log() -> None:
    plan = SessionPlan(start=(0.5, 50.0, 25.0, 10.0), options={"sigma": 0.2}, participant="<b>", seed=9)
    assert SessionPlan.of(decode(encode(plan.document()))) == plan


def test_a_second_session_on_the_same_file_is_refused_and_it_can_still_be_viewed(tmp_path: Path) -> None:
    path = tmp_path / "session.sqlite"
    with Session.begin(BARE, path) as session:
        through(session, 3)
        with pytest.raises(LedgerBusy, match=f"process {os.getpid()}"):
            Session.resume(path)
        seen = SessionView.of(path)
        assert seen.table().to_csv() == session.table().to_csv()
        assert seen.next is not None
        assert session.next is not None
        assert seen.next.item == session.next.item
    with pytest.raises(LedgerError, match="there is a session already; resume it"):
        Session.begin(BARE, path)
    with pytest.raises(LedgerError, match="no session is there"):
        Session.resume(tmp_path / "other.sqlite")
    Session.resume(path).close()


def test_after_a_failed_write_nothing_is_taken_until_the_session_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "session.sqlite"
    session = through(Session.begin(BARE, path), 7)
    session.confirm()
    commits = iter([False, True])

    def commit(self: Ledger) -> None:
        if next(commits):
            raise LedgerError("the disk is full")
        real(self)

    real = Ledger.commit
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "commit", commit)
        with pytest.raises(LedgerError, match="the disk is full"):
            session.measured(3.5)  # it is written; what the method then asks for is not
    with pytest.raises(LedgerError, match="run the same command again"):
        session.measured(3.5)
    session.close()
    with Session.resume(path) as again:
        assert [entry.rate for entry in again.entries].count(3.5) == 1
        assert again.next is not None
        assert again.next.generation == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("bout", {"rate": 3.0}),
        ("bout", None),
        ("limit", {"upper_torque": "low"}),
        ("amend", {"item": "baseline"}),
        ("confirm", {}),
        ("surprise", {}),
        ("plan", {"seed": 1}),
    ],
)
def test_a_log_whose_events_make_no_session_is_refused(tmp_path: Path, kind: str, body: Any) -> None:
    path = tmp_path / "session.sqlite"
    with Session.begin(SHORT, path) as session:
        through(session, 3)
    with Ledger(path) as ledger:
        ledger.append(kind, (), body)
    for opening in (SessionView.of, Session.resume):
        with pytest.raises(LedgerRefused, match="not the log of a session"):
            opening(path)


@pytest.mark.parametrize(
    "changes", [{"law": [0.5, float("nan"), 20.0, 10.0]}, {"rate": -3.0}, {"minutes": 0.0}]
)
def test_a_bout_with_an_impossible_law_rate_or_duration_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = tmp_path / "session.sqlite"
    with Session.begin(SHORT, path) as session:
        through(session, 1)
        body = next(body for kind, body in session.events if kind == "bout")
    with Ledger(path) as ledger:
        ledger.append("bout", (), body | changes)
    with pytest.raises(LedgerRefused, match="not the log of a session"):
        SessionView.of(path)


def test_a_session_that_cannot_begin_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "session.sqlite"
    with pytest.raises(ValueError, match="bouts: expected at least one generation of cma-es, 8, got 5"):
        Session.begin(replace(BARE, bouts=5), path)
    assert not path.exists()
    with pytest.raises(ZeroDivisionError):
        Session.begin(BARE, path, clock=lambda: 1 / 0)
    Session.begin(BARE, path).close()


def test_the_ledger_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with Ledger(path) as ledger:
        ledger.append("study", (), {"seed": 1})
    before = path.read_bytes()
    for opening in (Session.resume, SessionView.of):
        with pytest.raises(LedgerRefused, match="not the log of a session"):
            opening(path)
    assert path.read_bytes() == before


def test_a_search_that_would_ask_for_other_laws_stops_and_names_the_versions() -> None:
    session = through(Session.begin(BARE), 9)
    events = [tuple(event) for event in decode(encode(session.events))]
    at = max(i for i, (kind, _) in enumerate(events) if kind == "asked")
    events[at][1]["laws"][3][0] += 1e-12  # as if another NumPy had drawn it
    with pytest.raises(ReplayDiffers, match=r"it was last run with python 3.*numpy"):
        Session(BARE, Log(None, events))


def test_a_simulated_person_rebuilt_from_the_history_continues_with_the_same_numbers() -> None:
    def person(session: Session) -> SimulatedPerson:
        return SimulatedPerson("zhang2017", (1, "person", 1), session.history)

    calm, broken = Session.begin(SHORT), Session.begin(SHORT)
    walker = person(calm)
    for _ in itertools.takewhile(lambda _: calm.next is not None, itertools.count()):
        walk_next(calm, walker)
        walk_next(broken, person(broken))  # a new person every time, rebuilt from the history
    assert calm.table().to_csv() == broken.table().to_csv()


def test_a_bout_that_is_averaged_comes_again_where_a_simulated_person_has_a_gap_in_it() -> None:
    session, key = Session.begin(SHORT), (2, "person", 1)
    for bout, entry in walk_to_the_end(session, SimulatedPerson("zhang2017", key, changes={"missed": 0.35})):
        assert entry.status in ("measured", "void")
        assert entry.status == "measured" or (bout.purpose in AVERAGED and "no breath for" in entry.reason)
    assert session.next is None
    again = [entry.purpose for entry in session.history if entry.status == "void"]
    assert again
    assert set(again) <= set(AVERAGED)
    assert {entry.purpose for entry in session.entries if entry.counts} >= {
        "baseline",
        "search",
        "validation",
    }


def crashed(tmp_path: Path, points: list[int]) -> dict[str, Any]:
    script = Path(__file__).with_name("session_crashes.py")
    command = [sys.executable, str(script), str(tmp_path), ",".join(map(str, points))]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    "points",
    [
        [0, 12, 152],
        pytest.param(
            [p for p in (*range(8), *range(12, 166, 7)) if p not in (0, 12, 152)],
            marks=pytest.mark.nightly,
        ),
    ],
    ids=["three", "the others"],
)
def test_a_session_killed_at_any_of_thirty_points_continues_with_the_same_laws_in_the_same_order(
    points: list[int], tmp_path: Path
) -> None:
    results = crashed(tmp_path, points)
    calm = results.pop("calm")
    assert {row["status"] for row in calm} == {"measured", "walked", "skipped", "amended", "void", "undone"}
    assert len(results) == len(points)
    for point, (status, table) in results.items():
        assert status == signal.SIGKILL, f"point {point} was never reached"
        assert table == calm, f"killed at point {point}"


# --------------------------------------------------------------------------------- histories that no test lists

STATEFUL = SessionPlan(
    options={"population_size": 4}, bouts=12, retest=2, rest=1.0, baseline=3.0, validation=3.0, warm_up=1.0
)
rates = st.floats(2.5, 6.0)


class Histories(RuleBasedStateMachine):
    """Whatever an operator does, in whatever order."""

    numbers = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self.session = Session.begin(STATEFUL)

    @precondition(lambda self: self.session.next is not None)
    @rule(values=st.lists(rates, min_size=1, max_size=6))
    def walk(self, values: list[float]) -> None:
        for value in values:
            if self.session.next is not None:
                answered(self.session, value)

    @precondition(lambda self: self.session.next is not None)
    @rule()
    def skip(self) -> None:
        item = self.session.next.item  # type: ignore[union-attr]
        try:
            self.session.skip("tired")
        except ValueError:
            assert self.session.next is not None
            assert self.session.next.item == item
        else:
            assert self.session.next is None or self.session.next.item != item

    @precondition(lambda self: self.session.next is not None and not self.session.entering)
    @rule()
    def void(self) -> None:
        item = self.session.next.item  # type: ignore[union-attr]
        self.session.void("stumbled")
        assert self.session.next is not None
        assert self.session.next.item == item

    @rule(pick=st.integers(0, 40), rate=rates)
    def amend(self, pick: int, rate: float) -> None:
        numbers = [entry.number for entry in self.session.entries if entry.status in ("measured", "amended")]
        if numbers:
            self.session.amend(numbers[pick % len(numbers)], rate, "misread")

    @rule(times=st.integers(1, 4))
    def undo(self, times: int) -> None:
        for _ in range(times):
            try:
                self.session.undo("wrong")
            except ValueError:
                break

    @rule(torque=st.floats(0.2, 1.0))
    def limit(self, torque: float) -> None:
        if torque <= self.session.upper_torque:
            self.session.limit(torque, "it hurts")

    @rule()
    def retest(self) -> None:
        self.session.retest()

    @rule()
    def finish(self) -> None:
        try:
            self.session.finish("enough")
        except ValueError:
            assert self.session.next is None or self.session.next.purpose != "search"

    @rule()
    def reopen(self) -> None:
        self.session = reopened(self.session)

    @invariant()
    def the_log_alone_gives_the_same_state(self) -> None:
        again, now = reopened(self.session), self.session
        assert (again.next is None) == (now.next is None)
        if again.next is not None and now.next is not None:
            assert again.next.item == now.next.item
            np.testing.assert_array_equal(again.next.law, now.next.law)
        assert again.table().to_csv() == now.table().to_csv()
        assert len(again.events) == len(now.events)

    @invariant()
    def it_is_the_session_in_which_nothing_wrong_was_ever_typed(self) -> None:
        """Answers in force, given at first to a session that knows no correction, lead to the same search."""
        now = self.session
        answers = {
            entry.item: entry
            for entry in now.entries
            if entry.status in ("measured", "amended", "walked", "skipped") and "/asked/" not in entry.item
        }
        fresh = Session.begin(STATEFUL)
        while fresh.next is not None and fresh.next.item in answers:
            entry = answers[fresh.next.item]
            if entry.status == "skipped":
                fresh.skip("tired")
            else:
                answered(fresh, entry.rate)
        told = min(len(fresh.proposals), len(now.proposals))
        assert told >= len(now.proposals) - 1
        for a, b in zip(fresh.proposals, now.proposals, strict=False):
            np.testing.assert_array_equal(a.params, b.params)

    @invariant()
    def every_generation_that_was_told_is_half_measured(self) -> None:
        for g in range(len(self.session.proposals) - 1):
            of = [e for e in self.session.entries if e.generation == g and e.purpose == "search"]
            measured = sum(entry.status in ("measured", "amended") for entry in of)
            assert measured >= 2


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=4, stateful_step_count=12, deadline=None)


@pytest.mark.nightly
class TestMoreHistories(Histories.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(max_examples=500, stateful_step_count=30, deadline=None)


def test_without_torque_means_zero_newton_metres() -> None:
    assert NO_TORQUE[0] == 0.0
    assert why_infeasible(NO_TORQUE) == ""
