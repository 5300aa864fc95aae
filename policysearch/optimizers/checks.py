"""The check of hyperparameters that every optimizer makes when it is constructed."""

import math
from typing import Any


def require(owner: Any, **ranges: tuple[float, float]) -> None:
    """Check that the named fields of `owner` are finite numbers within their ranges.

    A lower limit of the float `0.0` is exclusive (the field must be positive); every other limit is
    inclusive. A field that is None is not checked.

    Raises:
        ValueError: naming the field, what was expected and what was given.
    """
    for name, (low, high) in ranges.items():
        value = getattr(owner, name)
        if value is None:
            continue
        positive = isinstance(low, float) and low == 0.0
        if math.isfinite(value) and low <= value <= high and not (positive and value <= 0):
            continue
        expected = "a positive number" if positive else f"at least {low:g}"
        expected += f", at most {high:g}" if math.isfinite(high) else ""
        raise ValueError(f"{name}: expected {expected}, got {value}")
