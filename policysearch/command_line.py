"""What all command lines share: flags, the frame that runs a command, and refusals.

Only light modules are imported here, so that `--help` answers at once.
"""

import contextlib
import dataclasses
import errno
import gc
import os
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import tyro
from pydantic.fields import FieldInfo
from tyro.conf import FlagCreatePairsOff, arg
from tyro.constructors import PrimitiveConstructorSpec

import policysearch
from policysearch import leftovers
from policysearch.errors import INTERRUPTED, MACHINE_TROUBLE, WRONG_REQUEST, CommandError
from policysearch.streams import guarded

T = TypeVar("T")


class Refusal(CommandError):  # noqa: N818 - it is an answer
    """What was asked for cannot be done: the messages, and the exit code."""

    def __init__(self, messages: list[str], code: int = WRONG_REQUEST) -> None:
        self.messages, self.exit_code = messages, code
        super().__init__("\n".join(messages))


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


def show_version() -> None:
    """Print name and version of the package."""
    print(f"policysearch {policysearch.__version__}")


def running(command: Callable[[], int], interrupted: str = "interrupted") -> int:
    """The exit code of a command; an error that ends it, or Ctrl-C, is printed on standard error.

    What the command has started and left, processes or threads of an environment say, does not keep the program.
    """
    before, code = leftovers.alive(), 1
    os.environ["MPLBACKEND"] = "agg"  # pictures need no window, and a notebook's backend may not be installed
    try:
        with guarded(), _seldom_collected():
            code = _exit_code(command, interrupted)
    finally:
        left = leftovers.alive() - before
        leftovers.end_children(left, leftovers.GRACE)
        leftovers.exit_without(left, code)
    return code


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Look for garbage in cycles a tenth as often: a short command mostly makes modules, none of which is garbage."""
    newest, *older = gc.get_threshold()
    gc.set_threshold(10 * newest, *older)
    try:
        yield
    finally:
        gc.set_threshold(newest, *older)


def _exit_code(command: Callable[[], int], interrupted: str) -> int:
    try:
        return command()
    except KeyboardInterrupt:
        message, code = interrupted, INTERRUPTED
    except CommandError as error:
        message, code = str(error), error.exit_code
    except (RuntimeError, OSError, MemoryError) as error:
        if (shortage := _shortage(error)) is None:
            raise
        message, code = shortage, MACHINE_TROUBLE
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return code


def _shortage(error: Exception) -> str | None:
    """What the machine has too little of, and what to do; None if the error is another."""
    if isinstance(error, MemoryError):
        return f"out of memory ({error}): fewer --workers need less; what was run is kept"
    refused = getattr(error, "errno", None) == errno.EAGAIN or "can't start new thread" in str(error)
    said = "the system starts no further process or thread for this user (see ulimit -u): end other programs, or "
    return f"{said}give fewer --workers; what was run is kept" if refused else None


def import_from_here() -> None:
    """Let `module:Name` name modules of the present folder, as with `python -m`, whatever started the program."""
    if not sys.flags.safe_path and not {"", os.getcwd()} & {*sys.path}:
        sys.path.append(os.getcwd())


@contextmanager
def not_from_here() -> Iterator[None]:
    """Import nothing from the present folder, in this process and in those that it starts.

    It may be one that was received, and `python -m` puts it first. What PYTHONPATH names stays, as does the folder
    of this package.
    """
    named = [os.path.abspath(place) for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    kept = {*named, str(Path(policysearch.__file__).parent.parent)}
    path, safe = [*sys.path], os.environ.get("PYTHONSAFEPATH")
    sys.path[:] = [place for place in path if os.path.abspath(place) != os.getcwd() or os.getcwd() in kept]
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        sys.path[:] = path
        if safe is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = safe


def trusted(modules: Collection[str]) -> None:
    """Import the modules of `--trust`.

    Raises:
        Refusal: for one that cannot be imported.
    """
    from policysearch.registry import import_module  # noqa: PLC0415 - not needed for `--help`

    try:
        for module in modules:
            import_module(module)
    except ValueError as error:
        raise Refusal([f"--trust: {error}"]) from error


def flag(metavar: str, default: str = "") -> Any:
    """A flag's placeholder, and its default in words."""
    return arg(metavar=metavar, help_behavior_hint=f"(default: {default})" if default else "")


Trust = Annotated[list[str], flag("MODULE …")]


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
