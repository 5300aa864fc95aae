"""The comparison of methods on equal budgets: `python -m policysearch.compare`, or from Python.

    import policysearch.compare
    comparison = policysearch.compare({"tasks": ["CartPole-v1"], "optimizers": ["cma-es", "ars"]})
    comparison.summary, comparison.pairs, comparison.curves   # pandas
    comparison.plot(); print(comparison.verdict())

The package is callable; `policysearch.compare.api.compare` is the same function.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """See `policysearch.compare.api.compare`."""
        from policysearch.compare.api import compare  # noqa: PLC0415 - heavy; `--help` answers at once

        return compare(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
