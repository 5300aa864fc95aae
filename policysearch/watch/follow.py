"""A ledger as it grows: what is new of it is read, and taken into a view that has the parts of a page.

What is shown is computed from the events alone: a study can be watched while it runs, after it was killed, and from
another computer that sees its folder.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from policysearch.errors import CommandError
from policysearch.ledger import Event, LedgerError, LedgerReplaced, Position, read_since

#: What a view raises for events that are not of such a ledger.
WRONG = (CommandError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
#: What a page shows of a ledger: plain data by the name of the part.
Parts = Mapping[str, Any]


class View(Protocol):
    """What is known of a study or a session."""

    def take(self, event: Event) -> None:
        """Take in the next event.

        Raises:
            ValueError: if it is not one of such a ledger; a LookupError or TypeError too.
        """

    def parts(self) -> Parts:
        """What is shown now, as plain data that JSON has; a part that has not changed is the same object."""

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table.

        Raises:
            KeyError: if there is no such table.
        """

    def detail(self, key: tuple[str, ...]) -> dict[str, Any]:
        """What is shown of one run.

        Raises:
            KeyError: if there is none.
        """


class Follower:
    """The view of a ledger, which `update` keeps up to date.

    Args:
        path: of the ledger.
        begin: makes a view of nothing.

    Attributes:
        view: what is known.
        trouble: why the ledger cannot be read at present, in words; empty if it can.
    """

    def __init__(self, path: Path, begin: Callable[[], View]) -> None:
        self.path, self._begin = path, begin
        self.view, self.trouble = begin(), ""
        self._shown = self.view.parts()
        self._position, self._broken = Position(), False
        self._stamp: object = None

    def update(self) -> bool:
        """Read what is new; returns whether anything was, or whether the trouble has changed."""
        if self._broken or (stamp := self._now()) == self._stamp:
            return False
        before, began = self.trouble, self._position
        try:
            events = self._read()
        except LedgerError as error:
            self.trouble = str(error)
            return self.trouble != before
        self.trouble, self._stamp = "", stamp
        try:
            for event in events:
                self.view.take(event)
        except WRONG as error:
            self._give_up(error)
        return self._position != began or self.trouble != before

    def parts(self) -> Parts:
        """What is shown now, or the last that could be."""
        if not self._broken:
            try:
                self._shown = self.view.parts()
            except WRONG as error:
                self._give_up(error)
        return self._shown

    def _give_up(self, error: Exception) -> None:
        self.trouble = f"{self.path}: cannot be shown: {type(error).__name__}: {error}"
        self._broken = True

    def _read(self) -> list[Event]:
        """What is new; all of it if the ledger was replaced."""
        try:
            events, self._position = read_since(self.path, self._position)
        except LedgerReplaced:
            self.view, self._position = self._begin(), Position()
            events, self._position = read_since(self.path)
        return events

    def _now(self) -> list[tuple[int, int, int] | None]:
        """What changes whenever something is committed: size, time and identity of the file and of its log."""
        stamps: list[tuple[int, int, int] | None] = []
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            try:
                found = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((found.st_ino, found.st_size, found.st_mtime_ns))
        return stamps
