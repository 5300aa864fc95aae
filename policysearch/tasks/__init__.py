"""Tasks: an environment, the policy that is searched in it, and how that policy is deployed.

Any Gymnasium id is a task, also as `module:EnvId`. `TASKS` holds what we know beyond Gymnasium about some of them.
Names are here at once; the rest is imported when it is first used.
"""

from typing import TYPE_CHECKING

from policysearch.exports import exports
from policysearch.tasks import known as _known  # noqa: F401 - declares the tasks of the engine

if TYPE_CHECKING:  # for editors and type checkers; `exports` has the same at run time
    from policysearch.tasks.names import CONTROLLERS, EvaluatorKind, policy_names
    from policysearch.tasks.policies import make_policy, parse_policy
    from policysearch.tasks.problem import Problem, incompatibility, is_compiled, make_evaluator, make_problem
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

_PLACES = {
    "names": "CONTROLLERS EvaluatorKind TASKS policy_names",
    "policies": "make_policy parse_policy",
    "problem": "Problem incompatibility is_compiled make_evaluator make_problem",
    "task": "Subject Task find_task known_task outside",
}
__getattr__ = exports(__name__, {name: module for module, names in _PLACES.items() for name in names.split()})
