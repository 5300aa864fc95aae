"""Evaluations that are written down, and taken from what was written when a search is run again.

A search is rebuilt by replay: the optimizer is asked again, and what it asked for before is answered from the
record. Every proposal is compared with the recorded one by a digest of all that decides its evaluation, so a
search that would go another way (another NumPy, a changed method) stops instead of continuing silently.
With a clock, each record holds the seconds that the search had taken by then, in all its sessions; replaying counts
for nothing, and neither does what was not written down.
Rollouts are not recorded: where the optimizer needs them, they are run again from their seeds and their returns
compared with the recorded ones.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policysearch.core import Evaluation, Evaluator, Failure, Moments, Proposal
from policysearch.errors import MACHINE_TROUBLE, EndsStudy
from policysearch.evaluators.runner import Runner
from policysearch.seeding import Key

#: What is kept of one evaluation, as plain data.
Record = dict[str, Any]


class ReplayDiffers(EndsStudy):
    """A search that is replayed asks for, or gets, something else than what is recorded."""

    exit_code = MACHINE_TROUBLE


class Recorded:
    """`inner`, whose evaluations are written down by `write`, and the first of which are known from `records`.

    Attributes:
        seconds: what the search has taken up to the latest evaluation; 0 without a `clock`.

    Raises:
        ReplayDiffers: from `evaluate`, when a recorded evaluation does not belong to the proposal.
    """

    def __init__(
        self,
        inner: Evaluator,
        records: Sequence[Record],
        write: Callable[[Record], None],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.inner, self._records, self._write = inner, records, write
        self._index = 0
        self.seconds, self._clock = 0.0, clock
        self._since = clock() if clock else 0.0

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The recorded evaluation if there is one, else one that is run now and written down."""
        if self._index == len(self._records):
            evaluation = self.inner.evaluate(proposal, key)
            self._write(record(proposal, evaluation) | self._timed())
            self._records, self._index = (), 0
            return evaluation
        known = self._records[self._index]
        if known["proposal"] != digest(proposal):
            raise ReplayDiffers(f"generation {self._index} asks for other parameters than it did before")
        if np.shape(known["returns"]) != (len(proposal.params), proposal.episodes):
            raise ReplayDiffers(f"generation {self._index} has another number of returns than it asks for")
        evaluation = recall(proposal, known)
        if proposal.record or (isinstance(self.inner, Runner) and self.inner.sequential):
            again = self.inner.evaluate(proposal, key)
            if not np.array_equal(again.returns, evaluation.returns, equal_nan=True):
                raise ReplayDiffers(
                    f"the rollouts of generation {self._index} give other returns than before"
                )
            evaluation = again
        self._index += 1
        self.seconds = known.get("seconds", self.seconds)
        self._since = self._clock() if self._clock else 0.0
        return evaluation

    def _timed(self) -> Record:
        """The seconds so far, as a part of a record."""
        if self._clock is None:
            return {}
        now = self._clock()
        self.seconds, self._since = round(self.seconds + now - self._since, 3), now
        return {"seconds": self.seconds}


def digest(proposal: Proposal) -> str:
    """What decides an evaluation, and what would be deployed, in 32 hexadecimal digits."""
    flags = (proposal.episodes, proposal.sample, proposal.record, proposal.moments, proposal.purpose)
    hashed = hashlib.sha256(repr((proposal.params.shape, *flags)).encode())
    hashed.update(proposal.params.astype(float).tobytes())
    hashed.update(proposal.recommendation.astype(float).tobytes())
    return hashed.hexdigest()[:32]


def record(proposal: Proposal, evaluation: Evaluation) -> Record:
    """An evaluation as plain data, without its rollouts; what is empty is left out."""
    moments = evaluation.moments
    kept: Record = {
        "proposal": digest(proposal),
        "purpose": proposal.purpose,
        "returns": evaluation.returns.tolist(),
        "steps": evaluation.steps.tolist(),
    }
    more: Record = {
        "failures": [[f.candidate, f.episode, f.seed, f.reason, f.traceback] for f in evaluation.failures],
        "clipped_steps": evaluation.clipped_steps,
        "retried_rollouts": evaluation.retried_rollouts,
        "unmeasured": list(evaluation.unmeasured),
        "metrics": {name: numbers.tolist() for name, numbers in evaluation.metrics.items()},
        "moments": [moments.count, moments.mean.tolist(), moments.M2.tolist()] if moments else [],
    }
    return kept | {name: value for name, value in more.items() if value}


class _Kept(BaseModel):
    """The types of a record."""

    model_config = ConfigDict(strict=True, extra="forbid")
    proposal: str
    purpose: str
    returns: list[list[float]]
    steps: list[list[int]]
    failures: list[list[str | int]] = []
    clipped_steps: int = 0
    retried_rollouts: int = 0
    unmeasured: list[int] = []
    metrics: dict[str, list[list[float]]] = {}
    moments: list[float | list[float]] = []
    seconds: float = Field(0.0, ge=0.0, allow_inf_nan=False)


def checked(kept: Any) -> Record:
    """The record, if it is one.

    Raises:
        ValueError: if it is not.
    """
    try:
        found = _Kept.model_validate(kept)
        _ = [Failure(*entry) for entry in found.failures]  # type: ignore[arg-type]
    except ValidationError as error:
        raise ValueError(first_mistake(error)) from error
    except TypeError as error:
        raise ValueError(f"failures: {error}") from error
    tables: list[Sequence[Sequence[float]]] = [found.returns, found.steps, *found.metrics.values()]
    if len({tuple(map(len, table)) for table in tables}) != 1 or len(set(map(len, found.returns))) != 1:
        raise ValueError("expected a return and steps for every candidate and episode")
    return dict(kept)


def first_mistake(error: ValidationError) -> str:
    """The first of the mistakes that pydantic has found, in short."""
    found = error.errors()[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}".removeprefix(": ")


def recall(proposal: Proposal, kept: Record) -> Evaluation:
    """The evaluation of `proposal` that `record` wrote down."""
    moments = kept.get("moments")
    return Evaluation(
        proposal.params,
        np.array(kept["returns"], dtype=float),
        np.array(kept["steps"], dtype=int),
        failures=tuple(Failure(*entry) for entry in kept.get("failures", ())),
        moments=Moments(moments[0], np.array(moments[1]), np.array(moments[2])) if moments else None,
        clipped_steps=kept.get("clipped_steps", 0),
        retried_rollouts=kept.get("retried_rollouts", 0),
        metrics={name: np.array(numbers, dtype=float) for name, numbers in kept.get("metrics", {}).items()},
        unmeasured=tuple(kept.get("unmeasured", ())),
    )
