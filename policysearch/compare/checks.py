"""What is done before the first run of a study: what is run is digested, and tried for whether it repeats itself."""

import contextlib
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from threadpoolctl import threadpool_limits

from policysearch.compare.journal import StudyJournal
from policysearch.compare.study import Study, StudyError
from policysearch.compare.workers import registered
from policysearch.core import Policy, kernel_of, needs_of
from policysearch.digests import Digests, of_files, of_module, of_object
from policysearch.digests.agreement import revision, revision_of_rollouts, revision_of_scales
from policysearch.evaluators.interface import find_spec
from policysearch.evaluators.repeatable import Check, check
from policysearch.evaluators.worker_process import Run
from policysearch.evaluators.workers import Limits, Lost, Told, Workers
from policysearch.optimizers import OPTIMIZERS, revision_of
from policysearch.registry import imported
from policysearch.reuse import Reuse
from policysearch.seeding import stream
from policysearch.tasks import TASKS, is_compiled
from policysearch.tasks.policies import policy_module
from policysearch.tasks.task import Task

#: How far from the start a task is tried, as a share of the ranges (choice).
NEAR = 0.1


def what_is_run(study: Study) -> Digests:
    """The digests of the environments of a study, of its plug-ins, and of the files that it depends on.

    Raises:
        StudyError: for a file that cannot be read.
    """
    try:
        found = of_files(study.depends or [])
    except ValueError as error:
        raise StudyError([str(error)]) from error
    draws = any(needs_of(choice.build()).scores for choice in study.optimizers.values())
    for name in study.tasks:
        task = study.task(name)
        found |= of_module(TASKS.module_of(name)) | of_module(policy_module(task.policy))
        policy = task.make_policy()
        found |= revision_of_scales(getattr(policy, "space", None), name)
        if task.person is None:
            searched = policy if draws or task.deploy == "sample" else getattr(policy, "mode", policy)
            found |= _of_environment(task) | revision_of_rollouts(_arithmetic(task, searched), name)
    for choice in study.optimizers.values():
        found |= of_module(OPTIMIZERS.module_of(choice.method))
        found |= revision(choice.method, revision_of(choice.build()))
    return found


def _arithmetic(task: Task, policy: Policy) -> int:
    """The revision of the arithmetic of rollouts: the higher one of simulator and policy."""
    parts = (task.meet().simulator, kernel_of(policy))
    return max(1 if part is None else part.revision for part in parts)


def _of_environment(task: Task) -> Digests:
    """Of the code of an environment, or the version of its package, and of what it is built with."""
    spec = find_spec(task.env_id)
    entry: Any = imported(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    found = Digests()
    for wrapper in spec.additional_wrappers:
        found |= of_module(wrapper.entry_point.partition(":")[0])
    for each in task.wrappers:
        found |= of_module(each["wrapper"].partition(":")[0])
    return found | of_object(entry if not spec.kwargs else functools.partial(entry, **spec.kwargs))


def check_all(study: Study, journal: StudyJournal, workers: int, reuse: Reuse) -> None:
    """Try every task that has not been tried, and write down what came of it.

    Raises:
        StudyError: if the same parameters and seed give different returns, unless that is allowed.
    """
    known = {*journal.checks, *(job.task for _, job in journal.past)}
    names = [name for name in study.tasks if name not in known and _is_tried(study, name)]
    wrong = []
    for name, made in _made(study, names, workers):
        if made.difference and not reuse.allow_nondeterminism:
            wrong.append(f"{name}: {made.difference}; mend that, or allow it with --allow-nondeterminism")
        else:
            journal.checked(name, made)
    if wrong:
        raise StudyError(wrong)


def _is_tried(study: Study, name: str) -> bool:
    """Whether a task is tried: a person is not; compiled rollouts are functions of their seeds by construction."""
    task = study.task(name)
    return task.person is None and not is_compiled(task, study.evaluator)


def _made(study: Study, names: list[str], workers: int) -> Iterator[tuple[str, Check]]:
    """The checks of some tasks: in a process of their own where the runs have such processes too."""
    if workers == 1:
        for name in names:
            yield name, _check(study, name)
        return
    crew: Workers[str] = Workers(_checks, (study, registered(names)), 1, limits=Limits(retries_crashed=0))
    with crew, contextlib.closing(crew.run(names)) as events:
        for event in events:
            if isinstance(event, Told):
                yield event.task, event.value
            elif isinstance(event, Lost) and not event.again:  # the runs will show it too
                yield event.task, Check(2, 2, f"the rollout was stopped: {event.reason}")


def _checks(study: Study, environments: dict[str, EnvSpec]) -> AbstractContextManager[Run]:
    """Makes checks, in a worker."""
    gym.registry.update(environments)
    return contextlib.nullcontext(lambda name, context, tell: _check(study, name))


def _check(study: Study, name: str) -> Check:
    """Try a task.

    The parameters are near the start, but not there: many starts, such as zero, act alike whatever is observed.
    """
    problem = study.problem(name, next(iter(study.optimizers)), run=0)
    try:
        domain, rng = problem.domain, stream(study.seed, "check", name)
        width = NEAR * (domain.upper - domain.lower) if domain.enclosed else 1.0
        params = np.clip(
            domain.start + width * rng.standard_normal(domain.start.size), domain.lower, domain.upper
        )
        with threadpool_limits(1):
            return check(problem.evaluator, params, (study.seed, "check", name))
    finally:
        problem.evaluator.close()
