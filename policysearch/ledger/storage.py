"""The file of a ledger: one table in an SQLite database, made, read, checked and renamed.

Only data is read: files with anything but the one table are refused, and so are links, and journals that SQLite would
obey when it opens the file (a rollback journal may even name another file to delete).
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policysearch.files import partial_name
from policysearch.ledger.errors import (
    KEPT,
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerReplaced,
    advice,
    in_words,
)
from policysearch.ledger.keys import key_of, key_text
from policysearch.ledger.lock import locked
from policysearch.plain_data import decode

APPLICATION_ID = 0x706F6C73  # "pols" in SQLite's file header
SCHEMA_VERSION = 1
SCHEMA = (
    "CREATE TABLE events (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, "
    "body TEXT NOT NULL, checksum BLOB NOT NULL) STRICT"
)
#: The longest row that is read: 64 MiB.
MAX_ROW = 1 << 26
Row = tuple[int, str, str, str, bytes]  # number, kind, key, body, checksum
_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?)"
_LAST = "SELECT number, checksum FROM events ORDER BY number DESC LIMIT 1"


@dataclass(frozen=True)
class Event:
    """One entry of the log."""

    number: int  # from 1, without gaps
    kind: str
    key: tuple[str | int, ...]
    text: str  # of its body

    @property
    def body(self) -> Any:
        """What was written: plain data.

        Raises:
            ValueError: for text that `encode` does not write.
        """
        return decode(self.text)


@dataclass(frozen=True)
class Position:
    """Up to where a ledger was read: number and checksum of the last event; by default nothing was read yet."""

    number: int = 0
    checksum: bytes = b""


def read(path: Path) -> list[Event]:
    """The committed events of a ledger, which may be open for writing elsewhere.

    Raises:
        LedgerError: if there is no such file, or it cannot be read.
        LedgerRefused: if it is not a ledger, is damaged, or was written by a newer version.
    """
    return read_since(path)[0]


def read_since(path: Path, since: Position = Position()) -> tuple[list[Event], Position]:
    """The events that were committed after a position, and the position behind them.

    Only these are read, so that a ledger can be followed at little cost; the checksums are verified from the event at
    the position on. From the beginning on the whole file is checked, as by `read`.

    Raises:
        LedgerReplaced: if the event at the position is not there any more: begin again with `Position()`.
        LedgerError: if there is no such file, or it cannot be read.
        LedgerRefused: if it is not a ledger, is damaged, or was written by a newer version.
    """
    with checked(path, since) as db:
        return list(events_in(db, path, since)), Position(*last(db))


@contextmanager
def checked(path: Path, since: Position = Position()) -> Iterator[sqlite3.Connection]:
    """A ledger as it is now, to be read; the errors are those of `read_since`."""
    if not path.is_file():
        raise LedgerError(f"{path}: no such ledger")
    check_place(path)
    try:
        with closing(reading(path)) as db:
            db.execute("BEGIN")  # what is committed meanwhile is not seen
            check(db, path, whole=not since.number)
            if since.number:
                found = db.execute("SELECT checksum FROM events WHERE number = ?", (since.number,)).fetchone()
                if found is None or bytes(found[0]) != since.checksum:
                    was = f"was replaced or cut while it was read: event {since.number} is another"
                    raise LedgerReplaced(f"{path}: {was}")
            else:
                _check_log(db, path)
            yield db
    except sqlite3.Error as error:
        raise in_words(path, error) from error


def check_place(path: Path) -> None:
    """Refuse a ledger that is no file of its own, and files next to it that do not belong to it.

    Raises:
        LedgerRefused: for a link, a device or a pipe, a rollback journal, a write-ahead log without its ledger.
    """
    sizes = {suffix: _size(next_to(path, suffix)) for suffix in ("", "-wal", "-shm")}
    if os.path.lexists(next_to(path, "-journal")):
        raise LedgerRefused(
            f"{next_to(path, '-journal')}: not of a ledger, which has no such journal; move it away"
        )
    if sizes["-wal"] and not sizes[""]:
        log = next_to(path, "-wal")
        raise LedgerRefused(
            f"{log}: the log of a ledger that is not there: put {path.name} back, or move it away"
        )


def _size(path: Path) -> int:
    """The bytes in a file, 0 if it is not there.

    Raises:
        LedgerRefused: if what is written to it would be written elsewhere.
    """
    if not os.path.lexists(path):
        return 0
    found = path.lstat()
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return found.st_size
    what = "a file of several names" if stat.S_ISREG(found.st_mode) else "a link, a pipe or a device"
    raise LedgerRefused(
        f"{path}: expected a file of its own, got {what}: move it away, or copy what it holds"
    )


def next_to(path: Path, suffix: str) -> Path:
    """A file that SQLite keeps next to a database."""
    return path.with_name(path.name + suffix)


def reading(path: Path) -> sqlite3.Connection:
    """A connection that does not write; where nothing can be written, it needs no file next to the ledger."""
    fixed = not os.access(path.parent, os.W_OK) and not next_to(path, "-wal").exists()
    return _connected(path, "immutable=1" if fixed else "mode=ro")


def _connected(path: Path, options: str) -> sqlite3.Connection:
    """A connection to a file that is not trusted: no code of its schema runs, no row is huge."""
    uri = f"{path.absolute().as_uri()}?{options}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        db.execute("PRAGMA busy_timeout = 5000")
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW)
    except BaseException:
        db.close()
        raise
    return db


def writable(path: Path) -> sqlite3.Connection:
    """A connection that makes what it commits durable."""
    db = _connected(path, "mode=rw")
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def make(path: Path, rows: Iterable[Row] = ()) -> None:
    """Make a ledger of these rows, whole or not at all, in place of a file at `path`."""
    partial = partial_name(path)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
    try:
        with closing(_connected(partial, "mode=rw")) as db:
            db.execute("PRAGMA journal_mode = MEMORY")  # no file next to it
            db.execute("BEGIN IMMEDIATE")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute(SCHEMA)
            insert(db, rows)
            db.execute("COMMIT")
            db.execute("PRAGMA journal_mode = WAL")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def insert(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write rows, in a transaction of the caller."""
    db.executemany(_INSERT, rows)


def last(db: sqlite3.Connection) -> tuple[int, bytes]:
    """Number and checksum of the last event; 0 and nothing if there is none."""
    number, checksum = db.execute(_LAST).fetchone() or (0, b"")
    return number, bytes(checksum)


def check(db: sqlite3.Connection, path: Path, *, whole: bool = True) -> None:
    """Raise LedgerRefused unless this is a ledger of a version that is known; if `whole`, its pages are checked."""
    schema = db.execute("SELECT sql FROM sqlite_master").fetchall()
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise LedgerRefused(f"{path}: an SQLite file, but not a ledger; {KEPT}")
    if version > SCHEMA_VERSION:
        raise LedgerRefused(
            f"{path}: a ledger of version {version}; this program knows versions up to {SCHEMA_VERSION}: "
            "install a newer policysearch"
        )
    if schema != [(SCHEMA,)]:
        raise LedgerRefused(f"{path}: holds more than a ledger does (tables, triggers or views); {KEPT}")
    findings = [row[0] for row in db.execute("PRAGMA quick_check(1)")] if whole else ["ok"]
    if findings != ["ok"]:
        raise LedgerRefused(f"{path}: damaged: {findings[0]}; {KEPT}")


def _check_log(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a ledger whose write-ahead log is that of another one, as if the file was replaced in a run.

    With its own log it has the last event that it has without, unless a checkpoint was interrupted.
    """
    if not next_to(path, "-wal").exists():
        return
    with contextlib.suppress(sqlite3.Error), closing(_connected(path, "immutable=1")) as alone:
        number, checksum = last(alone)
        known = db.execute("SELECT checksum FROM events WHERE number = ?", (number,)).fetchone()
        if number and (known is None or bytes(known[0]) != checksum):
            log = next_to(path, "-wal").name
            raise LedgerRefused(
                f"{path}: {log} is the log of another ledger: move it away to read this one alone"
            )


def events_in(db: sqlite3.Connection, path: Path, since: Position) -> Iterator[Event]:
    """All events after a position in order, their checksums compared."""
    expected, checksum = since.number + 1, since.checksum
    query = "SELECT * FROM events WHERE number > ? ORDER BY number"
    try:
        for number, kind, key, body, stored in db.execute(query, (since.number,)):
            checksum = chained(checksum, number, kind, key, body)
            if number != expected or checksum != stored:
                raise ValueError("its checksum does not fit")
            yield Event(number, kind, key_of(key), body)
            expected += 1
    except (sqlite3.Error, ValueError, TypeError) as error:
        if isinstance(error, sqlite3.Error) and advice(path, error):
            raise
        raise LedgerRefused(f"{path}: damaged at event {expected}: {error}; {KEPT}") from error


def checksum(events: Iterable[Event]) -> str:
    """The checksum of the last of all events of a ledger, which covers every one; hexadecimal."""
    found = b""
    for event in events:
        found = chained(found, event.number, event.kind, key_text(event.key), event.text)
    return found.hex()


def chained(before: bytes, number: int, kind: str, key: str, body: str) -> bytes:
    """The checksum of an event after another one."""
    entry = f"{number}\0{kind}\0{key}\0{body}"  # JSON has no NUL in it
    return hashlib.sha256(before + entry.encode()).digest()


def set_aside(path: Path) -> Path | None:
    """Rename a ledger, so that a new one can begin; its new name, as in ledger.1.sqlite, if there was one.

    At every moment either name is that of the whole ledger: its log is folded into it before one file is renamed.

    Raises:
        LedgerBusy: if another process writes to it, or reads it.
        LedgerError: if it cannot be renamed.
    """
    log = next_to(path, "-wal")
    if not os.path.lexists(path) and not log.exists():
        return None
    kept = free_name(path)
    try:
        with locked(path):
            try:
                _fold(path)
            except LedgerRefused:  # damaged, or something else: its log is copied as it is
                if os.path.lexists(log):
                    shutil.copyfile(log, next_to(kept, "-wal"), follow_symlinks=False)
            if os.path.lexists(path):
                path.rename(kept)
            for suffix in ("-wal", "-shm"):
                next_to(path, suffix).unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be renamed: {error}") from error
    return kept


def _fold(path: Path) -> None:
    """Write everything into the one file of a ledger.

    Raises:
        LedgerBusy: if another process reads it.
        LedgerRefused: if it is not a ledger, or damaged.
    """
    read(path) if path.exists() else check_place(path)
    try:
        with closing(writable(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise in_words(path, error) from error
    if next_to(path, "-wal").exists():  # which the last of all connections removes
        raise LedgerBusy(f"{path}: another process is reading it; end that and run the same command again")


def free_name(path: Path) -> Path:
    """The first name of ledger.1.sqlite, ledger.2.sqlite, … that is not taken, nor that of its log."""
    number = 1
    while True:
        name = path.with_name(f"{path.stem}.{number}{path.suffix}")
        if not os.path.lexists(name) and not os.path.lexists(next_to(name, "-wal")):
            return name
        number += 1
