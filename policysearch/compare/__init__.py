"""The comparison of methods on equal budgets: `python -m policysearch.compare`, or from Python.

    import policysearch
    comparison = policysearch.compare({"tasks": ["CartPole-v1"], "optimizers": ["cma-es", "ars"]})
    comparison.summary, comparison.pairs, comparison.curves   # pandas
    comparison.plot(); print(comparison.verdict())

The package is callable; `policysearch.compare.api.compare` is the same function.
"""

import sys

from policysearch.callable_package import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
