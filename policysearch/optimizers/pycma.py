"""`cma`, without what it imports for its plots and its surrogate models.

Its modules `s` and `fitness_models` import matplotlib's pyplot and `scipy.stats`, which takes ten times as long as
the rest of it, and no search here uses them. They are loaded when something of them is first asked for, by the
standard library's `LazyLoader`.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

#: Modules of `cma` that are loaded when they are first used.
LATER = ("cma.fitness_models", "cma.s")


class _Finder:
    """Finds the modules of `LATER`."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in LATER else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def pycma() -> ModuleType:
    """The module `cma`.

    Raises:
        ImportError: if it is not installed.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        import cma  # noqa: PLC0415 - 0.1 s
    finally:
        sys.meta_path.remove(finder)
    return cma
