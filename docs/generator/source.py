"""What the source says and `inspect` does not: annotations as written, and the comments of fields."""

import ast
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Field:
    """A field of a dataclass or of a pydantic model."""

    name: str
    annotation: str
    default: str  # empty where there is none
    meaning: str  # its comment or docstring


@dataclass(frozen=True)
class Method:
    """A public method or property."""

    name: str
    signature: str  # from the parenthesis on; empty for a property
    doc: str
    kind: str  # method, classmethod, staticmethod or property


@cache
def _module(name: str) -> tuple[ast.Module, list[str]]:
    """The syntax tree of a module, which is not imported, and its lines."""
    spec = find_spec(name)
    text = Path(str(spec and spec.origin)).read_text(encoding="utf-8")
    return ast.parse(text), text.splitlines()


def doc_of(module: str) -> str:
    """The docstring of a module."""
    return ast.get_docstring(_module(module)[0]) or ""


def definition(module: str, name: str) -> tuple[ast.ClassDef | ast.FunctionDef, list[str]]:
    """The definition of a class or function in a module, and the module's lines."""
    tree, lines = _module(module)
    kinds = (ast.ClassDef, ast.FunctionDef)
    return next(node for node in tree.body if isinstance(node, kinds) and node.name == name), lines


def places(cls: type) -> list[tuple[str, str]]:
    """Module and name of a class of the package and of its bases there, the class first."""
    return [(c.__module__, c.__name__) for c in cls.__mro__ if c.__module__.startswith("policysearch")]


def fields(classes: Sequence[tuple[str, str]]) -> list[Field]:
    """The public fields of a class and its bases, given as `places`; those of the bases first."""
    found: dict[str, Field] = {}
    for module, name in reversed(classes):
        found |= {field.name: field for field in _own_fields(module, name)}
    return list(found.values())


def _own_fields(module: str, name: str) -> Iterator[Field]:
    tree, lines = definition(module, name)
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        annotation = ast.unparse(node.annotation)
        if node.target.id.startswith("_") or annotation.startswith(("ClassVar", "InitVar")):
            continue
        yield Field(
            node.target.id, annotation.replace("'", '"'), _default(node.value), _meaning(node, after, lines)
        )


def _default(value: ast.expr | None) -> str:
    """A default as written; what `Field(…)` and `field(…)` stand for."""
    if not isinstance(value, ast.Call) or ast.unparse(value.func) not in ("Field", "field"):
        return ast.unparse(value) if value else ""
    factory = [f"{ast.unparse(k.value)}()" for k in value.keywords if k.arg == "default_factory"]
    first = [ast.unparse(argument) for argument in value.args]
    return next(iter(first + factory), "")


def _meaning(node: ast.AnnAssign, after: ast.stmt | None, lines: list[str]) -> str:
    """The docstring below a field, or the comment at its end."""
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        return inspect.cleandoc(str(after.value.value))
    return lines[node.end_lineno - 1].partition("  # ")[2].partition(" # noqa")[0]


def signature(node: ast.FunctionDef, *, bound: bool = False) -> str:
    """The arguments and the result of a function, annotated as written; of a bound one without the first."""
    arguments = ast.unparse(node.args)
    if bound:
        arguments = arguments.partition(",")[2].strip()
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({arguments}){result}".replace("'", '"')


def methods(node: ast.ClassDef) -> list[Method]:
    """The public methods and properties of a class that have a docstring of their own."""
    found = []
    for item in node.body:
        if not isinstance(item, ast.FunctionDef) or item.name.startswith("_") or not ast.get_docstring(item):
            continue
        decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in item.decorator_list}
        kind = next((k for k in ("classmethod", "staticmethod") if k in decorators), "method")
        if decorators & {"property", "cached_property"}:
            found.append(Method(item.name, "", ast.get_docstring(item) or "", "property"))
        else:
            text = signature(item, bound=kind != "staticmethod")
            found.append(Method(item.name, text, ast.get_docstring(item) or "", kind))
    return found
