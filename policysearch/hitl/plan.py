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
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Optimizer
from policysearch.exoskeleton import torque_profile
from policysearch.exoskeleton.torque_law import GENERIC
from policysearch.hitl.options import Law, PlanOptions
from policysearch.optimizers import build
from policysearch.seeding import stream
from policysearch.space import Space
from policysearch.tasks import incompatibility

#: A change of law that is confirmed, or walked in steps, per parameter: a quarter of its range (modelling choice).
NEAR = 0.25
PARAMETERS = torque_profile.SPACE.names
ORDERS, SHOWN = ("random", "balanced"), ("named", "letters")


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
        ):  # fmt: skip
            value, kind = getattr(self, name), int if isinstance(least, int) else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not least <= value < math.inf:
                expected = f"{'a whole number of ' if kind is int else ''}at least {least:g}"
                raise ValueError(f"{name}: expected {expected}, got {value!r}")
        for name, most in (("upper_torque", torque_profile.UPPER_TORQUE), ("standing_rate", 5.0)):
            if not 0.0 <= getattr(self, name) <= most:
                raise ValueError(f"{name}: expected at most {most:g}, got {getattr(self, name)!r}")
        for name, choices in (("order", ORDERS), ("conditions", SHOWN)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected {' or '.join(choices)}, got {getattr(self, name)!r}")
        if not isinstance(self.participant, str):
            raise ValueError(f"participant: expected text, got {self.participant!r}")
        for name in ("baseline", "validation"):
            if 0.0 < getattr(self, name) < self.averaged:
                expected = f"0, or at least the {self.averaged:g} minutes that are averaged"
                raise ValueError(f"{name}: expected {expected}, got {getattr(self, name):g}")
        for name in ("start", "reference"):
            law = getattr(self, name)
            if law is not None and (why := why_not(law, self.upper_torque)):
                raise ValueError(f"{name}: {why}")
        if reason := incompatibility(torque_profile.TorqueProfile(), self.method(), whitened=False):
            raise ValueError(f"optimizer: {self.optimizer} {reason}")

    @property
    def space(self) -> Space:
        """The four numbers of a law."""
        space = torque_profile.space(self.upper_torque)
        if self.start is None:
            return space
        parameters = zip(space.parameters, self.start, strict=True)
        return Space(tuple(dataclasses.replace(parameter, start=value) for parameter, value in parameters))

    @property
    def highest(self) -> float:
        """The highest peak torque in N·m/kg, that in N·m included."""
        metres = self.upper_newton_metres
        return min(self.upper_torque, metres / self.mass) if metres else self.upper_torque

    def ceiling(self, assisted: int) -> float:
        """The highest peak torque (N·m/kg) of the next bout, after so many with torque."""
        if assisted >= self.familiarization or self.first_torque >= self.highest:
            return self.highest
        return self.first_torque + (self.highest - self.first_torque) * assisted / self.familiarization

    @property
    def widths(self) -> Float[Array, "4"]:
        """A change of each parameter that counts as small."""
        lower, upper = torque_profile.SPACE.bounds
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


def why_not(law: Law, upper_torque: float) -> str:
    """Why four numbers are not a feasible law, in one line; empty if they are one."""
    if len(law) != len(PARAMETERS) or not all(math.isfinite(number) for number in law):
        return f"expected four finite numbers ({', '.join(PARAMETERS)}), got {law}"
    return torque_profile.why_infeasible(np.array(law, dtype=float), upper_torque)
