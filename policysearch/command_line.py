"""What all command lines share but for their flags (`policysearch.flags`): the frame of a command, and refusals.

Only light modules are imported here, so that a command that needs no flags answers at once.
"""

import errno
import gc
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import policysearch
from policysearch import leftovers
from policysearch.errors import INTERRUPTED, MACHINE_TROUBLE, WRONG_REQUEST, CommandError
from policysearch.streams import guarded


class Refusal(CommandError):  # noqa: N818 - it is an answer
    """What was asked for cannot be done: the messages, and the exit code."""

    def __init__(self, messages: list[str], code: int = WRONG_REQUEST) -> None:
        self.messages, self.exit_code = messages, code
        super().__init__("\n".join(messages))


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
    """Look for garbage in cycles a fiftieth as often: a command mostly makes modules, none of which is garbage."""
    newest, *older = gc.get_threshold()
    gc.set_threshold(50 * newest, *older)
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
