"""Frames between a guard and a device that takes torques: fixed lengths, a sequence number, a checksum.

    kind        direction   content (little endian, after two bytes of head; then CRC-32 of all before it)
    COMMAND     to device   number u32, torque of two sides 2 × f32 (N·m)
    ASK         to device   number u32
    TELEMETRY   from device number u32, clock u32 (ms), of two sides percent, stride time (s), measured (N·m) as f32,
                            emergency stop u8, fault u8 (0: none)
    ANSWER      from device number u32, serial and firmware 2 × 16 bytes of text, sides u8, highest torque f32 (N·m),
                            watchdog f32 (s)

A device with one side fills the second with zeros. A receiver takes a frame only if its checksum is right and its
number is newer than the last that it took; the others are counted. Numbers start again after 2³², and with ASK.
"""

import struct
import zlib
from collections import Counter
from typing import Any

MAGIC = 0xA5
COMMAND, ASK, TELEMETRY, ANSWER = 1, 2, 3, 4
_BODIES = {
    COMMAND: struct.Struct("<BBI2f"),
    ASK: struct.Struct("<BBI"),
    TELEMETRY: struct.Struct("<BBII6fBB"),
    ANSWER: struct.Struct("<BBI16s16sBff"),
}
_CRC = struct.Struct("<I")
_MAX_WAITING = 4096  # bytes that are kept in the hope that they become a frame


def frame(kind: int, number: int, *content: Any) -> bytes:
    """A frame as it is sent."""
    body = _BODIES[kind].pack(MAGIC, kind, number % 2**32, *content)
    return body + _CRC.pack(zlib.crc32(body))


class Frames:
    """A receiver of frames.

    Attributes:
        counts: of bytes and frames that were dropped, by reason.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._waiting, self._last = b"", dict.fromkeys(_BODIES, -1)

    def read(self, data: bytes) -> list[tuple[int, int, tuple[Any, ...]]]:
        """Kind, number and content of the frames that are complete, in the order of their arrival."""
        self._waiting = (self._waiting + data)[-_MAX_WAITING:]
        found = []
        while len(self._waiting) >= 2:
            body = _BODIES.get(self._waiting[1]) if self._waiting[0] == MAGIC else None
            if body and len(self._waiting) < body.size + _CRC.size:
                break
            end = body.size if body else 0
            if not body or zlib.crc32(self._waiting[:end]) != _CRC.unpack_from(self._waiting, end)[0]:
                self._waiting = self._waiting[1:]  # the next frame may begin anywhere
                self.counts["bytes that belong to no frame"] += 1
                continue
            _, kind, number, *content = body.unpack_from(self._waiting)
            self._waiting = self._waiting[end + _CRC.size :]
            if self._is_newer(kind, number):
                found.append((kind, number, tuple(content)))
        return found

    def _is_newer(self, kind: int, number: int) -> bool:
        if kind == ASK:  # from a program that has just started
            self._last[COMMAND] = -1
            return True
        last = self._last[kind]
        if last >= 0 and not 0 < (number - last) % 2**32 < 2**31:
            self.counts["duplicate or reordered frames"] += 1
            return False
        self._last[kind] = number
        return True
