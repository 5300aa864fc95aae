"""JSON text of plain data and NumPy arrays that keeps every bit, NaN and ∞ included."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def encode(value: Any) -> str:
    """JSON text of plain data and NumPy arrays; every float comes back to the last bit, NaN and ∞ too."""
    try:
        return _ENCODER.encode(value)
    except ValueError:  # it has numbers that JSON has not
        return _ENCODER.encode(_plain(value))


def for_others(value: Any) -> str:
    """JSON text for other programs, indented; null for numbers that JSON has not."""
    return json.dumps(_finite(value), indent=2, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, np.generic | np.ndarray):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def decode(text: str) -> Any:
    """The inverse of `encode`, arrays as lists.

    Raises:
        ValueError: for text that `encode` does not write, such as JSON's NaN.
    """
    try:
        return json.loads(text, object_hook=_number, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _without_numpy(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"expected plain data, got {value!r}")


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_without_numpy)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _number(found: dict[str, Any]) -> Any:
    number = found.keys() == {"float"} and found["float"] in ("nan", "inf", "-inf")
    return float(found["float"]) if number else found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def is_plain(value: Any) -> bool:
    """Whether a study file can hold this: numbers, text, truth values, lists and tables of them."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and is_plain(part) for name, part in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return isinstance(value, bool | int | float | str)
