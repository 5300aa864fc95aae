"""The page of tasks, from the registry and the docstrings of their environments."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gymnasium as gym

from generator import markdown
from policysearch import TASKS, Task


def pages() -> Mapping[str, str]:
    """One page."""
    tasks = list(TASKS.values())
    rows = [
        (
            markdown.code(task.name),
            markdown.code(task.policy),
            ", ".join(f"{name}: {value:.4g}" for name, value in task.references.items()),
            " … ".join(f"{value:.4g}" for value in task.normalise or ()),
        )
        for task in tasks
    ]
    places = [
        (markdown.code(task.name), markdown.code(task.env_id) or "a simulated person", task.deploy, task.unit)
        for task in tasks
        if task.env_id != task.name
    ]
    described: dict[str, list[str]] = {}
    for task in tasks:
        if doc := _doc(task):
            described.setdefault(doc, []).append(task.name)
    sections = [f"## {', '.join(names)}\n\n{markdown.of_docstring(doc)}" for doc, names in described.items()]
    text = f"""# Tasks

A task is an environment (or a person), a policy, and how the policy is deployed: its `mode`, or `sample`s of its
actions. Any other Gymnasium environment is a task by its id, with a linear policy. `references` are known returns,
which the pictures show. `0 … 1` are the returns that count as 0 and 1 where tasks are put on one scale; a study file
sets others with `normalise = [low, high]`.

{markdown.table(("task", "policy", "references", "0 … 1"), rows)}

Tasks whose environment has another name, how they are deployed, and the unit of their return where it has one:

{markdown.table(("task", "environment", "deployed", "unit"), places)}

{chr(10).join(section + chr(10) for section in sections)}"""
    return {"index.md": text}


def _doc(task: Task) -> str:
    """The docstring of the module that describes an environment of ours."""
    if task.person is not None:
        return import_module(type(task.person).__module__).__doc__ or ""
    place: Any = gym.registry[task.env_id].entry_point
    module = place.partition(":")[0] if isinstance(place, str) else place.__module__
    simulator = gym.registry[task.env_id].kwargs.get("simulator")
    if not module.startswith("policysearch"):
        return ""
    return import_module(_module_of(simulator) or module).__doc__ or ""


def _module_of(simulator: Any) -> str:
    """The module in which the step of a simulator is defined."""
    step = getattr(getattr(simulator, "step", None), "py_func", None) or getattr(simulator, "step", None)
    return getattr(step, "__module__", "")
