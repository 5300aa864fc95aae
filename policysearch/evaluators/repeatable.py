"""Whether rollouts are functions of their seeds, tried before a study: `check`.

Two episodes of the start are run, and then again in the opposite order, where that is possible in other copies. What
keeps something from earlier episodes, or draws numbers that its seed does not decide, gives other returns: then
results depend on the number of workers and cannot be repeated. These rollouts are booked as `check`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators.runner import Divisible, Runner, collect
from policysearch.seeding import Key

#: Rollouts that take longer are not run twice, in seconds (choice).
MAX_SECONDS = 10.0


@dataclass(frozen=True)
class Check:
    """What the rollouts before a study have shown.

    Attributes:
        rollouts: how many were run.
        failed: how many of the first two have failed.
        failure: why the first of them did; empty if none has.
        difference: how the returns of the same episodes differ, with the likely causes; empty if they are the same.
        skipped: why they were not run twice; empty if they were.
    """

    rollouts: int = 0
    failed: int = 0
    failure: str = ""
    difference: str = ""
    skipped: str = ""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Check":
        """The check that an event of a ledger holds.

        Raises:
            TypeError: if it holds something else.
        """
        found = cls(**body)
        for each in fields(cls):
            if type(getattr(found, each.name)) is not type(each.default):
                raise TypeError(f"{each.name}: expected {type(each.default).__name__}")
        return found

    @property
    def words(self) -> str:
        """What is said of it in results."""
        return "; ".join(
            filter(None, (f"{self.rollouts} rollouts, not charged", self.difference, self.skipped))
        )


def check(runner: Runner, params: Float[Array, "d"], key: Key, sign: float = 1.0) -> Check:
    """Run two episodes of these parameters twice, and compare; `sign` is what returns are multiplied by in words.

    Raises:
        ValueError: for parameters that the runner cannot run.
    """
    proposal = Proposal(params[None], recommendation=params, episodes=2, purpose="check")
    began = time.monotonic()
    first = runner.evaluate(proposal, key)
    seconds = (time.monotonic() - began) / 2
    failures = (int(np.isnan(first.returns).sum()), first.failures[0].reason if first.failures else "")
    if seconds > MAX_SECONDS:
        return Check(2, *failures, skipped=f"a rollout takes {seconds:.0f} s, so that none was run twice")
    if failures[0] == 2:
        return Check(2, *failures)
    again = _reversed(runner, proposal, key)
    if np.array_equal(first.returns, again.returns, equal_nan=True):
        return Check(4, *failures)
    return Check(4, *failures, difference=_difference(sign * first.returns, sign * again.returns))


def _reversed(runner: Runner, proposal: Proposal, key: Key) -> Evaluation:
    """The evaluation with its episodes in the opposite order, one after the other, where the runner can do that."""
    if not isinstance(runner, Divisible):
        return runner.evaluate(proposal, key)
    outcomes = [
        outcome for pair in reversed(proposal.pairs) for outcome in runner.outcomes(proposal, key, [pair])
    ]
    return collect(proposal, outcomes)


def _difference(first: Float[Array, "1 k"], again: Float[Array, "1 k"]) -> str:
    j = int(np.flatnonzero(first[0] != again[0])[0])
    return (
        f"the same parameters and the same seed gave {first[0, j]:.6g} and then {again[0, j]:.6g}: it draws random "
        "numbers that its seed does not decide, or keeps something from earlier rollouts, such as a state, running "
        "averages of observations, or files in a folder that rollouts share"
    )
