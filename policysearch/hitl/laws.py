"""The laws of a session: what their numbers are, and which may be walked.

A protocol without parameters of its own has the four numbers of an ankle's torque, with their constraints
(`policysearch.exoskeleton.torque_law`). Those with the units N·m/kg or N·m are torques: without torque all of them
are zero, and every ceiling (N·m/kg) holds for each of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from policysearch.core import Array
from policysearch.exoskeleton import torque_profile
from policysearch.hitl.options import OwnParameter
from policysearch.space import Parameter, Space

NO_TORQUE = np.array([0.0, 45.0, 25.0, 12.5])  # N·m/kg, % stride
PER_KG, METRES = "N·m/kg", "N·m"


@dataclass(frozen=True)
class Laws:
    """The laws of a plan.

    Args:
        space: their parameters.
        mass: of the person (kg), for torques in N·m.
        is_ankle: whether they are those of `torque_profile`.
    """

    space: Space
    mass: float
    is_ankle: bool = True

    @classmethod
    def own(cls, parameters: Sequence[OwnParameter], mass: float) -> "Laws":
        """The laws of a protocol's own parameters; each has name, unit, lower, upper, and perhaps start.

        Raises:
            ValueError: with a line for every parameter that cannot be, or without a torque among them.
        """
        wrong, found = list[str](), list[Parameter]()
        for each in parameters:
            try:
                made = Parameter(**dict(each))  # type: ignore[arg-type]
                if made.unit in (PER_KG, METRES) and made.lower < 0.0:
                    raise ValueError(
                        f"{made.name}: expected a torque of at least 0, got lower {made.lower:g}"
                    )
                if not np.isfinite([made.lower, made.upper]).all() or made.held:
                    raise ValueError(
                        f"{made.name}: expected lower < upper, got {made.lower:g} and {made.upper:g}"
                    )
                found.append(made)
            except (TypeError, ValueError) as error:
                wrong.append(f"parameters: {error}")
        names = [each.name for each in found]
        if len(set(names)) < len(names):
            wrong.append(f"parameters: expected different names, got {', '.join(names)}")
        if not wrong and not any(each.unit in (PER_KG, METRES) for each in found):
            wrong.append(f"parameters: expected a torque, whose unit is {PER_KG} or {METRES}, got none")
        if wrong:
            raise ValueError("\n".join(wrong))
        return cls(Space(tuple(found)), mass, is_ankle=False)

    @cached_property
    def torques(self) -> Bool[Array, "d"]:
        """Which parameters are torques."""
        return np.array([parameter.unit in (PER_KG, METRES) for parameter in self.space.parameters])

    @cached_property
    def per_kg(self) -> Float[Array, "d"]:
        """What makes each parameter's unit of 1 N·m/kg; 1 for those that are no torques."""
        return np.array([self.mass if p.unit == METRES else 1.0 for p in self.space.parameters])

    @cached_property
    def highest(self) -> float:
        """The highest torque of the ranges, N·m/kg."""
        return self.torque(self.space.bounds[1])

    @cached_property
    def no_torque(self) -> Float[Array, "d"]:
        """The law without torque."""
        if self.is_ankle:
            return NO_TORQUE
        return np.where(self.torques, 0.0, np.mean(self.space.bounds, axis=0))

    def torque(self, law: Float[Array, "d"]) -> float:
        """The highest torque of a law, N·m/kg."""
        return float((law / self.per_kg)[self.torques].max())

    def assists(self, law: Float[Array, "d"]) -> bool:
        """Whether there is torque under a law."""
        return self.torque(law) > 0.0

    def project(self, law: Float[Array, "d"], ceiling: float) -> Float[Array, "d"]:
        """A law that may be walked, with no torque above the ceiling (N·m/kg)."""
        if self.is_ankle:
            return torque_profile.project(law, ceiling)
        clipped = np.clip(law, *self.space.bounds)
        return np.where(self.torques, np.minimum(clipped, ceiling * self.per_kg), clipped)

    def joined(self, before: Float[Array, "d"], law: Float[Array, "d"]) -> tuple[Array, Array]:
        """Two laws that follow each other; where one has no torque, the rest of it is the other's."""
        if not self.assists(before):
            return np.where(self.torques, 0.0, law), law
        return before, law if self.assists(law) else np.where(self.torques, 0.0, before)

    def why_not(self, law: Sequence[float], ceiling: float) -> str:
        """Why some numbers are not a law that may be walked, in one line; empty if they are one."""
        names, given = self.space.names, np.array(law, dtype=float)
        if given.shape != (len(names),) or not np.isfinite(given).all():
            count = "four" if self.is_ankle else f"{len(names)}"
            return f"expected {count} finite numbers ({', '.join(names)}), got {law}"
        if self.is_ankle:
            return torque_profile.why_infeasible(given, ceiling)
        for parameter, value in zip(self.space.parameters, given.tolist(), strict=True):
            if not parameter.lower <= value <= parameter.upper:
                expected = f"{parameter.lower:g} to {parameter.upper:g} {parameter.unit}"
                return f"{parameter.name}: expected {expected}, got {value}"
        return ""

    def lines(self, law: Float[Array, "d"]) -> list[str]:
        """A law with the names and units of its numbers; torques in N·m/kg and in N·m."""
        if not self.assists(law):
            return ["no torque"]
        found, width = list[str](), max(12, *map(len, self.space.names))
        for parameter, value in zip(self.space.parameters, law.tolist(), strict=True):
            match parameter.unit:
                case "N·m/kg":
                    words = f"{value:6.3f} {PER_KG} = {value * self.mass:.1f} {METRES}"
                case "N·m":
                    words = f"{value:6.1f} {METRES} = {value / self.mass:.3f} {PER_KG}"
                case unit:
                    words = f"{value:6.2f} {unit}".rstrip()
            found.append(f"{parameter.name:{width}} {words}")
        return found

    def in_short(self, law: Float[Array, "d"]) -> str:
        """A law in one line."""
        if self.is_ankle:
            torque, *times = law.tolist()
            return f"{torque:.3f} N·m/kg {' '.join(f'{time:.2f}' for time in times)} %"
        values = zip(self.space.parameters, law.tolist(), strict=True)
        return ", ".join(f"{p.name} {value:.3g} {p.unit}".rstrip() for p, value in values)
