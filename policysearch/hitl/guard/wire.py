"""The messages between the guard's process and its owner: lines of JSON.

owner to process     {"do": "beat"}, which is not answered, or {"do": …, "number": n, …}
process to owner     {"number": n, "refused": why not, or empty, "status": …}; n is 0 at the start and at the end
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

MAX_REASON = 500  # characters that are kept
CHUNK = 65536  # bytes read at once; a longer line from the owner is garbage


@dataclass(frozen=True)
class Status:
    """The state of the guard."""

    torque: float  # N·m/kg, last applied to the device; NaN after the process ended without a ramp
    stop_reason: str  # empty while it is armed
    counts: Mapping[str, int]  # of ticks with an irregularity, by kind
    ticks: int
    running: bool = True


def line(message: Mapping[str, object]) -> bytes:
    """A message as it is sent."""
    return json.dumps(message).encode() + b"\n"
