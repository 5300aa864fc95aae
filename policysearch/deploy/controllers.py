"""Controllers in files: their class and fields, and the controller again. Their laws are compiled, by Numba."""

import dataclasses
import importlib
from typing import Any

from policysearch.core import Policy
from policysearch.parameters import parameter_of
from policysearch.policies.controller import CompiledController
from policysearch.space import Space

PACKAGE = "policysearch."


def described(policy: Policy) -> dict[str, Any] | None:
    """The class and the fields of a controller of this package; None for anything else."""
    kind = type(policy)
    if not isinstance(policy, CompiledController) or not kind.__module__.startswith(PACKAGE):
        return None
    fields = dataclasses.asdict(policy)  # type: ignore[call-overload]
    return {"controller": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}


def rebuilt(form: dict[str, Any]) -> CompiledController:
    """The controller of a form.

    Raises:
        ValueError: for one that this package does not have, or whose fields do not fit.
    """
    module, _, name = str(form["controller"]).partition(":")
    if not module.startswith(PACKAGE):
        raise ValueError(f"controller: expected one of policysearch, got {form['controller']!r}")
    kind = getattr(importlib.import_module(module), name, None)
    if not (isinstance(kind, type) and issubclass(kind, CompiledController)):
        raise ValueError(f"controller: {module} has no controller {name}")
    fields = {name: _value(name, value) for name, value in form["fields"].items()}
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(f"controller {name}: {error}") from error


def _value(name: str, value: Any) -> Any:
    if name == "space":
        return Space(tuple(map(parameter_of, value["parameters"])))
    return tuple(_value("", part) for part in value) if isinstance(value, list) else value
