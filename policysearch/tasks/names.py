"""Tasks and policies by name; what a name stands for is imported and made when it is first used."""

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from policysearch.registry import Registry, found

if TYPE_CHECKING:
    from collections.abc import Callable

    from policysearch.core import Policy

#: Ways to run rollouts; see `policysearch.tasks.make_evaluator`.
EvaluatorKind = Literal["auto", "compiled", "episodes", "pool"]

#: Tasks by name (`policysearch.tasks.task.Task`); `policysearch.tasks.known` has those of the engine.
TASKS: "Registry[Any]" = Registry("task", "policysearch.tasks", wings=True)

#: Policies for any environment; where a name has no head, the actions decide which.
GENERAL = ("linear", "mlp", "tabular", "softmax-linear", "softmax-mlp", "gaussian-linear", "gaussian-mlp")
#: Controllers for the plants that ship.
TUNED = (
    "motor-pid", "thermal-pid", "tanks-pid", "cart-pole-lqr", "pattern-generator", "energy-swing-up", "cascaded-pid",
)  # fmt: skip


def _tuned_controller(name: str) -> Any:
    return found("policysearch.tasks.policies:tuned_controller")(name)


#: Controllers with parameters of their own, by name. They are no distributions over actions.
CONTROLLERS: "Registry[Callable[[Any], Policy]]" = Registry("policy", "policysearch.policies", wings=True)
for _name in TUNED:
    CONTROLLERS.declare(_name, partial(_tuned_controller, _name))


def policy_names() -> list[str]:
    """The policies that `make_policy` knows by name, those of installed plug-ins last."""
    return [*GENERAL, *CONTROLLERS.names()]


def declare_task(name: str, env_id: str, policy: str = "linear", **options: Any) -> None:
    """Add a task; a list says what policy it has.

    Args:
        name: its name.
        env_id: the id of its environment.
        policy: what is searched by default.
        options: further fields of `policysearch.tasks.task.Task`.
    """
    fields = {"name": name, "env_id": env_id, "policy": policy, **options}
    TASKS.declare(name, lambda: found("policysearch.tasks.task:Task")(**fields), said=policy)
