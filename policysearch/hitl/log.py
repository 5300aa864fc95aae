"""The log of a session: its events, and the bouts among them.

Kinds of events (every body but those of `asked` has `at`, the time of day, and `monotonic`, both in s):

    plan      the plan, first of all            session   versions, whenever the session is opened to continue
    asked     a generation's proposal, when the search first asks for it, or that the search has ended
    started   a bout begins                     ended     it has ended, and why
    bout      what was measured, of which item  void      the same, and why it does not count
    walked    an item whose result follows      result    it
    skip      an item that is not measured      amend     another rate for an item, and why
    exclude   a measured bout that counts no longer; the search is told that it was not measured
    undo      takes back the last of the undoable events that is in force
    retest    the reference law next            finish    no more laws; the validation is next
    end       nothing more is walked            day       another day: warm-up and baseline again
    limit     a lower upper torque              confirm   the operator has seen that a law enters a new region
    correct   another mass, standing rate or code of the participant, and why
    unblind   the letters of the conditions are opened, and why
    note      words                             adverse event   words
    operator  who has control                   estop     torque was stopped, by whom or what
    device    what the guard drives, its limits           law in force   what the device follows
    gap       breaths that are missing          file      the name and SHA-256 of a file of breaths

Logs of version 0.1.0 have no `monotonic`, and the kinds plan, session, asked, bout, void, skip, amend, undo, retest,
finish, limit, confirm and note only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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

#: What makes a bout of the table.
ENTRIES = ("bout", "walked", "void", "skip")
#: What undoing takes back.
UNDOABLE = ("bout", "walked", "result", "void", "skip", "amend", "exclude", "retest", "finish", "end")
#: What is only told.
TOLD = ("note", "adverse event", "operator", "estop", "device", "law in force", "gap", "file")
#: All kinds of events.
KINDS = (
    *UNDOABLE, *TOLD, "plan", "session", "asked", "started", "ended", "undo", "limit", "confirm", "correct", "day",
    "unblind",
)  # fmt: skip
#: What decides the numbers of a search.
PACKAGES = ("policysearch", "numpy", "scipy", "cma", "optuna", "torch")


@dataclass(frozen=True, eq=False)
class Entry:
    """A bout that was walked or skipped."""

    item: str
    number: int  # from 1, in the order of the log
    purpose: str
    minutes: float
    law: Float[Array, "d"]
    condition: str = ""
    generation: int = -1
    candidate: int = -1
    rate: float = np.nan  # W/kg, gross
    standard_error: float = np.nan  # W/kg
    breaths: Breaths | None = None
    status: str = "measured"  # or walked, waiting, skipped, void, amended, excluded, undone, set aside
    reason: str = ""
    day: int = 1
    started: float = np.nan  # s, by the wall clock
    ended: float = np.nan  # s, by the wall clock
    mass: float = np.nan  # kg, with which volumes were turned into rates

    @property
    def name(self) -> str:
        """The condition of a validation, else the purpose."""
        return self.condition or self.purpose

    @property
    def counts(self) -> bool:
        """Whether it has a rate that is in force, and that the search or the validation asks for."""
        return self.status in ("measured", "amended")

    @property
    def waits(self) -> bool:
        """Whether it was walked and its result follows."""
        return self.status == "waiting"

    @property
    def estimate(self) -> Estimate:
        """The rate with its standard error."""
        return Estimate(self.rate, self.standard_error)


class Log(EventLog):
    """The events of a session, and the entries among them by their places; in memory only without a ledger.

    Attributes:
        path: of the ledger; None without one.
        day: the number of the present day.
        started, ended: the last events of these kinds, while their bout is not written down.
    """

    def __init__(self, ledger: Ledger | None, events: Sequence[LoggedEvent]) -> None:
        self._ledger, self.path = ledger, None if ledger is None else ledger.path
        self.entries: dict[int, Entry] = {}
        self.day = 1
        self.started: Mapping[str, Any] | None = None
        self.ended: Mapping[str, Any] | None = None
        super().__init__(UNDOABLE, events, self._append)

    @property
    def walked(self) -> list[Entry]:
        """All that the person walked so far, including what does not count, each bout as it was logged."""
        return [entry for entry in self.entries.values() if entry.status != "skipped" and entry.minutes]

    def close(self) -> None:
        """Let others write; from now on nothing is."""
        if self._ledger is not None:
            ledger, self._ledger, self._failed = self._ledger, None, True
            ledger.close()

    def flush(self) -> None:
        """Make durable what could not be before.

        Raises:
            LedgerError: if it still cannot be.
        """
        if self._ledger is not None:
            self._ledger.commit()

    def _append(self, kind: str, body: Mapping[str, Any]) -> None:
        if self._ledger is not None:
            self._ledger.append(kind, (), body)
            self._ledger.commit()

    def _keep(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "started":
            self.started, self.ended = body, None
        elif kind == "ended":
            self.ended = body
        elif kind == "day":
            self.day += 1
        elif kind in ENTRIES:
            self.entries[len(self.events)] = self._timed(_entry(len(self.entries) + 1, kind, body))
            self.started = self.ended = None
        super()._keep(kind, body)

    def _timed(self, entry: Entry) -> Entry:
        """An entry with its day, and the times at which its bout began and ended."""
        began, over = (
            np.nan if event is None or event["item"] != entry.item else float(event["at"])
            for event in (self.started, self.ended)
        )
        return replace(entry, day=self.day, started=began, ended=over)


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
    walked = minutes > 0.0 or (kind == "void" and minutes == 0.0)
    if not (law.ndim == 1 and np.isfinite(law).all() and walked and minutes < np.inf):
        raise ValueError(f"expected finite numbers and some minutes, got {law} and {minutes}")
    if rate is not None and not np.isfinite(rate):
        raise ValueError(f"expected a finite rate, got {rate}")
    statuses = {"skip": "skipped", "void": "void", "walked": "waiting"}
    status = statuses.get(kind, "walked" if rate is None else "measured")
    kept = {name: body[name] for name in ("item", "purpose", "condition", "generation", "candidate")}
    return Entry(
        **kept,
        number=number,
        minutes=minutes,
        law=law,
        rate=np.nan if rate is None else float(rate),
        standard_error=np.nan if error is None else float(error),
        breaths=None if breaths is None else breaths_of(breaths, body.get("gases", {})),
        mass=float(body.get("mass", np.nan)),
        status=status,
        reason=body.get("reason", ""),
    )


def breaths_of(rows: Sequence[Sequence[float]], gases: Mapping[str, Sequence[float]]) -> Breaths:
    """The breaths of the plain data in a log."""
    time, rate = (np.array(row, dtype=float) for row in rows)
    return Breaths(time, rate, {name: np.array(values, dtype=float) for name, values in gases.items()})
