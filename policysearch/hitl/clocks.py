"""The clocks of a session: one that only ever advances, and the time of day."""

import time

Clocks = tuple[float, float]  # s, the monotonic and the wall clock
_AWAKE_OR_NOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic() -> float:
    """The time (s) since the computer was started, with that for which it slept where a clock counts it."""
    return time.clock_gettime(_AWAKE_OR_NOT)


def clocks() -> Clocks:
    """The time now."""
    return monotonic(), time.time()
