"""Registries: named methods, policies and tasks, from the package, its wings, installed plug-ins or `module:Name`.

The engine does not import the wings (`policysearch.aibo`, `policysearch.exoskeleton`). `WINGS` names the function of
each that registers what it adds; it is called when a name is not found, or when all names are listed.
"""

import difflib
import importlib
import importlib.metadata
from collections.abc import Iterable, Iterator, MutableMapping
from functools import cache
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: What registers the built-in wings, as `module:function`.
WINGS = ("policysearch.aibo:register", "policysearch.exoskeleton:register")


@cache
def load_wings() -> None:
    """Let every wing register what it adds; the second call does nothing."""
    for wing in WINGS:
        imported(wing)()


def imported(place: str) -> Any:
    """What `module:Name` names.

    Raises:
        ValueError: if there is no such module, or no such name in it.
    """
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ValueError(f"{place}: cannot import {module}: {error}") from error
    except AttributeError as error:
        raise ValueError(f"{place}: module {module} has no {name}") from error


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The names nearest to a mistyped one, as a question; `otherwise` where none is near."""
    near = difflib.get_close_matches(name, list(known), n=3)
    return f"did you mean {' or '.join(near)}?" if near else otherwise


class Registry(MutableMapping[str, T], Generic[T]):
    """Named things of one kind, in the order in which they were registered.

    Args:
        kind: what one of them is called in messages.
        group: the entry-point group under which installed packages add their own.
        wings: whether the wings have some.
    """

    def __init__(self, kind: str, group: str, *, wings: bool = False) -> None:
        self.kind, self.group, self.wings = kind, group, wings
        self._known: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._known and self.wings:
            load_wings()
        if name not in self._known:
            for plug_in in importlib.metadata.entry_points(group=self.group, name=name):
                self._known[name] = plug_in.load()
        return self._known[name]

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
        plug_ins = importlib.metadata.entry_points(group=self.group).names
        return [*self, *sorted(plug_ins - self._known.keys())]

    def find(self, spec: str) -> T:
        """What a name or `module:Name` stands for.

        Raises:
            ValueError: for an unknown name, with the nearest ones, or what cannot be imported.
        """
        if ":" in spec and spec not in self:
            thing: T = imported(spec)
            return thing
        try:
            return self[spec]
        except KeyError:
            hint = did_you_mean(spec, self.names(), f"there are {', '.join(self.names())}")
            raise ValueError(f"unknown {self.kind} {spec!r}; {hint}") from None
