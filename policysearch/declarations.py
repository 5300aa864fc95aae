"""What a dataclass says of itself, read from its source: neither the class nor what it needs is imported.

    declaration("policysearch.optimizers.snes:SNES").defaults        {"population_size": None, "sigma": 0.3, …}

Only what is written as literals can be read so. A class with something else is imported.
"""

import ast
import dataclasses
import importlib.util
import inspect
import itertools
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from policysearch.registry import found


@dataclasses.dataclass(frozen=True)
class Declaration:
    """The docstring of a dataclass, the defaults of its fields, and `source`, an attribute of methods."""

    doc: str
    defaults: Mapping[str, Any]
    source: Mapping[str, Any]


def declaration(place: str) -> Declaration:
    """What the dataclass `module:Class` of this package says."""
    try:
        return _read(place)
    except (ValueError, SyntaxError, LookupError, OSError):  # something else than literals, or no source
        return declaration_of(found(place))


def declaration_of(cls: type[Any]) -> Declaration:
    """What a class says that has been imported."""
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    return Declaration(cls.__doc__ or "", defaults, getattr(cls, "source", {}))


def _read(place: str) -> Declaration:
    """As `declaration`.

    Raises:
        ValueError: for a value that is no literal.
        LookupError: for a base that is not imported by its name.
    """
    module, _, name = place.partition(":")
    tree = _tree(module)
    (cls,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    places = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    defaults: dict[str, Any] = {}
    source: Mapping[str, Any] = {}
    for base in reversed(cls.bases):
        inherited = _read(places[ast.unparse(base)])
        defaults, source = {**defaults, **inherited.defaults}, inherited.source or source
    for node in cls.body:
        if not isinstance(node, ast.AnnAssign):
            continue
        variable, of_class = ast.unparse(node.target), ast.unparse(node.annotation).startswith("ClassVar")
        if variable == "source" and node.value is not None:
            source = ast.literal_eval(node.value)
        elif not of_class:
            if node.value is None:
                raise ValueError(f"{place}: {variable} has no default")
            defaults[variable] = ast.literal_eval(node.value)
    return Declaration(ast.get_docstring(cls) or "", defaults, source)


def descriptions(module: str, name: str) -> dict[str, str]:
    """The docstrings below the fields of a class; none without its source."""
    try:
        (cls,) = (n for n in _tree(module).body if isinstance(n, ast.ClassDef) and n.name == name)
    except (ValueError, SyntaxError, LookupError, OSError):
        return {}
    return {
        ast.unparse(field.target): inspect.cleandoc(below.value.value)
        for field, below in itertools.pairwise(cls.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


@cache
def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(module)
    return ast.parse(Path(spec.origin).read_bytes())
