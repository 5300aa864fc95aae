"""The episode that ends the process of a run, found by running its rollouts in processes of their own."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from policysearch.compare.run import Example, Job, run_job
from policysearch.compare.study import Study
from policysearch.core import Evaluation, Proposal
from policysearch.evaluators import PoolEvaluator, Runner
from policysearch.evaluators.recorded import Record
from policysearch.seeding import Key

#: Parameters that a message shows; all of them are in the file of failed episodes.
MAX_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Crash:
    """An episode that ends its process, and the names of the parameters with which it does."""

    example: Example
    names: tuple[str, ...]

    def __str__(self) -> str:
        failure, params = self.example.failure, self.example.params
        more = f" … ({params.size} of them)" if params.size > MAX_SHOWN else ""
        shown = " ".join(f"{value:.6g}" for value in params[:MAX_SHOWN])
        return (
            f"{self.example.purpose}, candidate {failure.candidate}, episode {failure.episode}, seed {failure.seed}: "
            f"{failure.reason}; parameters {shown}{more}"
        )


def find(study: Study, job: Job, known: Sequence[Record]) -> Crash | None:
    """The first episode after what is known of a run that ends its process; None if none does so again."""
    pooled = study.model_copy(update={"evaluator": "pool"})
    with contextlib.suppress(Exception):  # it is only to explain another failure
        problem = pooled.problem(job.task, job.optimizer, job.run)
        watched = replace(problem, evaluator=_Watched(cast(PoolEvaluator, problem.evaluator)))
        try:
            for _ in run_job(pooled, job, known=known, problem=watched):
                pass
        except _Found as found:
            return Crash(found.example, problem.policy.param_names)
    return None


class _Found(Exception):  # noqa: N818 - it is what was looked for
    def __init__(self, example: Example) -> None:
        self.example = example
        super().__init__()


class _Watched(Runner):
    """Rollouts of a pool, up to the first that ends its process."""

    description = PoolEvaluator.description

    def __init__(self, pool: PoolEvaluator) -> None:
        self._pool, self.interface = pool, pool.interface

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        failure = self._pool.first_stopped(proposal, key)
        if failure is not None:
            params = proposal.params[failure.candidate]
            raise _Found(Example(failure, proposal.purpose, key, proposal.episodes, proposal.sample, params))
        return self._pool.evaluate(proposal, key)

    def close(self) -> None:
        self._pool.close()
