"""The lock of a ledger: a file next to it, which the operating system unlocks when its owner dies."""

import contextlib
import fcntl
import os
import platform
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policysearch.ledger.errors import LedgerBusy, LedgerError

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Lock:
    """A file that is locked until it is released or the process ends.

    Raises:
        LedgerBusy: if another process has locked it.
        LedgerError: if it cannot be made or locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        while True:
            self._file = self._opened(path)
            try:
                self._take(path)
            except BaseException:
                os.close(self._file)
                raise
            if self._is_there:
                break
            os.close(self._file)  # its owner has just removed it
        os.truncate(self._file, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        self._said = f"process {os.getpid()} on {platform.node()}, since {since},".encode()
        try:
            self._said = self._said[: os.write(self._file, self._said)]
        except OSError:  # a full disk: nameless, but locked
            self._said = b""

    def _opened(self, path: Path) -> int:
        try:
            file = os.open(self._path, _FLAGS, 0o644)
        except OSError as error:
            why = "is a link: remove it" if self._path.is_symlink() else error.strerror
            raise LedgerError(f"{path}: cannot open the ledger: {self._path.name}: {why}") from error
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # what is written to it would go elsewhere
            os.close(file)
            raise LedgerError(
                f"{path}: cannot open the ledger: {self._path.name} is no file of its own: remove it"
            )
        return file

    def _take(self, path: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(self._file, 200).decode(errors="replace") or "another process"
            raise LedgerBusy(f"{path}: {owner} is writing to it; wait, or choose another folder") from error
        except OSError as error:
            why = f"cannot be locked: {error.strerror}; choose a folder on a local disk, which has locks"
            raise LedgerError(f"{path}: {why}") from error

    @property
    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), self._path.lstat())
        except OSError:
            return False

    @property
    def is_current(self) -> bool:
        """Whether the file that is locked is still the one under that name, and names this process.

        Another process has its name in it where the locks of a file system do not hold on all of its machines.
        """
        try:
            return self._is_there and _read(self._path) == self._said
        except OSError:
            return False

    @property
    def is_anothers(self) -> bool:
        """Whether another process has a lock file under that name by now."""
        return not self.is_current and os.path.lexists(self._path)

    def release(self) -> None:
        """Remove the file, unless it has become another process's, then the lock on it."""
        if self.is_current:  # its own
            with contextlib.suppress(OSError):  # the medium has become read-only: unlocked, but there
                self._path.unlink()
        os.close(self._file)


def _read(path: Path) -> bytes:
    """What a lock file says now; it is opened anew, as a network file system looks at the other machines then."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(file, 200)
    finally:
        os.close(file)


def holder(path: Path) -> str | None:
    """Who writes to a ledger, in words; None if no process does, as far as this computer can see.

    The lock is not touched, so that no writer meets it. The file of a killed process remains: on its own computer it
    counts as long as the process lives.
    """
    try:
        owner = _read(path.with_name(path.name + ".lock")).decode(errors="replace").rstrip(",")
    except OSError:
        return None
    known = re.fullmatch(r"process (\d{1,9}) on (.*), since .*", owner)
    if known is not None and known[2] == platform.node():
        try:
            os.kill(int(known[1]), 0)
        except ProcessLookupError:
            return None
        except PermissionError:  # it lives, and is another user's
            pass
    return owner or "another process"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Exclude other writers of a ledger.

    Raises:
        LedgerBusy: if another process writes to it.
    """
    lock = Lock(path)
    try:
        yield
    finally:
        lock.release()
