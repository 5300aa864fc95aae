"""A session to look at: what happened, and the tables of its bouts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from policysearch.asking.answers import LoggedEvent
from policysearch.core import Proposal
from policysearch.exoskeleton.respirometry import Breaths, Estimate, estimate, mean_of, mean_of_last
from policysearch.hitl.agenda import AVERAGED
from policysearch.hitl.log import TOLD, Entry, Log, parsed, refusing
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.rebuilt import RebuiltSession
from policysearch.ledger import read

#: Of the table, before and after the parameters.
COLUMNS = (
    ("number", "purpose", "condition", "generation", "candidate", "minutes"),
    ("rate", "standard error", "reduction", "status", "reason", "day", "started", "ended"),
)

#: The numbers of an ankle's law, as people read them.
ANKLE = ("N·m/kg", "N·m", "peak", "rise", "fall")


def titles(plan: SessionPlan) -> list[str]:
    """The columns of the table as people read it."""
    law = ANKLE if plan.laws.is_ankle else plan.laws.space.names
    return [
        "bout",
        "purpose",
        "generation",
        "min",
        *law,
        plan.measured.unit or "value",
        "reduction",
        "status",
        "reason",
    ]


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
    def version(self) -> int:
        """The number of events that may have changed what is next; what is only told changes nothing."""
        return sum(kind not in TOLD for kind, _ in self._log.events)

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

    def doubt(self, rate: float, purpose: str = "") -> str:
        """Why a rate (W/kg) is doubtful; see `SessionState.doubt`."""
        return self._state.doubt(rate, purpose)

    @property
    def standing(self) -> float:
        """The rate (W/kg) of standing still today."""
        return self._state.standing()

    def loses(self, breaths: Breaths, purpose: str) -> bool:
        """Whether a gap in its breaths loses a bout, as they are averaged."""
        return self.plan.objective != "heart rate" and purpose in AVERAGED and len(breaths.gaps) > 0

    def estimate(self, breaths: Breaths, minutes: float, purpose: str = "search") -> Estimate:
        """The steady-state rate that the breaths of a bout suggest; across a gap, by the exact response.

        Raises:
            ValueError: for a gap in a bout that is averaged, or a heart rate that is not there.
        """
        if self.plan.objective == "heart rate":
            return _heart_rate(breaths, self.plan.averaged if purpose in AVERAGED else 0.5 * minutes)
        if self.loses(breaths, purpose):
            raise ValueError(f"{purpose}: expected breaths without a gap, got one of {breaths.gaps[0]:.0f} s")
        return (
            mean_of_last(breaths, 60.0 * min(self.plan.averaged, minutes))
            if purpose in AVERAGED
            else estimate(breaths, "exact" if len(breaths.gaps) else "published", self.plan.tau)
        )

    def table(self) -> pd.DataFrame:
        """A row per entry."""
        parameters = list(self.plan.laws.space.names)
        rows = [
            {
                **vars(entry),
                **dict(zip(parameters, entry.law.tolist(), strict=True)),
                "standard error": entry.standard_error,
                "reduction": self.reduction(entry.rate, entry.day),
            }
            for entry in self.entries
        ]
        table = pd.DataFrame(rows, columns=[*COLUMNS[0], *parameters, *COLUMNS[1]])
        if self.is_blind:
            hidden = table["purpose"] == "validation"
            table.loc[hidden, "condition"] = ""
            table.loc[hidden, parameters] = np.nan
        return table

    def validation(self) -> pd.DataFrame:
        """The mean rate of every condition that was validated (W/kg), and % less net energy than without torque.

        Of other objectives, the mean value, and by how much it is better.
        """
        walked = {name: [entry.rate for entry in self.counted(name)] for name in self.plan.validated}
        rows = [(condition, len(rates), np.mean(rates)) for condition, rates in walked.items() if rates]
        table = pd.DataFrame(rows, columns=["condition", "bouts", "rate"])
        net = table["rate"] - (self.standing if self.plan.objective == "metabolic" else 0.0)
        zero = net[table["condition"] == "zero torque"]
        if self.plan.objective != "metabolic":
            difference = self.plan.measured.sign * (net - zero.iloc[0]) if len(zero) else np.nan
            return table.assign(reduction=difference)
        return table.assign(reduction=100.0 * (1.0 - net / zero.iloc[0]) if (zero > 0.0).any() else np.nan)


def cells(session: SessionView) -> pd.DataFrame:
    """A row of text per entry, for the report and the terminal."""
    rows, plan = [], session.plan
    unit = " %" if plan.objective == "metabolic" else ""
    for entry in session.entries:
        hidden = session.is_blind and entry.purpose == "validation"
        reduction = session.reduction(entry.rate, entry.day) if entry.purpose != "standing" else np.nan
        rows.append(
            (
                f"{entry.number}",
                session.shown_name(entry),
                f"{entry.generation + 1}" if entry.purpose == "search" else "",
                f"{entry.minutes:g}",
                *law_cells(plan, entry, hidden=hidden),
                f"{entry.estimate}",
                f"{reduction:.1f}{unit}".replace("-", "−") if np.isfinite(reduction) else "",
                entry.status,
                entry.reason,
            )
        )
    return pd.DataFrame(rows, columns=titles(plan))


def law_cells(plan: SessionPlan, entry: Entry, *, hidden: bool) -> list[str]:
    """The numbers of a law, as text."""
    values, assists = entry.law.tolist(), plan.laws.assists(entry.law)
    if plan.laws.is_ankle:
        torque, *times = values
        shown = [f"{torque:.3f}", f"{torque * plan.mass:.1f}", *(f"{time:.1f}" for time in times)]
        without = ["0", "0", "", "", ""]
    else:
        shown = [f"{value:.4g}" for value in values]
        without = ["0" if torque else "" for torque in plan.laws.torques]
    return [""] * len(shown) if hidden else shown if assists else without


def _heart_rate(breaths: Breaths, minutes: float) -> Estimate:
    """The mean heart rate (bpm) of the last minutes, with its standard error."""
    rate = breaths.gases.get("heart_rate_bpm", np.full(len(breaths.time), np.nan))
    last = rate[(breaths.time > breaths.time[-1] - 60.0 * minutes) & np.isfinite(rate)]
    if len(last) < 2:
        raise ValueError(
            f"heart_rate_bpm: expected at least 2 values in the last {minutes:g} min, got {len(last)}"
        )
    return mean_of(last)


def in_words(reduction: float, unit: str | None = None) -> str:
    """A reduction (%), as in "12.5 % less"; with the unit of another objective, how much better it is."""
    if unit is not None:
        return f"{abs(reduction):.3g} {unit} {'better' if reduction >= 0.0 else 'worse'}"
    return f"{abs(reduction):.1f} % {'less' if reduction >= 0.0 else 'more'}"
