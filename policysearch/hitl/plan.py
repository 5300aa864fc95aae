"""The plan of a session with a person: all that is decided before the first step.

The default is the protocol of Zhang et al. 2017 (Science 356, "Human-in-the-loop optimization of exoskeleton
assistance during walking"): CMA-ES over the four numbers of a torque curve, 4 generations of 8 control laws, two
minutes each, then a validation of zero torque, a generic law and the optimized one, in double-reversal order
(ABCCBA). That each of its bouts takes six minutes, of which the last three are averaged, is recalled, not verified;
so is a start at the centre of the ranges. That the laws of a generation are walked in random order is our choice, and
so is the walk without torque at the beginning, which makes returns out of metabolic rates.
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from jaxtyping import Float

from policysearch.core import Array, Optimizer
from policysearch.exoskeleton import torque_profile
from policysearch.exoskeleton.torque_law import GENERIC
from policysearch.hitl.laws import Laws
from policysearch.hitl.options import LSL, Law, PlanOptions
from policysearch.optimizers import build
from policysearch.seeding import stream
from policysearch.space import Space
from policysearch.tasks import incompatibility

#: A change of law that is confirmed, or walked in steps, per parameter: a quarter of its range (modelling choice).
NEAR = 0.25
CHOICES = {
    "order": ("random", "balanced"), "conditions": ("named", "letters"), "better": ("lower", "higher"),
}  # fmt: skip
OBJECTIVES = ("metabolic", "heart rate", "typed")
#: Conditions of a validation; others are laws that the plan names.
CONDITIONS, NO_DEVICE = ("zero torque", "reference", "optimized"), "no device"
SWITCHES = ("shuffle", "reversal", "validation_day")


class Objective(NamedTuple):
    """What is measured of a bout."""

    name: str
    unit: str
    sign: float  # 1.0 if higher is better, else -1.0


@dataclass(frozen=True)
class SessionPlan(PlanOptions):
    """Options that fit together.

    Raises:
        ValueError: for a number out of its range, a law that is not feasible, or an unknown method.
    """

    reference: Law = GENERIC

    def __post_init__(self) -> None:
        for name, least in (
            ("mass", 1.0), ("bouts", 1), ("minutes", 1.0), ("warm_up", 0.0), ("baseline", 0.0), ("rest", 0.0),
            ("retest", 0), ("validation", 0.0), ("averaged", 0.5), ("tau", 1.0), ("standing_rate", 0.0), ("seed", 0),
            ("upper_newton_metres", 0.0), ("first_torque", 0.0), ("familiarization", 0), ("validation_rest", 0.0),
            ("standing", 0.0), ("day_bouts", 0),
        ):  # fmt: skip
            value, kind = getattr(self, name), int if isinstance(least, int) else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not least <= value < math.inf:
                expected = f"{'a whole number of ' if kind is int else ''}at least {least:g}"
                raise ValueError(f"{name}: expected {expected}, got {value!r}")
        for name, most in (("upper_torque", torque_profile.UPPER_TORQUE), ("standing_rate", 5.0)):
            if not 0.0 <= getattr(self, name) <= most:
                raise ValueError(f"{name}: expected at most {most:g}, got {getattr(self, name)!r}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected {' or '.join(choices)}, got {getattr(self, name)!r}")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected true or false, got {getattr(self, name)!r}")
        if not isinstance(self.participant, str):
            raise ValueError(f"participant: expected text, got {self.participant!r}")
        for name in ("standing", "baseline", "validation"):
            if 0.0 < getattr(self, name) < self.averaged:
                expected = f"0, or at least the {self.averaged:g} minutes that are averaged"
                raise ValueError(f"{name}: expected {expected}, got {getattr(self, name):g}")
        self._check_laws()
        if reason := incompatibility(torque_profile.TorqueProfile(), self.method(), whitened=False):
            raise ValueError(f"optimizer: {self.optimizer} {reason}")

    def _check_laws(self) -> None:
        if self.objective not in OBJECTIVES and not (
            self.objective.startswith(LSL) and self.objective != LSL
        ):
            expected = f"{', '.join(OBJECTIVES)} or {LSL}SOURCE_ID"
            raise ValueError(f"objective: expected {expected}, got {self.objective!r}")
        if self.parameters and self.upper_torque != type(self).upper_torque:
            expected = "none, as the ranges of the parameters say it"
            raise ValueError(f"upper_torque: expected {expected}, got {self.upper_torque:g}")
        ceiling = self.laws.highest if self.parameters else self.upper_torque
        others = ((f"other_laws: {name}", law) for name, law in self.other_laws.items())
        for name, law in (("start", self.start), ("reference", self.reference), *others):
            if law is not None and (why := self.laws.why_not(law, ceiling)):
                raise ValueError(f"{name}: {why}")
        known = (*CONDITIONS, NO_DEVICE, *self.other_laws)
        if unknown := [name for name in self.validated if name not in known]:
            raise ValueError(f"validated: expected some of {', '.join(known)}, got {unknown[0]!r}")
        if len(set(self.validated)) < len(self.validated):
            raise ValueError(f"validated: expected different conditions, got {', '.join(self.validated)}")

    @cached_property
    def laws(self) -> Laws:
        """What the numbers of a law are."""
        if self.parameters:
            return Laws.own(self.parameters, self.mass)
        return Laws(torque_profile.space(self.upper_torque), self.mass)

    @property
    def measured(self) -> Objective:
        """What is measured."""
        sign = 1.0 if self.better == "higher" else -1.0
        known = {"metabolic": ("metabolic rate", "W/kg"), "heart rate": ("heart rate", "bpm")}
        return Objective(*known.get(self.objective, (self.measure or "number", self.unit)), sign)

    @property
    def is_breathed(self) -> bool:
        """Whether the objective follows from breaths."""
        return self.objective in ("metabolic", "heart rate")

    @property
    def space(self) -> Space:
        """The parameters of a law."""
        if self.start is None:
            return self.laws.space
        parameters = zip(self.laws.space.parameters, self.start, strict=True)
        return Space(tuple(dataclasses.replace(parameter, start=value) for parameter, value in parameters))

    @property
    def highest(self) -> float:
        """The highest peak torque in N·m/kg, that in N·m included."""
        upper = self.laws.highest if self.parameters else self.upper_torque
        metres = self.upper_newton_metres
        return min(upper, metres / self.mass) if metres else upper

    def ceiling(self, assisted: int) -> float:
        """The highest peak torque (N·m/kg) of the next bout, after so many with torque."""
        if assisted >= self.familiarization or self.first_torque >= self.highest:
            return self.highest
        return self.first_torque + (self.highest - self.first_torque) * assisted / self.familiarization

    @property
    def widths(self) -> Float[Array, "d"]:
        """A change of each parameter that counts as small."""
        lower, upper = (self.laws.space if self.parameters else torque_profile.SPACE).bounds
        return NEAR * (upper - lower)

    def method(self) -> Optimizer:
        """The configured optimizer."""
        return build(self.optimizer, self.options)

    @property
    def too_short(self) -> str:
        """Why the bouts are too few for a single generation, in one line; empty if they suffice."""
        size = next(self.method().search(self.space.domain, stream(self.seed, "size"))).cost
        if self.bouts >= size:
            return ""
        return f"bouts: expected at least one generation of {self.optimizer}, {size}, got {self.bouts}"

    def corrected(self, changes: dict[str, Any]) -> "SessionPlan":
        """The plan with other values.

        Raises:
            ValueError: for values that no plan may have.
        """
        return dataclasses.replace(self, **changes)

    def document(self) -> dict[str, Any]:
        """The plan as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, document: dict[str, Any]) -> "SessionPlan":
        """The plan that `document` wrote."""
        laws = {name: tuple(document[name]) for name in ("start", "reference") if document.get(name)}
        return cls(**document | laws)
