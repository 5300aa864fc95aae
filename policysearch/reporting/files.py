"""Files that are written completely or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary file to write to, which replaces `path` when it is complete."""
    partial = path.with_name(path.name + ".part")
    yield partial
    partial.replace(path)
