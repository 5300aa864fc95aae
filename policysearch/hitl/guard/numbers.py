"""What counts as a number where a person's safety depends on it, and settings that have to be positive."""

import math

import numpy as np


def number(value: object) -> float:
    """`value` as a float; NaN for what is not a real number (a truth value, text, an array, …)."""
    if isinstance(value, (bool, np.timedelta64)):
        return math.nan
    if not isinstance(value, (float, int, np.floating, np.integer)):
        return math.nan
    try:
        return float(value)
    except Exception:  # an integer that no float holds, or a class made to break this
        return math.nan


def positive(owner: object, *names: str, zero: bool = False) -> None:
    """Check that the named fields of `owner` are finite numbers above zero, or zero where that is allowed.

    Raises:
        ValueError: naming the field, what was expected and what was given.
    """
    for name in names:
        value = getattr(owner, name)
        found = number(value)
        if not (math.isfinite(found) and (found > 0.0 or (zero and found == 0.0))):
            expected = "zero or a positive number" if zero else "a positive number"
            raise ValueError(f"{name}: expected {expected}, got {value!r}")
