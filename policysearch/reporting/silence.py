"""A word where nothing has been heard for a long time: an episode may never end."""

import threading
import time
from collections.abc import Callable
from types import TracebackType

SECONDS = 60.0


class Silence:
    """Says a line, once, if `heard` is not called for some time while the context is open.

    Args:
        say: is given the line.
        line: what to say; with None nothing is watched.
    """

    def __init__(self, say: Callable[[str], None], line: str | None) -> None:
        self._say, self._line, self._seconds = say, line, SECONDS
        self._closed = threading.Event()
        self.heard()

    def heard(self) -> None:
        """Begin to wait anew."""
        self._last = time.monotonic()

    def hearing(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """`say`, whose lines are heard."""

        def heard(line: str) -> None:
            self.heard()
            say(line)

        return heard

    def __enter__(self) -> "Silence":
        if self._line is not None:
            threading.Thread(target=self._watch, args=(self._line,), name="silence", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()

    def _watch(self, line: str) -> None:
        while not self._closed.wait(max(0.0, self._last + self._seconds - time.monotonic())):
            if time.monotonic() - self._last >= self._seconds:
                self._say(line)
                return
