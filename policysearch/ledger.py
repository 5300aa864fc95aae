"""An append-only log of events in one SQLite file, for what a study or a session must not lose.

An event has a number, a kind, a key and a body of plain data, and a checksum that covers the event and the
checksum before it:

    checksum_n = SHA-256(checksum_{n-1}, [n, kind, key, body])

so a flipped bit, a missing row or a swapped pair is found at the event where it happened; SQLite's own checks do not
find them in a payload. Events are written in groups, and `commit` makes a group durable (write-ahead log,
`synchronous=FULL`): afterwards the events survive a killed process and a power cut.

One process writes; a lock file, which the operating system releases when its owner dies, excludes others. Any process
may read at any time. Only data is read: files with anything but the one table are refused.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from policysearch.errors import IN_USE, MACHINE_TROUBLE, CommandError
from policysearch.plain_data import decode, encode

APPLICATION_ID = 0x706F6C73  # "pols" in SQLite's file header
SCHEMA_VERSION = 1
SCHEMA = (
    "CREATE TABLE events (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, "
    "body TEXT NOT NULL, checksum BLOB NOT NULL) STRICT"
)
#: The longest row that is read: 64 MiB.
MAX_ROW = 1 << 26


class LedgerError(CommandError):
    """The ledger cannot be used; the message says why and what to do."""

    exit_code = MACHINE_TROUBLE


class LedgerRefused(LedgerError):  # noqa: N818 - it states what happened
    """The file is not a ledger, is damaged, or was written by a newer version."""


class LedgerBusy(LedgerError):  # noqa: N818
    """Another process has the ledger open for writing."""

    exit_code = IN_USE


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


class Ledger:
    """A ledger open for writing, created if there is none; also a context manager.

    Attributes:
        events: what was in it when it was opened.

    Raises:
        LedgerBusy: if another process writes to it.
        LedgerRefused: if the file is something else, damaged, or of a newer version. It is left as it is.
        LedgerError: if it cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _Lock(path)
        try:
            self._db = self._open()
            self.events = tuple(_events(self._db, path))
        except BaseException:
            self._lock.release()
            raise
        self._waiting: list[tuple[int, str, str, str, bytes]] = []  # events that are not committed yet
        self._number = len(self.events)
        self._checksum = _last_checksum(self._db)

    def _open(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            _harden(db)
            if _is_empty(db):
                _create(db)
            _check(db, self.path)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
        except sqlite3.OperationalError as error:
            raise LedgerError(f"{self.path}: cannot open the ledger: {error}") from error
        except sqlite3.DatabaseError as error:
            raise LedgerRefused(f"{self.path}: not a ledger, or damaged: {error}; {_KEPT}") from error
        return db

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
        texts = (kind, _key_text(tuple(key)), text)
        self._checksum = _chained(self._checksum, self._number, *texts)
        self._waiting.append((self._number, *texts, self._checksum))

    def commit(self) -> None:
        """Make everything appended so far durable.

        Raises:
            LedgerError: if it cannot be written (the disk is full, …); what was committed before is kept, and
                the rest can be committed later.
        """
        if not self._waiting:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", self._waiting)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise LedgerError(
                f"{self.path}: cannot write: {error}; everything committed before is kept: "
                "make room and run the same command again"
            ) from error
        self._waiting.clear()

    def close(self) -> None:
        """Commit what can be committed, and let others write."""
        with contextlib.suppress(LedgerError):  # it was told by `commit`, or nothing can be done
            self.commit()
        with contextlib.suppress(sqlite3.Error):  # a full disk must not hide the first error
            self._db.close()
        self._lock.release()


def read(path: Path) -> list[Event]:
    """The committed events of a ledger, which may be open for writing elsewhere.

    Raises:
        LedgerError: if there is no such file.
        LedgerRefused: if it is not a ledger, is damaged, or was written by a newer version.
    """
    if not path.is_file():
        raise LedgerError(f"{path}: no such ledger")
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            _harden(db)
            _check(db, path)
            return list(_events(db, path))
    except sqlite3.DatabaseError as error:
        raise LedgerRefused(f"{path}: not a ledger, or damaged: {error}; {_KEPT}") from error


_KEPT = "the file is left as it is: move it away to start over"


@lru_cache(256)
def _key_text(key: tuple[str | int, ...]) -> str:
    return encode(list(key))


def _harden(db: sqlite3.Connection) -> None:
    """Nothing in the file is trusted: no code of its schema runs, no row is huge."""
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA busy_timeout = 5000")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW)


def _is_empty(db: sqlite3.Connection) -> bool:
    """Whether the file was just created: also by a process that died before its first commit."""
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return tables == 0 and db.execute("PRAGMA application_id").fetchone()[0] == 0


def _create(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute(SCHEMA)
    db.execute("COMMIT")


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Raise LedgerRefused unless this is a ledger of a version that is known, and whole."""
    schema = db.execute("SELECT sql FROM sqlite_master").fetchall()
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise LedgerRefused(f"{path}: an SQLite file, but not a ledger; {_KEPT}")
    if version > SCHEMA_VERSION:
        raise LedgerRefused(
            f"{path}: a ledger of version {version}; this program knows versions up to {SCHEMA_VERSION}: "
            "install a newer policysearch"
        )
    if schema != [(SCHEMA,)]:
        raise LedgerRefused(f"{path}: holds more than a ledger does (tables, triggers or views); {_KEPT}")
    findings = [row[0] for row in db.execute("PRAGMA quick_check(1)")]
    if findings != ["ok"]:
        raise LedgerRefused(f"{path}: damaged: {findings[0]}; {_KEPT}")


def _events(db: sqlite3.Connection, path: Path) -> Iterator[Event]:
    """All events in order, their checksums compared."""
    expected, checksum = 1, b""
    try:
        for number, kind, key, body, stored in db.execute("SELECT * FROM events ORDER BY number"):
            checksum = _chained(checksum, number, kind, key, body)
            if number != expected or checksum != stored:
                raise ValueError("its checksum does not fit")
            yield Event(number, kind, tuple(decode(key)), body)
            expected += 1
    except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
        raise LedgerRefused(f"{path}: damaged at event {expected}: {error}; {_KEPT}") from error


def _last_checksum(db: sqlite3.Connection) -> bytes:
    row = db.execute("SELECT checksum FROM events ORDER BY number DESC LIMIT 1").fetchone()
    return b"" if row is None else bytes(row[0])


def _chained(before: bytes, number: int, kind: str, key: str, body: str) -> bytes:
    entry = f"{number}\0{kind}\0{key}\0{body}"  # JSON has no NUL in it
    return hashlib.sha256(before + entry.encode()).digest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Exclude other writers of a ledger.

    Raises:
        LedgerBusy: if another process writes to it.
    """
    lock = _Lock(path)
    try:
        yield
    finally:
        lock.release()


def set_aside(path: Path) -> Path | None:
    """Rename a ledger, so that a new one can begin; its new name, as in ledger.1.sqlite, if there was one.

    Raises:
        LedgerBusy: if another process writes to it.
        LedgerError: if it cannot be renamed.
    """
    if not path.exists():
        return None
    number = 1
    while (kept := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    try:
        with locked(path):
            for suffix in ("", "-wal", "-shm"):
                part = path.with_name(path.name + suffix)
                if part.exists():
                    part.rename(kept.with_name(kept.name + suffix))
    except OSError as error:
        raise LedgerError(f"{path}: cannot be renamed: {error}") from error
    return kept


class _Lock:
    """A file next to the ledger, locked until it is released or the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        while True:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise LedgerError(f"{path}: cannot open the ledger: {error}") from error
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.read(self._file, 200).decode(errors="replace") or "another process"
                os.close(self._file)
                raise LedgerBusy(
                    f"{path}: {owner} is writing to it; wait, or choose another folder"
                ) from error
            if self._is_current():
                break
            os.close(self._file)  # its owner has just removed it
        os.truncate(self._file, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):  # a full disk: nameless, but locked
            os.write(self._file, f"process {os.getpid()} on {platform.node()}, since {since},".encode())

    def _is_current(self) -> bool:
        """Whether the file that is locked is still the one under that name."""
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Remove the file, then the lock on it."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)
