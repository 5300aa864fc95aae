"""A ledger that is open for writing."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from policysearch.files import partial_name
from policysearch.ledger import storage
from policysearch.ledger.errors import LedgerBusy, LedgerError, advice, cause, in_words
from policysearch.ledger.keys import key_text
from policysearch.ledger.lock import Lock
from policysearch.ledger.storage import Event, Row, next_to
from policysearch.ledger.stored import stream
from policysearch.plain_data import encode


class _Lost(Exception):  # noqa: N818 - it states what was found
    """What was written would be lost: why."""

    def __init__(self, why: str, kind: type[LedgerError]) -> None:
        super().__init__(why)
        self.kind = kind


class Ledger:
    """A ledger open for writing, created if there is none; also a context manager.

    Args:
        path: the file.
        each: is given the events that are in it, one after the other, which are not kept then.

    Attributes:
        events: what was in it when it was opened, without `each`.

    Raises:
        LedgerBusy: if another process writes to it.
        LedgerRefused: if the file is something else, damaged, or of a newer version. It is left as it is.
        LedgerError: if it cannot be opened or written.
    """

    def __init__(self, path: Path, each: Callable[[Event], None] | None = None) -> None:
        self.path, self.events = path, tuple[Event, ...]()
        with ExitStack() as opened:
            self._lock = Lock(path)
            opened.callback(self._lock.release)
            try:
                storage.check_place(path)
                if not path.exists() or not path.stat().st_size:
                    storage.make(path)
                if each is None:
                    self.events = tuple(storage.read(path))
                else:
                    with closing(stream(path)) as events:
                        for event in events:
                            each(event)
                self._db = storage.writable(path)
                opened.callback(self._db.close)
                self._committed, self._files = storage.last(self._db), self._found()
            except sqlite3.Error as error:
                raise in_words(path, error) from error
            except OSError as error:
                raise LedgerError(f"{path}: cannot open the ledger: {error.strerror}") from error
            opened.pop_all()
        self._waiting: list[Row] = []  # events that are not committed yet
        self._number, self._checksum = self._committed

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, kind: str, key: Sequence[str | int], body: Any) -> None:
        """Add an event; it is safe from the next `commit` on."""
        self.append_text(kind, key, encode(body))

    def append_text(self, kind: str, key: Sequence[str | int], text: str) -> None:
        """As `append`, for a body that `encode` has made a text of, in another process perhaps."""
        self._number += 1
        texts = (kind, key_text(tuple(key)), text)
        self._checksum = storage.chained(self._checksum, self._number, *texts)
        self._waiting.append((self._number, *texts, self._checksum))

    def commit(self) -> None:
        """Make everything appended so far durable.

        Raises:
            LedgerError: if it cannot be written (the disk is full, …); what was committed before is kept, and
                the rest can be committed later. Or if the file is not the one that was opened any more, or its lock
                was removed: then everything is kept in another file, which the message names.
        """
        if not self._waiting:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._check_found()
            storage.insert(self._db, self._waiting)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise LedgerError(
                f"{self.path}: cannot write: {cause(self.path, error)}; everything committed before is kept: "
                f"{advice(self.path, error) or 'run the same command again'}"
            ) from error
        except _Lost as lost:
            self._roll_back()
            raise lost.kind(f"{self.path}: {lost}; {self._saved()}") from lost
        self._committed = self._number, self._checksum
        self._waiting.clear()

    def close(self) -> None:
        """Commit what can be committed, and let others write."""
        with suppress(LedgerError):  # it was told by `commit`, or nothing can be done
            self.commit()
        with (
            suppress(sqlite3.Error),
            self._others_log(),
            self._others_ledger(),
        ):  # a full disk hides no first error
            self._db.close()
        self._lock.release()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def _found(self) -> list[tuple[int, int] | None]:
        """Device and inode of the ledger and of its log, as they are now under their names."""
        places = []
        for path in (self.path, next_to(self.path, "-wal")):
            found = path.lstat() if os.path.lexists(path) else None
            places.append(found and (found.st_dev, found.st_ino))
        return places

    def _check_found(self) -> None:
        """Raise _Lost unless the files are those that were opened, and their last event is the last one from here."""
        if self._found() != self._files:
            raise _Lost("was deleted, moved or replaced while it was written", LedgerError)
        if not self._lock.is_current:
            raise _Lost(
                "its lock file was removed or taken by another process while it was written", LedgerBusy
            )
        if storage.last(self._db) != self._committed:
            raise _Lost("another process has written to it, whose lock file was removed", LedgerBusy)

    def _saved(self) -> str:
        """Where all events are kept, in words, after they were written to another file."""
        kept = storage.free_name(self.path)
        query = "SELECT * FROM events WHERE number <= ? ORDER BY number"
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            known = self._db.execute(query, (self._committed[0],))
            storage.make(kept, [*known, *self._waiting])
        except (sqlite3.Error, OSError) as error:
            return f"the last events could not be kept: {error}"
        self._waiting.clear()
        ledger, log = self._found()
        if ledger != self._files[0] and log == self._files[1]:  # else it would be read into what is there now
            next_to(self.path, "-wal").unlink()
        return (
            f"all events so far are kept in {kept}: to continue with them, rename it to {self.path.name} and run "
            "the same command again"
        )

    @contextmanager
    def _others_ledger(self) -> Iterator[None]:
        """While a ledger is closed that another process writes to by now, a reader keeps SQLite from changing it."""
        with ExitStack() as stack:
            if self._lock.is_anothers:
                with suppress(sqlite3.Error, OSError):
                    reader = stack.enter_context(closing(storage.reading(self.path)))
                    reader.execute("BEGIN")
                    storage.last(reader)
            yield

    @contextmanager
    def _others_log(self) -> Iterator[None]:
        """While the ledger is closed a log that is not its own is out of the way, as SQLite would delete it."""
        log = next_to(self.path, "-wal")
        if self._found()[1] in (None, self._files[1]):
            yield
            return
        away = log.rename(partial_name(log))
        try:
            yield
        finally:
            away.rename(log)
