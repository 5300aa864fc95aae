"""Recommendations and failed episodes of a study: saved, and replayed.

`replay` runs the very episodes of the report again and compares; `replay_failure` the very episode that failed.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from policysearch.compare.reported import FAILED, failure_return, mean_return
from policysearch.compare.run import Result, report_key
from policysearch.compare.saved import FAILURES_FILE, RECOMMENDATIONS_FILE, FailedEpisode, Header, load, write
from policysearch.compare.study import Study
from policysearch.core import Array, Failure, Proposal
from policysearch.deploy.forms import form_of
from policysearch.evaluators.pool import STOPPED
from policysearch.plain_data import encode
from policysearch.search import held_out
from policysearch.space import Space
from policysearch.tasks import Task


def save(folder: Path, study: Study, results: Iterable[Result]) -> Path:
    """Write the recommendations of runs to a folder, in the order of the study; returns the file."""
    saved = []
    for result in _ordered(study, results):
        form = _form(study.task(result.job.task))
        saved.append((_header(study, result).model_copy(update={"form": form}), result.params))
    return write(folder / RECOMMENDATIONS_FILE, saved)


def save_failures(folder: Path, study: Study, results: Iterable[Result]) -> Path | None:
    """Write the examples of failed episodes of runs to a folder; returns the file, if there are any."""
    saved = [entry for result in _ordered(study, results) for entry in _failures(study, result)]
    if saved:
        return write(folder / FAILURES_FILE, saved)
    (folder / FAILURES_FILE).unlink(missing_ok=True)
    return None


def _ordered(study: Study, results: Iterable[Result]) -> list[Result]:
    tasks, labels = list(study.tasks), list(study.optimizers)

    def place(result: Result) -> tuple[int, int, int]:
        job = result.job
        return tasks.index(job.task), labels.index(job.optimizer), job.run

    return sorted(results, key=place)


def _failures(study: Study, result: Result) -> Iterator[tuple[Header, Array]]:
    for number, example in enumerate(result.examples):
        failure = example.failure
        failed = FailedEpisode(
            key=example.key,
            candidate=failure.candidate,
            episode=failure.episode,
            sample=example.sample,
            reason=failure.reason,
            number=number,
        )
        changes = {"failed": failed} | ({"evaluator": "pool"} if failure.reason.startswith(STOPPED) else {})
        yield _header(study, result).model_copy(update=changes), example.params


def _header(study: Study, result: Result) -> Header:
    task, row = study.task(result.job.task), result.row
    return Header(
        task=task.name,
        env_id=task.env_id,
        policy=task.policy,
        deploy=task.deploy,
        max_episode_steps=task.episode_steps(),
        evaluator=study.evaluator,
        common_random_numbers=task.common_random_numbers,
        person=task.person and task.person.name,
        env=dict(task.env) or None,
        wrappers=tuple(map(dict, task.wrappers)) or None,
        stochastic=task.make_policy().num_params == result.params.size,
        optimizer=result.job.optimizer,
        seed=study.seed,
        run=result.job.run,
        report_episodes=study.report_episodes,
        final_return=float(row["final_return"]),
        final_return_se=float(row["final_return_se"]),
        failure_return=failure_return(study, task.name) if row.get(FAILED) else None,
        failed_episodes=int(row.get(FAILED) or 0),
        param_names=result.param_names,
    )


def _form(task: Task) -> str | None:
    """How the policy of a task acts by itself; None where that cannot be written down."""
    if task.person is not None:
        return None
    form = form_of(task.make_policy(), task.meet().interface, task.deploy)
    return None if form is None else encode(form)


@dataclass(frozen=True)
class Replayed:
    """The report episodes of a saved recommendation, run again.

    Attributes:
        header: what was saved.
        final_return: the return that its parameters give now.
        failed_episodes: how many of them fail now.
    """

    header: Header
    final_return: float
    failed_episodes: int

    @property
    def same(self) -> bool:
        """Whether the return is the same to the last digit, and as many episodes failed where that was kept."""
        failed = self.header.failed_episodes in (None, self.failed_episodes)
        return failed and same(self.header.final_return, self.final_return)


def replay(path: Path) -> Replayed:
    """The parameters of a file on the very episodes of the report."""
    header, params = load(path)
    key = report_key(header.seed, header.task, header.run)
    with header.make_evaluator() as evaluator, threadpool_limits(1):
        evaluation = evaluator.evaluate(held_out(params[None], header.report_episodes), key)
    returns = evaluation.returns[0]
    return Replayed(header, mean_return(returns, header.failure_return), int(np.isnan(returns).sum()))


def replay_failure(path: Path) -> tuple[FailedEpisode, Failure | None]:
    """The failed episode, and how it fails now, if it does.

    Raises:
        ValueError: if the file is not one of a failed episode.
    """
    header, params = load(path)
    failed = header.failed
    if failed is None:
        raise ValueError(f"{path}: expected a failed episode, got a recommendation")
    copies = np.tile(params, (failed.candidate + 1, 1))  # action noise depends on the candidate's place
    proposal = Proposal(copies, params, failed.episode + 1, sample=failed.sample)
    with header.make_evaluator() as evaluator, threadpool_limits(1):
        evaluation = evaluator.evaluate(proposal, failed.key)
    place = (failed.candidate, failed.episode)
    again = [failure for failure in evaluation.failures if (failure.candidate, failure.episode) == place]
    return failed, again[0] if again else None


def in_words(header: Header, params: Float[Array, "d"]) -> list[str]:
    """The parameters of a controller by name and in their own units; nothing for the weights of a policy."""
    space: Space | None = getattr(header.make_policy(), "space", None)
    if space is None:
        return []
    values, units = space.named(params), [parameter.unit for parameter in space.parameters]
    width = max(map(len, values))
    return [
        f"{name:{width}}  {x:.4g} {unit}".rstrip()
        for (name, x), unit in zip(values.items(), units, strict=True)
    ]


def same(a: float, b: float) -> bool:
    """Equality to the last digit; not-a-number equals itself."""
    return a == b or (math.isnan(a) and math.isnan(b))
