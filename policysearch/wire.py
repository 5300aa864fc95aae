"""What is sent to a worker process: by reference where the worker can import it, else by value.

A function of a module is sent as its name. One that a worker cannot import (typed at a prompt or in a notebook, a
lambda, one inside a function) is sent as its code, with the values that it refers to. Such messages go from a process
to the workers that it has started, and nowhere else: nothing stored or received from outside is read here.

A worker imports the script that starts it, as `multiprocessing` does, only if the script starts it below
`if __name__ == "__main__":` and defines nothing there. Without that line the import would run the script again. The
functions of a script that is not imported are sent by value.
"""

import ast
import contextlib
import sys
import types
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any


class Parcel:
    """Something for another process; `open` gives it there.

    It is packed when it is pickled, which raises whatever the objects inside raise if they cannot be sent.
    """

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __reduce__(self) -> tuple[type["_Sent"], tuple[bytes]]:
        return _Sent, (_packed(self._thing),)


class _Sent:
    """A parcel that has arrived."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def open(self) -> Any:
        """What was sent.

        Raises:
            Exception: if it cannot be rebuilt here, such as a module that cannot be imported.
        """
        return ForkingPickler.loads(self._packed)


def check(thing: Any) -> None:
    """Raise whatever the objects inside raise if they cannot be sent."""
    _packed(thing)


def _packed(thing: Any) -> bytes:
    if main_can_be_imported():
        with contextlib.suppress(Exception):  # by value then, whatever it was
            return bytes(ForkingPickler.dumps(thing))
    import cloudpickle  # noqa: PLC0415 - most have no need of it

    return bytes(cloudpickle.dumps(thing))


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """While a process is started: it is not told of a script that it must not import."""
    main = sys.modules["__main__"]
    try:
        if not main_can_be_imported():
            sys.modules["__main__"] = types.ModuleType("__main__")
        yield
    finally:
        sys.modules["__main__"] = main


def main_can_be_imported() -> bool:
    """Whether this call comes from below `if __name__ == "__main__":` in the script, where it defines nothing."""
    main = sys.modules["__main__"]
    if main.__name__ == "__mp_main__":  # it has been imported here, in a worker
        return True
    frame = sys._getframe()
    while frame.f_back is not None and not (
        frame.f_globals is vars(main) and frame.f_code.co_name == "<module>"
    ):
        frame = frame.f_back
    path = Path(getattr(main, "__file__", None) or "")
    if frame.f_globals is not vars(main) or path.name != Path(frame.f_code.co_filename).name:
        return False
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    guards = [node for node in tree.body if isinstance(node, ast.If) and "__name__" in ast.dump(node.test)]
    inside = [guard for guard in guards if guard.lineno <= frame.f_lineno <= (guard.end_lineno or 0)]
    defines = any(
        isinstance(node, ast.FunctionDef | ast.ClassDef) for guard in inside for node in ast.walk(guard)
    )
    return bool(inside) and not defines
