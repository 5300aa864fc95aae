"""A session rebuilt from its log: what is next, and what is in force."""

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.evaluators.recorded import ReplayDiffers
from policysearch.exoskeleton.torque_profile import project
from policysearch.hitl.agenda import NO_TORQUE, Agenda, Bout, RebuiltSearch
from policysearch.hitl.log import Entry, Log
from policysearch.hitl.plan import PARAMETERS, SessionPlan
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
    def path(self) -> Float[Array, "n 4"]:
        """The laws from the last one to the next, each close to the one before."""
        if self.next is None:
            raise RuntimeError("the session is over")
        law, history = self.next.law, self.history
        last = history[-1].law if history else NO_TORQUE
        before = project(last, self._state.ceiling)  # a limit may be newer than the last law
        if before[0] == 0.0:  # its times mean nothing
            before = np.array([0.0, *law[1:]])
        elif law[0] == 0.0:
            law = np.array([0.0, *before[1:]])
        return steps(before, law, self.plan.widths)

    # ---------------------------------------------------------------------------------------------- what is in force

    @property
    def participant(self) -> str:
        """The code of the participant, as corrected."""
        return self._state.participant

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
