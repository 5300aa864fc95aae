"""What the built-in wings add to tasks and policies, by name; a wing is imported when one of its names is used."""

from functools import partial
from typing import Any

from policysearch.registry import found
from policysearch.tasks.names import CONTROLLERS, TASKS

#: Tasks by the wing that makes them, and the policy of each.
_TASKS = {
    "policysearch.aibo:task": {
        "aibo-gait": "half-ellipse-gait",
        "aibo-gait-half-noise": "half-ellipse-gait",
        "aibo-gait-twice-noise": "half-ellipse-gait",
        "aibo-gait-reduced": "half-ellipse-gait",
    },
    "policysearch.exoskeleton:task": {"exoskeleton": "torque-profile"},
}
#: Controllers, and the function that makes each for an environment.
_CONTROLLERS = {
    "half-ellipse-gait": "policysearch.aibo:gait_for",
    "torque-profile": "policysearch.exoskeleton:profile_for",
}


def declare() -> None:
    """Add the names of all wings."""
    for name, place in _CONTROLLERS.items():
        CONTROLLERS.declare(name, partial(found, place))
    for place, policies in _TASKS.items():
        for name, policy in policies.items():
            TASKS.declare(name, partial(_task, place, name), said=policy)


def _task(place: str, name: str) -> Any:
    return found(place)(name)
