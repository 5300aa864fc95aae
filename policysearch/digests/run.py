"""What a study runs, as digests by name: a callable with all that it holds, a command line, files."""

import functools
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MethodType
from typing import Any

from policysearch.digests import code
from policysearch.digests.values import Values, held_by, name_of
from policysearch.registry import package_of


@dataclass(frozen=True)
class Digests:
    """Digests by what they are of, and what could not be digested.

    Attributes:
        known: by name; short values as they are, versions of packages.
        unknown: what a change of is not noticed.
        changing: what a first rollout changes, which is no part of the plant's definition.
    """

    known: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    changing: tuple[str, ...] = ()

    def __or__(self, other: "Digests") -> "Digests":
        return Digests(
            {**self.known, **other.known},
            tuple(dict.fromkeys(self.unknown + other.unknown)),
            tuple(dict.fromkeys(self.changing + other.changing)),
        )

    def without_state(self, after: "Digests") -> "Digests":
        """These digests without what differs in those of `after` a rollout."""
        names = {**self.known, **after.known}
        changing = [name for name in names if after.known.get(name) != self.known.get(name)]
        known = {name: text for name, text in self.known.items() if name not in changing}
        return Digests(known, self.unknown, tuple(changing))

    def continued(self, now: "Digests") -> "Digests":
        """The digests of now, less what a first rollout changes."""
        known = {name: text for name, text in now.known.items() if name not in self.changing}
        return replace(now, known=known, changing=self.changing)

    def differences(self, now: "Digests") -> list[str]:
        """What is not as it was, in words; what is new belongs to new tasks, or to code that has changed."""
        lines = []
        for name, was in self.known.items():
            is_ = now.known.get(name)
            if was == is_ or name in self.changing:
                continue
            hidden = any(text is None or _is_digest(text) for text in (was, is_))
            lines.append(f"{name} has changed" if hidden else f"{name} was {was}, is {is_}")
        return lines

    def document(self) -> dict[str, Any]:
        """The digests as plain data; `Digests.of` is the inverse."""
        return {"known": dict(self.known), "unknown": list(self.unknown), "changing": list(self.changing)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Digests":
        """The digests in a document of a ledger."""
        known, unknown, changing = (document.get(name) or () for name in ("known", "unknown", "changing"))
        return cls(dict(known), tuple(unknown), tuple(changing))


def _is_digest(text: str) -> bool:
    return text.startswith("digest ") or (len(text) == 16 and set(text) <= set("0123456789abcdef"))


def of_object(thing: Any) -> Digests:
    """The digests of a callable or an object: its code with the modules of the user that it imports, and its values.

    Of what an installed package holds, the digest is the version.
    """
    values = Values()
    inner: Any = thing
    while isinstance(inner, functools.partial):
        values.add_all(
            f"{name_of(inner)}.",
            {**inner.keywords, **{f"argument {i + 1}": a for i, a in enumerate(inner.args)}},
        )
        inner = inner.func
    if isinstance(inner, MethodType) and not isinstance(inner.__self__, type):
        inner, owner = inner.__func__, inner.__self__
        values.add_all(f"{type(owner).__name__}.", held_by(owner) or {})
    elif not isinstance(inner, type) and not hasattr(inner, "__code__") and held_by(inner):
        values.add_all(f"{type(inner).__name__}.", held_by(inner) or {})
        inner = type(inner)
    try:
        values.text(inner)
    except Exception:  # whatever the user's objects raise when they are looked at
        values.unknown.append(name_of(inner))
    return Digests(values.found, tuple(values.unknown)) | _package_of(inner)


def _package_of(thing: Any) -> Digests:
    """The version of the installed package that holds something."""
    module = str(getattr(thing, "__module__", None) or getattr(thing, "__name__", ""))
    top, loaded = module.partition(".")[0], sys.modules.get(module)
    if top in ("", "policysearch", *sys.stdlib_module_names) or code.is_users(
        getattr(loaded, "__file__", None)
    ):
        return Digests()
    package = package_of(top)
    return Digests({f"package {package[0]}": package[1]} if package else {})


def of_module(name: str) -> Digests:
    """The digests of a module that has been imported, with those that it imports; nothing for an empty name."""
    loaded = sys.modules.get(name)
    if loaded is None:
        return Digests()
    users = code.Module.of(loaded)
    return _package_of(loaded) if users is None else Digests(code.with_imports(users))


def of_files(names: Sequence[str | Path], folder: Path = Path()) -> Digests:
    """The digests of files, and of folders with all files in them.

    Raises:
        ValueError: for one that cannot be read.
    """
    known = {}
    for name in names:
        path = folder / name
        try:
            if path.is_dir():
                files = sorted(each for each in path.rglob("*") if each.is_file())
                held = [f"{each.relative_to(path)} {code.hashed_file(each)}" for each in files]
                known[f"folder {path}"] = code.hashed("\n".join(held))
            else:
                known[f"file {path}"] = code.hashed_file(path)
        except (OSError, ValueError) as error:
            place, why = getattr(error, "filename", None) or path, getattr(error, "strerror", None) or error
            raise ValueError(f"depends: cannot read {place}: {why}") from error
    return Digests(known)


def of_command(command: str, folder: Path = Path()) -> Digests:
    """The digests of the files that a command line names, of a Python script with what it imports.

    A program that is found by its name alone, such as python3, belongs to the machine.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return Digests()
    found = Digests()
    for i, word in enumerate(words):
        path = folder / word.rpartition("=")[2] if word.startswith("-") else folder / word
        if (i == 0 and "/" not in word and shutil.which(word)) or not path.is_file():
            if i and words[i - 1] == "-m":
                found |= _script(word, None, folder)
        elif path.suffix == ".py":
            found |= _script("", path, folder)
        else:
            found |= of_files([path])
    return found


def _script(name: str, path: Path | None, folder: Path) -> Digests:
    """A Python script, or a module that `python -m` runs, with the modules of the user that it imports."""
    search = (str(path.parent if path else folder.absolute()), *sys.path)
    if path is None:
        start = code.Module("", folder / "none.py", search, elsewhere=True)
        modules = [*start.found(name), *start.found(f"{name}.__main__")]
    else:
        modules = [code.Module(path.name, path, search, elsewhere=True)]
    return Digests({key: text for module in modules for key, text in code.with_imports(module).items()})
