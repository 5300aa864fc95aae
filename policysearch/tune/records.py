"""What the search of a tuning measured: in a rollout, and of a candidate in the mean of its rollouts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators.functions import sign_of
from policysearch.space import Space
from policysearch.tune.held_out import mean_of

#: Of a table of rollouts.
FIRST_COLUMNS = ("generation", "candidate", "episode", "purpose")


@dataclass(frozen=True)
class Measurement:
    """One rollout of the search; from `completed`, a candidate with the means of its rollouts."""

    generation: int
    candidate: int
    episode: int
    purpose: str  # "search", or "re-evaluation" of earlier candidates
    values: Mapping[str, Any]  # parameters by name
    coordinates: Float[Array, "d"]
    ret: float  # as the function gave it; NaN if it failed
    steps: float
    reason: str = ""  # of a failure
    metrics: Mapping[str, float] = field(default_factory=dict)
    scenario: Mapping[str, Any] = field(default_factory=dict)  # values of the plant, in place of `values`
    broken: float = 0.0  # by how much the candidate breaks constraints on outputs

    @classmethod
    def of(
        cls, proposal: Proposal, evaluation: Evaluation, space: Space, generation: int, sign: float
    ) -> Iterator["Measurement"]:
        """The rollouts of a generation; candidates that were not measured have none."""
        reasons = {(failure.candidate, failure.episode): failure.reason for failure in evaluation.failures}
        values = {int(i): space.named(proposal.params[i]) for i in evaluation.measured}
        for i, j in proposal.pairs:
            if i in values:
                yield cls(
                    generation, i, j, proposal.purpose, values[i], proposal.params[i],
                    sign * float(evaluation.returns[i, j]), int(evaluation.steps[i, j]), reasons.get((i, j), ""),
                    {name: float(numbers[i, j]) for name, numbers in evaluation.metrics.items()},
                )  # fmt: skip

    @property
    def row(self) -> dict[str, Any]:
        """The rollout as a row of `TuneResult.history`."""
        place = {name: getattr(self, name) for name in FIRST_COLUMNS}
        found = {"return": self.ret, "steps": self.steps, "failure": self.reason}
        return place | dict(self.values) | dict(self.scenario) | found | dict(self.metrics)

    @property
    def candidate_row(self) -> dict[str, Any]:
        """The candidate as a row of `TuneResult.candidates`."""
        of_rollouts = {"episode", "purpose", "failure"}
        return {name: value for name, value in self.row.items() if name not in of_rollouts}


def mean_return(returns: Sequence[float]) -> float:
    """The mean of the returns of a candidate."""
    return mean_of(np.array(returns, dtype=float))


def completed(
    rollouts: Iterable[Measurement], worth: Callable[[Sequence[float]], float] = mean_return
) -> list[Measurement]:
    """The candidates all of whose rollouts succeeded, in order, with the means of their rollouts.

    `worth` is what the returns of a candidate are worth together, where it is not their mean.
    """
    groups: dict[tuple[int, int], list[Measurement]] = {}
    for rollout in rollouts:
        groups.setdefault((rollout.generation, rollout.candidate), []).append(rollout)
    return [_averaged(group, worth) for group in groups.values() if all(np.isfinite(r.ret) for r in group)]


def best_of(candidates: Sequence[Measurement], goal: str) -> Measurement:
    """The candidate with the best mean return of those that break constraints on outputs least."""
    return max(candidates, key=lambda candidate: (-candidate.broken, sign_of(goal) * candidate.ret))


def _averaged(group: Sequence[Measurement], worth: Callable[[Sequence[float]], float]) -> Measurement:
    def mean(values: Iterable[float]) -> float:
        return mean_of(np.array(list(values), dtype=float))

    return replace(
        group[0],
        ret=worth([r.ret for r in group]),
        scenario={},
        steps=mean(r.steps for r in group),
        metrics={name: mean(r.metrics[name] for r in group) for name in group[0].metrics},
    )
