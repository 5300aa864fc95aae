"""What can be corrected, taken out and told at any time of a session; the search is rebuilt where it matters."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from policysearch.exoskeleton.respirometry import Breaths, Estimate
from policysearch.hitl.clocks import monotonic
from policysearch.hitl.log import TOLD, Entry, Log
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.view import SessionView

#: What `correct` corrects, and how its value is read.
CORRECTABLE: dict[str, Callable[[str], Any]] = {"participant": str, "mass": float, "standing_rate": float}


class CorrectableSession(SessionView):
    """A session whose log can be written.

    Args:
        plan: what was decided before.
        log: of what happened so far.
        clock: the wall clock, in s.
        elapsed: a clock that only ever advances, in s; by default that of the computer.
    """

    def __init__(
        self,
        plan: SessionPlan,
        log: Log,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(plan, log)
        self._clock, self._elapsed = clock, elapsed or monotonic
        self._request()

    def amend(
        self,
        number: int,
        rate: float,
        reason: str,
        standard_error: float = np.nan,
        breaths: Breaths | None = None,
    ) -> None:
        """The rate of the bout with this number was another one.

        Raises:
            ValueError: if there is no such bout in force, for a rate that is not positive, or without a reason.
        """
        entry = self._measured(number)
        rate = self._state.checked(rate, entry.purpose)
        found = self._plain(Estimate(rate, standard_error), breaths) if breaths else {"rate": rate}
        self._note("amend", item=entry.item, **found, reason=words(reason))

    def exclude(self, number: int, reason: str) -> None:
        """Take a bout out, whenever it was walked: from now on the search has never measured it.

        A law of the search counts as skipped if at least half of its generation remains, and a bout of a re-test or
        the validation is left out. Otherwise, as the baseline, it is walked again.

        Raises:
            ValueError: if there is no such bout in force, or without a reason.
        """
        entry = self._measured(number, or_waiting=True)
        again = entry.purpose == "baseline"
        if entry.purpose == "search":
            asked = [g for g in self._search.generations if entry.item in g.questions.values()]
            again = not asked or not asked[0].may_skip(
                asked[0].pair(entry.item), self._state.skipped(asked[0])
            )
        self._note("exclude", number=number, item=entry.item, again=again, reason=words(reason))

    def undo(self, reason: str) -> str:
        """Take back the last undoable event (`log.UNDOABLE`); returns what it was.

        Raises:
            ValueError: if there is nothing to take back, or without a reason.
        """
        if self._log.last is None:
            raise ValueError("undo: there is nothing to take back")
        kind, body = self._log.last
        self._note("undo", reason=words(reason))
        return f"{kind} {body.get('item', '')}".strip()

    def retest(self) -> None:
        """Walk the reference law next (after warm-up and baseline)."""
        self._note("retest")

    def finish(self, reason: str) -> None:
        """Propose no more laws; the validation is next."""
        if not self._agenda.is_searching:
            raise ValueError("finish: the search has ended already; end REASON leaves out what is left")
        self._note("finish", reason=words(reason))

    def end(self, reason: str) -> None:
        """Leave out all that is left.

        Raises:
            RuntimeError: if the session is over.
        """
        if self.next is None:
            raise RuntimeError("the session is over")
        self._note("end", reason=words(reason))

    def another_day(self) -> None:
        """Walk warm-up and baseline again; reductions of what follows are relative to that baseline."""
        self._note("day")

    def unblind(self, reason: str) -> None:
        """Open the letters of the conditions.

        Raises:
            ValueError: if they are open, or without a reason.
        """
        if not self._state.blind:
            raise ValueError("unblind: the conditions have their names already")
        self._note("unblind", reason=words(reason))

    def limit(self, upper_torque: float, reason: str) -> None:
        """Lower the upper torque (N·m/kg), for good.

        Raises:
            ValueError: see `check_limit`.
        """
        self.check_limit(upper_torque, reason)
        self._note("limit", upper_torque=float(upper_torque), reason=words(reason))

    def check_limit(self, upper_torque: float, reason: str) -> None:
        """Whether the upper torque can be lowered to this one.

        Raises:
            ValueError: for one that is higher than the present one, or not positive, or without a reason.
        """
        present = self._state.upper_torque
        if not 0.0 < upper_torque <= present:
            expected = f"above 0 and at most {present:g} N·m/kg, as limits are only ever lowered"
            raise ValueError(f"upper_torque: expected {expected}, got {upper_torque:g}")
        words(reason)

    def correct(self, name: str, value: str, reason: str) -> None:
        """The participant's code, mass (kg) or standing rate (W/kg) is another one.

        Raises:
            ValueError: for another name, a value that no plan may have, or without a reason.
        """
        if name not in CORRECTABLE:
            raise ValueError(f"correct: expected one of {', '.join(CORRECTABLE)}, got {name!r}")
        try:
            read = CORRECTABLE[name](value)
        except ValueError:
            raise ValueError(f"{name}: expected a number, got {value!r}") from None
        corrected = self.plan.corrected({name: read})  # or refused
        baselines = [e.rate for e in self._state.done.values() if e.purpose == "baseline" and e.counts]
        if self.plan.objective == "metabolic" and not all(
            rate > corrected.standing_rate for rate in baselines
        ):
            raise ValueError(
                f"standing_rate: expected less than the baseline, {min(baselines):g}, got {read:g}"
            )
        self._note("correct", field=name, value=read, reason=words(reason))

    def confirm(self) -> None:
        """The operator has seen that the next law enters a new region."""
        if self.next is not None:
            self._note("confirm", item=self.next.item)

    def note(self, text: str) -> None:
        """Words for the report."""
        self._note("note", text=words(text))

    def tell(self, kind: str, **body: Any) -> None:
        """Write down what happened and changes nothing that is walked.

        Raises:
            ValueError: for a kind that is not in `log.TOLD`.
        """
        if kind not in TOLD:
            raise ValueError(f"kind: expected one of {', '.join(TOLD)}, got {kind!r}")
        self._note(kind, **body)

    def _measured(self, number: int, *, or_waiting: bool = False) -> Entry:
        done = self._state.done.values()
        entries = {entry.number: entry for entry in done if entry.counts or (or_waiting and entry.waits)}
        if number not in entries:
            known = ", ".join(map(str, sorted(entries))) or "none yet"
            raise ValueError(f"bout: expected the number of a measured one ({known}), got {number}")
        return entries[number]

    def _plain(self, estimate: Estimate, breaths: Breaths | None) -> dict[str, Any]:
        """What the log keeps of a result."""
        kept: dict[str, Any] = {"rate": estimate.rate, "standard_error": float(estimate.standard_error)}
        kept["breaths"] = None if breaths is None else [breaths.time.tolist(), breaths.rate.tolist()]
        if breaths is not None and breaths.gases:
            kept["gases"] = {name: values.tolist() for name, values in breaths.gases.items()}
            kept |= {} if np.isnan(breaths.mass) else {"mass": breaths.mass}
        return kept

    def _note(self, kind: str, **body: Any) -> None:
        """Write an event, and bring search and agenda up to it."""
        self._log.note(kind, body | {"at": self._clock(), "monotonic": self._elapsed()})
        if kind not in TOLD:
            self._fold(self._log)
            self._request()

    def _request(self) -> None:
        """Log what the search asks for, if that is new."""
        asked = self._agenda.asked()
        if asked != next((body for kind, body in reversed(self._log.events) if kind == "asked"), None):
            self._log.note("asked", asked)


def words(text: str) -> str:
    """A reason.

    Raises:
        ValueError: without any words.
    """
    if not text.strip():
        raise ValueError("reason: expected a few words, got none")
    return text.strip()
