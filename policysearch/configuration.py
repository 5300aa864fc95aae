"""Configuration that people write: all that is wrong with it, each mistake with its place, expected and given."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from policysearch.core import Optimizer
from policysearch.optimizers import OPTIMIZERS

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


def build(method: str, options: Mapping[str, Any]) -> Optimizer:
    """The configured optimizer.

    Raises:
        ValueError: naming every hyperparameter that is unknown or out of range.
    """
    if method not in OPTIMIZERS:
        near = difflib.get_close_matches(method, OPTIMIZERS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(OPTIMIZERS)}"
        raise ValueError(f"unknown optimizer {method!r}; {hint}")
    cls = OPTIMIZERS[method]
    fields = {f.name: (f.type, f.default) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    model: type[BaseModel] = create_model(cls.__name__, __config__=STRICT, **fields)  # type: ignore[call-overload]
    try:
        checked = model(**options)
    except ValidationError as error:
        raise ValueError("; ".join(messages(error, known=list(fields)))) from error
    return cls(**{name: getattr(checked, name) for name in fields})


def messages(error: ValidationError, known: list[str]) -> list[str]:
    """Pydantic's findings as `place: what was expected, what was given`."""
    lines = []
    for finding in error.errors():
        place = ".".join(str(part) for part in finding["loc"] if part not in ("[key]",))
        if finding["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(finding["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            lines.append(f"{place}: not an option; {hint}")
            continue
        message = finding["msg"].removeprefix("Value error, ")
        given = finding["input"]
        plain = finding["type"] != "value_error" and isinstance(given, str | int | float)
        shown = f", got {given!r}" if plain else ""
        lines.append(f"{place}: {message}{shown}" if place else message)
    return lines
