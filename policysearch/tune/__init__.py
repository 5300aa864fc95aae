"""Tune your own controller, a Python function or a program: `python -m policysearch.tune`, or from Python.

    import policysearch
    result = policysearch.tune(function, space, rollouts=200, goal="minimise")
    print(result); result.values, result.improvement, result.history

The package is callable; `policysearch.tune.api.tune` is the same function.
"""

import sys

from policysearch.callable_package import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
