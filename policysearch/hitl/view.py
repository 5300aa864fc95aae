"""A session as it stands: what is next, what happened, and the tables of its bouts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.asking.answers import LoggedEvent
from policysearch.core import Array, Proposal
from policysearch.evaluators.recorded import ReplayDiffers
from policysearch.exoskeleton.respirometry import Breaths, Estimate, estimate, mean_of_last
from policysearch.hitl.agenda import AVERAGED, CONDITIONS, NO_TORQUE, Agenda, Bout, RebuiltSearch
from policysearch.hitl.log import Entry, Log, parsed, refusing
from policysearch.hitl.plan import PARAMETERS, SessionPlan
from policysearch.hitl.state import SessionState
from policysearch.hitl.transition import steps, unvisited
from policysearch.ledger import read

#: Of the table.
COLUMNS = (
    "number", "purpose", "condition", "generation", "candidate", "minutes", *PARAMETERS, "rate", "standard error",
    "reduction", "status", "reason",
)  # fmt: skip

#: Of the table as people read it.
CELLS = (
    "bout", "purpose", "generation", "min", "N·m/kg", "N·m", "peak", "rise", "fall", "W/kg", "reduction", "status",
    "reason",
)  # fmt: skip


class SessionView:
    """A session to look at.

    Attributes:
        plan: what was decided before.
        next: the next bout; None when the session is over.

    Raises:
        ReplayDiffers: if the search asks for other laws than it did before.
    """

    def __init__(self, plan: SessionPlan, log: Log) -> None:
        self.plan, self._log = plan, log
        self._search = RebuiltSearch(plan)
        self._check_replay()
        self._fold(log)

    @classmethod
    def of(cls, path: Path) -> "SessionView":
        """The session logged at `path`, which another process may continue.

        Raises:
            LedgerError: if it is no session.
        """
        plan, events = parsed(path, read(path))
        with refusing(path):
            return SessionView(plan, Log(None, events))

    # ------------------------------------------------------------------------------------------------ what is next

    @property
    def recommendation(self) -> Float[Array, "4"]:
        """The law to use now, which is not the one with the best single rate: N·m/kg, % stride."""
        return self._agenda.recommendation

    @property
    def reference(self) -> Float[Array, "4"]:
        """The law of warm-up, re-tests and validation: N·m/kg, % stride."""
        return self._agenda.reference

    @property
    def entering(self) -> tuple[str, ...]:
        """The parameters with which the next law enters a region that is not confirmed."""
        bout = self.next
        if bout is None or not bout.law[0] > 0.0 or bout.item in self._state.confirmed:
            return ()
        walked = [entry.law for entry in self.history if entry.law[0] > 0.0]
        visited = np.array(walked).reshape(-1, len(PARAMETERS))
        new = unvisited(bout.law, visited, self.plan.widths)
        return tuple(name for name, is_new in zip(PARAMETERS, new, strict=True) if is_new)

    @property
    def path(self) -> Float[Array, "n 4"]:
        """The laws from the last one to the next, each close to the one before."""
        if self.next is None:
            raise RuntimeError("the session is over")
        law, history = self.next.law, self.history
        before = history[-1].law if history else NO_TORQUE
        if before[0] == 0.0:  # its times mean nothing
            before = np.array([0.0, *law[1:]])
        elif law[0] == 0.0:
            law = np.array([0.0, *before[1:]])
        return steps(before, law, self.plan.widths)

    # ---------------------------------------------------------------------------------------------- what happened

    @property
    def upper_torque(self) -> float:
        """The upper torque in force, N·m/kg."""
        return self._state.upper_torque

    @property
    def history(self) -> list[Entry]:
        """All that the person walked so far, including what does not count, each bout as it was logged."""
        return [entry for entry in self._log.entries.values() if entry.status != "skipped"]

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
                entry = replace(logged, status="void" if logged.status == "void" else "undone")
            elif entry.purpose in ("search", "validation") and entry.item not in asked:
                entry = replace(entry, status="set aside")
            listed.append(entry)
        return tuple(listed)

    def counted(self, name: str) -> list[Entry]:
        """The bouts of a purpose, or of a condition of the validation, with a result that counts."""
        return [entry for entry in self.entries if entry.counts and name in (entry.purpose, entry.condition)]

    def reduction(self, rate: float) -> float:
        """% less net energy than without torque; NaN before that is measured."""
        return self._state.reduction(rate)

    def doubt(self, rate: float) -> str:
        """Why a rate (W/kg) is doubtful; see `SessionState.doubt`."""
        return self._state.doubt(rate)

    def estimate(self, breaths: Breaths, minutes: float, purpose: str = "search") -> Estimate:
        """The steady-state rate that the breaths of a bout suggest."""
        if purpose in AVERAGED:
            return mean_of_last(breaths, 60.0 * min(self.plan.averaged, minutes))
        return estimate(breaths, tau=self.plan.tau)

    def table(self) -> pd.DataFrame:
        """A row per entry."""
        rows = [
            {
                **vars(entry),
                **dict(zip(PARAMETERS, entry.law.tolist(), strict=True)),
                "standard error": entry.standard_error,
                "reduction": self.reduction(entry.rate),
            }
            for entry in self.entries
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def validation(self) -> pd.DataFrame:
        """The mean rate of every condition that was validated (W/kg), and % less net energy than without torque."""
        walked = {condition: [entry.rate for entry in self.counted(condition)] for condition in CONDITIONS}
        rows = [(condition, len(rates), np.mean(rates)) for condition, rates in walked.items() if rates]
        table = pd.DataFrame(rows, columns=["condition", "bouts", "rate"])
        net = table["rate"] - self.plan.standing_rate
        zero = net[table["condition"] == "zero torque"]
        return table.assign(reduction=100.0 * (1.0 - net / zero.iloc[0]) if (zero > 0.0).any() else np.nan)

    # ----------------------------------------------------------------------------------------------------- inside

    def _fold(self, log: Log) -> None:
        """Bring search and agenda up to a log."""
        self._state = SessionState.of(self.plan, log)
        self._search.update(self._state.evaluation)
        self._agenda = Agenda(self.plan, self._state, self._search)
        self.next: Bout | None = self._agenda.next

    def _check_replay(self) -> None:
        """Compare what the search asked for last with what it asks for at that point now."""
        events = self._log.events
        last = max((i for i, (kind, _) in enumerate(events) if kind == "asked"), default=None)
        if last is None:
            return
        self._fold(Log(None, events[:last]))
        if self._agenda.asked() != events[last][1]:
            sessions = [body for kind, body in events if kind == "session"]
            then = ", ".join(f"{k} {v}" for k, v in (sessions[-1] if sessions else {}).items() if k != "at")
            raise ReplayDiffers(
                "the search asks for other laws than it did before, so the session cannot continue; it was last run "
                f"with {then}: install that again"
            )


def cells(session: SessionView) -> pd.DataFrame:
    """A row of text per entry, for the report and the terminal."""
    rows = []
    for entry in session.entries:
        torque, *times = entry.law.tolist()
        law = [f"{torque:.3f}", f"{torque * session.plan.mass:.1f}", *(f"{time:.1f}" for time in times)]
        reduction = session.reduction(entry.rate)
        rows.append(
            (
                f"{entry.number}",
                entry.name,
                f"{entry.generation + 1}" if entry.purpose == "search" else "",
                f"{entry.minutes:g}",
                *(law if torque > 0.0 else ("0", "0", "", "", "")),
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
