"""Standard output and error of a command: media that may fail, and on which text from outside is only text.

What cannot be written, because the medium is full, closed or lacks a character, is dropped or replaced: words never
cost a result.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from policysearch.visible import visible


class Words:
    """A stream of text to which writing never fails; control characters are shown (`policysearch.visible`).

    Attributes:
        rich_proxied_file: the same stream for `rich`, whose colours are no text from outside.
        lost: the first error, if something was dropped.
    """

    def __init__(self, stream: Any, change: Callable[[str], str] = visible) -> None:
        self._stream, self._change = stream, change
        self.lost: OSError | None = None
        self.rich_proxied_file = self if change is str else Words(stream, str)

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        self._try(self._stream.write, self._change(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, or drop it."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, act: Callable[..., object], *arguments: str) -> None:
        try:
            act(*arguments)
        except ValueError:  # it is closed
            pass
        except OSError as error:
            self.lost = self.lost or error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # where Python may flush it to at its end
            os.close(nowhere)


@contextmanager
def guarded() -> Iterator[None]:
    """Standard streams that never stop a command; at the end standard error says if words were lost."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a file of ours that got the number of a closed stream would receive what is written to that
    os.close(descriptor)
    before = sys.stdin, sys.stdout, sys.stderr
    source, *targets = (stream or io.StringIO() for stream in before)  # None: it was closed
    for stream in (source, *targets):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    out, errors = map(Words, targets)
    sys.stdin, sys.stdout, sys.stderr = source, out, errors
    try:
        yield
    finally:
        out.flush()
        lost = out.lost or out.rich_proxied_file.lost
        if lost is not None and not isinstance(lost, BrokenPipeError):
            errors.write(
                f"standard output cannot be written: {lost.strerror}; some words are lost, no results\n"
            )
        errors.flush()
        sys.stdin, sys.stdout, sys.stderr = before
