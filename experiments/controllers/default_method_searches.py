"""The searches by which methods for `tune` are compared: methods, tasks, and the table of their runs.

`default_method.py` says what they are for.
"""

import itertools
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from best_known import best, report_key
from jaxtyping import Float
from scipy.stats import ortho_group
from threadpoolctl import threadpool_limits

from policysearch.core import Array, Domain, Evaluation, Evaluator, Optimizer, Proposal
from policysearch.evaluators import FunctionEvaluator
from policysearch.optimizers import CMAES, OPTIMIZERS, Repeated
from policysearch.search import Budget, SearchFailed, generations
from policysearch.seeding import Key, stream
from policysearch.space import Parameter, Space
from policysearch.tasks import find_task, make_evaluator

BUDGETS, SEEDS, EPISODES = (30, 100, 300), 20, 200
NOISY, ONE = KINDS = ("noisy", "one episode")
#: `swimmer-cpg` is left out: a rollout takes 400 times as long as theirs.
CONTROLLERS = (
    "motor-pid", "thermal-pid", "tanks-pid", "quadrotor-cascade", "cart-pole-lqr", "pendulum-swing-up",
    "aibo-gait-reduced",
)  # fmt: skip
CRASHING = "quadrotor-cascade"  # in some episodes, after searches that met none of them
#: Whether the last parameter is a whole number.
QUADRATICS = {"quadratic": False, "quadratic, one integer": True}
PROBLEMS = (*CONTROLLERS, *QUADRATICS)

TUNE, DEFAULT, SLOW = "auto", "cma-es", "bayesian"
PLAIN = (
    TUNE, "hill-climbing", "nelder-mead", "cross-entropy", "snes", "pgpe", "genetic", "spsa", "finite-difference",
    "ars", "evolution-strategy", "random-search",
)  # fmt: skip
#: A method's name in the tables, and the method.
METHODS: dict[str, Optimizer] = {
    DEFAULT: CMAES(),
    "cma-es sigma 0.2": CMAES(sigma=0.2),
    "cma-es sigma 0.1": CMAES(sigma=0.1),
    "cma-es noise_handling": CMAES(noise_handling=True),
    "cma-es 3 episodes": Repeated(CMAES(), 3),
    "cma-es restarts 2": CMAES(restarts=2),
    **{name: OPTIMIZERS[name]() for name in (*PLAIN, SLOW)},
}
#: Bayesian optimisation takes seconds where others take milliseconds.
SLOW_SEEDS, SLOW_ROLLOUTS = 5, {NOISY: 100, ONE: 30}
#: What the best known of one episode is looked for with.
LONG, LONG_SEEDS, LONG_ROLLOUTS = CMAES(sigma=0.1, restarts=9), 4, 5000
BEST, START = "best known", "start"

#: How often tuning a PID ends within 5 %: tasks, seeds, rollouts; methods with their episodes per candidate.
WITHIN = "within 5 %"
PIDS, WITHIN_SEEDS, WITHIN_EPISODES, WITHIN_BUDGETS = CONTROLLERS[:3], 10, 1000, (100, 300, 500)
WITHIN_METHODS = {TUNE: (1,), DEFAULT: (1, 3, 5), "cma-es sigma 0.1": (1,), "hill-climbing": (1,)}


class Job(NamedTuple):
    """One search, or one reference."""

    trials: str
    task: str
    method: str
    seed: int
    each: int = 1  # episodes per candidate


@dataclass(frozen=True, eq=False)
class Problem:
    """What is searched, and what judges it; in both all candidates of a proposal have the same episodes."""

    domain: Domain
    evaluator: Evaluator
    judge: Evaluator
    key: Key  # of the judge's episodes
    optimum: Array | None = None  # where it is known


@dataclass(frozen=True, eq=False)
class OneEpisode:
    """An evaluator for which there is one episode only."""

    inner: Evaluator
    key: Key

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Every candidate in that episode; each of its rollouts returns the same."""
        once, k = self.inner.evaluate(replace(proposal, episodes=1), self.key), proposal.episodes
        return replace(
            once, returns=np.repeat(once.returns, k, axis=1), steps=np.repeat(once.steps, k, axis=1)
        )


@cache
def problem(name: str, trials: str) -> Problem:
    """The problem of that name, whose trials are of that kind."""
    if name in QUADRATICS:
        made = quadratic(whole=QUADRATICS[name])
    else:
        task = find_task(name)
        policy: Any = task.make_policy()
        made = Problem(
            policy.space.domain,
            make_evaluator(task, policy),
            make_evaluator(replace(task, common_random_numbers=True), policy),
            report_key(name),
        )
    if trials != ONE:
        return made
    one = OneEpisode(made.judge, ("default method", name, ONE))
    return replace(made, evaluator=one, judge=one)


def quadratic(whole: bool) -> Problem:
    """1 + Σ_i λ_i (R (x − x* + δ))_i² between 0 and 10, to be minimised; every episode has another δ ~ N(0, 0.1² I).

    Five parameters, R a rotation, λ from 1 to 100 in equal ratios. With `whole` x_5 is an integer, as x*_5 is.
    """
    rng = stream("default method", "quadratic")
    R, values, optimum = ortho_group.rvs(5, random_state=rng), np.logspace(0, 2, 5), rng.uniform(5.0, 8.0, 5)
    optimum[-1] = 7.0
    names = [f"x{i + 1}" for i in range(5)]
    space = Space(tuple(Parameter(name, 3.0, 0.0, 10.0, integer=whole and name == "x5") for name in names))

    def cost(params: Mapping[str, Any], seed: int) -> float:
        moved = 0.1 * stream(seed, "quadratic").standard_normal(5)
        return float(1.0 + values @ (R @ (np.array([params[name] for name in names]) - optimum + moved)) ** 2)

    evaluator = FunctionEvaluator(cost, space, goal="minimise")
    return Problem(space.domain, evaluator, evaluator, report_key("quadratic"), space.encode(optimum))


class Point(NamedTuple):
    """Where a search stood when a budget was spent."""

    recommendation: Array
    seen: float  # the best return of any rollout so far


def checkpoints(
    where: Problem, method: Optimizer, label: str, seed: int, budgets: Iterable[int]
) -> dict[int, Point]:
    """Where one search stands at each of the budgets; those are missing that its first generation exceeds."""
    found, seen = dict[int, Point](), -np.inf
    search = generations(
        method,
        where.evaluator,
        where.domain,
        budget=Budget(max(budgets)),
        seed=seed,
        problem=("tune",),
        label=label,
    )
    try:
        for generation in search:
            seen = float(np.nanmax(np.append(generation.evaluation.returns, seen)))
            found |= {b: Point(generation.recommendation, seen) for b in budgets if generation.rollouts <= b}
    except SearchFailed:
        pass  # what it recommended stands
    return found


def scores(where: Problem, params: Float[Array, "n d"], episodes: int) -> Float[Array, "n"]:
    """Mean returns on the judge's episodes; NaN where one of them failed."""
    return where.judge.evaluate(Proposal(params, params[0], episodes), where.key).returns.mean(axis=1)


def budgets_of(job: Job) -> tuple[int, ...]:
    """After how many rollouts a job is looked at."""
    if job.trials == WITHIN:
        return WITHIN_BUDGETS
    most = SLOW_ROLLOUTS[job.trials] if job.method == SLOW else max(BUDGETS)
    return (LONG_ROLLOUTS,) if job.method == BEST else tuple(b for b in BUDGETS if b <= most)


def rows(job: Job) -> list[dict[str, Any]]:
    """The job done: a row per budget."""
    with threadpool_limits(1):
        where = problem(job.task, job.trials)
        episodes = {NOISY: EPISODES, ONE: 1, WITHIN: WITHIN_EPISODES}[job.trials]
        if job.method == START:
            found = {0: Point(where.domain.start, np.nan)}
        elif job.method == BEST and job.trials == NOISY:
            optimum = where.optimum if where.optimum is not None else best(find_task(job.task), 20_000, 0)
            found = {20_000: Point(optimum, np.nan)}
        else:
            method = LONG if job.method == BEST else METHODS[job.method]
            method = Repeated(method, job.each) if job.each > 1 else method
            found = checkpoints(where, method, job.method.partition(" ")[0], job.seed, budgets_of(job))
        if not found:
            return []
        returns = scores(where, np.array([point.recommendation for point in found.values()]), episodes)
    return [
        job._asdict() | {"rollouts": rollouts, "return": value, "seen": point.seen}
        for (rollouts, point), value in zip(found.items(), returns.tolist(), strict=True)
    ]


def jobs(seeds: int) -> Iterator[Job]:
    """All that there is to do: references, then seed by seed, and what is slow last."""
    for trials, task in itertools.product(KINDS, PROBLEMS):
        yield Job(trials, task, START, 0)
        yield from (Job(trials, task, BEST, s) for s in range(LONG_SEEDS if trials == ONE else 1))
    for seed, trials, task, method in itertools.product(range(seeds), KINDS, PROBLEMS, METHODS):
        if method != SLOW:
            yield Job(trials, task, method, seed)
    for seed, task, (method, counts) in itertools.product(range(WITHIN_SEEDS), PIDS, WITHIN_METHODS.items()):
        yield from (Job(WITHIN, task, method, seed, each) for each in counts)
    for seed, trials, task in itertools.product(range(min(seeds, SLOW_SEEDS)), KINDS, CONTROLLERS):
        yield Job(trials, task, SLOW, seed)


def do(todo: list[Job], workers: int) -> Generator[tuple[Job, list[dict[str, Any]]], None, None]:
    """The jobs and their rows, in order."""
    if workers == 1:
        yield from ((job, rows(job)) for job in todo)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from zip(todo, pool.map(rows, todo, chunksize=4), strict=True)


def runs(path: Path, seeds: int, workers: int) -> pd.DataFrame:
    """The rows of all jobs: those of the file, and those that it lacks, which are run and written to it."""
    columns = [*Job._fields, "rollouts", "return", "seen"]
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(",".join(columns) + "\n", encoding="utf-8")
    known = pd.read_csv(path)
    done = set(known[list(Job._fields)].itertuples(index=False, name=None))
    wanted = list(jobs(seeds))
    todo = [job for job in wanted if tuple(job) not in done]
    with path.open("a", encoding="utf-8") as file, closing(do(todo, workers)) as finished:
        for n, (job, found) in enumerate(finished, 1):
            # a job that could not run is remembered by a row without rollouts
            table = pd.DataFrame(found or [job._asdict() | {"rollouts": 0}], columns=columns)
            file.write(table.to_csv(index=False, header=False, lineterminator="\n"))
            file.flush()
            sys.stderr.write(
                f"\r{n} of {len(todo)}: {job.trials}, {job.task}, {job.method}, {job.seed}\033[K"
            )
    sys.stderr.write("\n" * bool(todo))
    table = pd.read_csv(path).drop_duplicates([*Job._fields, "rollouts"])
    asked = pd.MultiIndex.from_tuples(wanted)
    return table[pd.MultiIndex.from_frame(table[list(Job._fields)]).isin(asked)]
