"""What `--list` shows: tasks, policies and methods by name; none of them is imported for it."""

from collections.abc import Mapping
from typing import Any

from policysearch.declarations import declaration, declaration_of
from policysearch.optimizers import OPTIMIZERS
from policysearch.tasks import CONTROLLERS, TASKS, policy_names


def listing() -> None:
    """Tasks, policies, and optimizers with their hyperparameters."""
    print("tasks (and any Gymnasium id, module:EnvId, or module:TASK):")
    for name in TASKS:
        policy = TASKS.declared(name) or TASKS[name].policy
        print(f"  {name:26} {policy} policy")
    print(
        "\npolicies:\n  " + ", ".join(policy_names()) + "; mlp:32,32 sets the hidden layers; or module:POLICY"
    )
    print("\noptimizers (or module:CLASS; and whitened:NAME for normalised observations):")
    for name in OPTIMIZERS:
        place = OPTIMIZERS.declared(name)
        method = declaration(place) if place else declaration_of(OPTIMIZERS[name])
        print(f"  {name:20} {method.doc.splitlines()[0]}")
        print("  " + " " * 21 + _values(method.defaults))
        if method.source:
            print("  " + " " * 21 + "source: " + _values(method.source))
    for known in (TASKS, CONTROLLERS, OPTIMIZERS):
        for name in known.names()[len(known) :]:
            print(f"\ninstalled plug-in: {known.kind} {name}, {', '.join(known.versions(name).values())}")


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
