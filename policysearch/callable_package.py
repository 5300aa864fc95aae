"""Packages that are called like the function of the same name: `policysearch.compare(…)`, `policysearch.tune(…)`.

`python -m policysearch.compare` needs the package, and `policysearch.compare(study)` the function.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """The package `policysearch.NAME`; a call of it is a call of `policysearch.NAME.api.NAME`."""

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function, from which `inspect.signature` takes the arguments; imported at its first use."""
        return getattr(import_module(f"{self.__name__}.api"), self.__name__.rpartition(".")[2])

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """The function's result."""
        return self.__wrapped__(*arguments, **options)
