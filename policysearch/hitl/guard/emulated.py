"""An emulated device: a firmware with limits, a watchdog and its own ramp, at a pseudo-terminal or a UDP port.

    python -m policysearch.hitl.guard.emulated            prints the path of its line, walks until it is killed
    python -m policysearch.hitl.guard.emulated --udp      prints its port

It is for tests and for practice. The firmware keeps its own highest torque and slope whatever it is told, and lets
the torque go if no command has come for 50 ms.
"""

import contextlib
import json
import math
import os
import socket
import sys
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from policysearch.files import begun
from policysearch.hitl.guard.frames import ANSWER, ASK, COMMAND, TELEMETRY, Frames, frame

PERIOD = 0.0025  # s
_TEXT = (b"emulated-1", b"1.0")


@dataclass
class Firmware:
    """The state of the device: what it was told, and what it does."""

    highest: float = 60.0  # N·m
    slope: float = 1000.0  # N·m/s
    watchdog: float = 0.05  # s
    stride_time: float = 1.1  # s
    torque: list[float] = field(default_factory=lambda: [0.0, 0.0])  # N·m
    estop: bool = False
    fault: int = 0

    def __post_init__(self) -> None:
        self.frames, self._told, self._told_at, self._number = Frames(), (0.0, 0.0), -1e9, 0

    def step(self, data: bytes, now: float, seconds: float) -> bytes:
        """Take what has arrived, move the torque, and return what is sent."""
        sent = b""
        for kind, number, content in self.frames.read(data):
            if kind == COMMAND:
                self._told, self._told_at = content, now
            elif kind == ASK:
                sent += frame(ANSWER, number, *_TEXT, 2, self.highest, self.watchdog)
        lost = self.estop or now - self._told_at > self.watchdog
        for i in (0, 1):
            told = self._told[i] if math.isfinite(self._told[i]) and not lost else 0.0
            told = min(max(told, -self.highest), self.highest)
            step = self.slope * seconds
            self.torque[i] = min(max(told, self.torque[i] - step), self.torque[i] + step)
        self._number += 1
        walked = now / self.stride_time
        sides = [(100.0 * ((walked + i / 2) % 1.0), self.stride_time, self.torque[i]) for i in (0, 1)]
        content = (int(now * 1000) % 2**32, *sides[0], *sides[1], self.estop, self.fault)
        return sent + frame(TELEMETRY, self._number, *content)


def run(
    firmware: Firmware,
    read: Callable[[], bytes],
    write: Callable[[bytes], object],
    note: Callable[[str], object],
) -> None:
    """Step until the process is killed; `note` is told time (s) and torques (N·m)."""
    last = time.monotonic()
    while True:
        time.sleep(PERIOD)
        now, data = time.monotonic(), b""
        with contextlib.suppress(OSError):
            data = read()
        sent = firmware.step(data, now, min(now - last, 0.01))
        with contextlib.suppress(OSError):
            write(sent)
        note(f"{now!r},{firmware.torque[0]!r},{firmware.torque[1]!r}\n")
        last = now


def main(argv: list[str]) -> None:
    """Open a line, print its name, and run.

    Args:
        argv: `--udp`, a file for the torques, and the fields of `Firmware` as JSON, each if wanted.
    """
    fields = [text for text in argv if text.startswith("{")]
    files = [text for text in argv if text != "--udp" and text not in fields]
    log = begun(Path(files[0])) if files else None
    firmware = Firmware(**json.loads(fields[0])) if fields else Firmware()
    note = log.write if log else str
    if "--udp" in argv:
        port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port.bind(("127.0.0.1", 0))
        port.setblocking(False)
        name, to = str(port.getsockname()[1]), [("127.0.0.1", 9)]

        def receive() -> bytes:
            data, to[0] = port.recvfrom(4096)
            return data

        sys.stdout.write(name + "\n")
        sys.stdout.flush()
        run(firmware, receive, lambda data: port.sendto(data, to[0]), note)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    sys.stdout.write(os.ttyname(theirs) + "\n")
    sys.stdout.flush()
    run(firmware, lambda: os.read(ours, 4096), lambda data: os.write(ours, data), note)


if __name__ == "__main__":
    main(sys.argv[1:])
