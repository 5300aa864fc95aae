"""Digests of values: as text that is the same whenever they are, in every process."""

import dis
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from policysearch.digests import code
from policysearch.digests.code import hashed

#: Values whose `repr` says all.
_SIMPLE = (
    type(None), bool, int, float, complex, str, bytes, type(...), range, Enum, PurePath,
    date, time, timedelta, Decimal, Fraction,
)  # fmt: skip
#: Values of more parts than this are not digested (choice).
MAX_PARTS = 100_000
#: Values in fewer letters are kept as they are, for messages.
SHORT = 40


class Unknown(Exception):  # noqa: N818 - it states what was found
    """A value that cannot be digested."""


class Values:
    """The values that code holds, as text, and what code they lead to.

    Attributes:
        found: digests by what they are of.
        unknown: names of the values that cannot be digested.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.unknown: list[str] = []
        self._functions: list[FunctionType] = []
        self._open: set[int] = set()  # what is being written, so that circles end
        self._parts = 0

    def add(self, name: str, value: Any) -> None:
        """Digest a value under a name."""
        try:
            text = self.text(value)
        except Unknown:
            self.unknown.append(name)
        else:
            self.found[name] = text if len(text) <= SHORT else f"digest {hashed(text)}"

    def add_all(self, place: str, values: Mapping[str, Any]) -> None:
        """Digest every one of some named values."""
        for name, value in values.items():
            self.add(f"{place}{name}", value)

    def text(self, value: Any) -> str:
        """A value as text.

        Raises:
            Unknown: for one that has no text which is the same in every process.
        """
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Unknown
        if isinstance(value, _SIMPLE):
            return repr(value)
        if isinstance(value, np.generic | np.ndarray):
            return self._array(np.asarray(value))
        if id(value) in self._open:
            return "…"
        self._open.add(id(value))
        try:
            return self._compound(value)
        finally:
            self._open.discard(id(value))

    def _array(self, array: np.ndarray) -> str:
        if array.dtype == object:
            return self._several("array", array.ravel().tolist())
        return f"array {array.dtype} {array.shape} {hashed(np.ascontiguousarray(array).tobytes())}"

    def _several(self, kind: str, parts: Iterable[Any]) -> str:
        return f"{kind}[{', '.join(map(self.text, parts))}]"

    def _compound(self, value: Any) -> str:
        if isinstance(value, list | tuple):
            return self._several(type(value).__name__, value)
        if isinstance(value, set | frozenset):
            return f"set[{', '.join(sorted(map(self.text, value)))}]"
        if isinstance(value, dict):
            return self._several("dict", value.items())
        if isinstance(
            value, ModuleType | type | FunctionType | MethodType | BuiltinFunctionType | functools.partial
        ):
            return self._code(value)
        return self._object(value)

    def _object(self, value: Any) -> str:
        """An object by what it holds."""
        for attribute in ("py_func", "__wrapped__"):  # Numba's functions, and decorated ones
            if isinstance(inner := getattr(value, attribute, None), FunctionType):
                return self._code(inner)
        if hasattr(value, "__array__"):
            return self._array(np.asarray(value))
        held = value.bit_generator.state if isinstance(value, np.random.Generator) else held_by(value)
        if held is None:
            raise Unknown
        return f"{self._class(type(value))}{self._several('', held.items())}"

    def _module(self, name: str) -> str:
        module = sys.modules.get(name)
        users = code.Module.of(module) if module is not None else None
        if users is not None and f"module {name}" not in self.found:
            self.found |= code.with_imports(users)
        return f"module {name}"

    def _class(self, cls: type) -> str:
        name = f"{cls.__module__}.{cls.__qualname__}"
        if cls.__module__ == "__main__":
            self.found[f"class {cls.__qualname__}"] = hashed(code.class_text(cls) or name)
        else:
            self._module(cls.__module__)
        for base in cls.__bases__:
            if base.__module__ not in ("builtins", cls.__module__):
                self._class(base)
        return name

    def _code(self, value: Any) -> str:
        """A module, a class or a callable, by its name; what it is made of is added to `found`."""
        if isinstance(value, ModuleType):
            return self._module(value.__name__)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, functools.partial):
            return self._several("partial", [value.func, value.args, value.keywords])
        if isinstance(value, MethodType):
            return self._several("method", [value.__func__, value.__self__])
        if isinstance(value, FunctionType):
            self.add_function(value)
        return f"{value.__module__}.{value.__qualname__}"

    def add_function(self, function: FunctionType) -> None:
        """The code of a function, and all that it holds or refers to."""
        body, name = function.__code__, function.__qualname__.replace("<locals>.", "")
        if function in self._functions or not _is_users(function):
            return
        self._functions.append(function)
        if function.__module__ != "__main__":
            self._module(function.__module__)
        text = code.function_text(body)
        before = self.found.get(f"function {name}", "")  # of another of the same name, such as a lambda
        self.found[f"function {name}"] = hashed(before + (_bytecode(body) if text is None else text))
        cells = zip(body.co_freevars, function.__closure__ or (), strict=True)
        self.add_all("", {held: _content(cell) for held, cell in cells})
        self.add_all(f"default of {name}.", _defaults(function))
        self.add_all("", _globals(function))


def _is_users(function: FunctionType) -> bool:
    """Whether a function is the user's: in a file of theirs, or typed at a prompt."""
    file = function.__code__.co_filename
    return code.is_users(file) or file.startswith("<") or function.__module__ == "__main__"


def held_by(value: Any) -> dict[str, Any] | None:
    """What an object holds, by name; None where that is not known."""
    slots = [name for cls in type(value).__mro__ for name in _slots(cls) if hasattr(value, name)]
    if not hasattr(value, "__dict__") and not slots:
        return None
    return {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in slots}}


def _slots(cls: type) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else slots
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def _defaults(function: FunctionType) -> dict[str, Any]:
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    values = function.__defaults__ or ()
    return dict(zip(names[len(names) - len(values) :], values, strict=True)) | (function.__kwdefaults__ or {})


def _globals(function: FunctionType) -> dict[str, Any]:
    """The globals that a function refers to, without those of policysearch."""
    return {
        name: function.__globals__[name]
        for name in sorted(_global_names(function.__code__))
        if name in function.__globals__
        and not str(getattr(function.__globals__[name], "__module__", "")).startswith("policysearch")
    }


def _global_names(body: CodeType) -> set[str]:
    names = {
        step.argval for step in dis.get_instructions(body) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return names.union(*(_global_names(part) for part in body.co_consts if isinstance(part, CodeType)))


def _bytecode(body: CodeType) -> str:
    """Compiled code as text, for functions without a source."""
    constants = [_bytecode(part) if isinstance(part, CodeType) else repr(part) for part in body.co_consts]
    return repr((sys.version_info[:2], body.co_code, body.co_names, body.co_varnames, constants))


def name_of(function: Callable[..., Any]) -> str:
    """What a callable is called in messages."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", type(function).__qualname__).replace("<locals>.", "")
