"""Events that stay in the file of a ledger: given one after the other, or read again when they are asked for."""

import sqlite3
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import overload

from policysearch.ledger.errors import in_words
from policysearch.ledger.keys import key_of
from policysearch.ledger.storage import Event, Position, checked, events_in, reading

_ONE = "SELECT kind, key, body FROM events WHERE number = ?"


def stream(path: Path) -> Generator[Event, None, None]:
    """The committed events of a ledger, one after the other; those that are not kept need no memory.

    Raises:
        LedgerError, LedgerRefused: as `read` does; events before a damage are given.
    """
    with checked(path) as db:
        yield from events_in(db, path, Position())


class Stored(Sequence[Event]):
    """Events of a ledger that was read, by their numbers."""

    def __init__(self, path: Path, numbers: Iterable[int]) -> None:
        self._path, self._numbers = path, array("q", numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, which: int) -> Event: ...
    @overload
    def __getitem__(self, which: slice) -> "Stored": ...
    def __getitem__(self, which: int | slice) -> "Event | Stored":
        if isinstance(which, slice):
            return Stored(self._path, self._numbers[which])
        return next(iter(Stored(self._path, [self._numbers[which]])))

    def __iter__(self) -> Iterator[Event]:
        if not self._numbers:
            return
        try:
            with closing(reading(self._path)) as db:
                for number in self._numbers:
                    kind, key, body = db.execute(_ONE, (number,)).fetchone()
                    yield Event(number, kind, key_of(key), body)
        except sqlite3.Error as error:
            raise in_words(self._path, error) from error
