"""The messages between the guard's process and its owner: lines of JSON.

owner to process     {"do": "beat"}, which is not answered, or {"do": …, "number": n, …}
process to owner     {"number": n, "refused": why not, or empty, "status": …}; n is 0 at the start and at the end

    do          and
    beat                       the owner is alive
    status                     nothing but the answer is wanted
    law         law            four numbers, or null for no torque
    stop        reason         text
    arm         reason         text
    restrict    limits         the fields of `GuardLimits`

What cannot be read stops the guard. So do more lines at once than an owner has reason to send.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_REASON = 500  # characters that are kept
CHUNK = 16384  # bytes that the process reads in a tick
MAX_LINE = 8192  # bytes; a longer line from the owner is garbage
MAX_MESSAGES = 16  # in a tick, beats apart; an owner waits for each answer
MAX_BEATS = 256  # in a tick
BEAT = b'{"do": "beat"}'


@dataclass(frozen=True)
class Status:
    """The state of the guard. Lists have a number for every side of the device, in its order."""

    stop_reason: str  # empty while it is armed
    running: bool = True
    torque: list[float] = field(
        default_factory=list
    )  # N·m/kg, told last; NaN if the process ended without a ramp
    measured: list[float] = field(default_factory=list)  # N·m/kg; NaN where the device does not measure
    stride: list[float] = field(default_factory=list)  # %
    stride_time: list[float] = field(default_factory=list)  # s
    law: list[float] | None = None  # in force on every side; None without, after a stop and between two laws
    waiting: bool = False  # whether the law that was set last still waits for swing
    refused: str = ""  # why the law that was set last did not come into force
    highest: float = 0.0  # N·m/kg that a law may have now, by the limits and the ceiling
    counts: Mapping[str, int] = field(
        default_factory=dict
    )  # of ticks with an irregularity, by kind, and of what the line has dropped
    ticks: int = 0
    gaps: list[int] = field(
        default_factory=list
    )  # number of ticks by the time since the tick before, see `Gaps`
    longest_gap: float = 0.0  # s
    scheduling: str = ""  # whether real-time scheduling and locked memory were granted
    device: Mapping[str, Any] = field(default_factory=dict)  # its `Description`


def line(message: Mapping[str, object]) -> bytes:
    """A message as it is sent."""
    return json.dumps(message).encode() + b"\n"
