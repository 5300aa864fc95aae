"""Threads that stay, for work that comes in many small pieces."""

import queue
import threading
from typing import Any


class Threads:
    """Threads that wait for work; a hand-over takes half the time of `concurrent.futures`."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._started = self._busy = 0

    def start(self, function: Any, *arguments: Any) -> None:
        """Have a thread call `function(*arguments)`."""
        if self._busy == self._started:
            queues = (self._inbox, self._outbox)
            threading.Thread(target=_work, args=queues, name="rollouts", daemon=True).start()
            self._started += 1
        self._busy += 1
        self._inbox.put((function, arguments))

    def wait(self) -> None:
        """Wait for all that was started; raises what it raised."""
        while self._busy:
            try:
                error = self._outbox.get(timeout=0.2)  # so that Ctrl-C is heard
            except queue.Empty:
                continue
            self._busy -= 1
            if error is not None:
                raise error

    def close(self) -> None:
        """End the threads."""
        for _ in range(self._started):
            self._inbox.put(None)
        self._started = 0

    __del__ = close


def _work(inbox: "queue.SimpleQueue[Any]", outbox: "queue.SimpleQueue[BaseException | None]") -> None:
    """What a thread does until it is ended; it holds no reference to its work in between."""
    while (work := inbox.get()) is not None:
        function, arguments = work
        del work
        error = None
        try:
            function(*arguments)
        except BaseException as raised:  # the caller's thread raises it
            error = raised
        del function, arguments
        outbox.put(error)
