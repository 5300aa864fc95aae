"""What is searched and where: an environment, or a person, and the policy."""

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from jaxtyping import Float

from policysearch.core import Array, Policy
from policysearch.evaluators.interface import Interface, find_spec, make_factory
from policysearch.evaluators.runner import Deploy, Runner
from policysearch.evaluators.trial import in_one_line, try_out
from policysearch.evaluators.wrappers import Wrapping, WrongWrapper, taken
from policysearch.registry import Registry, did_you_mean, imported
from policysearch.seeding import Key
from policysearch.simulators import find_simulator
from policysearch.tasks import names
from policysearch.tasks.names import CONTROLLERS
from policysearch.tasks.policies import make_policy, parse_policy

if TYPE_CHECKING:
    from policysearch.simulators.simulator import Simulator


@runtime_checkable
class Subject(Protocol):
    """A person for whom parameters are searched, instead of an environment: one rollout after the other."""

    @property
    def name(self) -> str:
        """What saved recommendations call the subject."""

    @property
    def steps(self) -> int:
        """Steps of a rollout."""

    def make_policy(self) -> Policy:
        """The only policy that the subject takes."""

    def make_evaluator(self, policy: Policy, key: Key) -> Runner:
        """What runs that policy on the person whom `key` names."""


@dataclass(frozen=True, eq=False)
class Meeting:
    """What is known of an environment once a copy has been built and tried."""

    spec: EnvSpec
    interface: Interface
    simulator: "Simulator | None"  # its compiled form, if it has one


_met: dict[tuple[str, int, str], Meeting] = {}

#: The limit given to environments that would otherwise never end an episode.
DEFAULT_EPISODE_STEPS = 1000


#: What is raised where an extra is missing.
NOT_INSTALLED = (ImportError, gym.error.DependencyNotInstalled)


@dataclass(frozen=True)
class Task:
    """What is searched, and where.

    Raises:
        ValueError: from `make_env` and `make_policy`, for an environment that does not exist or cannot be
            built, and for a policy that is unknown or does not fit it.
    """

    name: str
    env_id: str  # empty for a person, who is no environment
    policy: str = "linear"  # as `policy_names` and `make_policy` have it
    deploy: Deploy = "mode"
    max_episode_steps: int | None = None  # None: the environment's own limit
    references: Mapping[str, float] = field(default_factory=dict)  # known returns, for the plots
    normalise: tuple[float, float] | None = None  # returns that count as 0 and 1 across tasks
    start: tuple[float, ...] | None = None  # where searches of this very policy start; None: where it says
    common_random_numbers: bool = True  # whether candidates meet the same episodes; real robots do not
    person: Subject | None = None  # who is searched for instead of an environment
    unit: str = ""  # of the return
    step: str = "steps"  # what a step is, in the plural
    env: Mapping[str, Any] = field(default_factory=dict)  # arguments of the environment's constructor
    wrappers: tuple[Wrapping, ...] = ()  # around the environment, the innermost first
    failure_return: float | None = None  # of a failed report episode; None: the lower of `normalise`

    def episode_steps(self) -> int:
        """The limit on steps per episode that applies."""
        if self.person is not None:
            return self.person.steps
        return self.max_episode_steps or find_spec(self.env_id).max_episode_steps or DEFAULT_EPISODE_STEPS

    def factory(self) -> Callable[[], Any]:
        """A function that builds one environment copy."""
        try:
            return make_factory(self.env_id, self.episode_steps(), self.env, self.wrappers)
        except Exception as error:  # the user's module may raise anything
            raise ValueError(_unknown(self.name, error)) from error

    def start_of(self, policy: Policy, rng: np.random.Generator) -> Float[Array, "d"]:
        """Where a search of `policy` starts, drawn from `rng` unless the task says."""
        if self.start is not None and len(self.start) == policy.num_params:
            return np.array(self.start)
        return np.asarray(policy.start(rng))

    def make_env(self) -> Any:
        """One environment copy."""
        make = self.factory()
        try:
            return make()
        except WrongWrapper:
            raise
        except Exception as error:  # the user's code may raise anything
            said = in_one_line(f"cannot build {self.env_id}", error) + self._taken(error)
            names_extra = "mujoco" in str(error).lower()  # that of Gymnasium, not ours
            if isinstance(error, NOT_INSTALLED) and names_extra:
                said = f"cannot build {self.env_id}: it needs MuJoCo: pip install 'policysearch[mujoco]'"
                said += ", or take the reduced model, aibo-gait-reduced" if "Aibo" in self.env_id else ""
            raise ValueError(said) from error

    def _taken(self, error: Exception) -> str:
        """What the environment's constructor takes, where it was given something else."""
        entry = find_spec(self.env_id).entry_point
        if not isinstance(error, TypeError) or entry is None:
            return ""
        return taken(imported(entry) if isinstance(entry, str) else entry, self.env)

    def plug_ins(self) -> dict[str, str]:
        """Modules and versions of the task and of its policy, where they are no part of the package."""
        _, body, hidden = parse_policy(self.policy)
        return TASKS.versions(self.name) | ({} if hidden else CONTROLLERS.versions(body))

    def make_policy(self) -> Policy:
        """The policy, sized for the environment."""
        return self.person.make_policy() if self.person else make_policy(self.policy, self.meet().interface)

    def meet(self) -> "Meeting":
        """What one copy of the environment says of itself; built once for every registered environment."""
        spec, arguments = find_spec(self.env_id), repr((sorted(self.env.items()), self.wrappers))
        key = (self.env_id, self.episode_steps(), arguments)
        if key not in _met or _met[key].spec != spec:
            env = self.make_env()
            try:
                interface, simulator = Interface(env.observation_space, env.action_space), find_simulator(env)
                if self.wrappers or (self.env and "simulator" not in vars(env.unwrapped)):
                    simulator = None  # that of a class knows no arguments, and none knows wrappers
                if simulator is None:
                    try_out(env, interface)
            finally:
                with contextlib.suppress(Exception):  # the user's code may raise anything
                    env.close()
            _met[key] = Meeting(spec, interface, simulator)
        return _met[key]


TASKS: Registry[Task] = names.TASKS


def find_task(name: str) -> Task:
    """The task of that name: one of ours, a plug-in's, or any Gymnasium id with a linear policy.

    A plug-in's task is a `Task` object, named as `module:TASK` or by an entry point of the group
    `policysearch.tasks`; this name replaces its own. `module:EnvId` is a Gymnasium id that the module registers.

    Raises:
        ValueError: if there is none, with the nearest names.
    """
    task = TASKS.get(name) or _from_plug_in(name) or Task(name, name)
    if task.person is None:
        task.factory()
    return task


def known_task(name: str) -> Task:
    """As `find_task`, but without an import for what a file names: of a plug-in's task only the name is known."""
    return find_task(name) if TASKS.is_at_hand(name) else Task(name, name)


def outside(name: str, policy: str) -> list[str]:
    """The modules of a task, or environment, and a policy that neither the package nor an installed plug-in has."""
    _, controller, hidden = parse_policy(policy)
    return [*TASKS.outside(name), *([] if hidden else CONTROLLERS.outside(controller))]


def _from_plug_in(name: str) -> Task | None:
    """The task object that a plug-in's name stands for, if it does: its environment is found by its module."""
    module, env_id = TASKS.module_of(name), name.partition(":")[2]
    if not module:
        return None
    try:
        task = TASKS.find(name)
    except ValueError as error:
        if env_id and module in sys.modules:  # which has no such name, but may register an environment
            return None
        raise ValueError(f"unknown task; {error}") from error
    if env_id in gym.registry:
        return None
    if not isinstance(task, Task):
        raise ValueError(f"expected a policysearch.tasks.Task, or a Gymnasium id, got {task!r}")
    place = task.env_id if ":" in task.env_id or task.person else f"{module}:{task.env_id}"
    return replace(task, name=name, env_id=place)


def _unknown(name: str, error: Exception) -> str:
    otherwise = "see --list, or give a Gymnasium id, module:EnvId or module:TASK"
    hint = did_you_mean(name, {*TASKS.names(), *gym.registry}, otherwise)
    return f"unknown task; {hint} ({type(error).__name__}: {str(error).splitlines()[0]})"
