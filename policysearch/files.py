"""Files: written completely or not at all, and read within limits of size and time.

Results are written here only (`tests/test_package.py`). What is already at a path, a link to a file elsewhere say, is
replaced and never written through; the folder itself may be a link. What a killed process was writing remains as a
file `.….part`, which may be deleted.

The limits of reading are for what may come from others: a device or a pipe that never ends, or a huge file.
"""

import io
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from policysearch.visible import visible

#: The most that is read of a file of text, and the longest that a pipe may keep its reader waiting.
MAX_BYTES, MAX_SECONDS = 64 * 2**20, 10.0
#: The most that is read of a table, which may have a row per generation of thousands of runs.
MAX_TABLE_BYTES = 4 * 2**30
_CHUNK = 1 << 20


def write_text(path: Path, text: str) -> None:
    """Write text as it is shown (`policysearch.visible`), completely or not at all.

    Raises:
        OSError: with the name of the file, if it cannot be written.
    """
    with replacing(path) as file:
        file.write(visible(text).encode())


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which replaces what is at `path` when it is complete.

    Raises:
        OSError: with the name `path`, if it cannot be written.
    """
    partial = partial_name(path)
    try:
        with partial.open("xb") as file:  # made by this call, and no link (O_EXCL)
            yield file
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def partial_name(path: Path) -> Path:
    """A name next to `path` that no one can have planted."""
    return path.with_name(f".{secrets.token_hex(16)}.part")


def begun(path: Path) -> io.TextIOWrapper:
    """A new file for text in place of what is at `path`, written line by line."""
    path.unlink(missing_ok=True)
    return path.open("x", buffering=1, encoding="utf-8")


@contextmanager
def appended(path: Path, size: int) -> Iterator[IO[bytes]]:
    """A file whose first `size` bytes stay and to which the rest is written, without a buffer; made if there is none.

    Raises:
        OSError: with the name `path`, if it cannot be written, or is a link.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with io.FileIO(number, "a") as file:
            file.truncate(size)
            yield file
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def check_writable(folder: Path) -> None:
    """Raise OSError if no file can be made in a folder."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """What a file or a pipe holds.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it holds more bytes than `most`, or a pipe does not end within MAX_SECONDS.
    """
    found, limit = bytearray(), time.monotonic() + MAX_SECONDS
    with _opened(path) as file:
        waits = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
        while len(found) <= most and time.monotonic() < limit:
            chunk = file.read(_CHUNK)  # None: nothing yet; a pipe into which nothing was written seems to end
            if chunk:
                found += chunk
            elif chunk == b"" and (found or not waits):
                return bytes(found)
            else:
                time.sleep(0.01)
    if len(found) > most:
        raise ValueError(f"expected at most {most:,} bytes, got more")
    raise ValueError(f"expected a file, got something that does not end within {MAX_SECONDS:g} s")


def open_bytes(path: Path, most: int = MAX_BYTES) -> io.BufferedReader:
    """A file to read from.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is something else than a file, or has more bytes than `most`.
    """
    file = _opened(path)
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and found.st_size <= most:
        return io.BufferedReader(file)
    file.close()
    if stat.S_ISREG(found.st_mode):
        raise ValueError(f"expected at most {most:,} bytes, got {found.st_size:,}")
    raise ValueError("expected a file, got a pipe or a device")


def open_text(path: Path, most: int = MAX_BYTES, encoding: str = "utf-8") -> io.TextIOWrapper:
    """As `open_bytes`, to read text from, its ends of lines as they are."""
    return io.TextIOWrapper(open_bytes(path, most), encoding=encoding, newline="")


def _opened(path: Path) -> io.FileIO:
    """A file that is open for reading; a pipe does not wait for its other end."""
    return io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
