"""The guard of a session: its limits are those of the plan."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from policysearch.hitl.engine.drive import Guard
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.view import SessionView


def starter(
    session: SessionView,
    *,
    device: str,
    slope: float,
    stop_time: float,
    options: Mapping[str, Any],
    records: str,
) -> Callable[[], Guard]:
    """What starts a guard with the limits that are in force then.

    Args:
        session: whose upper torque and mass hold.
        device: "module:name".
        slope: N·m/kg per s.
        stop_time: s from any torque to zero.
        options: the arguments of the device.
        records: a folder for what the guard did before each stop.
    """

    def start() -> Guard:
        limits = GuardLimits(highest=session.upper_torque, slope=slope, stop_time=stop_time, unit="N·m/kg")
        settings = GuardSettings(mass=session.plan.mass, records=Path(records))
        return GuardProcess(limits, device, settings, options)

    return start
