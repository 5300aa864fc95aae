"""Registries: named methods, policies and tasks, from the package, its wings, installed plug-ins or `module:Name`.

The engine does not import the wings (`policysearch.aibo`, `policysearch.exoskeleton`). `WINGS` names the function
that declares what they add; it is called when a name is not found, or when all names are listed.

A plug-in is what an installed package declares as an entry point, or anything that can be imported, as `module:Name`.
It is not added to the registered names: what a list or a default comparison has does not depend on what is installed.
"""

import difflib
import importlib
import importlib.metadata
import operator
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from policysearch.errors import CommandError

T = TypeVar("T")

#: The extras that install modules which not everybody needs.
EXTRAS = {
    "cmaes": "cmaes",
    "torch": "torch",
    "optuna": "bo",
    "mujoco": "mujoco",
    "pygame": "video",
} | dict.fromkeys(("starlette", "uvicorn", "websockets"), "lab")

#: Modules of plug-ins that this process was asked to import, by a request or with `--trust`.
_asked_for: set[str] = set()

#: What declares the names that the built-in wings add, as `module:function`; it imports none of them.
WINGS = "policysearch.wings:declare"
#: Wings that register environments with Gymnasium when they are imported.
WITH_ENVIRONMENTS = ("policysearch.aibo",)


@cache
def load_wings() -> None:
    """Declare what the wings add; the second call does nothing."""
    found(WINGS)()


def load_environments() -> None:
    """Let every wing register its environments."""
    for wing in WITH_ENVIRONMENTS:
        importlib.import_module(wing)


def import_module(name: str) -> ModuleType:
    """A module, also one of the user.

    Raises:
        ValueError: if it cannot be imported, with what to do.
    """
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever runs when it is imported
        advice = install_hint(error) or "install it, or name its folder in PYTHONPATH"
        raise ValueError(f"cannot import {name}: {type(error).__name__}: {error}; {advice}") from error
    _asked_for.add(name)
    return module


def is_imported(module: str) -> bool:
    """Whether a module was asked for and imported in this process; what a file names is imported in no other case."""
    return module in _asked_for and module in sys.modules


class NotTrusted(CommandError, ValueError):  # noqa: N818 - it is an answer
    """A file names modules that are imported only if that was asked for."""


def check_trusted(file: Path | str, modules: Iterable[str]) -> None:
    """Check that the modules that a file names were imported because that was asked for.

    Raises:
        NotTrusted: naming those that were not.
    """
    if unknown := sorted({module for module in modules if not is_imported(module)}):
        raise NotTrusted(
            f"{file}: names {', '.join(unknown)}, which is not part of policysearch: modules that a file names are "
            f"not imported; if you trust it, import it with --trust {' '.join(unknown)}, and name its folder in "
            "PYTHONPATH, as the present folder is not searched"
        )


def install_hint(error: BaseException) -> str:
    """What installs the module that an import lacked, if an extra of this package has it; else nothing."""
    extra = EXTRAS.get((getattr(error, "name", None) or "").partition(".")[0])
    return f"pip install 'policysearch[{extra}]'" if extra else ""


def found(place: str) -> Any:
    """What `module:Name` names in this package."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def imported(place: str) -> Any:
    """What `module:Name` names; the name may have dots, as in `module:Class.method`.

    Raises:
        ValueError: if the module cannot be imported, or has no such name.
    """
    module, _, name = place.partition(":")
    found = import_module(module)
    try:
        return operator.attrgetter(name)(found)
    except AttributeError as error:
        raise ValueError(f"module {module} has no {name}") from error


@cache
def entry_points(group: str) -> dict[str, EntryPoint]:
    """What installed packages declare in an entry-point group, by name."""
    return {entry.name: entry for entry in declared().select(group=group)}


@cache
def declared() -> Any:
    """What installed packages declare, in all groups: their files are read once."""
    return importlib.metadata.entry_points()


@cache
def package_of(module: str) -> tuple[str, str] | None:
    """Name and version of the installed package that has a module; None for a file of one's own."""
    top = module.partition(".")[0]
    try:
        return top, importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:  # it has another name, or there is none
        names = _distributions().get(top, [])
    return (names[0], importlib.metadata.version(names[0])) if names else None


@cache
def _distributions() -> Mapping[str, list[str]]:
    """The installed packages by their modules; to look for them takes seconds."""
    return importlib.metadata.packages_distributions()


def version_of(module: str) -> str:
    """Name and version of the installed package that has a module; `unversioned` for a file of one's own."""
    package = package_of(module)
    return " ".join(package) if package else "unversioned"


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The names nearest to a mistyped one, as a question; `otherwise` where none is near.

    Those that differ in capitals, hyphens, underscores and spaces only are the nearest.
    """
    names = list(known)
    same = [other for other in names if _plain(other) == _plain(name)]
    near = same or difflib.get_close_matches(name, names, n=3)
    return f"did you mean {' or '.join(near)}?" if near else otherwise


def _plain(name: str) -> str:
    return re.sub(r"[-_\s]", "", name).casefold()


@dataclass(frozen=True)
class Declared(Generic[T]):
    """A thing that is made when it is first used."""

    make: Callable[[], T]
    said: str


class Registry(MutableMapping[str, T], Generic[T]):
    """Named things of one kind, in the order in which they were registered; some are made when they are first used.

    Args:
        kind: what one of them is called in messages.
        group: the entry-point group under which installed packages add their own.
        wings: whether the wings have some.
    """

    def __init__(self, kind: str, group: str, *, wings: bool = False) -> None:
        self.kind, self.group, self.wings = kind, group, wings
        self._known: dict[str, T | Declared[T]] = {}

    def declare(self, name: str, make: Callable[[], T], said: str = "") -> None:
        """Register what `make` makes when it is first used.

        Args:
            name: its name.
            make: imports what it needs.
            said: what a list needs to know of it before it is made.
        """
        self._known[name] = Declared(make, said)

    def declared(self, name: str) -> str | None:
        """What was said of a thing that is not made yet; None of one that is."""
        return known.said if isinstance(known := self._known[name], Declared) else None

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise KeyError(name)
        known = self._known[name]
        if isinstance(known, Declared):
            known = self._known[name] = known.make()
        return known

    def __contains__(self, name: object) -> bool:
        if name not in self._known and self.wings:
            load_wings()
        return name in self._known

    def __setitem__(self, name: str, thing: T) -> None:
        self._known[name] = thing

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        if self.wings:
            load_wings()
        return iter(self._known)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def names(self) -> list[str]:
        """All names, those of installed plug-ins last."""
        return [*self, *sorted(entry_points(self.group).keys() - self.keys())]

    def module_of(self, spec: str) -> str:
        """The module of a plug-in; empty for what the package has, or for an unknown name."""
        if spec in self:
            return ""
        entry = entry_points(self.group).get(spec)
        module, colon, _ = spec.partition(":")
        return entry.module if entry else module if colon else ""

    def outside(self, spec: str) -> list[str]:
        """The module of a plug-in, in a list; none for what the package or an installed plug-in has."""
        module = "" if spec in entry_points(self.group) else self.module_of(spec)
        return [module] if module else []

    def is_at_hand(self, spec: str) -> bool:
        """Whether `find` imports nothing for it but an installed plug-in, or what was asked for and is imported."""
        known = spec in self or spec in entry_points(self.group)
        return known or is_imported(self.module_of(spec))

    def find(self, spec: str) -> T:
        """What a name or `module:Name` stands for.

        Raises:
            ValueError: for an unknown name, with the nearest ones, or what cannot be imported.
        """
        if spec in self:
            return self[spec]
        entry = entry_points(self.group).get(spec)
        if entry is None and ":" not in spec:
            otherwise = f"there are {', '.join(self.names())}, and module:Name"
            raise ValueError(f"unknown {self.kind} {spec!r}; {did_you_mean(spec, self.names(), otherwise)}")
        try:
            thing: T = imported(f"{entry.module}:{entry.attr}" if entry else spec)
        except ValueError as error:
            raise ValueError(f"{self.kind} {spec}: {error}") from error
        return thing

    def versions(self, spec: str) -> dict[str, str]:
        """What is kept with results of a plug-in: its module and version; nothing for what the package has."""
        module, entry = self.module_of(spec), entry_points(self.group).get(spec)
        if not module:
            return {}
        known = entry.dist if entry else None
        return {f"plug-in {module}": f"{known.name} {known.version}" if known else version_of(module)}
