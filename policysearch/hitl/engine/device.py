"""The guard of a session: what starts it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from policysearch.hitl.engine.drive import Guard
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits


def starter(
    *,
    device: str,
    slope: float,
    stop_time: float,
    options: Mapping[str, Any],
    records: str,
) -> Callable[[float, float], Guard]:
    """What starts a guard, with the highest torque (N·m/kg) and the mass (kg) that are in force then.

    Args:
        device: "module:name".
        slope: N·m/kg per s.
        stop_time: s from any torque to zero.
        options: the arguments of the device.
        records: a folder for what the guard did before each stop.
    """

    def start(highest: float, mass: float) -> Guard:
        limits = GuardLimits(highest=highest, slope=slope, stop_time=stop_time, unit="N·m/kg")
        settings = GuardSettings(mass=mass, records=Path(records))
        return GuardProcess(limits, device, settings, options)

    return start
