"""What can be wrong with a ledger: what happened, and what to do."""

import errno
import fcntl
import sqlite3
import tempfile
from pathlib import Path

from policysearch.errors import IN_USE, MACHINE_TROUBLE, CommandError
from policysearch.files import check_writable

KEPT = "the file is left as it is: move it away to start over"
#: What to do about errors that are no damage, by the begin of SQLite's names of them.
_ADVICE = {
    "SQLITE_FULL": "make room and run the same command again",
    "SQLITE_READONLY": "choose a folder that may be written",
    "SQLITE_CANTOPEN": "choose a folder that may be written, without links in the place of its files",
    "SQLITE_PERM": "choose a folder that may be written",
    "SQLITE_BUSY": "another program has it open: end that and run the same command again",
    "SQLITE_LOCKED": "another program has it open: end that and run the same command again",
    "SQLITE_PROTOCOL": "the file system has no locks: choose, or copy the ledger to, a folder on a local disk",
    "SQLITE_IOERR": "look at the disk, or choose a folder on a local one, and run the same command again",
}
#: What SQLite says where the system answers that nothing can be locked.
_UNLOCKED = ("SQLITE_BUSY", "SQLITE_IOERR")
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class LedgerError(CommandError):
    """The ledger cannot be used; the message says why and what to do."""

    exit_code = MACHINE_TROUBLE


class LedgerRefused(LedgerError):  # noqa: N818 - it states what happened
    """The file is not a ledger, is damaged, or was written by a newer version."""


class LedgerReplaced(LedgerError):  # noqa: N818
    """What was read before is not in the file any more: another ledger took its place, or it was cut."""


class LedgerBusy(LedgerError):  # noqa: N818
    """Another process has the ledger open for writing."""

    exit_code = IN_USE


def advice(path: Path, error: sqlite3.Error) -> str:
    """What to do about an error of the machine; nothing for one of the file itself."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(_UNLOCKED) and not _has_locks(path.parent):
        name = "SQLITE_PROTOCOL"
    return next((words for begin, words in _ADVICE.items() if name.startswith(begin)), "")


def _has_locks(folder: Path) -> bool:
    """Whether files in a folder can be locked, as far as one can be made there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        return error.errno not in NO_LOCKS
    return True


def cause(path: Path, error: sqlite3.Error) -> str:
    """An error in SQLite's words, and in those of the system, if no file can be made next to the ledger either."""
    try:
        check_writable(path.parent)
    except OSError as other:
        return f"{error} ({other.strerror})"
    return str(error)


def in_words(path: Path, error: sqlite3.Error) -> LedgerError:
    """What an error means that was met when a ledger was opened or read."""
    if words := advice(path, error):
        return LedgerError(f"{path}: cannot open the ledger: {cause(path, error)}; {words}")
    return LedgerRefused(f"{path}: not a ledger, or damaged: {error}; {KEPT}")
