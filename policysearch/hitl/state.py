"""The state of a session: what follows from the events of its log that are in force."""

from dataclasses import dataclass, replace

import numpy as np

from policysearch.asking.search import AskedGeneration, Pair, without
from policysearch.core import Evaluation
from policysearch.hitl.log import Entry, Log
from policysearch.hitl.plan import SessionPlan

#: A rate this many times larger or smaller than the median of those before it is doubtful (choice).
DOUBTFUL = 2.0
#: W/kg, gross: a person neither sleeps nor sprints (choice).
PLAUSIBLE = (0.5, 20.0)
#: W/kg, walking takes at least so much more than standing (choice).
MIN_NET = 0.5


@dataclass(frozen=True, eq=False)
class SessionState:
    """What follows from the events in force."""

    plan: SessionPlan
    done: dict[str, Entry]  # by item
    retests: tuple[int, ...]  # numbers of the events that asked for one
    finished: bool
    upper_torque: float  # N·m/kg
    confirmed: frozenset[str]  # items

    @classmethod
    def of(cls, plan: SessionPlan, log: Log) -> "SessionState":
        """The state of a session."""
        done: dict[str, Entry] = {}
        for place, kind, body in log.in_force:
            if kind in ("bout", "skip"):
                done[body["item"]] = log.entries[place]
            elif kind == "amend" and body["item"] in done:
                old = done[body["item"]]
                reason = f"{old.rate:g} W/kg before: {body['reason']}"
                done[body["item"]] = replace(
                    old, rate=float(body["rate"]), standard_error=np.nan, status="amended", reason=reason
                )
        retests = tuple(place + 1 for place, kind, _ in log.in_force if kind == "retest")
        finished = any(kind == "finish" for _, kind, _ in log.in_force)
        limits = [body["upper_torque"] for kind, body in log.events if kind == "limit"]
        confirmed = frozenset(body["item"] for kind, body in log.events if kind == "confirm")
        return cls(plan, done, retests, finished, min([plan.upper_torque, *limits]), confirmed)

    def reduction(self, rate: float) -> float:
        """% less net energy than without torque; NaN before that is measured."""
        baseline = self.done.get("baseline")
        if baseline is None:
            return float("nan")
        net = baseline.rate - self.plan.standing_rate
        return float(100.0 * (1.0 - (rate - self.plan.standing_rate) / net))

    def skipped(self, generation: AskedGeneration) -> list[Pair]:
        """The pairs of a generation that were skipped."""
        entries = {pair: self.done.get(item) for pair, item in generation.questions.items()}
        return [pair for pair, entry in entries.items() if entry and entry.status == "skipped"]

    def evaluation(self, generation: AskedGeneration) -> Evaluation | None:
        """What the method is told of a generation; None before all of it is measured or skipped."""
        plan, proposal = self.plan, generation.proposal
        entries = [self.done.get(item) for item in generation.questions.values()]
        if None in entries or (plan.baseline and "baseline" not in self.done):
            return None
        returns = np.full((len(proposal.params), proposal.episodes), np.nan)
        for pair, entry in zip(generation.questions, entries, strict=True):
            if entry is not None and entry.status != "skipped":
                returns[pair] = self.reduction(entry.rate) if plan.baseline else -entry.rate
        minutes = np.full(returns.shape, round(plan.minutes))
        unmeasured = [pair for pair in generation.questions if np.isnan(returns[pair])]
        return without(Evaluation(proposal.params, returns, minutes), unmeasured)

    def doubt(self, rate: float) -> str:
        """Why a rate (W/kg) is doubtful; empty if it is plausible.

        Raises:
            ValueError: for a rate that is not a positive number.
        """
        if not 0.0 < rate < np.inf:
            raise ValueError(f"rate: expected a positive number of W/kg, got {rate:g}")
        low, high = PLAUSIBLE
        if not low <= rate <= high:
            return f"{rate:g} W/kg is not between {low:g} and {high:g} W/kg"
        known = [entry.rate for entry in self.done.values() if np.isfinite(entry.rate)]
        standing = self.plan.standing_rate
        if not known and rate < standing + MIN_NET:
            return f"{rate:g} W/kg is less than {MIN_NET:g} W/kg above standing, {standing:g} W/kg"
        if known:
            middle = float(np.median(known))
            if not middle / DOUBTFUL <= rate <= DOUBTFUL * middle:
                return f"{rate:g} W/kg is {rate / middle:.2g} times the median so far, {middle:.3g} W/kg"
        return ""

    def checked(self, rate: float, purpose: str) -> float:
        """The rate (W/kg) of a bout.

        Raises:
            ValueError: for a rate that is not positive, or a baseline that is not above standing.
        """
        rate, standing = float(rate), self.plan.standing_rate
        self.doubt(rate)
        if purpose == "baseline" and not rate > standing:
            raise ValueError(
                f"baseline: expected more than the {standing:g} W/kg of standing, got {rate:g} W/kg; one is wrong"
            )
        return rate
