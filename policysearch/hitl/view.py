"""A session to look at: what happened, and the tables of its bouts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from policysearch.asking.answers import LoggedEvent
from policysearch.core import Proposal
from policysearch.exoskeleton.respirometry import Breaths, Estimate, estimate, mean_of_last
from policysearch.hitl.agenda import AVERAGED, CONDITIONS
from policysearch.hitl.log import Entry, Log, parsed, refusing
from policysearch.hitl.plan import PARAMETERS
from policysearch.hitl.rebuilt import RebuiltSession
from policysearch.ledger import read

#: Of the table.
COLUMNS = (
    "number", "purpose", "condition", "generation", "candidate", "minutes", *PARAMETERS, "rate", "standard error",
    "reduction", "status", "reason", "day", "started", "ended",
)  # fmt: skip

#: Of the table as people read it.
CELLS = (
    "bout", "purpose", "generation", "min", "N·m/kg", "N·m", "peak", "rise", "fall", "W/kg", "reduction", "status",
    "reason",
)  # fmt: skip


class SessionView(RebuiltSession):
    """A session to look at."""

    @classmethod
    def of(cls, path: Path) -> "SessionView":
        """The session logged at `path`, which another process may continue.

        Raises:
            LedgerError: if it is no session.
        """
        plan, events = parsed(path, read(path))
        with refusing(path):
            return SessionView(plan, Log(None, events))

    @property
    def events(self) -> tuple[LoggedEvent, ...]:
        """The log: kinds and bodies; the number of an event is its place, from 1."""
        return tuple(self._log.events)

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        """The proposals of the search, by generation."""
        return tuple(generation.proposal for generation in self._search.generations)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every bout that was walked or skipped, in order, with its present status."""
        held = {entry.number: entry for entry in self._state.done.values()}
        asked = {item for generation in self._search.generations for item in generation.questions.values()}
        asked |= {bout.item for bout in self._agenda.validation()}
        listed = []
        for logged in self._log.entries.values():
            entry = held.get(logged.number)
            if entry is None:
                gone = self._state.excluded.get(logged.number)
                status = "void" if logged.status == "void" else "undone" if gone is None else "excluded"
                entry = replace(logged, status=status, reason=logged.reason if gone is None else gone)
            elif entry.purpose in ("search", "validation") and entry.item not in asked:
                entry = replace(entry, status="set aside")
            listed.append(entry)
        return tuple(listed)

    @property
    def waiting(self) -> tuple[Entry, ...]:
        """The bouts that were walked and whose results follow."""
        return tuple(entry for entry in self.entries if entry.waits)

    def waits(self, number: int) -> Entry:
        """The bout with this number, whose result follows.

        Raises:
            ValueError: if there is none.
        """
        waiting = {entry.number: entry for entry in self.waiting}
        if number not in waiting:
            known = ", ".join(map(str, waiting)) or "none"
            raise ValueError(
                f"bout: expected the number of one that waits for its rate ({known}), got {number}"
            )
        return waiting[number]

    def shown_name(self, entry: Entry) -> str:
        """The name of a bout, which is not that of its condition as long as the conditions are blind."""
        return "validation" if self.is_blind and entry.purpose == "validation" else entry.name

    def counted(self, name: str) -> list[Entry]:
        """The bouts of a purpose, or of a condition of the validation, with a result that counts."""
        return [entry for entry in self.entries if entry.counts and name in (entry.purpose, entry.condition)]

    def reduction(self, rate: float, day: int | None = None) -> float:
        """% less net energy than without torque; see `SessionState.reduction`."""
        return self._state.reduction(rate, day)

    def doubt(self, rate: float) -> str:
        """Why a rate (W/kg) is doubtful; see `SessionState.doubt`."""
        return self._state.doubt(rate)

    def estimate(self, breaths: Breaths, minutes: float, purpose: str = "search") -> Estimate:
        """The steady-state rate that the breaths of a bout suggest; across a gap, by the exact response.

        Raises:
            ValueError: for a gap in a bout that is averaged.
        """
        if purpose in AVERAGED:
            if len(breaths.gaps):
                raise ValueError(
                    f"{purpose}: expected breaths without a gap, got one of {breaths.gaps[0]:.0f} s"
                )
            return mean_of_last(breaths, 60.0 * min(self.plan.averaged, minutes))
        return estimate(breaths, "exact" if len(breaths.gaps) else "published", self.plan.tau)

    def table(self) -> pd.DataFrame:
        """A row per entry."""
        rows = [
            {
                **vars(entry),
                **dict(zip(PARAMETERS, entry.law.tolist(), strict=True)),
                "standard error": entry.standard_error,
                "reduction": self.reduction(entry.rate, entry.day),
            }
            for entry in self.entries
        ]
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        if self.is_blind:
            hidden = table["purpose"] == "validation"
            table.loc[hidden, "condition"] = ""
            table.loc[hidden, list(PARAMETERS)] = np.nan
        return table

    def validation(self) -> pd.DataFrame:
        """The mean rate of every condition that was validated (W/kg), and % less net energy than without torque."""
        walked = {condition: [entry.rate for entry in self.counted(condition)] for condition in CONDITIONS}
        rows = [(condition, len(rates), np.mean(rates)) for condition, rates in walked.items() if rates]
        table = pd.DataFrame(rows, columns=["condition", "bouts", "rate"])
        net = table["rate"] - self.plan.standing_rate
        zero = net[table["condition"] == "zero torque"]
        return table.assign(reduction=100.0 * (1.0 - net / zero.iloc[0]) if (zero > 0.0).any() else np.nan)


def cells(session: SessionView) -> pd.DataFrame:
    """A row of text per entry, for the report and the terminal."""
    rows = []
    for entry in session.entries:
        torque, *times = entry.law.tolist()
        hidden = session.is_blind and entry.purpose == "validation"
        law = (
            ["", "", "", "", ""]
            if hidden
            else [f"{torque:.3f}", f"{torque * session.plan.mass:.1f}", *(f"{time:.1f}" for time in times)]
        )
        reduction = session.reduction(entry.rate, entry.day)
        rows.append(
            (
                f"{entry.number}",
                session.shown_name(entry),
                f"{entry.generation + 1}" if entry.purpose == "search" else "",
                f"{entry.minutes:g}",
                *(law if torque > 0.0 or hidden else ("0", "0", "", "", "")),
                f"{entry.estimate}",
                f"{reduction:.1f} %".replace("-", "−") if np.isfinite(reduction) else "",
                entry.status,
                entry.reason,
            )
        )
    return pd.DataFrame(rows, columns=list(CELLS))


def in_words(reduction: float) -> str:
    """A reduction (%), as in "12.5 % less"."""
    return f"{abs(reduction):.1f} % {'less' if reduction >= 0.0 else 'more'}"
