"""The exoskeleton of Zhang et al. (2017): torque law, respirometry, simulated people, and the task `exoskeleton`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policysearch.tasks import Task


def task(name: str) -> "Task":
    """The task of a simulated person who walks bouts."""
    from policysearch.exoskeleton.subject import SimulatedSubject  # noqa: PLC0415 - when it is needed
    from policysearch.tasks import Task  # noqa: PLC0415

    person, unit = SimulatedSubject("zhang2017"), "% less energy"
    return Task(name, "", policy="torque-profile", person=person, unit=unit, step="minutes")


def profile_for(interface: Any) -> Any:
    """The torque profile, which no environment takes."""
    from policysearch.exoskeleton.torque_profile import TorqueProfile  # noqa: PLC0415 - imports Numba

    return TorqueProfile.of(interface)
