"""Digests of code: of syntax trees, so that comments, docstrings and the layout of a file may change.

A module is taken with all modules of the user that it imports, at whatever place in it. Nothing is imported to find
them. The standard library, installed packages and policysearch itself are left out: their versions are recorded.
"""

import ast
import hashlib
import linecache
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import policysearch
from policysearch.files import open_bytes

#: Fields of a syntax tree that say nothing of what the code does.
_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}
_BODIES = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def hashed(data: str | bytes) -> str:
    """A digest in 16 hexadecimal digits."""
    return hashlib.sha256(data.encode(errors="surrogatepass") if isinstance(data, str) else data).hexdigest()[
        :16
    ]


def hashed_file(path: Path) -> str:
    """The digest of what a file holds, read in parts.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is something else than a file.
    """
    with open_bytes(path, sys.maxsize) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def plain(node: Any) -> str:
    """A syntax tree as text, the same for every version of Python that has its nodes."""
    if isinstance(node, list):
        return f"[{','.join(map(plain, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if name not in _IGNORED}
    if isinstance(node, _BODIES) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    said = [f"{name}={plain(value)}" for name, value in fields.items() if value is not None and value != []]
    return f"{type(node).__name__}({','.join(said)})"


@cache
def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def source_tree(file: str) -> ast.Module | None:
    """The syntax tree of a file, or of what was typed at a prompt; None where the source is not known."""
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    return _parsed("".join(lines)) if lines else None


def function_text(code: CodeType) -> str | None:
    """The tree of a function as text; None where its source is not known.

    Lambdas that begin on the same line are distinguished by their names and constants.
    """
    tree = source_tree(code.co_filename)
    nodes = [
        node
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, _FUNCTIONS)
        if getattr(node, "name", "<lambda>") == code.co_name and _first_line(node) == code.co_firstlineno
    ]
    if len(nodes) < 2:
        return plain(nodes[0]) if nodes else None
    constants = [constant for constant in code.co_consts if not isinstance(constant, CodeType)]
    return plain(nodes) + repr((code.co_varnames, code.co_names, constants))


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def class_text(cls: type) -> str | None:
    """The tree of a class as text; None where its source is not known."""
    module = sys.modules.get(cls.__module__)
    files = {getattr(module, "__file__", None)} | {
        part.__code__.co_filename for part in vars(cls).values() if hasattr(part, "__code__")
    }
    for file in sorted(filter(None, files)):
        tree = source_tree(file)
        nodes = [
            n
            for n in (ast.walk(tree) if tree else ())
            if isinstance(n, ast.ClassDef) and n.name == cls.__name__
        ]
        if nodes:
            return plain(nodes)
    return None


@cache
def _foreign() -> tuple[Path, ...]:
    """Folders whose code is no user's: the standard library's, installed packages', and policysearch's own."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return (
        *(Path(sysconfig.get_path(name)).resolve() for name in names),
        Path(policysearch.__file__).parent.resolve(),
    )


def is_users(file: str | Path | None) -> bool:
    """Whether a file is the user's own."""
    if file is None or not Path(file).is_file():
        return False
    path = Path(file).resolve()
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not installed and not any(path.is_relative_to(folder) for folder in _foreign())


@dataclass(frozen=True)
class Module:
    """A module of the user: what it is called, where it is, and where it looks for others.

    Of a program, which is another process, `elsewhere` is true: what has been imported here says nothing of it.
    """

    name: str
    path: Path
    search: tuple[str, ...]
    elsewhere: bool = False

    @classmethod
    def of(cls, module: ModuleType) -> "Module | None":
        """A module that has been imported; None if it is not the user's."""
        file = getattr(module, "__file__", None)
        return cls(module.__name__, Path(file), tuple(sys.path)) if file and is_users(file) else None

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"file {self.name}" if self.name.endswith(".py") else f"module {self.name}"

    @property
    def digest(self) -> str:
        """Of its syntax tree; of its bytes where it has none."""
        tree = self.tree
        return hashed_file(self.path) if tree is None else hashed(plain(tree))

    @property
    def tree(self) -> ast.Module | None:
        """Its syntax tree; None for compiled code."""
        return source_tree(str(self.path)) if self.path.suffix == ".py" else None

    @property
    def imports(self) -> "Iterator[Module]":
        """The modules of the user that it imports."""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in ast.walk(self.tree or ast.Module([], [])):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = (
                    ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                    if node.level
                    else ""
                )
                base = ".".join(filter(None, (base, node.module)))
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in names:
                yield from self.found(name)

    def found(self, name: str) -> "Iterator[Module]":
        """The module of that name and the packages that it is in, as far as they are the user's."""
        search: Sequence[str] | None = self.search
        parts = name.split(".")
        for i in range(1, len(parts) + 1):
            spec = self._spec(".".join(parts[:i]), search) if search is not None else None
            if spec is None:
                return
            if spec.origin and is_users(spec.origin):
                yield replace(self, name=".".join(parts[:i]), path=Path(spec.origin))
            search = spec.submodule_search_locations

    def _spec(self, name: str, search: Sequence[str]) -> ModuleSpec | None:
        loaded = None if self.elsewhere else getattr(sys.modules.get(name), "__spec__", None)
        try:
            return loaded or PathFinder.find_spec(name, search)
        except (ImportError, ValueError):
            return None


def with_imports(module: Module) -> dict[str, str]:
    """Digests of a module and of all modules of the user that it imports, by their names."""
    found, waiting = dict[Path, Module](), [module]
    while waiting:
        here = waiting.pop()
        if here.path.resolve() not in found:
            found[here.path.resolve()] = here
            waiting += here.imports
    return {each.title: each.digest for each in found.values()}
