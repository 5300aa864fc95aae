"""What `--list` shows: tasks, policies and methods by name."""

import dataclasses

from policysearch.optimizers import OPTIMIZERS, source_of
from policysearch.tasks import CONTROLLERS, TASKS, policy_names


def listing() -> None:
    """Tasks, policies, and optimizers with their hyperparameters."""
    print("tasks (and any Gymnasium id, module:EnvId, or module:TASK):")
    for task in TASKS.values():
        print(f"  {task.name:26} {task.policy} policy")
    print(
        "\npolicies:\n  " + ", ".join(policy_names()) + "; mlp:32,32 sets the hidden layers; or module:POLICY"
    )
    print("\noptimizers (or module:CLASS; and whitened:NAME for normalised observations):")
    for name, cls in OPTIMIZERS.items():
        print(f"  {name:20} {(cls.__doc__ or '').splitlines()[0]}")
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        print("  " + " " * 21 + ", ".join(f"{f.name}={f.default!r}" for f in fields))
        if source := source_of(cls):
            print("  " + " " * 21 + "source: " + ", ".join(f"{n}={v!r}" for n, v in source.items()))
    for known in (TASKS, CONTROLLERS, OPTIMIZERS):
        for name in known.names()[len(known) :]:
            print(f"\ninstalled plug-in: {known.kind} {name}, {', '.join(known.versions(name).values())}")
