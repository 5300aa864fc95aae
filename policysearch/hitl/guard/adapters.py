"""Devices that take torques as frames (`frames`) over a serial line or UDP.

    "policysearch.hitl.guard.adapters:Serial"   options: path, baud
    "policysearch.hitl.guard.adapters:Udp"      options: host, port

A reading is as old as the time since it arrived, and older if it was on its way for longer than the fastest one
lately: the device's clock is in every frame. What waited in a buffer is therefore seen to be old.
"""

import contextlib
import math
import os
import select
import socket
import termios
import time
import tty
from collections.abc import Callable
from typing import Any

from policysearch.hitl.guard.device import Description, Stride
from policysearch.hitl.guard.frames import ANSWER, ASK, COMMAND, TELEMETRY, Frames, frame

ASK_SECONDS, ASK_EVERY = 2.0, 0.2  # s for the answer of a device that was opened; it is asked again meanwhile
DRIFT = 1e-4  # s per s, by which two clocks may differ
_UNKNOWN = Stride(math.nan, math.inf, math.nan)


class Age:
    """The age of readings, from the clock of their sender."""

    def __init__(self) -> None:
        self._offset, self._at = math.inf, 0.0
        self._sent, self._wraps = 0, 0

    def of(self, sent: int, now: float) -> float:
        """How much longer (s) a frame took than the fastest one; `sent` in ms, modulo 2³², by the sender's clock."""
        self._wraps += sent < self._sent and self._sent - sent > 2**31
        self._sent = sent
        offset = now - (sent + self._wraps * 2**32) / 1000.0
        self._offset = min(self._offset + DRIFT * (now - self._at), offset)
        self._at = now
        return offset - self._offset


class FramedDevice:
    """A device behind a line. Its kinds open the line, and read and write bytes without waiting."""

    def __init__(self, descriptor: int, read: Callable[[], bytes], write: Callable[[bytes], int]) -> None:
        self._descriptor, self._read, self._write = descriptor, read, write
        self._frames, self._age, self._number = Frames(), Age(), 0
        self._content: tuple[Any, ...] = ()
        self._seen_at, self._delay, self._read_at = -math.inf, 0.0, -math.inf
        try:
            self._description = self._ask()
        except BaseException:
            self.close()
            raise

    def describe(self) -> Description:
        """What the device answered when it was opened."""
        return self._description

    def stride(self) -> tuple[Stride, ...]:
        """The newest reading; NaN and infinitely old before the first."""
        self._receive()
        sides = range(len(self._description.sides))
        if not self._content:
            return tuple(_UNKNOWN for _ in sides)
        age = time.monotonic() - self._seen_at + self._delay
        return tuple(Stride(self._content[1 + 3 * i], age, self._content[2 + 3 * i]) for i in sides)

    def apply(self, torque: tuple[float, ...]) -> None:
        """Send a command.

        Raises:
            OSError: if the line does not take it now.
        """
        self._send(COMMAND, torque[0], torque[1] if len(torque) > 1 else 0.0)

    def measured(self) -> tuple[float, ...]:
        """From the newest reading; NaN before the first."""
        sides = range(len(self._description.sides))
        return tuple(self._content[3 + 3 * i] if self._content else math.nan for i in sides)

    def fault(self) -> str:
        """The number of the fault in the newest reading."""
        return f"number {self._content[8]}" if self._content and self._content[8] else ""

    def estop(self) -> bool:
        """Whether the emergency stop was pressed in the newest reading."""
        return bool(self._content and self._content[7])

    def close(self) -> None:
        """Send no torque once more, and close the line."""
        with contextlib.suppress(OSError):
            self._send(COMMAND, 0.0, 0.0)
        self._close()

    @property
    def dropped(self) -> dict[str, int]:
        """Numbers of what was received and not taken, by reason."""
        return dict(self._frames.counts)

    def _close(self) -> None:
        os.close(self._descriptor)

    def _send(self, kind: int, *content: Any) -> None:
        self._number += 1
        data = frame(kind, self._number, *content)
        if self._write(data) != len(data):
            raise BlockingIOError("the line took only a part of a frame")

    def _receive(self) -> Description | None:
        """Take the newest reading, and return an answer if there is one."""
        answer, data = None, b""
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while part := self._read():
                data += part
        for kind, _, content in self._frames.read(data):
            if kind == TELEMETRY:
                now = time.monotonic()
                self._content, self._seen_at, self._delay = content, now, self._age.of(content[0], now)
            elif kind == ANSWER:
                serial, firmware, sides, highest, watchdog = content
                names = [text.rstrip(b"\0").decode(errors="replace") for text in (serial, firmware)]
                answer = Description(
                    names[0], names[1], ("left", "right")[: max(sides, 1)], highest, watchdog
                )
        return answer

    def _ask(self) -> Description:
        end = time.monotonic() + ASK_SECONDS
        while time.monotonic() < end:
            self._send(ASK)
            again = time.monotonic() + ASK_EVERY
            while (left := again - time.monotonic()) > 0.0:
                select.select([self._descriptor], [], [], left)
                if answer := self._receive():
                    return answer
        raise TimeoutError(
            f"the device has not answered for {ASK_SECONDS:g} s: is it on, and is this its line?"
        )


class Serial(FramedDevice):
    """A device at a serial line, USB or Bluetooth's RFCOMM included."""

    def __init__(self, path: str, baud: int = 1_000_000) -> None:
        speed = getattr(termios, f"B{baud}", None)
        if speed is None:
            raise ValueError(f"baud: expected a rate of the system such as 115200, got {baud}")
        line = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        if os.isatty(line):
            tty.setraw(line)
            settings = termios.tcgetattr(line)
            settings[4] = settings[5] = speed
            termios.tcsetattr(line, termios.TCSANOW, settings)
        super().__init__(line, lambda: os.read(line, 4096), lambda data: os.write(line, data))


class Udp(FramedDevice):
    """A device that sends to whoever has sent to it last."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((host, port))
        self._socket.setblocking(False)
        super().__init__(self._socket.fileno(), lambda: self._socket.recv(4096), self._socket.send)

    def _close(self) -> None:
        self._socket.close()
