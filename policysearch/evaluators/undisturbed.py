"""Calls of a user's function that leave this process as it was: `Undisturbed(call)`.

A function may silence the output, change the working folder, or make NumPy and warnings strict, and not put it back.
Between its calls the process has its own settings, so that results are printed and searches compute as always; in its
next call the function finds what it has set. Its handler of Ctrl-C is not used again: an interrupt is for the search.
"""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return ""


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]


#: What a function may change: how it is read, and how it is set.
_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "output": (lambda: sys.stdout, lambda stream: setattr(sys, "stdout", stream)),
    "errors": (lambda: sys.stderr, lambda stream: setattr(sys, "stderr", stream)),
    "folder": (_folder, os.chdir),
    "numpy": (np.geterr, lambda handling: np.seterr(**handling)),
    "warnings": (lambda: list(warnings.filters), _set_filters),
    "interrupt": (lambda: signal.getsignal(signal.SIGINT), lambda by: signal.signal(signal.SIGINT, by)),
}


class Undisturbed:
    """`call(…)`, after which the settings of the process are those before it."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call, self._left = call, dict[str, Any]()  # what the function has set

    def __reduce__(self) -> tuple[Any, ...]:
        return Undisturbed, (self.call,)

    def __call__(self, *args: Any) -> Any:
        """What the call returns."""
        before = _settings()
        _set(self._left)
        try:
            return self.call(*args)
        finally:
            after = _settings()
            changed = [name for name in before if after[name] != before[name]]
            self._left = {name: after[name] for name in changed if name != "interrupt"}
            _set({name: before[name] for name in changed})


def _settings() -> dict[str, Any]:
    return {name: get() for name, (get, _) in _SETTINGS.items()}


def _set(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        # There may be no folder any more, another thread than the main one, a handler of C.
        with suppress(OSError, ValueError, TypeError):
            _SETTINGS[name][1](value)
