"""Tasks: an environment, the policy that is searched in it, and how that policy is deployed.

Any Gymnasium id is a task, also as `module:EnvId`. `TASKS` holds what we know beyond Gymnasium about some of them.
"""

from policysearch.configuration import EvaluatorKind
from policysearch.tasks import known as _known  # noqa: F401 - registers the tasks of the engine
from policysearch.tasks.policies import CONTROLLERS, make_policy, parse_policy, policy_names
from policysearch.tasks.problem import (
    Problem,
    incompatibility,
    is_compiled,
    make_evaluator,
    make_problem,
)
from policysearch.tasks.task import TASKS, Subject, Task, find_task, known_task, outside

__all__ = [
    "CONTROLLERS",
    "TASKS",
    "EvaluatorKind",
    "Problem",
    "Subject",
    "Task",
    "find_task",
    "incompatibility",
    "is_compiled",
    "known_task",
    "make_evaluator",
    "make_policy",
    "make_problem",
    "outside",
    "parse_policy",
    "policy_names",
]
