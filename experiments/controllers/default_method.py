"""Which method `policysearch.tune` should take when nobody names one.

    python experiments/controllers/default_method.py                    all of it: about half an hour of one core
    python experiments/controllers/default_method.py --seeds 2          a first look, in minutes
    python experiments/controllers/default_method.py --workers 2        the same numbers, sooner

Every method searches every task as `tune` would, with its defaults unless its name says more. What it recommends
after 30, 100 and 300 rollouts is scored; one search serves all three, for no method knows its budget. Trials are of
two kinds:

    noisy        every generation meets a fresh episode; scored by the mean return of 200 episodes that no search met
    one episode  the same episode always, so that a candidate always returns the same; scored on that episode

    regret = (best − return) / (best − start),   0: as good as the best known, 1: no better than the start

clipped to [0, 2]. The best known of noisy trials is what CMA-ES finds in 20,000 rollouts, 20 per candidate (as in
`best_known.py`); of one episode, the best return that any search met there, four of 5,000 rollouts among them.
A score over tasks is the mean of the tasks' interquartile means over seeds. Its interval resamples whole seeds: one
gives all tasks and all methods their randomness. The two quadratics are a check and are in no score.

Every finished search is a row of RUNS/runs.csv; the same command goes on where it was. Delete it to begin anew.
"""

import argparse
import itertools
import shlex
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
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
from jaxtyping import Float, Int
from scipy.stats import ortho_group, rankdata
from threadpoolctl import threadpool_limits

from policysearch.compare.statistics import iqm, stratified_interval
from policysearch.core import Array, Domain, Evaluation, Evaluator, Optimizer, Proposal
from policysearch.evaluators import FunctionEvaluator
from policysearch.optimizers import CMAES, OPTIMIZERS, Repeated
from policysearch.provenance import environment
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.reporting.files import write_text
from policysearch.search import Budget, SearchFailed, generations
from policysearch.seeding import Key, stream
from policysearch.space import Parameter, Space
from policysearch.tasks import TASKS, find_task, make_evaluator

BUDGETS, SEEDS, EPISODES = (30, 100, 300), 20, 200
NOISY, ONE = KINDS = ("noisy", "one episode")
WORST, NEAR = 2.0, 0.05  # regret of a failure; "within 5 % of the best known cost"
#: `swimmer-cpg` is left out: a rollout takes 400 times as long as theirs.
CONTROLLERS = (
    "motor-pid", "thermal-pid", "tanks-pid", "quadrotor-cascade", "cart-pole-lqr", "pendulum-swing-up",
    "aibo-gait-reduced",
)  # fmt: skip
CRASHING = "quadrotor-cascade"  # in some episodes, after searches that met none of them
#: Whether the last parameter is a whole number.
QUADRATICS = {"quadratic": False, "quadratic, one integer": True}
PROBLEMS = (*CONTROLLERS, *QUADRATICS)

DEFAULT, SLOW = "cma-es", "bayesian"
PLAIN = (
    "hill-climbing", "nelder-mead", "cross-entropy", "snes", "pgpe", "genetic", "spsa", "finite-difference", "ars",
    "evolution-strategy", "random-search",
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
WITHIN_METHODS = {DEFAULT: (1, 3, 5), "cma-es sigma 0.1": (1,), "hill-climbing": (1,)}


class Job(NamedTuple):
    """One search, or one reference."""

    trials: str
    task: str
    method: str
    seed: int
    each: int = 1  # episodes per candidate


@dataclass(frozen=True, eq=False)
class Problem:
    """What is searched and what judges; both give a candidate of one proposal the same episodes as the others."""

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
    turns = generations(
        method,
        where.evaluator,
        where.domain,
        budget=Budget(max(budgets)),
        seed=seed,
        problem=("tune",),
        label=label,
    )
    try:
        for turn in turns:
            seen = float(np.nanmax(np.append(turn.evaluation.returns, seen)))
            found |= {b: Point(turn.recommendation, seen) for b in budgets if turn.rollouts <= b}
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


def regret(returns: Float[Array, "*n"], start: float, best: float) -> Float[Array, "*n"]:
    """(best − return)/(best − start) in [0, 2]; 2 where there is no return."""
    return np.clip(np.where(np.isnan(returns), WORST, (best - returns) / (best - start)), 0.0, WORST)


def near(returns: Float[Array, "*n"], best: float) -> Any:
    """Whether what a return lacks of the best known is at most 5 % of that."""
    return best - returns <= NEAR * abs(best)


def references(table: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """Start and best known of each kind of trials and task."""
    found = {}
    for trials, task in itertools.product(KINDS, PROBLEMS):
        part = table[(table["trials"] == trials) & (table["task"] == task)]
        known = part[part["method"] == BEST]
        highest = part["seen"].max() if trials == ONE else known["return"].max()
        found[trials, task] = float(part.loc[part["method"] == START, "return"].iloc[0]), float(highest)
    return found


class Results(NamedTuple):
    """Regrets, and whether they are near the best; NaN where there was no run."""

    regrets: Float[Array, "tasks methods budgets seeds"]
    near: Float[Array, "tasks methods budgets seeds"]

    @classmethod
    def of(cls, table: pd.DataFrame, trials: str, tasks: Sequence[str], seeds: int) -> "Results":
        """The results in the rows of these trials and tasks."""
        known, names = references(table), list(METHODS)
        regrets, close = np.full((2, len(tasks), len(names), len(BUDGETS), seeds), np.nan)
        part = table[(table["trials"] == trials) & table["task"].isin(tasks) & table["method"].isin(names)]
        for row in part[part["rollouts"].isin(BUDGETS)].to_dict("records"):
            start, best = known[trials, row["task"]]
            t, m, b = tasks.index(row["task"]), names.index(row["method"]), BUDGETS.index(row["rollouts"])
            value = np.array(row["return"])
            regrets[t, m, b, row["seed"]] = regret(value, start, best)
            close[t, m, b, row["seed"]] = near(value, best)
        return cls(regrets, close)

    def __add__(self, other: Any) -> "Results":
        """The tasks of both."""
        return Results(np.concatenate([self.regrets, other.regrets]), np.concatenate([self.near, other.near]))

    def complete(self, method: int, budget: int) -> Int[Array, "s"]:
        """The seeds of a method that ran with a budget on every task."""
        return np.flatnonzero(~np.isnan(self.regrets[:, method, budget]).any(axis=0))


def over_tasks(regrets: Float[Array, "tasks seeds"]) -> Callable[[Any], Float[Array, "*m"]]:
    """The score over tasks as a statistic of (one stratum of) seeds."""
    return lambda strata: iqm(regrets[:, strata[0].astype(int)]).mean(axis=0)


class Score(NamedTuple):
    """A method at a budget, over tasks."""

    regret: float
    interval: tuple[float, float]
    gap: float  # regret less that of the default, on the seeds of both
    gap_interval: tuple[float, float]
    rank: float  # of the tasks' interquartile means, in the mean over tasks
    near: float  # part of the runs
    worse: float  # than the start
    seeds: int


def score(results: Results, method: int, budget: int) -> Score | None:
    """None for a method that could not run on every task."""
    seeds = results.complete(method, budget)
    if seeds.size == 0:
        return None
    regrets = results.regrets[:, :, budget]
    all_ranks = np.array([rankdata(middle) for middle in _middles(regrets)])
    one, other = regrets[:, method, seeds], regrets[:, list(METHODS).index(DEFAULT), seeds]
    index, key = np.arange(seeds.size, dtype=float), ("default method", "bootstrap")

    def gap(strata: Any) -> Float[Array, "*m"]:
        return over_tasks(one)(strata) - over_tasks(other)(strata)

    return Score(
        float(over_tasks(one)([index])),
        stratified_interval([index], over_tasks(one), *key),
        float(gap([index])),
        stratified_interval([index], gap, *key),
        float(all_ranks[:, method].mean()),
        float(results.near[:, method, budget][:, seeds].mean()),
        float((one > 1.0).mean()),
        seeds.size,
    )


def _middles(regrets: Float[Array, "tasks methods seeds"]) -> list[list[float]]:
    """Interquartile mean of each task and method; ∞ where there is none, which ranks last."""
    return [
        [float(iqm(kept)) if (kept := seeds[~np.isnan(seeds)]).size else np.inf for seeds in methods]
        for methods in regrets
    ]


PAGE = """# The default method of `tune`

Written by `{command}` ({versions}; seeds 0–{last}, {slow} seeds 0–{slow_last}).

`tune` takes a method when nobody names one. Each of these searched {count} controllers' tasks
({tasks})
as `tune` does; what it recommended after 30, 100 and 300 rollouts was scored. Regret is 0 for the best known
and 1 for the start; the score is the mean over tasks of the interquartile mean over seeds, with its 95 %
bootstrap interval. Seeds are resampled, tasks are not, and nothing is corrected for the number of methods. ▼
is better than `cma-es` at its own defaults, ▲ worse: the interval of the paired difference is without 0.
Then: mean rank over tasks / runs within 5 % of the best known cost / runs that ended worse than the start. A
dash: the first generation does not fit, or it was not run ({slow} takes seconds). Nelder–Mead draws nothing,
so that on one episode its runs are all the same.

{tables}

On one episode, recommending the best candidate seen instead of what the method stands by would give `cma-es` {seen}.

## Task by task

Median regret after 100 → 300 rollouts. The quadratics are a check and in no score.

{by_task}

Runs of all methods that ended worse than the start after 300 rollouts with noisy trials: {worse}. On the quadrotor it
is crashes that a search never met: one among the {episodes} episodes is enough for a mean below that of the start.
The scores without that task were added when this had been seen.

![Score over tasks of each method](default_method.png)

## Within 5 % of the best known cost

`within_5_percent`: runs of 10 (seeds 0–9) whose recommendation costs at most 1.05 times as much as the best known, by
the mean of {within_episodes} fresh episodes. Then how much more the median run and each of the others cost, in %, and
the runs that lose against Ziegler & Nichols.

{within}

## What was decided

`tune` takes `cma-es` with `sigma` 0.1 where all parameters are bounded numbers and nobody says otherwise (and
hill climbing for a single parameter, which CMA-ES does not search). At 30 and 100 rollouts that is better
than the usual 0.3 for both kinds of trials; at 300 the two are not told apart on noisy ones. It stays one
episode per candidate: trying every candidate three times, and the noise handling, are no better at these
budgets. For trials without any noise `--optimizer nelder-mead` is better still, and bad with noise, so that
nobody gets it unasked.

## Why the step size matters

`sigma` is in units of the whole range. Gains of the PID tasks have logarithmic ranges of a factor of 10⁴, so that one
standard deviation of 0.3 is a factor of {factor:.0f}, of 0.1 a factor of {small:.1f}. λ is 8 for four parameters: 30
rollouts are three generations, 100 are twelve.

[all numbers](default_method.csv), [script](../../experiments/controllers/default_method.py)
"""


def scores_of(results: Results) -> dict[str, list[Score | None]]:
    """The scores of all methods at every budget, the best at 100 rollouts first."""
    found = {name: [score(results, m, b) for b in range(len(BUDGETS))] for m, name in enumerate(METHODS)}
    order = {name: [s.regret if s else np.inf for s in (row[1], row[0])] for name, row in found.items()}
    return {name: found[name] for name in sorted(found, key=lambda name: order[name])}


def overall_table(found: Mapping[str, list[Score | None]]) -> str:
    """Scores of all methods at every budget."""
    lines = [
        "| method | "
        + " | ".join(f"regret, {b} rollouts | rank / within 5 % / worse" for b in BUDGETS)
        + " |",
        "| --- |" + " --- |" * 2 * len(BUDGETS),
    ]
    return "\n".join(
        [*lines, *(f"| {name} | {' | '.join(map(_cells, row))} |" for name, row in found.items())]
    )


def verdict(found: Mapping[str, list[Score | None]]) -> str:
    """A line per budget: the three best methods, and those whose difference to the default is told apart from 0."""
    lines = []
    for b, budget in enumerate(BUDGETS):
        ran = {name: s for name, row in found.items() if (s := row[b]) is not None}
        best = sorted(ran, key=lambda name: ran[name].regret)[:3]
        better = ", ".join(name for name, s in ran.items() if s.gap_interval[1] < 0) or "none"
        worse = ", ".join(name for name, s in ran.items() if s.gap_interval[0] > 0) or "none"
        lines.append(
            f"- {budget} rollouts: lowest regret {', '.join(f'{name} ({ran[name].regret:.3f})' for name in best)}; "
            f"better than {DEFAULT} ({ran[DEFAULT].regret:.3f}): {better}; worse: {worse}."
        )
    return "\n".join(lines)


def _cells(found: Score | None) -> str:
    if found is None:
        return "– | –"
    low, high = found.gap_interval
    mark = " ▼" if high < 0 else " ▲" if low > 0 else ""
    interval = f"({found.interval[0]:.3f} … {found.interval[1]:.3f})"
    rest = f"{found.rank:.1f} / {found.near:.0%} / {found.worse:.0%}"
    return f"{found.regret:.3f} {interval}{mark} | {rest}"


def by_task_table(results: Results) -> str:
    """Median regrets after 100 and after 300 rollouts."""
    lines = ["| method | " + " | ".join(PROBLEMS) + " |", "| --- |" + " ---: |" * len(PROBLEMS)]
    for m, name in enumerate(METHODS):
        cells = [results.regrets[t, m, 1:] for t in range(len(PROBLEMS))]
        shown = (
            " → ".join("–" if np.isnan(x).all() else f"{np.nanmedian(x):.3f}" for x in cell) for cell in cells
        )
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def worse(results: Results) -> str:
    """How many runs of all methods ended worse than the start after 300 rollouts, by task."""
    regrets = results.regrets[:, :, -1]
    parts = zip(
        PROBLEMS, (regrets > 1.0).sum(axis=(1, 2)), (~np.isnan(regrets)).sum(axis=(1, 2)), strict=True
    )
    return ", ".join(f"{task} {bad / runs:.0%}" for task, bad, runs in parts)


def within_table(table: pd.DataFrame) -> str:
    """How often tuning a PID ends within 5 % of the best known, and by how much it misses."""
    lines = [
        "| task | method | episodes per candidate | rollouts | within 5 % | median | the others (seed: % more) | "
        "seeds that lose against Ziegler & Nichols |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    part = table[table["trials"] == WITHIN].set_index(["task", "method", "each", "rollouts"])
    wanted = [
        (task, method, each, rollouts)
        for task, (method, counts) in itertools.product(PIDS, WITHIN_METHODS.items())
        for each, rollouts in itertools.product(counts, WITHIN_BUDGETS)
    ]
    for task, method, each, rollouts in wanted:
        group = part.xs((task, method, each, rollouts))
        known = TASKS[task].references
        best, rule = known["best known"], known["Ziegler & Nichols 1942"]
        returns, seeds = group["return"].to_numpy(), group["seed"].to_numpy()
        more = 100.0 * (best - returns) / abs(best)
        good = near(returns, best)
        others = ", ".join(f"{s}: {x:.0f}" for s, x in zip(seeds[~good], more[~good], strict=True)) or "none"
        lost = ", ".join(map(str, seeds[~(returns >= rule)])) or "none"
        lines.append(
            f"| {task} | {method} | {each} | {rollouts} | {good.sum()} of {good.size} | {np.median(more):+.1f} % | "
            f"{others} | {lost} |"
        )
    return "\n".join(lines)


def numbers(results: Mapping[str, Results]) -> pd.DataFrame:
    """A row per kind of trials, task and method: median and IQM of the regret, and the part of runs near the best."""
    out = []
    for (trials, found), (t, task), (m, method) in itertools.product(
        results.items(), enumerate(PROBLEMS), enumerate(METHODS)
    ):
        row: dict[str, Any] = {"trials": trials, "task": task, "method": method}
        for b, budget in enumerate(BUDGETS):
            kept = ~np.isnan(found.regrets[t, m, b])
            if kept.any():
                regrets = found.regrets[t, m, b][kept]
                row |= {
                    "seeds": int(kept.sum()),
                    f"median_{budget}": np.median(regrets),
                    f"iqm_{budget}": float(iqm(regrets)),
                    f"near_{budget}": found.near[t, m, b][kept].mean(),
                }
        out.append(row)
    return pd.DataFrame(out)


def best_seen(table: pd.DataFrame, seeds: int) -> str:
    """Scores of the default on one episode, as it is and if it recommended the best candidate seen."""
    swapped = table.assign(
        **{"return": table["seen"].where(table["method"].isin(list(METHODS)), table["return"])}
    )
    m, texts = list(METHODS).index(DEFAULT), []
    both = [Results.of(rows, ONE, CONTROLLERS, seeds) for rows in (table, swapped)]
    for b, budget in enumerate(BUDGETS):
        now, then = (score(results, m, b) for results in both)
        if now and then:
            texts.append(f"{then.regret:.3f} instead of {now.regret:.3f} after {budget} rollouts")
    return ", ".join(texts)


def picture(found: Mapping[str, Mapping[str, list[Score | None]]]) -> Any:
    """Scores over tasks with their intervals, a panel per kind of trials."""
    names = list(METHODS)
    with figure_of(1, len(found), 15.0, 5.8, sharey=True) as (figure, (panels,)):
        for axes, (title, rows) in zip(panels, found.items(), strict=True):
            for (m, name), (b, budget) in itertools.product(enumerate(names), enumerate(BUDGETS)):
                if (s := rows[name][b]) is not None:
                    y, label = m + 0.22 * (b - 1), f"{budget} rollouts" if m == 0 else None
                    axes.plot(s.interval, [y, y], color=COLOURS[b], lw=1.2)
                    axes.plot(s.regret, y, "o", color=COLOURS[b], ms=4, label=label)
            axes.axvline(1.0, color="0.6", lw=0.8, ls=":")
            axes.set_xscale("log")
            axes.set(xlabel="regret (dotted: the start)", title=title)
            axes.grid(axis="y", color="0.92", zorder=0)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False
        )
        return figure


def page(table: pd.DataFrame, found: Mapping[str, Mapping[str, list[Score | None]]], seeds: int) -> str:
    """The text of default_method.md."""
    known = environment()
    packages = ("policysearch", "numpy", "scipy", "cma", "numba")
    parts = (f"## {title}\n\n{verdict(rows)}\n\n{overall_table(rows)}" for title, rows in found.items())
    by_task = (
        f"{trials.capitalize()}:\n\n{by_task_table(Results.of(table, trials, PROBLEMS, seeds))}"
        for trials in KINDS
    )
    return PAGE.format(
        command=shlex.join(["python", *sys.argv]),
        versions=", ".join(f"{name} {known[name]}" for name in packages),
        last=seeds - 1,
        slow=SLOW,
        slow_last=min(seeds, SLOW_SEEDS) - 1,
        count=len(CONTROLLERS),
        tasks=", ".join(CONTROLLERS),
        episodes=EPISODES,
        tables="\n\n".join(parts),
        seen=best_seen(table, seeds),
        by_task="\n\n".join(by_task),
        worse=worse(Results.of(table, NOISY, PROBLEMS, seeds)),
        within_episodes=WITHIN_EPISODES,
        within=within_table(table),
        factor=10.0 ** (4 * 0.3),
        small=10.0 ** (4 * 0.1),
    )


def main() -> None:
    """Run what is missing and write the table, the page and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help=f"runs per task and method (default {SEEDS})"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes; the numbers do not depend on it")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("policysearch-results/default_method"),
        help="the folder of finished searches",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results/controllers"), help="the folder of table, page and picture"
    )
    arguments = parser.parse_args()
    seeds, out = arguments.seeds, arguments.out
    table = runs(arguments.runs / "runs.csv", seeds, arguments.workers)
    noisy, one = (Results.of(table, trials, CONTROLLERS, seeds) for trials in KINDS)
    kinds = {
        "Noisy trials": noisy,
        f"Noisy trials without {CRASHING}": Results.of(
            table, NOISY, [task for task in CONTROLLERS if task != CRASHING], seeds
        ),
        "One episode, always the same": one,
        "Both kinds together": noisy + one,
    }
    found = {title: scores_of(results) for title, results in kinds.items()}
    out.mkdir(parents=True, exist_ok=True)
    rows = numbers({trials: Results.of(table, trials, PROBLEMS, seeds) for trials in KINDS})
    rows.to_csv(out / "default_method.csv", index=False, float_format="%.4g", lineterminator="\n")
    write_text(out / "default_method.md", page(table, found, seeds))
    picture(found).savefig(out / "default_method.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
