"""Files of saved vectors, as `policysearch.compare.saved` describes them: entries, and one vector by its name.

Files are read without pickle.
"""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from policysearch.files import replacing

#: The most that is read of one entry of a file, unpacked: tens of millions of parameters.
MAX_BYTES = 512 * 1024 * 1024
#: The most names that a message lists.
MAX_LISTED = 10


class Name(NamedTuple):
    """What a saved vector is called: TASK/METHOD/RUN, of a failed episode TASK/METHOD/RUN/NUMBER."""

    task: str
    optimizer: str
    run: int
    number: int | None = None

    def __str__(self) -> str:
        return "/".join(str(part) for part in self if part is not None)


def write(path: Path, header: str, vectors: Sequence[np.ndarray]) -> Path:
    """Write vectors and their header to one file atomically; the same vectors give the same bytes."""
    entries: dict[str, Any] = {"header": np.array(header)} | {str(i): x for i, x in enumerate(vectors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez_compressed(file, **entries)
    return path


def file_of(path: Path) -> Path:
    """The file at the beginning of a path that continues inside it; the whole path if there is none."""
    return next((place for place in (path, *path.parents) if place.is_file()), path)


def entries(file: Path, names: Iterable[str]) -> list[np.ndarray]:
    """The entries of a file with these names.

    Raises:
        ValueError: for one that is too large.
        OSError, KeyError: if the file, or an entry, is missing.
    """
    with zipfile.ZipFile(file) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    with np.load(file, allow_pickle=False) as arrays:
        found = []
        for name in names:
            size = sizes[f"{name}.npy"]
            if size > MAX_BYTES:
                raise ValueError(f"expected at most {MAX_BYTES} bytes, got {size}")
            found.append(arrays[name])
    return found


def chosen(names: Mapping[str, Name], file: Path, asked: PurePath) -> str:
    """The entry of the one vector that is asked for by its name, or by a part of it.

    Args:
        names: what the vectors are called, by their entries.
        file: where they are, for messages.
        asked: what follows the file in a path.

    Raises:
        ValueError: if none fits, or several.
    """
    paths = {entry: PurePath(str(name)) for entry, name in names.items()}
    found = [entry for entry, name in paths.items() if name == asked] or [
        entry for entry, name in paths.items() if _within(asked, name)
    ]
    if len(found) == 1:
        return found[0]
    known = [names[entry] for entry in found or names]
    count = f"{len(known)} saved vectors" if found else "no saved vector"
    raise ValueError(f"{file / asked}: fits {count}; expected one of {_listed(file, known)}")


def _within(part: PurePath, name: PurePath) -> bool:
    return part == PurePath() or f"/{part.as_posix()}/" in f"/{name.as_posix()}/"


def _listed(file: Path, names: Sequence[Name]) -> str:
    """The paths of saved vectors; of many the first, and what the others are made of."""
    paths = [str(file / str(name)) for name in names]
    if len(paths) <= MAX_LISTED:
        return ", ".join(paths)
    tasks, methods = dict.fromkeys(x.task for x in names), dict.fromkeys(x.optimizer for x in names)
    runs = [name.run for name in names]
    made_of = f"tasks: {', '.join(tasks)}; methods: {', '.join(methods)}; runs: {min(runs)} to {max(runs)}"
    return f"{paths[0]}, …; {made_of}"
