"""A log as a CSV file that is appended to while something runs, for other programs to read.

What continues, or is rebuilt from corrected answers, begins at its first row again: rows that are there already stay,
and from the first one that differs on they are written anew. So the file never has a row twice, whatever has ended
the program before.
"""

import csv as csv_module
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from policysearch.files import MAX_TABLE_BYTES, appended, read_bytes
from policysearch.reporting.tables import csv
from policysearch.visible import visible


class CsvLog:
    """The rows so far.

    Args:
        path: of the file; it may be there, and hold such a log.
        first: the columns with which the header of every such log begins.
        of: what such a log is of, in words.

    Raises:
        ValueError: for a file that holds something else.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path, first: Sequence[str], of: str) -> None:
        self.path = path
        self._restart()
        beginning = f"{','.join(first)},".encode()
        if not (self._there.startswith(beginning) or beginning.startswith(self._there)):
            raise ValueError(f"log: {path} holds something else than the log of {of}; name another file")

    def _restart(self) -> None:
        self._columns: list[str] = []
        self._there = read_bytes(self.path, MAX_TABLE_BYTES) if self.path.exists() else b""
        self._at = 0  # how many bytes of the file are those of the rows so far

    def append(self, rows: Sequence[Mapping[str, Any]], *, first: bool = False) -> None:
        """Write the next rows, or the `first` ones again; a column that earlier rows do not have is empty there.

        Raises:
            OSError: with the name of the file, if it cannot be written.
        """
        if first:
            self._restart()
        names = dict.fromkeys(name for row in rows for name in row)
        if new := [name for name in names if name not in self._columns]:
            before = self._texts()
            self._columns += new
            self._at = 0
            self._put(self._lines([], header=True))
            self._put(_joined([*row, *[""] * len(new)] for row in before))
        self._put(self._lines(rows))

    def _texts(self) -> list[list[str]]:
        """The cells of the rows so far, as they are in the file."""
        if not self._at:
            return []
        text = read_bytes(self.path, MAX_TABLE_BYTES)[: self._at].decode()
        return [*csv_module.reader(io.StringIO(text, newline=""))][1:]

    def _lines(self, rows: Sequence[Mapping[str, Any]], *, header: bool = False) -> bytes:
        text = csv(pd.DataFrame(list(rows), columns=self._columns))
        return visible(text if header else text.partition("\n")[2]).encode()

    def _put(self, part: bytes) -> None:
        """The next bytes of the file: written, unless they are there."""
        end = self._at + len(part)
        if self._there[self._at : end] != part:
            with appended(self.path, self._at) as file:
                rest = memoryview(part)
                while rest:
                    rest = rest[file.write(rest) :]
            self._there = b""  # nothing of it follows any more
        self._at = end


def _joined(rows: Any) -> bytes:
    text = io.StringIO(newline="")
    csv_module.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
