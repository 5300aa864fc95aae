"""The owner's end of the socket to a guard's process."""

import json
import math
import socket
import subprocess
import threading
from dataclasses import replace
from typing import Any

from policysearch.hitl.guard.wire import CHUNK, Status, line

ANSWER_SECONDS = 2.0  # that the process may take to answer; later it counts as hanging
CLOSE_SECONDS = 5.0  # that it may take to end after the stop time; later it counts as hanging


class Connection:
    """Messages to a guard's process, and its answers. Threads may share it.

    Attributes:
        lock: held while a message is sent and answered.
        last: the status in the latest answer.
        ended: whether the process has ended.
    """

    def __init__(self, pipe: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self.pipe, self._process, self.lock = pipe, process, threading.Lock()
        self.last, self.ended = Status(""), False
        self._asked, self._unread = 0, b""

    def ask(self, do: str, **rest: object) -> None:
        """Send a message and wait for its answer.

        Raises:
            ValueError: if it is refused, with the reason.
            RuntimeError: if the process has ended or hangs.
        """
        with self.lock:
            self._asked += 1
            self.send(line({"do": do, "number": self._asked, **rest}))
            answer = self.answer(self._asked)
        if answer["refused"]:
            raise ValueError(answer["refused"])

    def send(self, message: bytes) -> None:
        """Send what is not answered; whoever calls it holds the lock."""
        if self.ended:
            raise EndedError(self.last.stop_reason)
        try:
            self.pipe.sendall(message)
        except TimeoutError:
            raise self._hangs() from None
        except OSError:  # it has ended, and its last line says why
            self.answer(-1)

    def answer(self, number: int) -> dict[str, Any]:
        """The answer with this number; answers to older messages came too late and are dropped."""
        while True:
            text, end, rest = self._unread.partition(b"\n")
            if not end:
                self._unread += self._more()
                continue
            self._unread = rest
            answer: dict[str, Any] = json.loads(text)
            self.last = Status(**answer["status"])
            if not self.last.running:
                self.ended = True
                raise EndedError(self.last.stop_reason)
            if answer["number"] == number:
                return answer

    def _more(self) -> bytes:
        try:
            if data := self.pipe.recv(CHUNK):
                return data
        except TimeoutError:
            raise self._hangs() from None
        except OSError:
            pass
        self.end(f"exit code {self._process.wait(CLOSE_SECONDS)}", math.nan)
        raise EndedError(self.last.stop_reason)

    def end(self, reason: str, torque: float) -> None:
        """Note that the process has ended without saying so."""
        torques, self.ended = [torque for _ in self.last.torque], True
        self.last = replace(self.last, stop_reason=reason, torque=torques, running=False)

    def _hangs(self) -> RuntimeError:
        return RuntimeError(
            f"the guard process has not answered for {self.pipe.gettimeout():g} s: use the physical stop"
        )


class EndedError(RuntimeError):
    """The process has ended."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the guard process has ended: {reason}")
