"""When a search ends before its budget is spent: a limit in time, a target, or patience.

    watch = Watch(Limits(patience=50))
    for generation in watch.over(generations(…)):
        …
    watch.ended                                    # why it ended, in words; empty where the budget was spent

A search that is replayed from a ledger comes to the same end: time is that which `evaluators.recorded.Recorded` wrote
down with every generation, and the rest follows from the returns.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation
from policysearch.search import Generation

Ending = Literal["", "time", "target", "patience"]
#: How it is said that time has ended a search.
TIME_IS_UP = "the time limit of"


def clock() -> float:
    """Seconds, from an arbitrary moment on; tests put another clock in its place."""
    return time.monotonic()


@dataclass(frozen=True)
class Limits:
    """What ends a search early.

    Attributes:
        hours: the longest that it may take, with what follows it.
        target: it ends with a candidate of this mean return, or a better one.
        patience: it ends when so many rollouts have brought no better candidate.
        minimise: whether returns are costs; the target is one then.
    """

    hours: float | None = None
    target: float | None = None
    patience: int | None = None
    minimise: bool = False


class Watch:
    """Ends a search that has come to one of its limits.

    A time limit ends it before a generation that would, at the time per rollout so far, end too late. So the first
    generation is always run.

    Args:
        limits: what ends it.
        seconds: the time that the search has taken so far.
        after: rollouts that would follow the search if it ended with a generation; time is kept for them.
        values: what each candidate is worth, NaN for those that count for nothing; by default, its mean return.

    Attributes:
        kind: which limit has ended the search; empty while none has.
        ended: the same in words.
    """

    def __init__(
        self,
        limits: Limits,
        seconds: Callable[[], float] = lambda: 0.0,
        after: Callable[[Generation], int] = lambda made: 0,
        values: Callable[[Evaluation], Float[Array, "n"]] | None = None,
    ) -> None:
        self.limits, self._seconds, self._after = limits, seconds, after
        self._values = _mean_returns if values is None else values
        self.kind: Ending = ""
        self.ended = ""
        self._best, self._improved, self._largest = -np.inf, 0, 0

    def over(self, search: Iterator[Generation]) -> Iterator[Generation]:
        """The generations, until a limit is reached."""
        for made in search:
            yield made
            self.kind, self.ended = self._reached(made)
            if self.kind:
                return

    def _reached(self, made: Generation) -> tuple[Ending, str]:
        limits, sign = self.limits, -1.0 if self.limits.minimise else 1.0
        if limits.target is not None or limits.patience is not None:
            means = self._values(made.evaluation)
            best = float(means[np.isfinite(means)].max(initial=-np.inf))
            if best > self._best:
                self._best, self._improved = best, made.rollouts
        self._largest = max(self._largest, made.proposal.cost, made.ahead)
        if limits.target is not None and self._best >= sign * limits.target:
            reached = f"a candidate reached the target of {limits.target:g} with {sign * self._best:.4g}"
            return "target", f"{reached}, after {made.rollouts} rollouts"
        idle = made.rollouts - self._improved
        if limits.patience is not None and idle >= limits.patience:
            return "patience", f"the last {idle} of {made.rollouts} rollouts brought no better candidate"
        if limits.hours is None:
            return "", ""
        seconds = self._seconds()
        after = self._after(made)
        needed = (self._largest + after) * seconds / made.rollouts
        if seconds + needed <= 3600 * limits.hours:
            return "", ""
        limit, spent = in_words(3600 * limits.hours), f"{made.rollouts} rollouts took {in_words(seconds)}"
        kept = f", and the evaluation of the result, with {after} rollouts, needs time too"
        said = f"{TIME_IS_UP} {limit} leaves no further generation: {spent}"
        return "time", said + kept if after else said


def _mean_returns(evaluation: Evaluation) -> Float[Array, "n"]:
    return evaluation.returns.mean(axis=1)


def in_words(seconds: float) -> str:
    """A time in its two largest units, as in 1 h 36 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n)
