"""What is checked of optimizers: hyperparameters when they are constructed, and whether what they need is there."""

import importlib.util
import math

from policysearch.core import Optimizer, needs_of


def positive(owner: object, *names: str) -> None:
    """Check that the named fields of `owner` are finite numbers above zero.

    Raises:
        ValueError: naming the field, what was expected and what was given.
    """
    for name in names:
        value = getattr(owner, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a positive number, got {value}")


def within(owner: object, low: float, high: float, *names: str) -> None:
    """Check that the named fields of `owner` are finite and lie in [low, high]; None is let pass.

    Raises:
        ValueError: naming the field, what was expected and what was given.
    """
    for name in names:
        value = getattr(owner, name)
        if value is None or (math.isfinite(value) and low <= value <= high):
            continue
        limits = f"at least {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else "")
        raise ValueError(f"{name}: expected {limits}, got {value}")


def one_of(owner: object, name: str, choices: tuple[str, ...]) -> None:
    """Check that the named field of `owner` is one of the choices.

    Raises:
        ValueError: naming the field, the choices and what was given.
    """
    value = getattr(owner, name)
    if value not in choices:
        expected = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
        raise ValueError(f"{name}: expected {expected}, got {value!r}")


def not_installed(optimizer: Optimizer) -> str:
    """What installs the modules that a method needs, if one of them is missing; else nothing."""
    needs = needs_of(optimizer)
    missing = any(importlib.util.find_spec(module) is None for module in needs.modules)
    return f"needs `pip install 'policysearch[{needs.extra}]'`" if missing else ""
