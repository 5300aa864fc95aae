"""A session: a method that proposes control laws, a person who walks under them, and a log of all that happened.

    plan ──▶ Session.next ──▶ the person walks ──▶ measured, skip, void, amend, undo, … ──▶ log ──▶ Session.next ──▶ …

Everything follows from the log: what is walked next is a function of the plan and of the events in force, so that a
session that was killed at any moment continues with the same law. A result belongs to the question that it answers
(`policysearch.asking.search`). An amended or undone answer rebuilds the search. While the method asks the same
questions, their answers hold; from the first other question on, the laws walked before are set aside, and count again
if their questions return. A method that uses ranks only asks the same after an amendment that changes no rank.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from policysearch.exoskeleton.respirometry import Breaths
from policysearch.hitl.agenda import Bout
from policysearch.hitl.log import PACKAGES, Log, has_begun, parsed, refusing
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.view import SessionView
from policysearch.ledger import Ledger, LedgerError
from policysearch.optimizers import OPTIMIZERS
from policysearch.provenance import versions


class Session(SessionView):
    """A session that continues; also a context manager. `begin` or `resume` makes one."""

    def __init__(self, plan: SessionPlan, log: Log, clock: Callable[[], float] = time.time) -> None:
        super().__init__(plan, log)
        self._clock = clock
        self._request()

    @classmethod
    def begin(
        cls, plan: SessionPlan, path: Path | None = None, clock: Callable[[], float] = time.time
    ) -> "Session":
        """A new session, logged at `path`, or in memory only.

        Raises:
            ValueError: for a plan without room for a single generation.
            LedgerError: if there is a session already, or the log cannot be written.
        """
        if why := plan.too_short:
            raise ValueError(f"{why}; plan for more, or smaller generations")
        ledger = None if path is None else Ledger(path)
        log = Log(ledger, [])
        try:
            if ledger is not None and ledger.events:
                raise LedgerError(f"{path}: there is a session already; resume it, or choose another folder")
            log.note("plan", plan.document() | {"at": clock()})
            return _opened(cls(plan, log, clock))
        except BaseException:
            log.close()
            raise

    @classmethod
    def resume(cls, path: Path, clock: Callable[[], float] = time.time) -> "Session":
        """The session logged at `path`, to continue it.

        Raises:
            LedgerError: if another process continues it, or it is no session.
            ReplayDiffers: if the search asks for other laws than it did before.
        """
        if not has_begun(path):
            raise LedgerError(f"{path}: no session is there")
        ledger = Ledger(path)
        try:
            plan, events = parsed(path, ledger.events)
            with refusing(path):
                return _opened(cls(plan, Log(ledger, events), clock))
        except BaseException:
            ledger.close()
            raise

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others continue the session."""
        self._log.close()

    def measured(
        self,
        rate: float,
        standard_error: float = np.nan,
        breaths: Breaths | None = None,
        *,
        of: Bout | None = None,
    ) -> None:
        """The next bout was walked, and this is its metabolic rate (W/kg, gross).

        Args:
            rate: the rate.
            standard_error: of the rate.
            breaths: from which it is estimated.
            of: the bout that was walked, if another one than `next` would be a mistake.

        Raises:
            ValueError: for a rate that is not positive, a law that has to be confirmed first, or another bout.
            RuntimeError: if the session is over.
        """
        bout = self._due(of)
        rate, error = self._state.checked(rate, bout.purpose), float(standard_error)
        self._note("bout", **bout.body, rate=rate, standard_error=error, breaths=_plain(breaths))

    def walked(self, *, of: Bout | None = None) -> None:
        """The next bout was walked, or stood, and has nothing to be measured."""
        bout = self._due(of)
        if bout.is_measured:
            raise ValueError(f"{bout.label}: expected its metabolic rate (W/kg); skip it, or void it")
        self._note("bout", **bout.body)

    def void(self, reason: str, minutes: float | None = None, breaths: Breaths | None = None) -> None:
        """The next bout was walked for some minutes (all of them unless given), and does not count; it comes again.

        Raises:
            ValueError: for minutes that are not more than 0 and at most those of the bout, or without a reason.
        """
        bout = self._due()
        minutes = bout.minutes if minutes is None else float(minutes)
        if not 0.0 < minutes <= bout.minutes:
            raise ValueError(f"minutes: expected more than 0 and at most {bout.minutes:g}, got {minutes:g}")
        self._note("void", **bout.body | {"minutes": minutes}, reason=_words(reason), breaths=_plain(breaths))

    def skip(self, reason: str) -> None:
        """Leave the next bout out.

        Raises:
            ValueError: if the generation would be less than half measured, or nothing could be compared without it.
        """
        bout = self._due(confirmed=False)
        if bout.purpose == "baseline":
            raise ValueError("baseline: all reductions need it; void it and walk it again")
        if bout.purpose == "search":
            generation = self._search.generations[bout.generation]
            skipped, count = self._state.skipped(generation), len(generation.questions)
            if not generation.may_skip(generation.pair(bout.item), skipped):
                raise ValueError(
                    f"{bout.label}: at least half of a generation has to be measured, and {len(skipped)} of "
                    f"{count} laws are skipped already; walk it, or finish the search"
                )
        self._note("skip", **bout.body, reason=_words(reason))

    def amend(self, number: int, rate: float, reason: str) -> None:
        """The rate of the bout with this number was another one.

        Raises:
            ValueError: if there is no such bout in force, for a rate that is not positive, or without a reason.
        """
        entries = {entry.number: entry for entry in self._state.done.values() if np.isfinite(entry.rate)}
        if number not in entries:
            known = ", ".join(map(str, sorted(entries))) or "none yet"
            raise ValueError(f"bout: expected the number of a measured one ({known}), got {number}")
        rate = self._state.checked(rate, entries[number].purpose)
        self._note("amend", item=entries[number].item, rate=rate, reason=_words(reason))

    def undo(self, reason: str) -> str:
        """Take back the last bout, void, skip, amendment, re-test or finish; returns what it was.

        Raises:
            ValueError: if there is nothing to take back, or without a reason.
        """
        if self._log.last is None:
            raise ValueError("undo: there is nothing to take back")
        kind, body = self._log.last
        self._note("undo", reason=_words(reason))
        return f"{kind} {body.get('item', '')}".strip()

    def retest(self) -> None:
        """Walk the reference law next (after warm-up and baseline)."""
        self._note("retest")

    def finish(self, reason: str) -> None:
        """Propose no more laws; the validation is next."""
        if not self._agenda.is_searching:
            raise ValueError("finish: the search has ended already")
        self._note("finish", reason=_words(reason))

    def limit(self, upper_torque: float, reason: str) -> None:
        """Lower the upper torque (N·m/kg), for good.

        Raises:
            ValueError: for one that is higher than the present one, or not positive.
        """
        present = self._state.upper_torque
        if not 0.0 < upper_torque <= present:
            expected = f"above 0 and at most {present:g} N·m/kg, as limits are only ever lowered"
            raise ValueError(f"upper_torque: expected {expected}, got {upper_torque:g}")
        self._note("limit", upper_torque=float(upper_torque), reason=_words(reason))

    def confirm(self) -> None:
        """The operator has seen that the next law enters a new region."""
        if self.next is not None:
            self._note("confirm", item=self.next.item)

    def note(self, text: str) -> None:
        """Words for the report."""
        self._note("note", text=_words(text))

    def _note(self, kind: str, **body: Any) -> None:
        """Write an event, and bring search and agenda up to it."""
        self._log.note(kind, body | {"at": self._clock()})
        self._fold(self._log)
        self._request()

    def _due(self, of: Bout | None = None, *, confirmed: bool = True) -> Bout:
        if self.next is None:
            raise RuntimeError("the session is over")
        if of is not None and not of.same_as(self.next):
            raise ValueError(f"bout: expected the result of {self.next.label}, got that of {of.label}")
        if confirmed and self.entering:
            new = ", ".join(self.entering)
            raise ValueError(f"{self.next.label}: its {new} is far from any law before; confirm it first")
        return self.next

    def _request(self) -> None:
        """Log what the search asks for, if that is new."""
        asked = self._agenda.asked()
        if asked != next((body for kind, body in reversed(self._log.events) if kind == "asked"), None):
            self._log.note("asked", asked)


def _opened(session: Session) -> Session:
    """The session, after its log holds the versions that continue it."""
    session._note("session", **versions(*PACKAGES), **OPTIMIZERS.versions(session.plan.optimizer))
    return session


def _plain(breaths: Breaths | None) -> list[list[float]] | None:
    return None if breaths is None else [breaths.time.tolist(), breaths.rate.tolist()]


def _words(text: str) -> str:
    if not text.strip():
        raise ValueError("reason: expected a few words, got none")
    return text.strip()
