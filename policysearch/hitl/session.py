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

import numpy as np

from policysearch.exoskeleton.respirometry import Breaths, Estimate
from policysearch.hitl.agenda import Bout
from policysearch.hitl.corrections import CorrectableSession, words
from policysearch.hitl.log import PACKAGES, Log, has_begun, parsed, refusing
from policysearch.hitl.plan import SessionPlan
from policysearch.ledger import Ledger, LedgerError
from policysearch.optimizers import OPTIMIZERS
from policysearch.provenance import versions


class Session(CorrectableSession):
    """A session that continues; also a context manager. `begin` or `resume` makes one."""

    @classmethod
    def begin(
        cls,
        plan: SessionPlan,
        path: Path | None = None,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] | None = None,
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
            return _opened(cls(plan, log, clock, elapsed))
        except BaseException:
            log.close()
            raise

    @classmethod
    def resume(
        cls,
        path: Path,
        clock: Callable[[], float] = time.time,
        ended: str = "the program ended",
        elapsed: Callable[[], float] | None = None,
    ) -> "Session":
        """The session logged at `path`, to continue it.

        Args:
            path: of the log.
            clock: the wall clock, in s.
            ended: why a bout that has no end in the log is void.
            elapsed: a clock that only ever advances, in s; by default that of the computer.

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
                return _opened(cls(plan, Log(ledger, events), clock, elapsed), ended)
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
        reason: str = "",
    ) -> None:
        """The next bout was walked, and this is its metabolic rate (W/kg, gross).

        Args:
            rate: the rate.
            standard_error: of the rate.
            breaths: from which it is estimated.
            of: the bout that was walked, if another one than `next` would be a mistake.
            reason: what is to be known of it, as that its time was not kept.

        Raises:
            ValueError: for a rate that is not positive, a law that has to be confirmed first, or another bout.
            RuntimeError: if the session is over.
        """
        bout = self._due(of)
        found = self._plain(Estimate(self._state.checked(rate, bout.purpose), standard_error), breaths)
        self._note("bout", **bout.body, **found, **({"reason": reason} if reason else {}))

    def follows(self, *, of: Bout | None = None) -> None:
        """The next bout was walked, and its result follows, while the next one is walked perhaps.

        Raises:
            ValueError: if nothing of it is measured, or it has to be confirmed first, or for another bout.
        """
        bout = self._due(of)
        if not bout.is_measured:
            raise ValueError(f"{bout.label}: nothing is to be measured")
        self._note("walked", **bout.body)

    def result(
        self,
        number: int,
        rate: float,
        standard_error: float = np.nan,
        breaths: Breaths | None = None,
        *,
        reason: str = "",
    ) -> None:
        """The metabolic rate (W/kg, gross) of a bout whose result was to follow; see `measured`.

        Raises:
            ValueError: if there is no such bout, or for a rate that is not positive.
        """
        entry = self.waits(number)
        found = self._plain(Estimate(self._state.checked(rate, entry.purpose), standard_error), breaths)
        self._note("result", item=entry.item, **found, **({"reason": reason} if reason else {}))

    def walked(self, *, of: Bout | None = None) -> None:
        """The next bout was walked, or stood, and has nothing to be measured."""
        bout = self._due(of)
        if bout.is_measured:
            raise ValueError(f"{bout.label}: expected its metabolic rate (W/kg); skip it, or void it")
        self._note("bout", **bout.body)

    def void(self, reason: str, minutes: float | None = None, breaths: Breaths | None = None) -> None:
        """The next bout was walked for some minutes (all of them unless given), and does not count; it comes again.

        Raises:
            ValueError: for minutes that are not at least 0 and at most those of the bout, or without a reason.
        """
        bout = self._due(confirmed=bool(minutes is None or minutes > 0.0))
        minutes = bout.minutes if minutes is None else float(minutes)
        if not 0.0 <= minutes <= bout.minutes:
            raise ValueError(f"minutes: expected at least 0 and at most {bout.minutes:g}, got {minutes:g}")
        kept = self._plain(Estimate(np.nan), breaths)
        del kept["rate"], kept["standard_error"]
        self._note("void", **bout.body | {"minutes": minutes}, reason=words(reason), **kept)

    def started(self, *, of: Bout | None = None) -> None:
        """The next bout begins now."""
        bout = self._due(of)
        self._note("started", item=bout.item, law=bout.law.tolist(), minutes=bout.minutes)

    def ended(self, why: str) -> None:
        """The bout that was started ends now; its result follows, or it is void."""
        if self._log.started is None or self._log.ended is not None:
            raise RuntimeError("ended: no bout is under way")
        self._note("ended", item=self._log.started["item"], why=words(why))

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
        self._note("skip", **bout.body, reason=words(reason))

    def _void_what_was_interrupted(self, why: str) -> None:
        """A bout whose end is not in the log is void; it was walked for so long at most."""
        started = self._log.started
        if started is None or self._log.ended or self.next is None or self.next.item != started["item"]:
            return
        passed, most = self._elapsed() - started["monotonic"], self.next.minutes
        minutes = (
            min(passed / 60.0, most) if passed >= 0.0 else most
        )  # the computer may have been started again
        self.ended(why)
        self.void(f"{why} while it was walked", minutes)

    def _due(self, of: Bout | None = None, *, confirmed: bool = True) -> Bout:
        if self.next is None:
            raise RuntimeError("the session is over")
        if of is not None and not of.same_as(self.next):
            raise ValueError(f"bout: expected the result of {self.next.label}, got that of {of.label}")
        if confirmed and self.day_is_over:
            raise ValueError(f"{self.next.label}: it belongs to another day; day begins it")
        if confirmed and self.entering:
            new = ", ".join(self.entering)
            raise ValueError(f"{self.next.label}: its {new} is far from any law before; confirm it first")
        return self.next


def _opened(session: Session, ended: str = "") -> Session:
    """The session, after its log holds the versions that continue it."""
    session._note("session", **versions(*PACKAGES), **OPTIMIZERS.versions(session.plan.optimizer))
    session._void_what_was_interrupted(ended)
    return session


def reopened(session: Session) -> Session:
    """A session after its log could not be written: with all that was to be, and that can be now.

    Raises:
        LedgerError: if the log still cannot be written.
        ValueError: if it is in memory only.
    """
    log = session._log
    if log.path is None:
        raise ValueError("reopened: expected a session that is logged in a file")
    log.flush()
    log.close()
    return Session.resume(log.path, session._clock, "the log could not be written", session._elapsed)
