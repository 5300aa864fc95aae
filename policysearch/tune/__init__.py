"""Tune your own controller, a Python function or a program: `python -m policysearch.tune`, or from Python.

    import policysearch.tune
    result = policysearch.tune(function, space, rollouts=200, goal="minimise")
    print(result); result.values, result.improvement, result.history

The package is callable; `policysearch.tune.api.tune` is the same function.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """See `policysearch.tune.api.tune`."""
        from policysearch.tune.api import tune  # noqa: PLC0415 - heavy; `--help` answers at once

        return tune(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
