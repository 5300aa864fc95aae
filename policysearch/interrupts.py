"""Ctrl-C: what there is when it comes is reported, and files that are being written are completed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A search was stopped by Ctrl-C, or by the person who measures.

    Attributes:
        result: what there is, a `TuneResult` or a `CompareResult`; None if a comparison has no finished run.
    """

    def __init__(self, result: Any, message: str) -> None:
        self.result = result
        super().__init__(message)


@contextmanager
def held_back() -> Iterator[list[int]]:
    """A block that Ctrl-C does not end, as it writes files; the second Ctrl-C ends it.

    Yields a list that is empty unless Ctrl-C was pressed; the caller obeys it.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
