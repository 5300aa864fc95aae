"""What is sent to a worker process: by reference where the worker can import it, else by value.

A function of a module is sent as its name. One that a worker cannot import (typed at a prompt or in a notebook, a
lambda, one inside a function) is sent as its code, with the values that it refers to. Such messages go from a process
to the workers that it has started, and nowhere else: nothing stored or received from outside is read here.

A worker imports the script that starts it, as `multiprocessing` does, only if the script starts it below
`if __name__ == "__main__":` and defines nothing there. Without that line the import would run the script again. The
functions of a script that is not imported are sent by value. To the workers of an engine (`policysearch.engines`), on
other machines, functions of `__main__` are always sent by value; who may connect to an engine runs code there anyway.

A worker imports modules anew. What the user has changed in them since they were imported here, as in
`plant.WEIGHT = 2.0` at a prompt, is therefore sent as well; see `changed`.
"""

import ast
import contextlib
import io
import sys
import types
from collections.abc import Iterator
from functools import cache
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from policysearch.digests.code import is_users, source_tree

STANDARD_LIBRARY = str(Path(ast.__file__).parent)  # and of installed packages


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
        thing, of_main, settings = ForkingPickler.loads(self._packed)
        vars(sys.modules["__main__"]).update(of_main)
        for module, values in settings.items():
            if module in sys.modules:
                vars(sys.modules[module]).update(values)
        return thing


def message(thing: Any) -> bytes:
    """What `opened` gives back in a process of another machine, which has another `__main__` than this one."""
    return _by_value(thing)


def opened(sent: bytes) -> Any:
    """What `message` has packed, by the process that started this work and by no other.

    Raises:
        Exception: if it cannot be rebuilt here, such as a module that cannot be imported.
    """
    return _Sent(sent).open()


def check(thing: Any) -> None:
    """Raise whatever the objects inside raise if they cannot be sent."""
    _packed(thing)


def _packed(thing: Any) -> bytes:
    if main_can_be_imported():
        with contextlib.suppress(Exception):  # by value then, whatever it was
            return bytes(ForkingPickler.dumps((thing, {}, changed())))
    return _by_value(thing)


def _by_value(thing: Any) -> bytes:
    """`thing`, and next to it the functions and classes of `__main__` among it, by name.

    A worker has them in its own `__main__`, so that processes that it starts find them there.
    """
    import cloudpickle  # noqa: PLC0415 - most have no need of it

    of_main: dict[str, Any] = {}

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, type | types.FunctionType) and obj.__module__ == "__main__":
                of_main[obj.__qualname__] = obj
            return super().reducer_override(obj)

    with io.BytesIO() as file:
        Pickler(file).dump((thing, of_main, changed()))  # of_main is full when its turn comes
        return file.getvalue()


def changed() -> dict[str, dict[str, Any]]:
    """Values that modules of the user have now and did not have when they were imported, by module and name.

    These are names that a module sets to a literal other than None, so that what differs between processes (a folder
    of their own) and what begins as None (a handle that is opened once) stays as it is in a worker.
    """
    files = {name: _file_of(module) for name, module in sys.modules.copy().items()}  # threads import
    trees = {name: source_tree(file) for name, file in files.items() if file and _is_users(file)}
    found = {
        name: _changed(tree, vars(sys.modules[name]))
        for name, tree in trees.items()
        if tree is not None and name != "__main__"
    }
    return {name: values for name, values in found.items() if values}


def _file_of(module: Any) -> str | None:
    """The file of a module; one that is loaded when it is first used is not loaded for it."""
    try:
        return types.ModuleType.__getattribute__(module, "__file__")
    except (AttributeError, TypeError):  # an object that stands for a module
        return None


@cache
def _is_users(file: str) -> bool:
    return not file.startswith(STANDARD_LIBRARY) and is_users(file)  # the first is much faster


def _changed(tree: ast.Module, now: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                first[ast.unparse(target)] = _literal(ast.unparse(node.value))
    values = {name: _literal(repr(now[name])) for name in first if name in now and first[name] is not None}
    return {name: x for name, x in values.items() if x is not None and x != first[name]}


def _literal(text: str) -> Any:
    """The value of a literal; None for what is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


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
