"""The log of a session: its events, and the bouts among them.

Kinds of events (every body but those of `asked` has `at`, the time of day in s):

    plan      the plan, first of all            session   versions, whenever the session is opened to continue
    asked     a generation's proposal, when the search first asks for it, or that the search has ended
    bout      what was measured, of which item  void      the same, and why it does not count
    skip      an item that is not measured      amend     another rate for an item, and why
    undo      takes back the last of bout, void, skip, amend, retest and finish that is in force
    retest    the reference law next            finish    no more laws; the validation is next
    limit     a lower upper torque              confirm   the operator has seen that a law enters a new region
    note      words
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.asking.answers import EventLog, LoggedEvent
from policysearch.core import Array
from policysearch.exoskeleton.respirometry import Breaths, Estimate
from policysearch.hitl.plan import SessionPlan
from policysearch.ledger import Event, Ledger, LedgerRefused, read
from policysearch.optimizers import OPTIMIZERS
from policysearch.registry import check_trusted

#: What undoing takes back.
UNDOABLE = ("bout", "void", "skip", "amend", "retest", "finish")
#: All kinds of events.
KINDS = (*UNDOABLE, "plan", "session", "asked", "undo", "limit", "confirm", "note")
#: What decides the numbers of a search.
PACKAGES = ("policysearch", "numpy", "scipy", "cma", "optuna", "torch")


@dataclass(frozen=True, eq=False)
class Entry:
    """A bout that was walked or skipped."""

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
    status: str = "measured"  # or "walked", "skipped", "void", "amended", "undone", "set aside"
    reason: str = ""

    @property
    def name(self) -> str:
        """The condition of a validation, else the purpose."""
        return self.condition or self.purpose

    @property
    def counts(self) -> bool:
        """Whether it has a rate that is in force, and that the search or the validation asks for."""
        return self.status in ("measured", "amended")

    @property
    def estimate(self) -> Estimate:
        """The rate with its standard error."""
        return Estimate(self.rate, self.standard_error)


class Log(EventLog):
    """The events of a session, and the entries among them by their places; in memory only without a ledger."""

    def __init__(self, ledger: Ledger | None, events: Sequence[LoggedEvent]) -> None:
        self._ledger = ledger
        self.entries: dict[int, Entry] = {}
        super().__init__(UNDOABLE, events, self._append)

    def close(self) -> None:
        """Let others write."""
        if self._ledger is not None:
            self._ledger.close()

    def _append(self, kind: str, body: Mapping[str, Any]) -> None:
        if self._ledger is not None:
            self._ledger.append(kind, (), body)
            self._ledger.commit()

    def _keep(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind in ("bout", "void", "skip"):
            self.entries[len(self.events)] = _entry(len(self.entries) + 1, kind, body)
        super()._keep(kind, body)


def has_begun(path: Path) -> bool:
    """Whether there is a session; none if it was killed before its plan was written.

    Raises:
        LedgerRefused: if the file is something else.
    """
    return path.is_file() and path.stat().st_size > 0 and bool(read(path))


def parsed(path: Path, events: Sequence[Event]) -> tuple[SessionPlan, list[LoggedEvent]]:
    """The plan, and all events as kinds and bodies.

    Raises:
        LedgerRefused: if these are not the events of a session.
        NotTrusted: if the method would have to be imported and was not asked for.
    """
    with refusing(path):
        records: list[LoggedEvent] = [(event.kind, dict(event.body)) for event in events]
        kind, plan = records[0]
        if kind != "plan":
            raise ValueError(f"it begins with {kind!r}")
        if unknown := {kind for kind, _ in records[1:]} - (set(KINDS) - {"plan"}):
            raise ValueError(f"it has events of the kind {', '.join(sorted(unknown))}")
        document = {name: value for name, value in plan.items() if name != "at"}
    check_trusted(path, OPTIMIZERS.outside(str(document.get("optimizer", ""))))
    with refusing(path):
        return SessionPlan.of(document), records


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Refuse a log whose events make no session.

    Raises:
        LedgerRefused: for what these events raise.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise LedgerRefused(f"{path}: not the log of a session: {why}; it is left as it is") from error


def _entry(number: int, kind: str, body: Mapping[str, Any]) -> Entry:
    rate, error = body.get("rate"), body.get("standard_error")
    breaths, law, minutes = body.get("breaths"), np.array(body["law"], dtype=float), float(body["minutes"])
    if not (law.shape == (4,) and np.isfinite(law).all() and 0.0 < minutes < np.inf):
        raise ValueError(f"expected four finite numbers and some minutes, got {law} and {minutes}")
    if rate is not None and not 0.0 < rate < np.inf:
        raise ValueError(f"expected a positive rate, got {rate}")
    status = {"skip": "skipped", "void": "void"}.get(kind, "walked" if rate is None else "measured")
    kept = {name: body[name] for name in ("item", "purpose", "condition", "generation", "candidate")}
    return Entry(
        **kept,
        number=number,
        minutes=minutes,
        law=law,
        rate=np.nan if rate is None else float(rate),
        standard_error=np.nan if error is None else float(error),
        breaths=None if breaths is None else Breaths(*(np.array(row, dtype=float) for row in breaths)),
        status=status,
        reason=body.get("reason", ""),
    )
