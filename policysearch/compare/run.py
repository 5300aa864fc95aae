"""One run of one optimizer on one task, and all runs of a study over worker processes."""

import multiprocessing
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from policysearch.compare.study import Study
from policysearch.core import Array, Evaluation, Evaluator, Proposal
from policysearch.search import Budget, Generation, SearchFailed, generations
from policysearch.seeding import Key
from policysearch.tasks import Problem


@dataclass(frozen=True)
class Job:
    """One run: which task, which row of the comparison, which repetition."""

    task: str
    optimizer: str
    run: int


@dataclass(frozen=True, eq=False)
class Result:
    """What one run gives: a row of runs.csv, rows of curves.csv, the recommendation and what went wrong."""

    job: Job
    row: dict[str, Any]
    curve: list[dict[str, Any]]
    params: Float[Array, "d"]
    param_names: tuple[str, ...]
    clipped_share: float  # of the search's steps
    remarks: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Point:
    """Where a search stood: what it had spent, what it would deploy, what it would boast of."""

    rollouts: int
    steps: int
    recommendation: Float[Array, "d"]
    best_seen: float


def jobs(study: Study) -> list[Job]:
    """All runs of a study, in the order of its tables."""
    return [
        Job(task, label, run)
        for task in study.tasks
        for label in study.optimizers
        for run in range(study.runs)
    ]


def report_key(study_seed: int, task: str, run: int) -> Key:
    """The name of the episodes on which recommendations are reported: no search ever meets them."""
    return (study_seed, "report", task, run)


def evaluate_fresh(evaluator: Evaluator, params: Float[Array, "n d"], episodes: int, key: Key) -> Evaluation:
    """Each parameter vector on the same `episodes` fresh episodes."""
    return evaluator.evaluate(Proposal(params, params[0], episodes, purpose="report"), key)


def execute(study: Study, job: Job, threads: int = 1) -> Result:
    """Search, then report the recommendations along the way on fresh episodes."""
    began = time.perf_counter()
    task, budget = study.task(job.task), study.budget(job.task)
    problem = study.problem(job.task, job.optimizer, job.run, threads)
    path, tally, remarks = _search(study, job, problem, budget)
    held = [_held(path, budget * i // study.curve_points) for i in range(study.curve_points + 1)]
    rows = {
        point.recommendation.tobytes(): point.recommendation for point in reversed(held)
    }  # the final first
    key = report_key(study.seed, job.task, job.run)
    report = evaluate_fresh(problem.evaluator, np.array([*rows.values()]), study.report_episodes, key)
    problem.evaluator.close()
    mean_of = dict(zip(rows, report.returns.mean(axis=1).tolist(), strict=True))
    means = [mean_of[point.recommendation.tobytes()] for point in held]
    final = report.returns[0]
    if report.failures:
        remarks.append(f"{len(report.failures)} report episodes failed: {report.failures[0].reason}")
    last = path[-1]
    row = {
        "task": job.task,
        "policy": task.policy,
        "optimizer": job.optimizer,
        "run": job.run,
        "seed": study.seed,
        "rollouts": last.rollouts,
        "steps": last.steps,
        "report_rollouts": report.returns.size,
        "wall_seconds": 0.0,
        "failed_rollouts": tally.failed,
        "start_return": means[0],
        "claimed_return": last.best_seen,
        "final_return": means[-1],
        "final_return_se": final.std(ddof=1) / np.sqrt(final.size),
    }
    names = ("task", "policy", "optimizer", "run")
    curve = [
        {name: row[name] for name in names}
        | {"rollouts": budget * i // study.curve_points, "steps": point.steps}
        | {"return_mean": means[i], "best_seen": point.best_seen}
        for i, point in enumerate(held)
    ]
    row["wall_seconds"] = round(time.perf_counter() - began, 3)
    share = tally.clipped / max(last.steps, 1)
    return Result(job, row, curve, last.recommendation, problem.policy.param_names, share, tuple(remarks))


@dataclass
class _Tally:
    failed: int = 0
    clipped: int = 0


def _search(study: Study, job: Job, problem: Problem, budget: int) -> tuple[list[_Point], _Tally, list[str]]:
    """The path of the search, its failures and clipped steps, and remarks about what went wrong."""
    path = [_Point(0, 0, problem.domain.start, float("nan"))]
    tally = _Tally()
    remarks: list[str] = []
    turns: Iterator[Generation] = generations(
        problem.optimizer,
        problem.evaluator,
        problem.domain,
        budget=Budget(rollouts=budget),
        seed=study.seed,
        problem=(job.task, job.run),
        label=job.optimizer,
    )
    try:
        for turn in turns:
            claims = turn.evaluation.returns.mean(axis=1)
            best = (
                np.nanmax([path[-1].best_seen, *claims]) if np.isfinite(claims).any() else path[-1].best_seen
            )
            path.append(_Point(turn.rollouts, turn.steps, turn.recommendation, float(best)))
            tally.failed += len(turn.evaluation.failures)
            tally.clipped += turn.evaluation.clipped_steps
            if turn.evaluation.failures and not remarks:
                remarks.append(f"rollouts failed, first: {turn.evaluation.failures[0].reason}")
    except SearchFailed as stop:
        remarks.append(f"the search stopped: {stop}")
    return path, tally, remarks


def _held(path: list[_Point], rollouts: int) -> _Point:
    """Where the search stood after at most `rollouts`."""
    return [point for point in path if point.rollouts <= rollouts][-1]


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's: it ends the workers
    threadpool_limits(1)


def execute_all(study: Study, workers: int) -> Iterator[Result]:
    """The results of all runs, as they finish. BLAS has one thread: its sums depend on the number."""
    if workers == 1:
        with threadpool_limits(1):
            for job in jobs(study):
                yield execute(study, job)
        return
    threads = max(1, workers // len(jobs(study)))  # few runs share the processors by threads
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        futures = [pool.submit(execute, study, job, threads) for job in jobs(study)]
        try:
            for future in as_completed(futures):
                yield future.result()
        except (KeyboardInterrupt, GeneratorExit):
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
