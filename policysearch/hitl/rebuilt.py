"""A session rebuilt from its log: what is next, and what is in force."""

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.evaluators.recorded import ReplayDiffers
from policysearch.hitl.agenda import Agenda, Bout, RebuiltSearch
from policysearch.hitl.log import Entry, Log
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.state import SessionState
from policysearch.hitl.transition import steps, unvisited


class RebuiltSession:
    """A session rebuilt from its log: what is next, and what is in force.

    Attributes:
        plan: what was decided before, as corrected.
        next: the next bout; None when the session is over.

    Raises:
        ReplayDiffers: if the search asks for other laws than it did before.
    """

    def __init__(self, plan: SessionPlan, log: Log) -> None:
        self._original, self._log = plan, log
        self._search = RebuiltSearch(plan)
        self._check_replay()
        self._fold(log)

    # ------------------------------------------------------------------------------------------------ what is next

    @property
    def recommendation(self) -> Float[Array, "d"]:
        """The law to use now, which is not the one with the best single rate; of an ankle: N·m/kg, % stride."""
        return self._agenda.recommendation

    @property
    def reference(self) -> Float[Array, "d"]:
        """The law of warm-up, re-tests and validation; of an ankle: N·m/kg, % stride."""
        return self._agenda.reference

    @property
    def entering(self) -> tuple[str, ...]:
        """The parameters with which the next law enters a region that is not confirmed."""
        bout, laws = self.next, self.plan.laws
        if bout is None or not laws.assists(bout.law) or bout.item in self._state.confirmed:
            return ()
        walked = [entry.law for entry in self.history if laws.assists(entry.law)]
        names = laws.space.names
        new = unvisited(bout.law, np.array(walked).reshape(-1, len(names)), self.plan.widths)
        return tuple(name for name, is_new in zip(names, new, strict=True) if is_new)

    @property
    def day_is_over(self) -> bool:
        """Whether what is next belongs to another day, by the plan."""
        plan, bout = self.plan, self.next
        done = [e for e in self._state.done.values() if e.purpose == "search" and e.day == self._state.day]
        if bout is None or not done:
            return False
        if bout.purpose == "search":
            return 0 < plan.day_bouts <= len(done)
        return plan.validation_day and bout.item.startswith(("validation", "rest/validation"))

    @property
    def minutes_walked(self) -> float | None:
        """The minutes for which the next bout was walked, as the log has it; None before."""
        started, ended = self._log.started, self._log.ended
        if started is None or ended is None or self.next is None or started["item"] != self.next.item:
            return None
        return min((ended["monotonic"] - started["monotonic"]) / 60.0, self.next.minutes)

    @property
    def times_walked(self) -> tuple[float, float]:
        """When the next bout began and ended, by the wall clock (s); NaN before."""
        started, ended = self._log.started, self._log.ended
        if started is None or ended is None:
            return np.nan, np.nan
        return float(started["at"]), float(ended["at"])

    @property
    def path(self) -> Float[Array, "n d"]:
        """The laws from the last one to the next, each close to the one before."""
        if self.next is None:
            raise RuntimeError("the session is over")
        laws, history = self.plan.laws, self.history
        last = history[-1].law if history else laws.no_torque
        before = laws.project(last, self._state.ceiling)  # a limit may be newer than the last law
        return steps(*laws.joined(before, self.next.law), self.plan.widths)

    # ---------------------------------------------------------------------------------------------- what is in force

    @property
    def participant(self) -> str:
        """The code of the participant, as corrected."""
        return self._state.participant

    @property
    def day(self) -> int:
        """The number of the present day."""
        return self._state.day

    @property
    def is_optimized(self) -> bool:
        """Whether a generation is complete, so that the recommendation follows from measurements."""
        return bool(self._search.told)

    @property
    def is_blind(self) -> bool:
        """Whether the conditions of the validation have letters instead of names."""
        return self._state.blind

    @property
    def upper_torque(self) -> float:
        """The upper torque in force, N·m/kg."""
        return self._state.upper_torque

    @property
    def history(self) -> list[Entry]:
        """All that the person walked so far, including what does not count, each bout as it was logged."""
        return self._log.walked

    # ----------------------------------------------------------------------------------------------------- inside

    def _fold(self, log: Log) -> None:
        """Bring search and agenda up to a log."""
        self._state = SessionState.of(self._original, log)
        self.plan = self._state.plan
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
            then = ", ".join(
                f"{k} {v}"
                for k, v in (sessions[-1] if sessions else {}).items()
                if k not in ("at", "monotonic")
            )
            raise ReplayDiffers(
                "the search asks for other laws than it did before, so the session cannot continue; it was last run "
                f"with {then}: install that again"
            )
