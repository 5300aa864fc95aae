"""The state of a session: what follows from the events of its log that are in force."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from policysearch.asking.search import AskedGeneration, Pair, without
from policysearch.core import Evaluation
from policysearch.exoskeleton.respirometry import Breaths
from policysearch.hitl.log import Entry, Log, breaths_of
from policysearch.hitl.plan import SessionPlan

#: A rate this many times larger or smaller than the median of those before it is doubtful (choice).
DOUBTFUL = 2.0
#: W/kg, gross: a person neither sleeps nor sprints (choice).
PLAUSIBLE = (0.5, 20.0)
PLAUSIBLE_BPM = (40.0, 220.0)  # of a heart (choice)
MAX_STANDING = 2.5  # W/kg, gross (choice)
#: W/kg, walking takes at least so much more than standing (choice).
MIN_NET = 0.5
#: W/kg, of a first rate that nothing can be compared with: less may be a net rate, more one in mL/kg/min (choice).
USUAL_NET = (1.6, 8.0)
#: A rate below this part of the median that is as near to the median with standing added may be a net one (choice).
LOW, NEAR_MEDIAN = 0.8, 0.05


@dataclass(frozen=True, eq=False)
class SessionState:
    """What follows from the events in force."""

    plan: SessionPlan  # as corrected, but for the code of the participant, on which random orders depend
    participant: str  # the code, as corrected
    done: dict[str, Entry]  # by item
    excluded: dict[int, str] = field(
        default_factory=dict
    )  # reasons by number, of bouts that are walked again
    retests: tuple[int, ...] = ()  # numbers of the events that asked for one
    finished: bool = False  # no more laws
    ended: bool = False  # nothing more at all
    day: int = 1
    upper_torque: float = np.inf  # N·m/kg
    ceiling: float = np.inf  # N·m/kg, of the next bout: the upper torque, or less at first
    confirmed: frozenset[str] = frozenset()  # items
    blind: bool = False

    @classmethod
    def of(cls, plan: SessionPlan, log: Log) -> "SessionState":
        """The state of a session."""
        corrections = {body["field"]: body["value"] for kind, body in log.events if kind == "correct"}
        participant = corrections.pop("participant", plan.participant)
        plan = replace(plan, **corrections) if corrections else plan
        done, excluded = _answers(log, plan.mass)
        kinds = [kind for _, kind, _ in log.in_force]
        limits = [body["upper_torque"] for kind, body in log.events if kind == "limit"]
        upper = min([plan.highest, *limits])
        if wrong := [e.number for e in log.entries.values() if len(e.law) != len(plan.laws.torques)]:
            raise ValueError(f"bout {wrong[0]}: expected a law of {len(plan.laws.torques)} numbers")
        if plan.objective == "metabolic" and any(entry.rate <= 0.0 for entry in log.entries.values()):
            raise ValueError("rate: expected a positive number of W/kg")
        assisted = len([entry for entry in log.walked if plan.laws.assists(entry.law)])
        return cls(
            plan=plan,
            participant=participant,
            done=done,
            excluded=excluded,
            retests=tuple(place + 1 for place, kind, _ in log.in_force if kind == "retest"),
            finished="finish" in kinds,
            ended="end" in kinds,
            day=log.day,
            upper_torque=upper,
            ceiling=min(upper, plan.ceiling(assisted)),
            confirmed=frozenset(body["item"] for kind, body in log.events if kind == "confirm"),
            blind=plan.conditions == "letters" and not any(kind == "unblind" for kind, _ in log.events),
        )

    def reduction(self, rate: float, day: int | None = None) -> float:
        """% less net energy than without torque; NaN before that is measured.

        Of other objectives it is by how much a value is better, in their unit. Without a baseline of that day (the
        present one by default) the one nearest before it is taken, or after it.
        """
        baseline, standing = self._of_day("baseline", day), self.standing(day)
        if self.plan.objective != "metabolic":
            return self.plan.measured.sign * (rate - baseline)
        return float(100.0 * (1.0 - (rate - standing) / (baseline - standing)))

    def standing(self, day: int | None = None) -> float:
        """The rate (W/kg) of standing still on a day: measured, or that of the plan."""
        measured = self._of_day("standing", day)
        return self.plan.standing_rate if np.isnan(measured) else measured

    def _of_day(self, purpose: str, day: int | None) -> float:
        """What was measured once a day; NaN before the first time."""
        day = day or self.day
        for other in (*range(day, 0, -1), *range(day + 1, self.day + 1)):
            entry = self.done.get(day_item(purpose, other))
            if entry is not None and entry.counts:
                return entry.rate
        return float("nan")

    def skipped(self, generation: AskedGeneration) -> list[Pair]:
        """The pairs of a generation that were skipped, or excluded."""
        entries = {pair: self.done.get(item) for pair, item in generation.questions.items()}
        return [pair for pair, entry in entries.items() if entry and not entry.counts and not entry.waits]

    def evaluation(self, generation: AskedGeneration) -> Evaluation | None:
        """What the method is told of a generation; None before all of it is measured or skipped."""
        plan, proposal = self.plan, generation.proposal
        entries = [self.done.get(item) for item in generation.questions.values()]
        if any(entry is None or entry.waits for entry in entries):
            return None
        returns = np.full((len(proposal.params), proposal.episodes), np.nan)
        for pair, entry in zip(generation.questions, entries, strict=True):
            if entry is not None and entry.counts:  # measured
                sign = plan.measured.sign
                returns[pair] = self.reduction(entry.rate, entry.day) if plan.baseline else sign * entry.rate
                if np.isnan(returns[pair]):  # the baseline is to be measured again
                    return None
        minutes = np.full(returns.shape, round(plan.minutes))
        unmeasured = [pair for pair in generation.questions if np.isnan(returns[pair])]
        return without(Evaluation(proposal.params, returns, minutes), unmeasured)

    def doubt(self, rate: float, purpose: str = "") -> str:
        """Why a rate (W/kg), or a value of another objective, is doubtful; empty if it is plausible.

        Raises:
            ValueError: for a rate that is not a positive number.
        """
        if self.plan.objective != "metabolic":
            return self._doubt_of_other(rate)
        if not 0.0 < rate < np.inf:
            raise ValueError(f"rate: expected a positive number of W/kg, got {rate:g}")
        low, high = PLAUSIBLE
        if not low <= rate <= high:
            return f"{rate:g} W/kg is not between {low:g} and {high:g} W/kg"
        if purpose == "standing":
            return "" if rate <= MAX_STANDING else f"{rate:g} W/kg is much for standing still"
        return self._doubt_of_walking(rate)

    def _doubt_of_walking(self, rate: float) -> str:
        known = [e.rate for e in self.done.values() if e.counts and e.purpose != "standing"]
        standing = self.standing()
        if not known and rate < standing + MIN_NET:
            return f"{rate:g} W/kg is less than {MIN_NET:g} W/kg above standing, {standing:g} W/kg"
        low, high = (standing + net for net in USUAL_NET)
        if not known and not low <= rate <= high:
            unit = "gross W/kg, not net" if rate < low else "W/kg, not mL/kg/min"
            return f"{rate:g} W/kg is unusual for walking, {low:g} to {high:g} W/kg; expected {unit}"
        if known:
            middle = float(np.median(known))
            if not middle / DOUBTFUL <= rate <= DOUBTFUL * middle:
                return f"{rate:g} W/kg is {rate / middle:.2g} times the median so far, {middle:.3g} W/kg"
            if rate < LOW * middle and abs(rate + standing - middle) <= NEAR_MEDIAN * middle:
                why = f"{rate:g} W/kg is the median so far, {middle:.3g} W/kg, less standing"
                return f"{why}; expected gross W/kg, not net"
        return ""

    def _doubt_of_other(self, value: float) -> str:
        name, unit, _ = self.plan.measured
        if not np.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, got {value:g}")
        low, high = PLAUSIBLE_BPM
        if self.plan.objective == "heart rate" and not low <= value <= high:
            return f"{value:g} {unit} is not between {low:g} and {high:g} {unit}"
        return ""

    def checked(self, rate: float, purpose: str) -> float:
        """The rate (W/kg) of a bout, or the value of another objective.

        Raises:
            ValueError: for a rate that is not positive, or a baseline that is not above standing.
        """
        rate, standing = float(rate), self.standing()
        self.doubt(rate)
        if self.plan.objective != "metabolic":
            return rate
        if purpose == "baseline" and not rate > standing:
            raise ValueError(
                f"baseline: expected more than the {standing:g} W/kg of standing, got {rate:g} W/kg; one is wrong"
            )
        return rate


def day_item(purpose: str, day: int) -> str:
    """The name of the warm-up or the baseline of a day in the log."""
    return purpose if day == 1 else f"{purpose}/{day}"


def _answers(log: Log, mass: float) -> tuple[dict[str, Entry], dict[int, str]]:
    """The entries in force by item, for a body of this mass (kg); and the reasons of those that come again."""
    done: dict[str, Entry] = {}
    excluded: dict[int, str] = {}
    for place, kind, body in log.in_force:
        if kind in ("bout", "walked", "skip"):
            done[body["item"]] = _scaled(log.entries[place], mass)
        elif kind in ("amend", "result") and body["item"] in done:
            done[body["item"]] = _scaled(_with_result(done[body["item"]], kind, body), mass)
        elif kind == "exclude" and body["item"] in done:
            entry = done[body["item"]]
            done[body["item"]] = replace(entry, status="excluded", reason=body["reason"])
            if body["again"]:
                excluded[entry.number] = body["reason"]
                del done[body["item"]]
    return done, excluded


def _with_result(old: Entry, kind: str, body: Mapping[str, Any]) -> Entry:
    """The entry with its result, or another one."""
    amended = {"status": "amended", "reason": f"{old.rate:g} W/kg before: {body.get('reason')}"}
    status = amended if kind == "amend" else {"status": "measured", "reason": body.get("reason", "")}
    breaths: Breaths | None = old.breaths
    if body.get("breaths") is not None:
        breaths = breaths_of(body["breaths"], body.get("gases", {}))
    return replace(
        old,
        rate=float(body["rate"]),
        standard_error=float(body.get("standard_error", np.nan)),
        breaths=breaths,
        mass=float(body.get("mass", np.nan)),
        **status,
    )


def _scaled(entry: Entry, mass: float) -> Entry:
    """The entry with its volumes turned into rates for a body of this mass (kg)."""
    if entry.mass == mass or not np.isfinite(entry.mass):
        return entry
    ratio = entry.mass / mass
    breaths = entry.breaths and replace(entry.breaths, rate=ratio * entry.breaths.rate)
    rate, error = ratio * entry.rate, ratio * entry.standard_error
    return replace(entry, rate=rate, standard_error=error, breaths=breaths, mass=mass)
