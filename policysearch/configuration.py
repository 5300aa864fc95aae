"""Checks of configuration: every mistake with its place, what was expected and what was given."""

from typing import Literal

from pydantic import ConfigDict, ValidationError

from policysearch.registry import did_you_mean

#: Which returns are better.
Goal = Literal["maximise", "minimise"]
#: Ways to run rollouts; see `policysearch.tasks.make_evaluator`.
EvaluatorKind = Literal["auto", "compiled", "episodes", "pool"]
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


def messages(error: ValidationError, known: list[str]) -> list[str]:
    """Pydantic's findings as `place: what was expected, what was given`."""
    lines = []
    for finding in error.errors():
        place = ".".join(str(part) for part in finding["loc"] if part not in ("[key]",))
        if finding["type"] == "extra_forbidden":
            hint = did_you_mean(str(finding["loc"][-1]), known, f"known are {', '.join(known)}")
            lines.append(f"{place}: not an option; {hint}")
            continue
        message = finding["msg"].removeprefix("Value error, ")
        given = finding["input"]
        plain = finding["type"] != "value_error" and isinstance(given, str | int | float)
        got = f", got {given!r}" if plain else ""
        lines.append(f"{place}: {message}{got}" if place else message)
    return lines
