"""The exoskeleton of Zhang et al. (2017): torque law, respirometry, simulated people, and the task `exoskeleton`."""

from typing import Any


def register() -> None:
    """Add the torque profile to the policies, and the task of a simulated person who walks bouts."""
    from policysearch.exoskeleton.subject import SimulatedSubject  # noqa: PLC0415 - when it is needed
    from policysearch.tasks import CONTROLLERS, TASKS, Task  # noqa: PLC0415

    CONTROLLERS["torque-profile"] = _torque_profile
    TASKS["exoskeleton"] = Task(
        "exoskeleton",
        "",
        policy="torque-profile",
        person=SimulatedSubject("zhang2017"),
        unit="% less energy",
        step="minutes",
    )


def _torque_profile(interface: Any) -> Any:
    """The torque profile, which no environment takes."""
    from policysearch.exoskeleton.torque_profile import TorqueProfile  # noqa: PLC0415 - imports Numba

    return TorqueProfile.of(interface)
