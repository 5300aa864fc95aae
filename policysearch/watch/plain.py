"""Numbers for a page: JSON has no NaN and no ∞."""

import math
from collections.abc import Iterable
from typing import Any


def plain(value: Any) -> Any:
    """A value of NumPy as one of Python's own; a number that is not finite as None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def numbers(values: Iterable[Any]) -> list[Any]:
    """Numbers, those that are not finite as None, with seven digits."""
    return [None if not math.isfinite(value) else float(f"{value:.7g}") for value in map(float, values)]
