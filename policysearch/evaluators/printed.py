"""What a program prints: the ends of it while the program runs, and the return in its last line.

The last line is a number in ASCII digits, as in `0.42`, `-1e-3` or Fortran's `4.2D-01`, or the end of a JSON object,
which may take several lines. Byte order marks, zero bytes around the line, colours and what stands before a carriage
return, as a progress bar leaves it, do not count. Everything else is refused with the line: a label, a unit or a
decimal comma may mean anything.
"""

import codecs
import json
import os
import re
import selectors
import string
import subprocess
from typing import Any

KEPT_BYTES = 1_000_000  # of what it prints, and of its errors: the end
MAX_LINE_LENGTH = 100_000  # characters of a return
_CHUNK, _LAST_READS = 1 << 16, 32  # bytes per read; reads after the end, more than the pipes hold
_BLANK = f"{string.whitespace}\xa0\0\ufeff"
_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([ed][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE
)
#: Of a terminal: colours, titles.
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\))")
_HINT = 'print the return alone on the last line, as 0.42 or as {"return": 0.42}'


class Printed:
    """The ends of what a process prints, and of its errors."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._pipes, self._ends = selectors.DefaultSelector(), [b"", b""]
        for i, pipe in enumerate((process.stdout, process.stderr)):
            assert pipe is not None  # noqa: S101 - it was asked for
            self._pipes.register(pipe, selectors.EVENT_READ, i)

    def __enter__(self) -> "Printed":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipes.close()

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return bool(self._pipes.get_map())

    def read(self, seconds: float) -> bool:
        """Wait for something for some seconds; returns whether it came."""
        ready = self._pipes.select(seconds)
        for entry, _ in ready:
            chunk = os.read(entry.fd, _CHUNK)
            self._ends[entry.data] = (self._ends[entry.data] + chunk)[-KEPT_BYTES:]
            if not chunk:
                self._pipes.unregister(entry.fileobj)
        return bool(ready)

    def drain(self) -> None:
        """Read what is left, and no more: another process may hold the pipes open and continue to print."""
        for _ in range(_LAST_READS):
            if not (self.is_open and self.read(0)):
                break

    def texts(self) -> tuple[str, str]:
        """What was printed, and the errors."""
        out, errors = (_decoded(end) for end in self._ends)
        return out, errors


def last_line(text: str) -> str:
    """The last line that is not blank, as a terminal shows it."""
    return _lines(text).rpartition("\n")[2].strip(_BLANK)


def returned(text: str) -> Any:
    """The number or the JSON object at the end of what a program printed.

    Raises:
        ValueError: if there is neither.
    """
    line = last_line(text)
    if not line:
        raise ValueError("it printed nothing; expected the return as its last line")
    if len(line) > MAX_LINE_LENGTH:  # it may have been cut
        raise ValueError(f"its last line is longer than {MAX_LINE_LENGTH} characters")
    if _NUMBER.fullmatch(line):
        return float(line.lower().replace("d", "e"))
    if "\0" in line:
        raise ValueError(f"its last line has zero bytes, as UTF-16 has: {line!r:.80}; print UTF-8")
    found = _object(_lines(text)[-MAX_LINE_LENGTH:]) if line.endswith("}") else None
    if found is None:
        raise ValueError(f"its last line is no number and no JSON object: {line!r:.80}; {_HINT}")
    if isinstance(found.get("return"), bool):
        raise ValueError(f"return: expected a number, got {json.dumps(found['return'])}")
    return found


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that ends a text; it begins a line."""
    for begin in reversed(list(re.finditer(r"^[ \t\ufeff]*(?=\{)", text, re.MULTILINE))):
        try:
            found, end = json.JSONDecoder().raw_decode(text, begin.end())
        except (ValueError, RecursionError):
            continue
        if end == len(text):
            return dict(found)
    return None


def _lines(text: str) -> str:
    """The text up to its last line that is not blank, without what a terminal does not show."""
    return _ESCAPES.sub("", text).rstrip(_BLANK).replace("\r", "\n")


def _decoded(end: bytes) -> str:
    if end.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return end.decode("utf-16", errors="replace")
    return end.decode(errors="replace")
