"""Tasks: an environment, the policy that is searched in it, and how that policy is deployed.

Any Gymnasium id is a task, also as `module:EnvId`. `TASKS` holds what we know beyond Gymnasium about some
of them; a new entry is one line.
"""

import difflib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, cast

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Optimizer, Policy, StochasticPolicy, needs_of
from policysearch.evaluators import BoutEvaluator, CompiledEvaluator, EpisodeEvaluator, PoolEvaluator, Runner
from policysearch.evaluators.bouts import MINUTES
from policysearch.evaluators.interface import Interface, find_spec, make_factory
from policysearch.evaluators.shared import Deploy
from policysearch.gradients.exact import LQR
from policysearch.optimizers import Whitened
from policysearch.policies import (
    MLP,
    PID,
    CascadedPID,
    EnergySwingUp,
    Gaussian,
    HalfEllipseGait,
    Linear,
    LQRWeights,
    PatternGenerator,
    Softmax,
    TorqueProfile,
)
from policysearch.policies.pid import gain_space
from policysearch.seeding import Key, stream
from policysearch.simulators import (
    Simulator,
    cart_pole_force,
    find_simulator,
    motor,
    pendulum,
    quadrotor,
    tanks,
    thermal,
)
from policysearch.simulators.lqr import chain as lqr_chain
from policysearch.simulators.problems import STEP_COST, aliased_gridworld, bandit, chain, coin_policy
from policysearch.simulators.rock_paper_scissors import ROUNDS, expected_return
from policysearch.space import Space

#: The limit given to environments that would otherwise never end an episode.
DEFAULT_EPISODE_STEPS = 1000


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
    person: str | None = None  # who walks a bout per rollout: a preset of `simulators.human`
    unit: str = ""  # of the return
    step: str = "steps"  # what a step is, in the plural

    def episode_steps(self) -> int:
        """The limit on steps per episode that applies."""
        if self.person is not None:
            return MINUTES
        return self.max_episode_steps or find_spec(self.env_id).max_episode_steps or DEFAULT_EPISODE_STEPS

    def factory(self) -> Callable[[], Any]:
        """A function that builds one environment copy."""
        try:
            return make_factory(self.env_id, self.episode_steps())
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
        except Exception as error:  # the user's code may raise anything
            hint = "; install policysearch[mujoco]" if "mujoco" in str(error).lower() else ""
            hint += ", or take the reduced model, aibo-gait-reduced" if hint and "Aibo" in self.env_id else ""
            raise ValueError(f"cannot build {self.env_id}: {type(error).__name__}: {error}{hint}") from error

    def make_policy(self) -> Policy:
        """The policy, sized for the environment."""
        if self.person is not None:
            return TorqueProfile()
        env = self.make_env()
        try:
            return make_policy(self.policy, Interface(env.observation_space, env.action_space))
        finally:
            env.close()


_LQR: LQR = lqr_chain()


def _lqr_untouched() -> float:
    """The return of doing nothing."""
    inputs = _LQR.B.shape[1]
    return _LQR.expected_return(np.zeros(_LQR.B.T.shape), np.full(inputs, -np.inf))


_BANDIT, _CHAIN, _GRID = bandit(), chain(), aliased_gridworld()
_GRID_AT_RANDOM = _GRID.expected_return(np.zeros(_GRID.table))
#: Of a policy that remembers the cell before: steps to the treasure from each cell; see `aliased_gridworld`.
_GRID_REMEMBERED = 1 - STEP_COST * sum((3, 2, 1, 4, 3)) / 5
#: Of one move all the time, and of the uniform strategy.
_ROCK, _UNIFORM = expected_return(np.eye(3)[0]), 0.0


def _tabular_tasks() -> tuple[Task, ...]:
    """Finite problems; one step more than their horizon, so that it is the problem that ends an episode."""
    best = _GRID.expected_return(coin_policy())
    seeing = {"optimum, seeing the cell": _GRID.optimal_return()}
    return (
        Task(
            "bandit", "policysearch/Bandit-v0", policy="tabular", max_episode_steps=2,
            references={"optimum": _BANDIT.optimal_return()},
            normalise=(_BANDIT.expected_return(np.zeros(_BANDIT.table)), _BANDIT.optimal_return()),
        ),
        Task(
            "chain", "policysearch/Chain-v0", policy="tabular", max_episode_steps=21,
            references={"optimum": _CHAIN.optimal_return()},
            normalise=(_CHAIN.expected_return(np.zeros(_CHAIN.table)), _CHAIN.optimal_return()),
        ),
        Task(
            "aliased-gridworld", "policysearch/AliasedGridworld-v0", policy="tabular", deploy="sample",
            max_episode_steps=21,
            references=seeing | {
                "best memoryless": best, "best deterministic memoryless": _GRID.best_deterministic_return()
            },
            normalise=(_GRID_AT_RANDOM, best),
        ),
        Task(
            "aliased-gridworld-history", "policysearch/AliasedGridworldHistory-v0", max_episode_steps=21,
            references=seeing | {"best with memory": _GRID_REMEMBERED},
            normalise=(_GRID_AT_RANDOM, _GRID_REMEMBERED),
        ),
        Task(
            "rock-paper-scissors", "policysearch/RockPaperScissors-v0", policy="tabular", deploy="sample",
            start=(1.5, 0.0, 0.0),  # mostly rock: zero would be the optimum already
            max_episode_steps=ROUNDS + 1,
            references={"optimum (uniform)": _UNIFORM, "deterministic": _ROCK},
            normalise=(_ROCK, _UNIFORM),  # actions at random are the optimum here
        ),
    )  # fmt: skip


#: mm/s, reported of the real robot: Kohl & Stone 2004, and hand-tuned gaits of 2003 as recalled, not verified.
KOHL_STONE, UNSW, AUSTIN_VILLA, CMU = 291.0, 254.0, 245.0, 200.0


def _aibo_tasks() -> tuple[Task, ...]:
    """One walk of an AIBO, in MuJoCo and as a reduced model; a real robot meets no episode twice."""
    speeds = {"Kohl & Stone 2004, real robot": KOHL_STONE}
    return tuple(
        Task(
            f"aibo-gait{suffix}", f"policysearch/Aibo{env}-v0", policy="half-ellipse-gait",
            unit="mm/s", references=speeds if env != "Reduced" else {}, common_random_numbers=False,
        )
        for suffix, env in (("", ""), ("-half-noise", "HalfNoise"), ("-twice-noise", "TwiceNoise"),
                            ("-reduced", "Reduced"))
    )  # fmt: skip


#: Task, environment, policy, and returns of its start, of Ziegler & Nichols' rules and the best that is known;
#: experiments/controllers/best_known.py computes them.
_TUNED = (
    ("motor-pid", "policysearch/Motor-v0", "motor-pid", -8.68365, -1.6909, -0.334633),
    ("thermal-pid", "policysearch/Thermal-v0", "thermal-pid", -79.1413, -20.1132, -11.7419),
    ("tanks-pid", "policysearch/Tanks-v0", "tanks-pid", -3224.25, -1443.76, -1430.86),
    ("quadrotor-cascade", "policysearch/Quadrotor-v0", "cascaded-pid", -9.81182, None, -1.16937),
    ("cart-pole-lqr", "policysearch/CartPoleForce-v0", "cart-pole-lqr", -7.0153, None, -4.25596),
    ("pendulum-swing-up", "Pendulum-v1", "energy-swing-up", -397.407, None, -150.29),
    ("swimmer-cpg", "Swimmer-v5", "pattern-generator", 61.9462, None, 359.535),
)  # fmt: skip
#: Of `cart_pole_force.linear_problem`.
_LINEAR_POLE = {"optimum of the linear plant (Riccati)": -4.10799}


def _controller_tasks() -> tuple[Task, ...]:
    """Controllers to be tuned; 0 is what they start with."""
    return tuple(
        Task(
            name, env_id, policy=policy,
            references=({} if rule is None else {"Ziegler & Nichols 1942": rule})
            | (_LINEAR_POLE if name == "cart-pole-lqr" else {}) | {"best known": best},
            normalise=(start, best),
        )
        for name, env_id, policy, start, rule, best in _TUNED
    )  # fmt: skip


#: Tasks with what we know of them. `normalise` is the return of uniformly random actions, and the one that
#: Gymnasium's registry calls solved; experiments/classic_control/references.py computes both.
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("CartPole-v1", "CartPole-v1", references={"maximum": 500.0}, normalise=(22.3, 475.0)),
        Task("Acrobot-v1", "Acrobot-v1", normalise=(-498.9, -100.0)),
        Task("MountainCar-v0", "MountainCar-v0", normalise=(-200.0, -110.0)),
        Task("MountainCarContinuous-v0", "MountainCarContinuous-v0", normalise=(-32.9, 90.0)),
        # A linear policy stays near −900 whatever the method: swinging up and balancing need different gains.
        # 1 is a controller that pumps energy and balances: Gymnasium declares no threshold.
        Task("Pendulum-v1", "Pendulum-v1", policy="mlp:16", normalise=(-1235.0, -150.7)),
        Task(
            "lqr",
            "policysearch/LQR-v0",
            references={"optimum (Riccati)": _LQR.optimal_return()},
            normalise=(_lqr_untouched(), _LQR.optimal_return()),
        ),
        *_tabular_tasks(),
        *_aibo_tasks(),
        *_controller_tasks(),
        Task(
            "exoskeleton",
            "",
            policy="torque-profile",
            person="zhang2017",
            unit="% less energy",
            step="minutes",
        ),
        Task("Swimmer-v5", "Swimmer-v5", normalise=(0.15, 360.0)),
        Task("Hopper-v5", "Hopper-v5", normalise=(14.5, 3800.0)),
        Task("HalfCheetah-v5", "HalfCheetah-v5", normalise=(-288.5, 4800.0)),
        Task("Ant-v5", "Ant-v5", normalise=(-51.1, 6000.0)),
    )
}


def find_task(name: str) -> Task:
    """The task of that name: one of ours, or any Gymnasium id with a linear policy.

    Raises:
        ValueError: if there is neither, with the nearest names.
    """
    task = TASKS.get(name) or Task(name, name)
    if task.person is None:
        task.factory()
    return task


def _unknown(name: str, error: Exception) -> str:
    known = {*TASKS, *gym.registry}
    near = difflib.get_close_matches(name, known, n=3)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else "see --list, or give a Gymnasium id or module:EnvId"
    )
    return f"unknown task; {hint} ({type(error).__name__}: {str(error).splitlines()[0]})"


def _tuned_controllers() -> dict[str, Callable[[Interface], Policy]]:
    """Controllers for the plants that ship; the gains are those at the start."""
    rod, quad = pendulum, quadrotor
    return {
        "motor-pid": partial(PID.of, gains=gain_space((10.0, 5.0, 3.0, 0.05), "V", "rad"), dt=motor.DT),
        "thermal-pid": partial(PID.of, gains=gain_space((2.0, 0.01, 10.0, 2.0), "%", "°C"), dt=thermal.DT),
        "tanks-pid": partial(PID.of, gains=gain_space((0.5, 0.02, 1.0, 0.2), "V", "cm"), dt=tanks.DT),
        "cart-pole-lqr": partial(
            LQRWeights.of, names=("x", "x speed", "angle", "angle speed"), model=cart_pole_force.linear_model
        ),
        "pattern-generator": partial(PatternGenerator.of, dt=0.04),  # s, as Swimmer-v5
        "energy-swing-up": partial(EnergySwingUp.of, mass=rod.MASS, length=rod.LENGTH, gravity=rod.GRAVITY),
        "cascaded-pid": partial(
            CascadedPID.of,
            mass=quad.MASS, inertia=quad.INERTIA, arm=quad.ARM, gravity=quad.GRAVITY, dt=quad.DT,
        ),
    }  # fmt: skip


Head = Literal["", "softmax", "gaussian"]
_BODIES = ("linear", "mlp")
#: Controllers with parameters of their own, by name. They are no distributions over actions.
CONTROLLERS: dict[str, Callable[[Interface], Policy]] = {
    "half-ellipse-gait": HalfEllipseGait.of,
    "torque-profile": TorqueProfile.of,
    **_tuned_controllers(),
}


def policy_names() -> list[str]:
    """The policies that `make_policy` knows."""
    return [
        "linear",
        "mlp",
        "tabular",
        *CONTROLLERS,
        *(f"{head}-{body}" for head in ("softmax", "gaussian") for body in _BODIES),
    ]


def parse_policy(spec: str) -> tuple[str, str, tuple[int, ...]]:
    """Head, body and hidden layers of a policy's name.

    `linear` and `mlp` take the head that the task's actions need; `mlp:32,32` sets the hidden layers.

    Raises:
        ValueError: for a name that is not known, or hidden layers that are not positive integers.
    """
    name, _, sizes = spec.partition(":")
    if name not in policy_names():
        near = difflib.get_close_matches(name, policy_names(), n=3) or policy_names()
        raise ValueError(f"unknown policy {name!r}; did you mean {' or '.join(near)}?")
    head, _, body = name.rpartition("-")
    layers = sizes.split(",") if sizes else ["16"]
    if name in CONTROLLERS:
        head, body = "", name
    if (sizes and body != "mlp") or not all(layer.isdecimal() and int(layer) > 0 for layer in layers):
        raise ValueError(f"policy {spec!r}: expected hidden layers only for mlp, as in mlp:32,32")
    return head, body, tuple(int(layer) for layer in layers)


def make_policy(spec: str, interface: Interface) -> Policy:
    """A policy for an environment: softmax for discrete actions, Gaussian for continuous ones; or a controller.

    Raises:
        ValueError: if the policy does not fit the environment's observations or actions.
    """
    head, body, hidden = parse_policy(spec)
    if body in CONTROLLERS:
        return CONTROLLERS[body](interface)
    choices, discrete = interface.choices, bool(interface.choices)
    head = "softmax" if body == "tabular" else head or ("softmax" if discrete else "gaussian")
    if head == "softmax" and not discrete:
        raise ValueError(
            f"policy {spec!r} is for discrete actions, but the actions are {interface.action_space}; "
            "use linear, mlp, gaussian-linear or gaussian-mlp"
        )
    if head == "gaussian" and discrete:
        raise ValueError(
            f"policy {spec!r} is for continuous actions, but the actions are {interface.action_space}; "
            "use linear, mlp, softmax-linear or softmax-mlp"
        )
    if body == "tabular" and not interface.one_hot:
        raise ValueError(
            f"policy 'tabular' is for Discrete observations, but they are {interface.observation_space}; "
            "use linear or mlp"
        )
    outputs = sum(choices) if discrete else interface.action_size
    mean: Linear | MLP
    if body == "mlp":
        mean = MLP(interface.obs_size, outputs, hidden)
    else:
        mean = Linear(interface.obs_size, outputs, bias=body == "linear")
    return Softmax(mean, choices) if discrete else Gaussian(mean)


#: Ways to run rollouts; see `make_evaluator`.
EvaluatorKind = Literal["auto", "compiled", "episodes", "pool"]


@dataclass(frozen=True, eq=False)
class Problem:
    """One search to be run: the policy that it searches, where it starts, and what evaluates it."""

    policy: Policy
    domain: Domain
    evaluator: Runner
    optimizer: Optimizer


def make_evaluator(
    task: Task,
    policy: Policy,
    *,
    kind: EvaluatorKind = "auto",
    threads: int = 1,
    timeout: float | None = None,
    key: Key = (),
) -> Runner:
    """What runs `policy` on `task`.

    Args:
        task: the environment and how policies are deployed in it.
        policy: what is searched.
        kind: "compiled" rollouts; "episodes" of the environment itself; a "pool" of processes that run such
            episodes; "auto" is compiled where simulator and policy have a compiled form, else episodes.
        threads: how many threads run compiled rollouts, or processes those of a pool.
        timeout: the longest that a rollout of a pool may take, in seconds.
        key: names the person, where there is one.

    Raises:
        ValueError: for compiled rollouts of a task or a policy without a compiled form, and for other policies or
            ways to run rollouts than a person has.
    """
    if task.person is not None:
        if kind != "auto" or task.policy != "torque-profile":
            raise ValueError(
                "one person walks one bout after the other: expected policy 'torque-profile' and evaluator 'auto', "
                f"got {task.policy!r} and {kind!r}"
            )
        return BoutEvaluator(cast(TorqueProfile, policy), task.person, key)
    env = task.make_env()
    simulator: Simulator | None = find_simulator(env)
    env.close()
    compiles = simulator is not None and hasattr(policy, "kernel")
    if kind == "compiled" and not compiles:
        raise ValueError(
            f"evaluator: {task.env_id} with policy {task.policy} has no compiled form; use 'episodes', or "
            "write the environment as a policysearch.simulators.Simulator"
        )
    if kind in ("auto", "compiled") and simulator is not None and compiles:
        return CompiledEvaluator(
            simulator,
            policy,
            max_episode_steps=task.episode_steps(),
            deploy=task.deploy,
            common_random_numbers=task.common_random_numbers,
            threads=threads,
        )
    episodes = EpisodeEvaluator(
        task.factory(), policy, deploy=task.deploy, common_random_numbers=task.common_random_numbers
    )
    return PoolEvaluator(episodes, workers=threads, timeout=timeout) if kind == "pool" else episodes


def misfit(policy: Policy, optimizer: Optimizer, *, whitened: bool) -> str | None:
    """Why this method cannot search this policy, or None where it can."""
    needs = needs_of(optimizer)
    if needs.scores and not isinstance(policy, StochasticPolicy):
        return (
            "needs a distribution over actions, which a controller is not; pgpe draws its parameters instead"
        )
    if whitened and not hasattr(policy, "fold"):
        return "whitening needs a policy whose first layer takes the shift of observations"
    space: Space | None = getattr(policy, "space", None)
    if needs.bounds and not (space and space.domain.enclosed):
        return "needs bounds for every parameter"
    if any(importlib.util.find_spec(module) is None for module in needs.modules):
        return f"needs `pip install 'policysearch[{needs.extra}]'`"
    return None


def make_problem(
    task: Task,
    optimizer: Optimizer,
    *,
    whitened: bool,
    seed: int,
    run: int,
    evaluator: EvaluatorKind = "auto",
    threads: int = 1,
    timeout: float | None = None,
) -> Problem:
    """The search of `optimizer` on `task`; see `make_evaluator` for the last three arguments.

    A method that does not use scores searches the parameters of the policy's mode only, where the mode is
    deployed. All methods start at the same policy, drawn from `stream(seed, "start", task, run)`. Bounds are those
    of the policy's `space`, if it has one.

    Raises:
        ValueError: if the method cannot search this policy.
    """
    policy = task.make_policy()
    if reason := misfit(policy, optimizer, whitened=whitened):
        raise ValueError(reason)
    if task.deploy == "sample" and not isinstance(policy, StochasticPolicy):
        raise ValueError("deploy: a controller has nothing to sample; expected 'mode', got 'sample'")
    full = task.deploy == "sample" or needs_of(optimizer).scores
    if isinstance(policy, StochasticPolicy) and not full:
        policy = policy.mode
    start = task.start_of(policy, stream(seed, "start", task.name, run))
    who = (seed, "person", task.name, run)
    runner = make_evaluator(task, policy, kind=evaluator, threads=threads, timeout=timeout, key=who)
    if whitened:
        size = cast(Interface, runner.interface).obs_size
        policy.fold(start, np.zeros(size), np.ones(size))  # type: ignore[attr-defined] # or says why it cannot
        optimizer = Whitened(optimizer, policy)  # type: ignore[arg-type] # every policy here folds
    space: Space | None = getattr(policy, "space", None)
    return Problem(policy, space.domain if space else Domain.unbounded(start), runner, optimizer)
