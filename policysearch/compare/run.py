"""One run: a search, and the report of its recommendations on held-out episodes."""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch import limits
from policysearch.compare import reported
from policysearch.compare.study import Study
from policysearch.core import Array, Evaluation, Failure, Proposal
from policysearch.evaluators.recorded import Record, Recorded
from policysearch.plain_data import encode
from policysearch.search import Generation, SearchFailed, generations, held_out
from policysearch.seeding import Key
from policysearch.tasks import Problem

#: Examples of failed episodes that a run keeps, with their parameters.
MAX_EXAMPLES = 3


@dataclass(frozen=True)
class Job:
    """One run: which task, which row of the comparison, which repetition."""

    task: str
    optimizer: str
    run: int

    def __str__(self) -> str:
        return f"{self.optimizer} on {self.task}, run {self.run}"


@dataclass(frozen=True)
class Spent:
    """What a run spent for one purpose; retried rollouts are no part of the others."""

    purpose: str
    rollouts: int = 0
    steps: int = 0
    failed_rollouts: int = 0
    retried_rollouts: int = 0

    def plus(self, evaluation: Evaluation) -> "Spent":
        """With the rollouts of one more evaluation."""
        return Spent(
            self.purpose,
            self.rollouts + evaluation.returns.size,
            self.steps + evaluation.total_steps,
            self.failed_rollouts + (0 if evaluation.complete else int(np.isnan(evaluation.returns).sum())),
            self.retried_rollouts + evaluation.retried_rollouts,
        )


@dataclass(frozen=True, eq=False)
class Example:
    """A failed episode, with all that is needed to see it fail again."""

    failure: Failure
    purpose: str
    key: Key
    episodes: int  # of the candidate that it belongs to
    sample: bool
    params: Float[Array, "d"]


@dataclass(frozen=True, eq=False)
class Result:
    """What one run gives: a row of runs.csv, rows of curves.csv, the recommendation and what went wrong."""

    job: Job
    row: dict[str, Any]
    curve: list[dict[str, Any]]
    params: Float[Array, "d"]
    param_names: tuple[str, ...]
    spent: tuple[Spent, ...]
    remarks: tuple[str, ...]
    examples: tuple[Example, ...] = ()

    def document(self) -> dict[str, Any]:
        """The result as plain data."""
        return vars(self) | {
            "job": [self.job.task, self.job.optimizer, self.job.run],
            "spent": [list(vars(entry).values()) for entry in self.spent],
            "examples": [
                vars(example) | {"failure": list(vars(example.failure).values())} for example in self.examples
            ],
        }

    @classmethod
    def without(cls, study: Study, job: Job, reason: str) -> "Result":
        """The rows of a run that has no result, which counts as worse than any other."""
        row, curve = _rows_without_result(study, job)
        remark = f"no result: {reason.splitlines()[-1]}"
        return cls(job, row, curve, np.empty(0), (), (), (remark,))

    @classmethod
    def from_document(cls, data: dict[str, Any]) -> "Result":
        """The inverse of `document`, also after JSON."""
        examples = tuple(
            Example(
                **entry
                | {
                    "failure": Failure(*entry["failure"]),
                    "key": tuple(entry["key"]),
                    "params": np.array(entry["params"], dtype=float),
                }
            )
            for entry in data["examples"]
        )
        return cls(
            Job(*data["job"]),
            data["row"],
            data["curve"],
            np.array(data["params"], dtype=float),
            tuple(data["param_names"]),
            tuple(Spent(*entry) for entry in data["spent"]),
            tuple(data["remarks"]),
            examples,
        )


@dataclass(frozen=True, eq=False)
class Progress:
    """What an unfinished run tells: what it has spent, and the record of its latest evaluation if it is new."""

    job: Job
    rollouts: int
    steps: int
    value: float  # mean return of the latest generation
    record: str | None  # its text, as the ledger takes it


@dataclass(frozen=True, eq=False)
class _Point:
    """A point of a search: what it had spent, its recommendation, and the best return it had seen."""

    rollouts: int
    steps: int
    recommendation: Float[Array, "d"]
    best_seen: float


@dataclass
class _Tally:
    """What a search has spent, where it stood, and what went wrong on the way."""

    path: list[_Point]
    spent: dict[str, Spent] = field(default_factory=dict)
    clipped_steps: int = 0
    remarks: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    def add(self, proposal: Proposal, evaluation: Evaluation, key: Key) -> None:
        """Count an evaluation by its purpose, and keep a few of its failures."""
        purpose = proposal.purpose
        self.spent[purpose] = self.spent.get(purpose, Spent(purpose)).plus(evaluation)
        kinds = {_kind(example.failure) for example in self.examples if evaluation.failures}
        for failure in evaluation.failures:
            if _kind(failure) not in kinds and len(self.examples) < MAX_EXAMPLES:
                kinds.add(_kind(failure))
                params = proposal.params[failure.candidate]
                example = Example(failure, purpose, key, proposal.episodes, proposal.sample, params)
                self.examples.append(example)


def _kind(failure: Failure) -> str:
    """The reason without its numbers."""
    return "".join(letter for letter in failure.reason if not letter.isdecimal())


def _names(study: Study, job: Job) -> dict[str, Any]:
    """The first columns of runs.csv and curves.csv."""
    policy = study.task(job.task).policy
    return {"task": job.task, "policy": policy, "optimizer": job.optimizer, "run": job.run}


def _rows_without_result(study: Study, job: Job) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The rows of a run that has no result."""
    names = _names(study, job)
    counts = ("d", "rollouts", "steps", "report_rollouts", "report_steps", "failed_rollouts", "clipped_steps")
    values = ("start_return", "claimed_return", "final_return", "final_return_se")
    row = names | {"seed": study.seed} | dict.fromkeys(counts, 0) | {"wall_seconds": 0.0}
    row |= dict.fromkeys(values, float("nan"))
    unit, grid = study.grid(job.task)
    nothing = {"rollouts": 0, "steps": 0, "return_mean": float("nan"), "best_seen": float("nan")}
    return row, [names | nothing | {unit: amount} for amount in grid]


def jobs(study: Study) -> list[Job]:
    """All runs of a study, in the order of its tables."""
    return [
        Job(task, label, run)
        for task in study.tasks
        for label in study.optimizers
        for run in range(study.runs)
    ]


def report_key(study_seed: int, task: str, run: int) -> Key:
    """The key of the held-out episodes on which recommendations are reported; no search has it."""
    return (study_seed, "report", task, run)


def execute(study: Study, job: Job, threads: int = 1) -> Result:
    """The result of a run."""
    steps = run_job(study, job, threads)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def run_job(
    study: Study,
    job: Job,
    threads: int = 1,
    known: Sequence[Record] = (),
    problem: Problem | None = None,
) -> Generator[Progress, None, Result]:
    """Search, then report the recommendations along the way on held-out episodes; a `Progress` per generation.

    Args:
        study: says what is run.
        job: the run.
        threads: of the evaluator; the numbers do not depend on it.
        known: the records of generations that were run before, which are replayed.
        problem: that of the run, if it is not the study's.

    Raises:
        ReplayDiffers: if the search does not ask for what is recorded.
    """
    began = time.perf_counter()
    problem = problem or study.problem(job.task, job.optimizer, job.run, threads)
    try:
        tally = yield from _search(study, job, problem, known)
        unit, grid = study.grid(job.task)
        points = [_at(tally.path, study, job.task, unit, amount) for amount in grid]
        rows = {
            point.recommendation.tobytes(): point.recommendation for point in reversed(points)
        }  # final first
        proposal = held_out(np.array([*rows.values()]), study.report_episodes)
        key = report_key(study.seed, job.task, job.run)
        report = problem.evaluator.evaluate(proposal, key)
    finally:
        problem.evaluator.close()
    tally.add(proposal, report, key)
    returns = dict(zip(rows, report.returns, strict=True))
    row, curve = _tables(study, job, tally, points, returns)
    if report.failures:
        tally.remarks.append(_failed(study, job, row, report))
    row["wall_seconds"] = round(time.perf_counter() - began, 3)
    spent, examples = tuple(tally.spent.values()), tuple(tally.examples)
    names = problem.policy.param_names
    return Result(job, row, curve, points[-1].recommendation, names, spent, tuple(tally.remarks), examples)


def _search(
    study: Study, job: Job, problem: Problem, known: Sequence[Record]
) -> Generator[Progress, None, _Tally]:
    """The search, and what it has spent."""
    tally = _Tally([_Point(0, 0, problem.domain.start, float("nan"))])
    new: list[Record] = []
    recorded = Recorded(problem.evaluator, known, new.append, limits.clock if study.hours else None)
    after = reported.rollouts_after(study, job.task)
    watch = limits.Watch(study.limits(job.task), lambda: recorded.seconds, after)
    search: Iterator[Generation] = generations(
        problem.optimizer,
        recorded,
        problem.domain,
        budget=study.budget(job.task),
        seed=study.seed,
        problem=(job.task, job.run),
        label=job.optimizer,
    )
    try:
        for generation in watch.over(search):
            claims = [*filter(math.isfinite, generation.evaluation.means.tolist())]
            best = max(filter(math.isfinite, (tally.path[-1].best_seen, *claims)), default=float("nan"))
            point = _Point(generation.rollouts, generation.steps, generation.recommendation, best)
            tally.path.append(point)
            tally.clipped_steps += generation.evaluation.clipped_steps
            if generation.evaluation.failures and not tally.remarks:
                tally.remarks.append(f"rollouts failed, first: {generation.evaluation.failures[0].reason}")
            tally.add(generation.proposal, generation.evaluation, generation.key)
            value = sum(claims) / len(claims) if claims else math.nan
            yield Progress(
                job, generation.rollouts, generation.steps, value, encode(new.pop()) if new else None
            )
    except SearchFailed as stop:
        tally.remarks.append(f"the search stopped: {stop}")
    tally.remarks += [watch.ended] if watch.ended else []
    return tally


def _at(path: list[_Point], study: Study, task: str, unit: str, amount: int) -> _Point:
    """Where the search stood after at most `amount` of the budget; a last generation over it is cut off."""
    budget = study.budget(task)
    within = [point for point in path if budget.steps is None or point.steps <= budget.steps]
    return [point for point in within if getattr(point, unit) <= amount][-1]


def _failed(study: Study, job: Job, row: dict[str, Any], report: Evaluation) -> str:
    """Which report episodes failed, in words: those of the final recommendation, or else of earlier ones."""
    reason = report.failures[0].reason
    if not (failed := row.get(reported.FAILED, 0)):
        return f"earlier recommendations failed in {len(report.failures)} report episodes: {reason}"
    value = reported.failure_return(study, job.task)
    return f"{reported.in_words(failed, study.report_episodes, value)}: {reason}"


def _tables(
    study: Study, job: Job, tally: _Tally, points: list[_Point], returns: dict[bytes, Float[Array, "k"]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of runs.csv and the rows of curves.csv."""
    last, (unit, grid) = tally.path[-1], study.grid(job.task)
    value = reported.failure_return(study, job.task)
    means = [reported.mean_return(returns[point.recommendation.tobytes()], value) for point in points]
    final = returns[points[-1].recommendation.tobytes()]
    report, names = tally.spent["report"], _names(study, job)
    row = names | {
        "seed": study.seed,
        "d": points[-1].recommendation.size,
        "rollouts": last.rollouts,
        "steps": last.steps,
        "report_rollouts": report.rollouts,
        "report_steps": report.steps,
        "wall_seconds": 0.0,
        "failed_rollouts": sum(e.failed_rollouts for e in tally.spent.values() if e.purpose != "report"),
        "clipped_steps": tally.clipped_steps,
        "start_return": means[0],
        "claimed_return": points[-1].best_seen,
        "final_return": means[-1],
        "final_return_se": reported.standard_error(final, value),
    }
    if failed := int(np.isnan(final).sum()):
        row[reported.FAILED] = failed
    curve = [
        names
        | {"rollouts": point.rollouts, "steps": point.steps, unit: amount}
        | {"return_mean": mean, "best_seen": point.best_seen}
        for point, amount, mean in zip(points, grid, means, strict=True)
    ]
    return row, curve
