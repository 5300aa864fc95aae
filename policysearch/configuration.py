"""Checks of configuration: every mistake with its place, what was expected and what was given."""

import codecs
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from policysearch.files import read_bytes
from policysearch.registry import did_you_mean

M = TypeVar("M", bound=BaseModel)

#: Which returns are better.
Goal = Literal["maximise", "minimise"]
#: Which hyperparameters a method has that are not named: its defaults, or those of its source where they differ.
Settings = Literal["default", "source"]
#: The most bytes of a TOML file, and the most points in one line: a name of n parts takes n² steps to read.
MAX_DOCUMENT, MAX_DOTS = 2 * 2**20, 10_000
#: The most mistakes that are listed.
MAX_MISTAKES = 50
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


def validated(model: type[M], data: Mapping[str, Any], where: str = "", nested: Iterable[str] = ()) -> M:
    """The instance of a model that holds `data`.

    Args:
        model: what is expected.
        data: its fields by name.
        where: begins every line of the error.
        nested: names of fields of the models inside it, which may be meant by a mistyped one.

    Raises:
        ValueError: with a line for every mistake.
    """
    try:
        return model(**data)
    except ValidationError as error:
        lines = messages(error, [*model.model_fields, *nested])
        raise ValueError("\n".join(f"{where}{line}" for line in lines)) from error


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file holds; it is in UTF-8, or in UTF-16 with its byte order mark.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is in another encoding, too large, or no TOML.
    """
    raw = read_bytes(path, MAX_DOCUMENT)
    if sum(line.count(b".") ** 2 for line in raw.splitlines()) > MAX_DOTS**2:
        raise ValueError(f"expected at most {MAX_DOTS:,} points in a line")
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return tomllib.loads(raw.decode("utf-16" if marked else "utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"not UTF-8: byte 0x{raw[error.start]:02X} in line {line}; save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        zeros = "; it has zero bytes, as UTF-16 has: save it as UTF-8" if b"\0" in raw and not marked else ""
        raise ValueError(f"not valid TOML: {error}{zeros}") from error
    except RecursionError:
        raise ValueError("not valid TOML: nested too deeply") from None


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no JSON.
    """
    try:
        from policysearch.plain_data import decode  # noqa: PLC0415 - NumPy, which `--help` does without

        return decode(read_bytes(path).decode())
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def check_keywords(function: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise TypeError for an unknown keyword argument, as a function without `**options` would."""
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known)
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}; {hint}".rstrip("; "))


def messages(error: ValidationError, known: list[str], within: Mapping[str, list[str]] = {}) -> list[str]:
    """Pydantic's findings as `place: what was expected, what was given`.

    Args:
        error: what it found.
        known: names of options.
        within: the names of those of a section's entries, by the section.
    """
    lines, findings = list[str](), error.errors()
    for finding in findings[:MAX_MISTAKES]:
        place = ".".join(str(part) for part in finding["loc"] if part not in ("[key]",))
        if finding["type"] == "extra_forbidden":
            names = within.get(str(finding["loc"][0]), known) if len(finding["loc"]) > 2 else known
            hint = did_you_mean(str(finding["loc"][-1]), names, f"known are {', '.join(names)}")
            lines.append(f"{place}: not an option; {hint}")
            continue
        given, message = finding["input"], _in_words(finding)
        plain = finding["type"] != "value_error" and isinstance(given, str | int | float)
        got = f", got {given!r}" if plain else ""
        lines.append(f"{place}: {message}{got}" if place else message)
    more = len(findings) - MAX_MISTAKES
    return [*lines, f"and {more} more mistakes"] if more > 0 else lines


def _in_words(finding: Any) -> str:
    """What was expected; pydantic's words where they are those of a user."""
    match finding["type"]:
        case "too_short":
            found = finding["ctx"]["actual_length"]
            return f"expected at least {finding['ctx']['min_length']}, got {found or 'none'}"
        case "dict_type" | "model_type":
            return "expected names, or a table of them"
    return str(finding["msg"]).removeprefix("Value error, ")
