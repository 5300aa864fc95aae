"""The rollouts of a tuning's search, and their candidates."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators.functions import sign_of
from policysearch.space import Space
from policysearch.tune.held_out import mean_of


@dataclass(frozen=True)
class RolloutRecord:
    """One rollout of the search."""

    generation: int
    candidate: int
    episode: int
    purpose: str  # "search", or "re-evaluation" of earlier candidates
    values: Mapping[str, Any]  # parameters by name
    coordinates: Float[Array, "d"]
    ret: float  # as the function gave it; NaN if it failed
    steps: int
    reason: str = ""  # of a failure
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, proposal: Proposal, evaluation: Evaluation, space: Space, generation: int, sign: float
    ) -> Iterator["RolloutRecord"]:
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
        place = {name: getattr(self, name) for name in ("generation", "candidate", "episode", "purpose")}
        found = {"return": self.ret, "steps": self.steps, "failure": self.reason}
        return place | dict(self.values) | found | dict(self.metrics)


@dataclass(frozen=True)
class CandidateRecord:
    """A candidate all of whose rollouts succeeded."""

    rollouts: Sequence[RolloutRecord]

    @property
    def values(self) -> Mapping[str, Any]:
        """The parameters by name."""
        return self.rollouts[0].values

    @property
    def coordinates(self) -> Float[Array, "d"]:
        """The parameters as the search has them."""
        return self.rollouts[0].coordinates

    @property
    def ret(self) -> float:
        """The mean return."""
        return _mean(rollout.ret for rollout in self.rollouts)

    @property
    def metrics(self) -> dict[str, float]:
        """The means of what else was measured, by name."""
        return {name: _mean(r.metrics[name] for r in self.rollouts) for name in self.rollouts[0].metrics}

    @property
    def row(self) -> dict[str, Any]:
        """The candidate as a row of `TuneResult.candidates`."""
        place = {name: getattr(self.rollouts[0], name) for name in ("generation", "candidate")}
        found = {"return": self.ret, "steps": _mean(rollout.steps for rollout in self.rollouts)}
        return place | dict(self.values) | found | self.metrics


def completed(rollouts: Iterable[RolloutRecord]) -> list[CandidateRecord]:
    """The candidates all of whose rollouts succeeded, in order."""
    groups: dict[tuple[int, int], list[RolloutRecord]] = {}
    for rollout in rollouts:
        groups.setdefault((rollout.generation, rollout.candidate), []).append(rollout)
    return [CandidateRecord(group) for group in groups.values() if all(np.isfinite(r.ret) for r in group)]


def best_of(candidates: Sequence[CandidateRecord], goal: str) -> CandidateRecord:
    """The candidate with the best mean return."""
    return max(candidates, key=lambda candidate: sign_of(goal) * candidate.ret)


def _mean(values: Iterable[float]) -> float:
    return mean_of(np.array(list(values), dtype=float))
