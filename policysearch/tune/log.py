"""A log of a running search as a CSV file: a row per rollout, in the order in which they were proposed.

Rows are appended when their generation is complete. A search that continues, or is rebuilt from corrected answers,
begins at its first row again: rows that are there already stay, and from the first one that differs on they are
written anew. So the file never has a row twice, whatever has ended the search before.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from policysearch.files import MAX_TABLE_BYTES, appended, read_bytes
from policysearch.reporting.tables import csv
from policysearch.tune.records import Measurement

#: How the header of every log begins.
BEGINNING = b"generation,candidate,episode,purpose,"


class CsvLog:
    """The rows of a search so far.

    Args:
        path: of the file; it may be there, and hold such a log.

    Raises:
        ValueError: for a file that holds something else.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._generations = path, list[list[dict[str, Any]]]()
        self._columns: list[str] = []
        self._there = read_bytes(path, MAX_TABLE_BYTES) if path.exists() else b""
        self._at = 0  # how many bytes of it are those of the search so far
        if not (self._there.startswith(BEGINNING) or BEGINNING.startswith(self._there)):
            raise ValueError(f"log: {path} holds something else than the log of a tuning; name another file")

    def append(self, rollouts: Sequence[Measurement], *, first: bool) -> None:
        """Write the rows of a generation, the `first` one or the next, for other programs to read.

        Raises:
            OSError: with the name of the file, if it cannot be written.
        """
        if first:
            self._generations.clear()
            self._columns.clear()
        rows = [rollout.row for rollout in rollouts]
        self._generations.append(rows)
        new = [
            name for name in dict.fromkeys(name for row in rows for name in row) if name not in self._columns
        ]
        self._columns += new
        if new:  # the first rows, or the first that have something measured which no row had
            self._at = 0
            self._put(self._text([]))
        for generation in self._generations if new else [rows]:
            self._put(self._text(generation).partition(b"\n")[2])

    def _text(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        return csv(pd.DataFrame(list(rows), columns=self._columns)).encode()

    def _put(self, part: bytes) -> None:
        """The next bytes of the file: written, unless they are there."""
        end = self._at + len(part)
        if self._there[self._at : end] != part:
            with appended(self._path, self._at) as file:
                file.write(part)
            self._there = self._there[: self._at] + part
        self._at = end
