"""The log of what a person answered: events that are only ever appended, the last of which can be taken back.

An event is a kind and a body of plain data. One of the kind "undo" takes back the last event that is in force and of
an undoable kind. What follows from a log is a function of its events in force, so that a session that was killed at
any moment continues where it was.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from policysearch.ledger import LedgerError

LoggedEvent = tuple[str, Mapping[str, Any]]  # kind and body
Write = Callable[[str, Mapping[str, Any]], None]


def in_memory(kind: str, body: Mapping[str, Any]) -> None:
    """Write an event nowhere."""


class EventLog:
    """The events so far.

    Args:
        undoable: the kinds of events that can be taken back.
        events: what was written before.
        write: makes an event durable.

    Attributes:
        events: all of them; the number of an event is its place, from 1.
    """

    def __init__(
        self, undoable: Collection[str], events: Sequence[LoggedEvent] = (), write: Write = in_memory
    ) -> None:
        self._undoable, self._write, self._failed = undoable, write, False
        self.events: list[LoggedEvent] = []
        self._stack: list[int] = []  # places of the undoable events in force
        for kind, body in events:
            self._keep(kind, body)

    @property
    def in_force(self) -> list[tuple[int, str, Mapping[str, Any]]]:
        """The undoable events in force, in order: place (from 0), kind and body."""
        return [(place, *self.events[place]) for place in self._stack]

    @property
    def last(self) -> LoggedEvent | None:
        """What undoing takes back."""
        return self.events[self._stack[-1]] if self._stack else None

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        """Write an event.

        Raises:
            LedgerError: if it cannot be written. From then on no event is, until the log is opened again.
        """
        if self._failed:
            raise LedgerError("the log could not be written; run the same command again to see what is in it")
        self._failed = True
        self._write(kind, body)
        self._failed = False
        self._keep(kind, body)

    def _keep(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind in self._undoable:
            self._stack.append(len(self.events))
        elif kind == "undo" and self._stack:
            self._stack.pop()
        self.events.append((kind, body))
