"""A request for a tuning, from a file and flags, checked completely.

command = "./simulate --kp {kp} --kd {kd} --seed {seed}"     # or function = "my_module:my_function"
goal = "minimise"
rollouts = 200
constraints = ["kd <= kp / 2"]
safe = true

[parameters.kp]
start = 1.0
lower = 0.1
upper = 100.0
scale = "log"

[parameters.ki]                                               # starts in the middle of its bounds
lower = 0.0
upper = 2.0

[parameters.filter]
options = ["none", "median"]
start = "none"

[parameters.load]                                             # has its value, but is not searched
start = 2.0
fixed = true

[perturb]
"twice the load" = "./simulate --load 2 --kp {kp} --kd {kd} --seed {seed}"

[metrics]                                                     # what else the program prints, and how it is better
overshoot = "minimise"
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from policysearch.asking.prompt import Prompt
from policysearch.configuration import STRICT, read_toml, validated
from policysearch.flags import described
from policysearch.space import Choice, Parameter, Space
from policysearch.tune.options import TuneSettings

#: What a person is not asked for.
UNASKED = ("command", "function", "perturb", "sensitivity_rollouts", "timeout", "template", "directory")


class ParameterChoice(BaseModel):
    """A parameter: a number between bounds, a truth value, or one of some options."""

    model_config = STRICT
    start: bool | float | int | str | None = None
    fixed: bool = False
    lower: float | None = None
    upper: float | None = None
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"
    step: float | None = None
    integer: bool = False
    options: list[bool | str | int | float] | None = None

    def build(self, name: str) -> Parameter | Choice:
        """The parameter of that name.

        Raises:
            ValueError: for one that makes no sense.
        """
        if self.start is None and (self.fixed or self.options is not None):
            expected = "its value as start" if self.fixed else "one of its options as start"
            raise ValueError(f"{name}: expected {expected}, got none")
        options = [False, True] if self.options is None and isinstance(self.start, bool) else self.options
        if options is not None:
            extra = self.model_fields_set - {"start", "options", "fixed"}
            if extra:
                raise ValueError(f"{name}: options go with start alone, got {', '.join(sorted(extra))} too")
            choice = Choice(name, tuple(options), self.start)  # type: ignore[arg-type]
            return choice.held_at(choice.start) if self.fixed else choice
        if isinstance(self.start, str):
            raise ValueError(f"{name}: expected a number as start, or options, got {self.start!r}")
        values = self.model_dump(exclude={"options", "fixed"}, exclude_none=True)
        held: dict[str, Any] = {"lower": self.start, "upper": self.start}
        parameter = Parameter(name, **(held | values if self.fixed else values))
        return parameter.held_at(parameter.start) if self.fixed else parameter


@described
class TuneRequest(TuneSettings):
    """What a file asks for: a command or a function, its parameters, and the settings."""

    command: str | None = None
    """A command line with a {placeholder} for every parameter."""

    function: str | None = None
    """A Python function, as module:name."""

    ask: bool = False
    """Whether a person tries the parameters and types what was measured."""

    parameters: dict[str, ParameterChoice] = Field(default_factory=dict)
    """The parameters by name; none if the function's annotation describes them."""

    known: str | list[dict[str, Any]] | None = None
    """Earlier tries: a CSV file, the folder of a tuning, or tables of values with their return."""

    perturb: dict[str, str] = Field(default_factory=dict)
    """Changed plants by name, on which the recommendation and the start are evaluated too."""

    @field_validator("parameters", mode="before")
    @classmethod
    def _by_whole_names(cls, tables: Any) -> Any:
        """Tables by their whole names: that of `[parameters.pid.kp]` is `pid.kp`."""
        if not isinstance(tables, dict):
            return tables
        found: dict[str, Any] = {}
        for name, table in _leaves(tables):
            if name in found:
                raise ValueError(f"expected different names, got {name} twice")
            found[name] = table
        return found

    @property
    def keywords(self) -> dict[str, Any]:
        """The settings by name, as `tune` takes them."""
        return self.model_dump(include=set(TuneSettings.model_fields))

    @model_validator(mode="after")
    def _one_of_them(self) -> "TuneRequest":
        given = [name for name in ("command", "function", "ask") if getattr(self, name) not in (None, False)]
        if len(given) != 1:
            raise ValueError(
                f"expected one of command, function and ask, got {' and '.join(given) or 'none'}"
            )
        if not self.parameters and self.function is None:
            raise ValueError("parameters: expected at least one, got none")
        return self

    def space(self) -> Space | None:
        """The parameters; None if the function's annotation says them.

        Raises:
            ValueError: for one that makes no sense.
        """
        if not self.parameters:
            return None
        return Space(tuple(choice.build(name) for name, choice in self.parameters.items()))

    def plant(self) -> Callable[..., Any] | str | Prompt:
        """What is called, or run, or who is asked.

        Raises:
            ValueError: for a function that is not there.
        """
        if self.ask:
            return Prompt()
        return self.command if self.command is not None else found(self.function or "")

    def plants(self) -> dict[str, Callable[..., Any] | str]:
        """The changed plants: commands or functions, as the plant itself.

        Raises:
            ValueError: for a function that is not there.
        """
        return {
            name: given if self.command is not None else found(given) for name, given in self.perturb.items()
        }


def _leaves(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Tables that hold something else than tables, by their whole names."""
    for name, table in tables.items():
        if isinstance(table, dict) and table and all(isinstance(inner, dict) for inner in table.values()):
            yield from _leaves(table, f"{prefix}{name}.")
        else:
            yield prefix + name, table


def read(name: str, overruled: dict[str, Any]) -> TuneRequest:
    """The request in a file, or of a `module:function`, some of it overruled by flags.

    Raises:
        ValueError: with a line for every mistake.
    """
    path, by_a_person = Path(name), "ask" in overruled
    if ":" in name and not path.exists() and not by_a_person:
        return validated(TuneRequest, {"function": name} | overruled)
    data = _loaded(path)
    if by_a_person:  # the file is there for its parameters
        data = {key: value for key, value in data.items() if key not in UNASKED}
    return validated(TuneRequest, data | overruled, f"{path}: ", ParameterChoice.model_fields)


def _loaded(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot read it: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def found(name: str) -> Callable[..., Any]:
    """The function `module:name`, also of a module in the present folder.

    Raises:
        ValueError: if there is none.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"function: expected module:name, got {name!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        raise ValueError(f"function: cannot import {name}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise ValueError(f"function: expected something to call, got {function!r}")
    return function
