"""Named parameters with bounds, units and a linear or logarithmic scale.

People think in N·m and seconds; optimizers should see coordinates in which one unit matters equally
everywhere. A `Space` translates. With lower and upper bound, the optimizer's coordinate runs from 0 to 1
over the range; otherwise one unit is `step` of the parameter, without it the size of the start, and 1 where that is
0. On a logarithmic scale the same holds of the logarithm: one unit is `step`, or a factor of e.

Whole numbers are rounded after the translation, halves up. A choice among options is a coordinate from 0 to 1 in
equal parts, one per option, whose value is the option's index; so are whole numbers with at most `FEW` values, such
as a switch from 0 to 1. A parameter with equal bounds, or a single option, is held: it has its value and no
coordinate. `space_of` reads a space from a dataclass:

    @dataclass
    class Gains:
        kp: Annotated[float, Bounds(0.1, 100.0, unit="N·m/rad", scale="log")] = 1.0
        window: Annotated[int, Bounds(1, 9)] = 3
        filter: Literal["none", "median"] = "none"
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain
from policysearch.parameters import Choice, Parameter
from policysearch.registry import did_you_mean

__all__ = ["Bounds", "Choice", "Parameter", "Space", "space_of"]


@dataclass(frozen=True)
class Space:
    """Parameters in order, and the translation between the values of those searched and the optimizer's coordinates.

    Raises:
        ValueError: if there is no parameter to search, or two have the same name.
    """

    parameters: tuple[Parameter | Choice, ...]

    def __post_init__(self) -> None:
        names = self.names
        if not names:
            raise ValueError("space: expected at least one parameter, got none")
        if len(set(names)) < len(names):
            raise ValueError(f"space: expected different names, got {', '.join(names)}")
        if not self.searched:
            raise ValueError(f"space: expected a parameter to search, got only held ones: {', '.join(names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def searched(self) -> tuple[Parameter | Choice, ...]:
        """The parameters that have a coordinate, in its order: those that are not held."""
        return tuple(parameter for parameter in self.parameters if not parameter.held)

    @cached_property
    def _log(self) -> Array:
        return np.array([parameter.scale == "log" for parameter in self.searched])

    @cached_property
    def _whole(self) -> Array:
        return np.array([parameter.integer for parameter in self.searched])

    @cached_property
    def _margin(self) -> Array:
        """By which coordinates go beyond the bounds: an option at the end is as wide as the others."""
        return np.array([0.5 if parameter.few else 0.0 for parameter in self.searched])

    @cached_property
    def bounds(self) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
        """Lower and upper bounds of the values that are searched, in their own units."""
        lower = np.array([parameter.lower for parameter in self.searched], dtype=float)
        upper = np.array([parameter.upper for parameter in self.searched], dtype=float)
        return lower, upper

    @cached_property
    def _ends(self) -> tuple[Array, Array]:
        lower, upper = self.bounds
        return lower - self._margin, upper + self._margin

    @cached_property
    def origin_and_unit(self) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
        """What makes a value of a coordinate: origin + unit · coordinate (its logarithm, on that scale)."""
        lower, upper = (self._transform(bound) for bound in self._ends)
        bounded = np.isfinite(lower) & np.isfinite(upper)
        origin = np.where(bounded, lower, 0.0)
        width = np.subtract(upper, lower, out=np.ones_like(upper), where=bounded)
        steps = [abs(float(p.start)) if p.unit_of_start else p.step for p in self.searched]
        unit = np.array([w if s is None else s for w, s in zip(width, steps, strict=True)])
        return origin, unit

    def _transform(self, values: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        positive = np.maximum(values, 0.0)  # a missing lower bound, −∞, becomes log 0 = −∞
        with np.errstate(divide="ignore"):
            return np.where(self._log, np.log(np.where(self._log, positive, 1.0)), values)

    def encode(self, values: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """Values of the parameters that are searched to the optimizer's coordinates."""
        origin, unit = self.origin_and_unit
        return np.asarray((self._transform(values) - origin) / unit)

    def decode(self, coordinates: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """The optimizer's coordinates to the values of the parameters that are searched, never outside the bounds."""
        origin, unit = self.origin_and_unit
        values = coordinates * unit + origin
        with np.errstate(over="ignore"):  # infinity is clipped
            values = np.where(self._log, np.exp(np.where(self._log, values, 0.0)), values)
        values = np.clip(values, *self.bounds)
        if not self._whole.any():
            return values
        below = np.floor(values)
        return np.where(self._whole, below + (values - below >= 0.5), values)

    @property
    def revision(self) -> int:
        """2 where the same coordinates mean other values than in version 0.1.0, else 1."""
        scaled = any(p.unit_of_start and abs(float(p.start)) != 1 for p in self.searched)
        return 2 if scaled or any(p.few and isinstance(p, Parameter) for p in self.searched) else 1

    @property
    def domain(self) -> Domain:
        """Start and bounds in the optimizer's coordinates."""
        start = self.of_names({parameter.name: parameter.start for parameter in self.parameters})
        lower, upper = self._ends
        return Domain(start, self.encode(lower), self.encode(upper))

    def within(self, margin: float) -> "Space":
        """The same parameters, every range that has two ends shorter by `margin` of it (of its logarithm) at each.

        Ends of whole numbers are rounded inwards; options stay as they are. Coordinates are those of the new ranges.

        Raises:
            ValueError: for a margin outside [0, 0.5), or one that leaves a start outside or fewer than two numbers.
        """
        if not 0 <= margin < 0.5:
            raise ValueError(f"margin: expected at least 0 and less than 0.5, got {margin:g}")
        return Space(tuple(_narrowed(parameter, margin) for parameter in self.parameters))

    def fixed(self, values: Mapping[str, Any]) -> "Space":
        """The same parameters, some of which are held at these values.

        Raises:
            ValueError: for a name that no parameter has, a value outside its bounds, or if none is left to search.
        """
        if unknown := [name for name in values if name not in self.names]:
            hint = did_you_mean(unknown[0], self.names)
            raise ValueError(
                f"fixed: expected some of {', '.join(self.names)}, got {unknown[0]}; {hint}".rstrip("; ")
            )
        return Space(tuple(p.held_at(values[p.name]) if p.name in values else p for p in self.parameters))

    def named(self, coordinates: Float[Array, "d"]) -> dict[str, Any]:
        """All parameter values by name, from the optimizer's coordinates: numbers (an int if whole) and options."""
        values = zip(self.searched, self.decode(coordinates).tolist(), strict=True)
        found = {parameter.name: _said(parameter, value) for parameter, value in values}
        return {p.name: _said(p, float(p.lower)) if p.held else found[p.name] for p in self.parameters}

    def of_names(self, values: Mapping[str, Any]) -> Float[Array, "d"]:
        """The optimizer's coordinates of values by name, as `named` gives them.

        Raises:
            ValueError: for a name too many or too few, an option that is none, or another value of a held parameter.
        """
        if set(values) != set(self.names):
            raise ValueError(f"values: expected {', '.join(self.names)}, got {', '.join(values) or 'none'}")
        pairs = [(parameter, values[parameter.name]) for parameter in self.parameters]
        numbers = [p.index(x) if isinstance(p, Choice) else float(x) for p, x in pairs if not p.held]
        for p, x in pairs:
            if p.held and x != p.start:
                raise ValueError(f"{p.name}: expected {p.start}, at which it is held, got {x}")
        return self.encode(np.array(numbers, dtype=float))


def _narrowed(parameter: Parameter | Choice, margin: float) -> Parameter | Choice:
    """The parameter with its two bounds, if it has them, moved inwards."""
    lower, upper = parameter.lower, parameter.upper
    if isinstance(parameter, Choice) or parameter.held or not (math.isfinite(lower) and math.isfinite(upper)):
        return parameter
    if parameter.scale == "log":
        factor = math.exp(margin * (math.log(upper) - math.log(lower)))
        low, high = lower * factor, upper / factor
    else:
        low, high = lower + margin * (upper - lower), upper - margin * (upper - lower)
    if parameter.integer:
        rounding = 1e-12 * max(abs(lower), abs(upper))  # 0.07 · 100 is a little more than 7
        low, high = float(math.ceil(low - rounding)), float(math.floor(high + rounding))
    try:
        if not low < high:
            raise ValueError(f"{parameter.name}: expected lower < upper, got {low:g} and {high:g}")
        return dataclasses.replace(parameter, lower=low, upper=high)
    except ValueError as error:
        raise ValueError(
            f"{error}; a margin of {margin:g} moved its bounds from {lower:g} and {upper:g}: choose a smaller one, "
            "or another start"
        ) from error


def _said(parameter: Parameter | Choice, value: float) -> Any:
    if isinstance(parameter, Choice):
        return parameter.options[int(value)]
    return int(value) if parameter.integer else value


@dataclass(frozen=True)
class Bounds:
    """What the annotation of a field says of a parameter; the fields are those of `Parameter`."""

    lower: float = -math.inf
    upper: float = math.inf
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"
    step: float | None = None


def space_of(cls: type) -> Space:
    """The space of a dataclass of float, int (with `Bounds`), bool and Literal; it starts at the defaults.

    A number without a default starts in the middle of its two bounds.
    Fields with `init=False` and those of other types, such as a list, are no parameters and keep their defaults.
    `cls(**space.named(coordinates))` is then an instance.

    Raises:
        TypeError: if `cls` is no dataclass.
        ValueError: for a field without a default, a number of another type, or one that makes no sense.
    """
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"space: expected a dataclass, got {cls!r}")
    hints = get_type_hints(cls, include_extras=True)
    found = [_parameter(field, hints[field.name]) for field in dataclasses.fields(cls) if field.init]
    return Space(tuple(parameter for parameter in found if parameter is not None))


def _parameter(field: "dataclasses.Field[Any]", hint: Any) -> Parameter | Choice | None:
    """The parameter of a field; None for one of another type."""
    kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    bounds = [extra for extra in extras if isinstance(extra, Bounds)] or [Bounds()]
    start: Any = field.default
    a_number = isinstance(start, (int, float)) and not isinstance(start, bool)
    known = kind in (float, int, bool) or get_origin(kind) is Literal
    if (
        start is dataclasses.MISSING
        and kind in (float, int)
        and math.isfinite(bounds[0].upper - bounds[0].lower)
    ):
        return Parameter(field.name, **vars(bounds[0]), integer=kind is int)
    if start is dataclasses.MISSING and (known or field.default_factory is dataclasses.MISSING):
        expected = (
            "a default to start from, or two bounds" if kind in (float, int) else "a default to start from"
        )
        raise ValueError(f"{field.name}: expected {expected}, got none")
    if not known and not a_number:
        return None
    if not known:
        raise ValueError(f"{field.name}: expected float, int, bool or Literal[…], got {kind!r}")
    if kind is bool:
        return Choice(field.name, (False, True), start)
    if kind not in (float, int):
        return Choice(field.name, get_args(kind), start)
    if not a_number:
        raise ValueError(f"{field.name}: expected a number as default, got {start!r}")
    return Parameter(field.name, start, **vars(bounds[0]), integer=kind is int)
