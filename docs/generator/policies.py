"""The page of policies and controllers, from their docstrings and the parameters of their spaces."""

import sys
from collections.abc import Mapping
from typing import Any

from generator import markdown
from policysearch import MLP, TASKS, Gaussian, Linear, Softmax
from policysearch.tasks.policies import CONTROLLERS

#: Names of a general policy, and where it is described.
GENERAL = {
    "linear": (Linear, "Names: `linear`; `softmax-linear` and `gaussian-linear` name the head too"),
    "mlp": (MLP, "Names: `mlp` (16 units), `mlp:32,32`; `softmax-mlp` and `gaussian-mlp` name the head too"),
    "softmax": (Softmax, "The head for discrete actions. The policy `tabular` is the softmax of a table"),
    "gaussian": (Gaussian, "The head for continuous actions"),
}


def pages() -> Mapping[str, str]:
    """One page."""
    general = [
        f"### {name}\n\n{names}.\n\n{markdown.marked(markdown.of_docstring(_doc(cls)))}"
        for name, (cls, names) in GENERAL.items()
    ]
    controllers = [_controller(name) for name in CONTROLLERS]
    text = "\n\n".join(
        [
            "# Policies and controllers",
            "A policy maps observations to actions. `--policy NAME` chooses one; every task has a default.",
            "## Policies for any environment",
            *general,
            "## Controllers",
            "A controller is a policy whose parameters have names, units and bounds. It is no distribution over "
            "actions, so methods that need scores cannot search it. The tables give the parameters for the task "
            "that is named.",
            *controllers,
        ]
    )
    return {"index.md": text + "\n"}


def _doc(cls: type) -> str:
    return sys.modules[cls.__module__].__doc__ or ""


def _controller(name: str) -> str:
    """The section of a controller, with its parameters on the first task that has it."""
    task = next(task for task in reversed(list(TASKS.values())) if task.policy == name)
    policy: Any = task.make_policy()
    rows = [
        (p.name, p.unit, f"{p.start:g}", f"{p.lower:g}", f"{p.upper:g}", p.scale)
        for p in policy.space.parameters
    ]
    header = ("parameter", "unit", "start", "lower", "upper", "scale")
    return "\n\n".join(
        [
            f"### {name}",
            f"Class `{type(policy).__name__}`, task [`{task.name}`](../tasks/index.md).",
            markdown.marked(markdown.of_docstring(_doc(type(policy)))),
            markdown.table(header, rows, "llrrrl"),
        ]
    )
