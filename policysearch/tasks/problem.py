"""One search to be run: what evaluates a policy on a task, and whether a method can search it."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from policysearch.core import (
    Domain,
    Optimizer,
    Policy,
    StochasticPolicy,
    kernel_of,
    memory_of,
    needs_of,
)
from policysearch.evaluators.episodes import EpisodeEvaluator
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.pool import PoolEvaluator
from policysearch.evaluators.runner import Runner, closed_on_failure
from policysearch.evaluators.trial import in_one_line
from policysearch.optimizers import Whitened, not_installed
from policysearch.seeding import Key, stream
from policysearch.space import Space
from policysearch.tasks.memory import shortage
from policysearch.tasks.names import EvaluatorKind
from policysearch.tasks.task import Task


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
        _check_person(task, kind)
        return task.person.make_evaluator(policy, key)
    simulator = task.meet().simulator
    compiles = simulator is not None and kernel_of(policy) is not None
    if kind == "compiled" and not compiles:
        raise ValueError(
            f"evaluator: {task.env_id} with policy {task.policy} has no compiled form; use 'episodes', or "
            "write the environment as a policysearch.simulators.Simulator"
        )
    if kind in ("auto", "compiled") and simulator is not None and compiles:
        from policysearch.evaluators.compiled import CompiledEvaluator  # noqa: PLC0415 - imports Numba

        return CompiledEvaluator(
            simulator,
            policy,
            max_episode_steps=task.episode_steps(),
            deploy=task.deploy,
            common_random_numbers=task.common_random_numbers,
            threads=threads,
        )
    episodes = _episodes(task, policy)
    return PoolEvaluator(episodes, workers=threads, timeout=timeout) if kind == "pool" else episodes


def is_compiled(task: Task, kind: EvaluatorKind) -> bool:
    """Whether `make_evaluator` compiles the rollouts of a task; the others are to the last bit those of episodes."""
    if task.person is not None or kind in ("episodes", "pool"):
        return False
    return kind == "compiled" or (
        task.meet().simulator is not None and kernel_of(task.make_policy()) is not None
    )


def _episodes(task: Task, policy: Policy) -> EpisodeEvaluator:
    """What runs `policy` in copies of the task's environment.

    Raises:
        ValueError: if the first copy cannot be built or reset, or the policy does not fit it.
    """
    try:
        return EpisodeEvaluator(
            task.factory(), policy, deploy=task.deploy, common_random_numbers=task.common_random_numbers
        )
    except ValueError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise ValueError(in_one_line(task.env_id, error)) from error


def _check_person(task: Task, kind: EvaluatorKind) -> None:
    """Raise ValueError for other policies or ways to run rollouts than a person has."""
    if kind != "auto" or task.policy != "torque-profile":
        raise ValueError(
            "one person walks one bout after the other: expected policy 'torque-profile' and evaluator 'auto', "
            f"got {task.policy!r} and {kind!r}"
        )


def incompatibility(
    policy: Policy, optimizer: Optimizer, *, whitened: bool, observations: int = 0
) -> str | None:
    """Why this method cannot search this policy, for observations of so many numbers, or None where it can."""
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
    if missing := not_installed(optimizer):
        return missing
    if short := shortage(memory_of(optimizer, policy.num_params, observations)):
        return (
            f"{short}, for {policy.num_params:,} parameters and {observations:,} observed numbers; a smaller policy, "
            "or a method without large matrices, as ars, pgpe, snes and evolution-strategy are, needs less"
        )
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
    observations = 0 if task.person else task.meet().interface.obs_size
    if reason := incompatibility(policy, optimizer, whitened=whitened, observations=observations):
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
        with closed_on_failure(runner):
            size = cast(Interface, runner.interface).obs_size
            policy.fold(start, np.zeros(size), np.ones(size))  # type: ignore[attr-defined] # or says why it cannot
            optimizer = Whitened(optimizer, policy)  # type: ignore[arg-type] # every policy here folds
    space: Space | None = getattr(policy, "space", None)
    return Problem(policy, space.domain if space else Domain.unbounded(start), runner, optimizer)
