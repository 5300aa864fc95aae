"""The log of a session: its events, and what follows from those that are in force.

Kinds of events (every body but those of `asked` has `at`, the time of day in s):

    plan      the plan, first of all            session   versions, whenever somebody goes on
    asked     a generation's proposal, when the search first asks for it, or that the search has ended
    bout      what was measured, of which item  void      the same, and why it counts for nothing
    skip      an item nobody will measure       amend     another rate for an item, and why
    undo      the last of bout, void, skip, amend, retest and finish that is in force never was
    retest    the reference law next            finish    no more laws; go on to the validation
    limit     a lower upper torque              confirm   the operator has seen that a law enters a new region
    note      words
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.exoskeleton.respirometry import Breaths
from policysearch.hitl.plan import Plan
from policysearch.ledger import Event, Ledger, LedgerError, LedgerRefused, read

#: What undoing takes back.
UNDOABLE = ("bout", "void", "skip", "amend", "retest", "finish")
#: All kinds of events.
KINDS = (*UNDOABLE, "plan", "session", "asked", "undo", "limit", "confirm", "note")
#: What decides the numbers of a search.
PACKAGES = ("policysearch", "numpy", "scipy", "cma", "optuna", "torch")
#: An event: its kind and body.
Record = tuple[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Entry:
    """What is known of a bout that was walked, or skipped."""

    item: str
    number: int  # from 1, in the order of the log
    purpose: str
    minutes: float
    law: Float[Array, "4"]
    condition: str = ""
    generation: int = -1
    candidate: int = -1
    rate: float = np.nan  # W/kg, gross
    standard_error: float = np.nan  # W/kg
    breaths: Breaths | None = None
    status: str = "measured"  # or "walked", "skipped", "void", "amended", "undone"
    reason: str = ""


class Walked(NamedTuple):
    """What the person did, whatever became of it."""

    purpose: str
    law: Float[Array, "4"]
    minutes: float


@dataclass(frozen=True, eq=False)
class State:
    """The events in force, folded."""

    done: dict[str, Entry]
    retests: tuple[int, ...]  # the events that asked for one
    finished: bool
    upper_torque: float
    confirmed: frozenset[str]


class Log:
    """The events so far, and the entries among them by their places; in memory only without a ledger."""

    def __init__(self, ledger: Ledger | None, events: Sequence[Record]) -> None:
        self._ledger, self._failed = ledger, False
        self.events: list[Record] = []
        self.entries: dict[int, Entry] = {}
        for kind, body in events:
            self._keep(kind, body)

    def note(self, kind: str, body: dict[str, Any]) -> None:
        """Write an event down, for good where there is a ledger.

        Raises:
            LedgerError: if it cannot be written; from then on nothing is, until the session is opened again.
        """
        if self._failed:
            raise LedgerError("the log could not be written; open the session again to see what is in it")
        if self._ledger is not None:
            self._failed = True
            self._ledger.append(kind, (), body)
            self._ledger.commit()
            self._failed = False
        self._keep(kind, body)

    def close(self) -> None:
        """Let others write."""
        if self._ledger is not None:
            self._ledger.close()

    def _keep(self, kind: str, body: dict[str, Any]) -> None:
        if kind in ("bout", "void", "skip"):
            self.entries[len(self.events)] = _entry(len(self.entries) + 1, kind, body)
        self.events.append((kind, body))


def has_begun(path: Path) -> bool:
    """Whether there is a session; not so if it was killed before its plan was written.

    Raises:
        LedgerRefused: if there is something else.
    """
    return path.is_file() and path.stat().st_size > 0 and bool(read(path))


def parsed(path: Path, events: Sequence[Event]) -> tuple[Plan, list[Record]]:
    """The plan, and all events as kinds and bodies.

    Raises:
        LedgerRefused: if these are not the events of a session.
    """
    try:
        records = [(event.kind, dict(event.body)) for event in events]
        kind, plan = records[0]
        if kind != "plan":
            raise ValueError(f"it begins with {kind!r}")
        if unknown := {kind for kind, _ in records[1:]} - (set(KINDS) - {"plan"}):
            raise ValueError(f"it has events of the kind {', '.join(sorted(unknown))}")
        document = {name: value for name, value in plan.items() if name != "at"}
        return Plan.of(document), records
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise LedgerRefused(f"{path}: not the log of a session: {error}; it is left as it is") from error


def in_force(events: Sequence[Record]) -> list[int]:
    """Where the events are that can be undone and are not."""
    stack: list[int] = []
    for place, (kind, _) in enumerate(events):
        if kind in UNDOABLE:
            stack.append(place)
        elif kind == "undo" and stack:
            stack.pop()
    return stack


def folded(events: Sequence[Record], entries: Mapping[int, Entry], plan: Plan) -> State:
    """What follows from the events in force."""
    done: dict[str, Entry] = {}
    retests: list[int] = []
    finished = False
    for place in in_force(events):
        kind, body = events[place]
        if kind in ("bout", "skip"):
            done[body["item"]] = entries[place]
        elif kind == "amend" and body["item"] in done:
            old = done[body["item"]]
            reason = f"{old.rate:g} W/kg before: {body['reason']}"
            done[body["item"]] = replace(
                old, rate=float(body["rate"]), standard_error=np.nan, status="amended", reason=reason
            )
        elif kind == "retest":
            retests.append(place + 1)
        finished = finished or kind == "finish"
    upper = min([plan.upper_torque, *(body["upper_torque"] for kind, body in events if kind == "limit")])
    confirmed = frozenset(body["item"] for kind, body in events if kind == "confirm")
    return State(done, tuple(retests), finished, upper, confirmed)


def _entry(number: int, kind: str, body: dict[str, Any]) -> Entry:
    rate, error = body.get("rate"), body.get("standard_error")
    breaths, law, minutes = body.get("breaths"), np.array(body["law"], dtype=float), float(body["minutes"])
    if not (law.shape == (4,) and np.isfinite(law).all() and 0.0 < minutes < np.inf):
        raise ValueError(f"expected four finite numbers and some minutes, got {law} and {minutes}")
    if rate is not None and not 0.0 < rate < np.inf:
        raise ValueError(f"expected a positive rate, got {rate}")
    status = {"skip": "skipped", "void": "void"}.get(kind, "walked" if rate is None else "measured")
    return Entry(
        body["item"],
        number,
        body["purpose"],
        minutes,
        law,
        body["condition"],
        body["generation"],
        body["candidate"],
        np.nan if rate is None else float(rate),
        np.nan if error is None else float(error),
        None if breaths is None else Breaths(*(np.array(values, dtype=float) for values in breaths)),
        status,
        body.get("reason", ""),
    )
