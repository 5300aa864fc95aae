"""The last 10 s of a guard: a ring in shared memory, which another process writes to a file after a stop.

The guard's process never opens a file, so no disk can block it. The recorder is a small process in a session of its
own, which survives the guard and its owner. It writes `guard-0001.csv`, … into a folder after the ramp of every stop,
and when the guard was killed. Times are of `time.monotonic`.
"""

import mmap
import os
import select
import signal
import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from policysearch.files import write_text

SECONDS = 10.0
AFTER = 0.5  # s from the end of the ramp to the record
LATE = 5.0  # s by which a ramp may be late on a busy machine, so that the record still has its end
_HEAD = struct.Struct("<QQQ512s")  # rows written, stops, whether the guard ended in order, why it has stopped
_PER_SIDE = ("percent", "age_s", "told_Nm_per_kg", "measured_Nm_per_kg")


def columns(sides: Sequence[str]) -> list[str]:
    """The names of the numbers in a row."""
    return ["time_s", "armed", *(f"{side}_{name}" for side in sides for name in _PER_SIDE)]


def shared_file() -> int:
    """A new file in memory without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("guard")
    with tempfile.TemporaryFile() as file:  # macOS
        return os.dup(file.fileno())


class Ring:
    """The newest rows of numbers, in a file that processes share. One of them writes.

    Args:
        file: from `shared_file`.
        width: numbers in a row.
        size: rows.
    """

    def __init__(self, file: int, width: int, size: int) -> None:
        self._row, self._size, self._count = struct.Struct(f"<{width}d"), size, 0
        length = _HEAD.size + size * self._row.size
        if os.fstat(file).st_size < length:
            os.ftruncate(file, length)
        self._memory = mmap.mmap(file, length)

    def write(self, row: Sequence[float]) -> None:
        """Add a row in place of the oldest."""
        self._row.pack_into(self._memory, _HEAD.size + self._count % self._size * self._row.size, *row)
        self._count += 1
        struct.pack_into("<Q", self._memory, 0, self._count)  # last, so that no reader takes half a row

    def mark(self, stops: int, reason: str, ended: bool = False) -> None:
        """Note how often the guard has stopped, why (empty while it is armed), and whether it has ended in order."""
        said = reason.encode()[:512].decode(errors="ignore").encode()
        _HEAD.pack_into(self._memory, 0, self._count, stops, ended, said)

    def marks(self) -> tuple[int, str, bool]:
        """What `mark` has noted."""
        _, stops, ended, reason = _HEAD.unpack_from(self._memory)
        return stops, reason.rstrip(b"\0").decode(errors="replace"), bool(ended)

    def rows(self) -> list[tuple[float, ...]]:
        """All rows, oldest first. The one that may be written meanwhile is left out."""
        count = _HEAD.unpack_from(self._memory)[0]
        place = (i % self._size for i in range(max(count - self._size + 1, 0), count))
        return [self._row.unpack_from(self._memory, _HEAD.size + i * self._row.size) for i in place]


def record(*, file: int, alive: int, columns: list[str], size: int, after: float, folder: str) -> None:
    """The recorder's process: writes what the ring holds after every stop, and ends after the guard.

    Args:
        file: of the ring.
        alive: a pipe whose other end only the guard's process holds.
        columns: names of the numbers in a row.
        size: rows of the ring.
        after: s from a stop to its record, at least.
        folder: for the files.
    """
    for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTERM", "SIGTSTP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    ring, seen, ended = Ring(file, len(columns), size), 0, False
    while not ended:
        ended = bool(select.select([alive], [], [], 0.05)[0])
        stops, reason, in_order = ring.marks()  # the reason is taken now: soon the guard may be armed again
        if stops > seen or (ended and not in_order):
            killed = "the guard's process was killed"
            unknown = killed if ended else "stopped, and armed again at once"
            stopped = killed if stops == seen else reason or unknown
            seen, ended = stops, ended or bool(select.select([alive], [], [], after)[0])
            ended = ended or wait_for_zero(ring, columns, alive)
            _write(ring, columns, Path(folder), stopped)


def wait_for_zero(ring: Ring, columns: Sequence[str], alive: int) -> bool:
    """Wait until no torque is told, or the guard's process has ended, for `LATE` seconds; whether it has ended."""
    told, limit = [i for i, name in enumerate(columns) if "_told_" in name], time.monotonic() + LATE
    while time.monotonic() < limit and any(row[i] for row in ring.rows()[-1:] for i in told):
        if select.select([alive], [], [], 0.05)[0]:
            return True
    return False


def _write(ring: Ring, columns: list[str], folder: Path, stopped: str) -> None:
    number = 1
    while (path := folder / f"guard-{number:04}.csv").exists():
        number += 1
    rows = (",".join([repr(row[0]), *(f"{number:.6g}" for number in row[1:])]) for row in ring.rows())
    written = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    write_text(path, "\n".join([f"# {stopped}", f"# written {written}", ",".join(columns), *rows, ""]))
