"""The problems of the study, in two parts: those that choose defaults, and those on which methods are compared.

A problem is a task of the package or a function of COCO. Its trials are `noisy`, every generation has a new episode,
or `one`: always the same episode, so that a candidate always has the same return. COCO's functions (Hansen, Finck,
Ros & Auger 2009) are those of `cma.bbobbenchmarks`, searched in [−5, 5]^d from a start drawn from [−4, 4]^d; numbers
from 101 are noisy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np

from policysearch.core import Array, Domain, Evaluation, Evaluator, Optimizer, Proposal, needs_of
from policysearch.seeding import Key, stream
from policysearch.tasks import find_task, make_evaluator, make_problem

TUNING, EVALUATION = "tuning", "evaluation"
BUDGETS = (30, 100, 300, 1000)
#: Targets f − f_opt of COCO's functions.
TARGETS = 10.0 ** np.linspace(2, -8, 51)


@dataclass(frozen=True)
class Problem:
    """A problem by name; see the module."""

    name: str
    family: str
    split: str
    task: str = ""
    policy: str = ""
    trials: Literal["noisy", "one"] = "noisy"
    function: int = 0
    d: int = 0
    episodes: int = 100  # held-out ones, by which a recommendation is judged

    def searched(self, method: Optimizer, seed: int) -> "Searched":
        """What one run searches, with that method and seed.

        Raises:
            ValueError: if the method cannot search it.
        """
        return _function(self, method, seed) if self.function else _task(self, method, seed)


@dataclass(frozen=True, eq=False)
class Searched:
    """A method, what it searches, and what judges its recommendations: a number for each, more is better."""

    method: Optimizer
    domain: Domain
    evaluator: Evaluator
    judge: Callable[[Array], Array]
    close: Callable[[], None]


def _task(problem: Problem, method: Optimizer, seed: int) -> Searched:
    task = find_task(problem.task)
    task = replace(task, policy=problem.policy or task.policy)
    made = make_problem(task, method, whitened=False, seed=seed, run=0)
    reported = replace(task, common_random_numbers=True)  # all recommendations meet the same episodes
    judge = make_evaluator(reported, made.policy, key=(seed, "person", task.name, 0))
    one = problem.trials == "one"
    key: Key = ("choosing a method", problem.name, "one" if one else "report")
    episodes = 1 if one else problem.episodes

    def close() -> None:
        for each in (made.evaluator, judge):
            each.close()

    def judged(params: Array) -> Array:
        return judge.evaluate(Proposal(params, params[0], episodes), key).returns.mean(axis=1)

    evaluator: Evaluator = OneEpisode(judge, key) if one else made.evaluator
    return Searched(made.optimizer, made.domain, evaluator, judged, close)


@dataclass(frozen=True, eq=False)
class OneEpisode:
    """An evaluator for which there is one episode only; each rollout of a candidate returns the same."""

    inner: Evaluator
    key: Key

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Every candidate in that episode."""
        once, k = self.inner.evaluate(replace(proposal, episodes=1), self.key), proposal.episodes
        returns, steps = (np.repeat(values, k, axis=1) for values in (once.returns, once.steps))
        return replace(once, returns=returns, steps=steps)


@dataclass(frozen=True, eq=False)
class Function:
    """A function of COCO, whose coordinates from 0 to 1 are those of [−5, 5]^d."""

    function: Any
    optimum: float

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The returns: less is better, so they are negative."""
        np.random.seed(int(stream(*key).integers(2**31)))  # noqa: NPY002 - of which the noise is drawn
        shape = (len(proposal.params), proposal.episodes)
        points = np.repeat(10.0 * proposal.params - 5.0, proposal.episodes, axis=0)
        costs = np.array([float(self.function(point)) for point in points]).reshape(shape)
        return Evaluation(proposal.params, self.optimum - costs, np.ones(shape, dtype=int))

    def judged(self, params: Array) -> Array:
        """f_opt − f without noise."""
        exact = [float(np.ravel(self.function._evalfull(10.0 * x[None] - 5.0)[1])[0]) for x in params]
        return np.minimum(self.optimum - np.array(exact), 0.0)


def _function(problem: Problem, method: Optimizer, seed: int) -> Searched:
    if needs_of(method).scores:
        raise ValueError("needs a stochastic policy, which a function is not")
    from cma import bbobbenchmarks  # noqa: PLC0415 - warns when it is imported

    function, optimum = bbobbenchmarks.instantiate(problem.function, seed + 1)
    start = (stream("start", problem.name, seed).uniform(-4.0, 4.0, problem.d) + 5.0) / 10.0
    function(10.0 * start - 5.0)  # which makes the function's constants
    made = Function(function, float(optimum))
    domain = Domain(start, np.zeros(problem.d), np.ones(problem.d))
    return Searched(method, domain, made, made.judged, lambda: None)


def _tasks(split: str, family: str, *names: str, **more: Any) -> list[Problem]:
    """Problems of tasks, each written as `task`, `task/one` or `task/policy`."""
    made = []
    for name in names:
        task, _, rest = name.partition("/")
        trials: Literal["noisy", "one"] = "one" if rest == "one" else "noisy"
        policy = "" if rest == "one" else rest
        made.append(Problem(name, family, split, task, policy, trials, **more))
    return made


def _functions(split: str, *names: str) -> list[Problem]:
    """Problems of functions, each written as `fNUMBER-dDIMENSION`."""
    made = []
    for name in names:
        number, d = (int(part[1:]) for part in name.split("-"))
        family = "COCO, noisy" if number > 100 else "COCO"
        made.append(Problem(f"coco-{name}", family, split, function=number, d=d))
    return made


@cache
def problems() -> dict[str, Problem]:
    """All problems by name."""
    made = [
        *_tasks(TUNING, "controllers", "motor-pid", "quadrotor-cascade", "cart-pole-lqr"),
        *_tasks(TUNING, "controllers, one episode", "motor-pid/one", "tanks-pid/one"),
        *_tasks(TUNING, "gait", "aibo-gait-reduced"),
        *_tasks(TUNING, "classic control", "CartPole-v1", "MountainCarContinuous-v0"),
        *_functions(TUNING, "f2-d5", "f4-d40", "f6-d10", "f8-d5", "f10-d20", "f15-d10", "f20-d5", "f21-d2"),
        *_functions(TUNING, "f104-d5", "f115-d10"),
        *_tasks(EVALUATION, "controllers", "thermal-pid", "tanks-pid", "pendulum-swing-up"),
        *_tasks(EVALUATION, "controllers", "swimmer-cpg", episodes=20),
        *_tasks(EVALUATION, "controllers, one episode", "thermal-pid/one", "cart-pole-lqr/one"),
        *_tasks(EVALUATION, "controllers, one episode", "pendulum-swing-up/one", "quadrotor-cascade/one"),
        *_tasks(EVALUATION, "gait", "aibo-gait-reduced/one"),
        *_tasks(EVALUATION, "gait", "aibo-gait", episodes=20),
        *_tasks(EVALUATION, "exoskeleton", "exoskeleton"),
        *_tasks(EVALUATION, "LQR", "lqr"),
        *_tasks(EVALUATION, "classic control", "CartPole-v1/mlp:8", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1"),
        *_tasks(EVALUATION, "MuJoCo", "Swimmer-v5", "Hopper-v5", "HalfCheetah-v5", "Ant-v5", episodes=20),
        *_functions(EVALUATION, "f1-d5", "f1-d40", "f3-d5", "f5-d10", "f7-d10", "f9-d20", "f11-d10", "f12-d5"),
        *_functions(EVALUATION, "f13-d20", "f14-d10", "f14-d40", "f16-d5", "f17-d10", "f21-d40", "f22-d2"),
        *_functions(EVALUATION, "f23-d5", "f24-d10", "f101-d5", "f107-d10", "f122-d5", "f128-d2"),
    ]  # fmt: skip
    return {problem.name: problem for problem in made}
