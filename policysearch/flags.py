"""Flags of command lines: options of models as flags, their types, and how they are read.

Only light modules are imported here, so that `--help` answers at once.
"""

import contextlib
import dataclasses
import sys
import tomllib
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import tyro
from pydantic.fields import FieldInfo
from tyro.conf import FlagCreatePairsOff, arg
from tyro.constructors import PrimitiveConstructorSpec

from policysearch.command_line import Refusal, show_version
from policysearch.declarations import descriptions

T = TypeVar("T")


def parsed(flags: type[T], argv: list[str], program: str, description: str | None = None) -> T:
    """The command line as an instance of `flags`; `--help`, `--version` and what cannot be read end the process."""
    if argv[:1] == ["--version"]:
        show_version()
        raise SystemExit(0)
    config = (FlagCreatePairsOff,)
    out, errors = (getattr(each, "rich_proxied_file", each) for each in (sys.stdout, sys.stderr))
    # Its own colours are not replaced.
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        return tyro.cli(flags, args=argv, prog=program, description=description, config=config)


def flag(metavar: str, default: str = "") -> Any:
    """A flag's placeholder, and its default in words."""
    return arg(metavar=metavar, help_behavior_hint=f"(default: {default})" if default else "")


Trust = Annotated[list[str], flag("MODULE …")]


def described(model: type[T]) -> type[T]:
    """A decorator: the docstring below a field of a model is its description; pydantic takes ten times as long."""
    for name, text in descriptions(model.__module__, model.__name__).items():
        model.__pydantic_fields__[name].description = text  # type: ignore[attr-defined]
    return model


def flags_of(model: Any, without: Collection[str] = ()) -> Callable[[type[T]], type[T]]:
    """A decorator that adds a flag to a dataclass for every field of `model` that is annotated with `flag`.

    The field's description is its help. A flag that is left out is None (False for a switch), so that a file, or the
    model's default, decides.

    Args:
        model: a pydantic model, or dataclass, that has its descriptions from docstrings.
        without: fields that get no flag.
    """
    options: dict[str, FieldInfo] = model.__pydantic_fields__

    def extended(flags: type[T]) -> type[T]:
        added = [
            _optional_flag(name, option, shown)
            for name, option in options.items()
            for shown in option.metadata
            if isinstance(shown, type(flag(""))) and name not in without
        ]
        described = {"__doc__": flags.__doc__, "__module__": flags.__module__}
        return dataclasses.make_dataclass(
            flags.__name__, added, bases=(flags,), namespace=described, frozen=True, kw_only=True
        )

    return extended


def _optional_flag(name: str, option: FieldInfo, shown: Any) -> tuple[str, Any, Any]:
    """Name, type and default of the flag for an option of a model, which itself checks the words of a Literal."""
    annotation: Any = option.annotation
    kinds = {kind if isinstance(kind, type) else type(kind) for kind in get_args(annotation) or (annotation,)}
    kind: Any = next((kind for plain, kind in KINDS.items() if plain in kinds), annotation | None)
    if get_origin(annotation) is list:
        kind = annotation | None
    if get_origin(annotation) is Literal:  # the model names the choices, when it refuses another
        kind = str | None
    for parser in option.metadata:
        if isinstance(parser, PrimitiveConstructorSpec):
            kind = Annotated[annotation | None, parser]
    default = () if option.default is None or kind is bool else (f"(default: {_in_short(option.default)})",)
    shown = dataclasses.replace(
        shown,
        help=" ".join((option.description or "").split()),
        help_behavior_hint=shown.help_behavior_hint or "".join(default),
    )
    return name, Annotated[kind, shown], dataclasses.field(default=False if kind is bool else None)


def _in_short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _whole(arguments: list[str]) -> int:
    if not arguments[0].removeprefix("-").isdecimal():
        raise ValueError(f"expected a whole number, got {arguments[0]!r}")
    return int(arguments[0])


def _number(arguments: list[str]) -> float:
    try:
        return float(arguments[0])
    except ValueError:
        raise ValueError(f"expected a number, got {arguments[0]!r}") from None


def optional(kind: type | tuple[type, ...], parse: Any) -> Any:
    """A flag that may be absent, with one clear message when it cannot be read."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="",
        instance_from_str=parse,
        is_instance=lambda value: value is None or isinstance(value, kind),
        str_from_instance=lambda value: [str(value)],
    )


Whole = Annotated[int | None, optional(int, _whole)]
Number = Annotated[float | None, optional((int, float), _number)]
#: Types of flags, by those of options.
KINDS: dict[Any, Any] = {bool: bool, int: Whole, float: Number, str: str | None}


def setting_value(text: str) -> Any:
    """The value in FIELD=VALUE, as TOML has it; the text itself where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def settings(
    given: list[str], flag: str = "--set", example: str = "FIELD=VALUE, as in sigma=0.2"
) -> dict[str, Any]:
    """The values of FIELD=VALUE … by field.

    Raises:
        Refusal: for what is not FIELD=VALUE.
    """
    pairs = [setting.partition("=") for setting in given]
    wrong = [f"{flag} {''.join(pair)}: expected {example}" for pair in pairs if not (pair[0] and pair[1])]
    if wrong:
        raise Refusal(wrong)
    return {field: setting_value(value) for field, _, value in pairs}
