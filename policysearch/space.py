"""Named parameters with bounds, units and a linear or logarithmic scale.

People think in N·m and seconds; optimizers should see coordinates in which one unit matters equally
everywhere. A `Space` translates. With lower and upper bound, the optimizer's coordinate runs from 0 to 1
over the range; otherwise one unit is `step` of the parameter. On a logarithmic scale the same holds of the
logarithm (a `step` of 1 is then a factor of e).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain


@dataclass(frozen=True)
class Parameter:
    """One number that a controller needs.

    Raises:
        ValueError: for a start outside the bounds, bounds in the wrong order, a logarithmic scale that
            meets zero, or a number that is not finite where it must be.
    """

    name: str
    start: float
    lower: float = -math.inf
    upper: float = math.inf
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"
    step: float | None = None  # what one unit of the optimizer is; None: the range if bounded, else 1

    def __post_init__(self) -> None:
        if math.isnan(self.lower) or math.isnan(self.upper) or not self.lower < self.upper:
            raise ValueError(f"{self.name}: expected lower < upper, got {self.lower:g} and {self.upper:g}")
        if not math.isfinite(self.start) or not self.lower <= self.start <= self.upper:
            expected = f"a start between {self.lower:g} and {self.upper:g} {self.unit}".rstrip()
            raise ValueError(f"{self.name}: expected {expected}, got {self.start:g}")
        if self.scale not in ("linear", "log"):
            raise ValueError(f"{self.name}: expected scale 'linear' or 'log', got {self.scale!r}")
        if self.scale == "log" and not (self.start > 0 and (self.lower > 0 or self.lower == -math.inf)):
            raise ValueError(
                f"{self.name}: a logarithmic scale needs positive numbers, "
                f"got start {self.start:g}, lower {self.lower:g}"
            )
        if self.step is not None and not 0 < self.step < math.inf:
            raise ValueError(f"{self.name}: expected a positive step, got {self.step}")


@dataclass(frozen=True)
class Space:
    """Parameters in order, and the translation between their values and the optimizer's coordinates.

    Raises:
        ValueError: if there is no parameter, or two have the same name.
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        names = self.names
        if not names:
            raise ValueError("space: expected at least one parameter, got none")
        if len(set(names)) < len(names):
            raise ValueError(f"space: expected different names, got {', '.join(names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def _log(self) -> Array:
        return np.array([parameter.scale == "log" for parameter in self.parameters])

    @cached_property
    def bounds(self) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
        """Lower and upper bounds of the values, in their own units."""
        lower = np.array([parameter.lower for parameter in self.parameters])
        upper = np.array([parameter.upper for parameter in self.parameters])
        return lower, upper

    @cached_property
    def origin_and_unit(self) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
        """What makes a value of a coordinate: origin + unit · coordinate (its logarithm, on that scale)."""
        lower, upper = (self._transform(bound) for bound in self.bounds)
        bounded = np.isfinite(lower) & np.isfinite(upper)
        origin = np.where(bounded, lower, 0.0)
        width = np.subtract(upper, lower, out=np.ones_like(upper), where=bounded)
        steps = [parameter.step for parameter in self.parameters]
        unit = np.array([w if s is None else s for w, s in zip(width, steps, strict=True)])
        return origin, unit

    def _transform(self, values: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        positive = np.maximum(values, 0.0)  # a missing lower bound, −∞, becomes log 0 = −∞
        with np.errstate(divide="ignore"):
            return np.where(self._log, np.log(np.where(self._log, positive, 1.0)), values)

    def encode(self, values: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """Parameter values to the optimizer's coordinates."""
        origin, unit = self.origin_and_unit
        return np.asarray((self._transform(values) - origin) / unit)

    def decode(self, coordinates: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """The optimizer's coordinates to parameter values, never outside the bounds."""
        origin, unit = self.origin_and_unit
        values = coordinates * unit + origin
        with np.errstate(over="ignore"):  # infinity is clipped
            values = np.where(self._log, np.exp(np.where(self._log, values, 0.0)), values)
        return np.clip(values, *self.bounds)

    @property
    def domain(self) -> Domain:
        """Start and bounds in the optimizer's coordinates."""
        start = np.array([parameter.start for parameter in self.parameters])
        lower, upper = self.bounds
        return Domain(self.encode(start), self.encode(lower), self.encode(upper))

    def named(self, coordinates: Float[Array, "d"]) -> dict[str, float]:
        """Parameter values by name, from the optimizer's coordinates."""
        return dict(zip(self.names, self.decode(coordinates).tolist(), strict=True))


def unbounded(names: Sequence[str], start: Float[Array, "d"]) -> Space:
    """A space of plain numbers, for the weights of a policy."""
    return Space(tuple(Parameter(name, float(x)) for name, x in zip(names, start, strict=True)))
