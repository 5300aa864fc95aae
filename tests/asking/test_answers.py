"""A log of events: what undoing leaves in force, and what a failed write leaves known."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policysearch.asking.answers import EventLog
from policysearch.ledger import LedgerError

UNDOABLE = ("answer", "skip")


def values(log: EventLog) -> list[int]:
    return [body["value"] for _, _, body in log.in_force]


@given(st.lists(st.sampled_from(["answer", "skip", "note", "undo"]), max_size=30))
def test_undoing_takes_back_the_last_event_in_force_and_nothing_else(kinds: list[str]) -> None:
    log, expected = EventLog(UNDOABLE), list[int]()
    for value, kind in enumerate(kinds):
        log.note(kind, {"value": value})
        if kind in UNDOABLE:
            expected.append(value)
        elif kind == "undo":
            expected = expected[:-1]
    assert values(log) == expected
    assert [place for place, _, _ in log.in_force] == expected
    assert log.last == ((kinds[expected[-1]], {"value": expected[-1]}) if expected else None)
    assert values(EventLog(UNDOABLE, log.events)) == expected
    assert [kind for kind, _ in log.events] == kinds


def test_after_a_failed_write_no_event_is_known_or_written() -> None:
    written = list[str]()

    def write(kind: str, body: Mapping[str, Any]) -> None:
        if len(written) == 2:
            raise LedgerError("disk full")
        written.append(kind)

    log = EventLog(UNDOABLE, write=write)
    log.note("answer", {"value": 1})
    log.note("note", {})
    with pytest.raises(LedgerError, match="disk full"):
        log.note("answer", {"value": 2})
    written.clear()
    with pytest.raises(LedgerError, match="could not be written; run the same command again"):
        log.note("answer", {"value": 3})
    assert written == []
    assert values(log) == [1]
