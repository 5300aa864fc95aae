"""One parameter of a controller: a number with bounds, or a choice among options."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

#: Whole numbers of at most so many values share the coordinate equally, as options do (choice).
FEW = 5


@dataclass(frozen=True)
class Parameter:
    """One number that a controller needs; with equal bounds it is held at its start.

    A start that is left out is the middle of two bounds on the parameter's scale: on a logarithmic one, the root of
    their product. That of whole numbers is rounded, halves up.

    Raises:
        ValueError: for a start outside the bounds, or none without two bounds; for bounds in the wrong order, a
            logarithmic scale that meets zero, or a number that is not finite where it must be.
    """

    name: str
    start: float = None  # type: ignore[assignment]  # a number as soon as it is made
    lower: float = -math.inf
    upper: float = math.inf
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"
    step: float | None = None  # one unit of the optimizer; None: the range if bounded, else |start|, or 1
    integer: bool = False  # whole numbers only; needs two bounds

    def __post_init__(self) -> None:
        if math.isnan(self.lower) or math.isnan(self.upper) or not self.lower <= self.upper:
            raise ValueError(f"{self.name}: expected lower <= upper, got {self.lower:g} and {self.upper:g}")
        if self.scale not in ("linear", "log"):
            raise ValueError(f"{self.name}: expected scale 'linear' or 'log', got {self.scale!r}")
        if self.start is None:
            object.__setattr__(self, "start", self._middle())
        if not math.isfinite(self.start) or not self.lower <= self.start <= self.upper:
            expected = f"a start between {self.lower:g} and {self.upper:g} {self.unit}".rstrip()
            raise ValueError(f"{self.name}: expected {expected}, got {self.start:g}")
        if self.scale == "log" and not (self.start > 0 and (self.lower > 0 or self.lower == -math.inf)):
            raise ValueError(
                f"{self.name}: a logarithmic scale needs positive numbers, "
                f"got start {self.start:g}, lower {self.lower:g}"
            )
        if self.step is not None and not 0 < self.step < math.inf:
            raise ValueError(f"{self.name}: expected a positive step, got {self.step}")
        if self.integer:
            for what in ("lower", "upper", "start"):
                if not float(number := getattr(self, what)).is_integer():
                    raise ValueError(f"{self.name}: expected a whole number as {what}, got {number:g}")

    def _middle(self) -> float:
        """The middle of the bounds on the scale.

        Raises:
            ValueError: if there are not two, or a logarithmic scale meets zero.
        """
        lower, upper = float(self.lower), float(self.upper)
        if not (math.isfinite(lower) and math.isfinite(upper)):
            raise ValueError(
                f"{self.name}: expected a start, or two bounds, in whose middle it is then, "
                f"got bounds {lower:g} and {upper:g}"
            )
        if self.scale == "log" and lower <= 0:
            raise ValueError(f"{self.name}: a logarithmic scale needs positive numbers, got lower {lower:g}")
        middle = math.sqrt(lower) * math.sqrt(upper) if self.scale == "log" else lower / 2 + upper / 2
        return float(math.floor(middle + 0.5)) if self.integer else min(max(middle, lower), upper)

    def held_at(self, value: Any) -> "Parameter":
        """The same parameter, which has this value and is not searched.

        Raises:
            ValueError: for a value outside the bounds, or that is no number.
        """
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{self.name}: expected a number, got {value!r}")
        dataclasses.replace(self, start=value)  # or it is refused
        return dataclasses.replace(self, start=value, lower=value, upper=value)

    @property
    def held(self) -> bool:
        """Whether there is only one value."""
        return self.lower == self.upper

    @property
    def few(self) -> bool:
        """Whether it is a whole number with at most `FEW` values, on a linear scale and without a step of its own."""
        return self.integer and self.upper - self.lower < FEW and self.scale == "linear" and self.step is None

    @property
    def unit_of_start(self) -> bool:
        """Whether one unit of the optimizer is the size of the start, as nothing else says what it is."""
        bounded = math.isfinite(self.lower) and math.isfinite(self.upper)
        return self.step is None and self.scale == "linear" and not bounded and abs(self.start) > 1e-100


@dataclass(frozen=True)
class Choice:
    """One of several options; its value is the option's index. A single option is held.

    Raises:
        ValueError: for no options, equal ones, or a start that is none of them.
    """

    name: str
    options: tuple[str | float, ...]
    start: str | float

    unit: ClassVar[str] = ""
    scale: ClassVar[Literal["linear", "log"]] = "linear"
    integer: ClassVar[bool] = True
    few: ClassVar[bool] = True
    unit_of_start: ClassVar[bool] = False
    lower: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if len(set(self.options)) < max(1, len(self.options)):
            raise ValueError(f"{self.name}: expected different options, got {self.options}")
        self.index(self.start)

    @property
    def upper(self) -> float:
        """The last option's index."""
        return len(self.options) - 1.0

    @property
    def held(self) -> bool:
        """Whether there is only one option."""
        return len(self.options) == 1

    @property
    def step(self) -> float:
        """One unit of the optimizer goes through all options."""
        return float(len(self.options))

    def held_at(self, option: str | float) -> "Choice":
        """The same choice, which has this option and is not searched.

        Raises:
            ValueError: for what is no option.
        """
        self.index(option)
        return dataclasses.replace(self, options=(option,), start=option)

    def index(self, option: str | float) -> int:
        """The place of an option.

        Raises:
            ValueError: for what is no option.
        """
        if option not in self.options:
            expected = ", ".join(map(repr, self.options))
            raise ValueError(f"{self.name}: expected one of {expected}, got {option!r}")
        return self.options.index(option)


def parameter_of(document: Mapping[str, Any]) -> Parameter | Choice:
    """The inverse of `dataclasses.asdict`, from plain data."""
    if "options" in document:
        return Choice(document["name"], tuple(document["options"]), document["start"])
    return Parameter(**document)
