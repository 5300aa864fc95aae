"""Two candidates on the same held-out seeds, such as the recommendation and the start."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Evaluation
from policysearch.evaluators.functions import sign_of
from policysearch.evaluators.unseeded import TRIED


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What the recommendation and the start gave on seeds that the search has not used.

    `metrics` holds what else was measured, of the recommendation and of the start. Returns are the function's own,
    whether they were maximised or minimised; NaN where a rollout failed.
    """

    goal: str
    returns: Float[Array, "k"]  # of the recommendation
    start_returns: Float[Array, "k"]
    metrics: Mapping[str, tuple[Float[Array, "k"], Float[Array, "k"]]] = field(default_factory=dict)

    @classmethod
    def of(cls, evaluation: Evaluation, goal: str, recommended: int = 0, start: int = 1) -> "HeldOut":
        """From an evaluation of candidates, two of which are compared."""
        returns = sign_of(goal) * evaluation.returns
        metrics = {
            name: (numbers[recommended], numbers[start]) for name, numbers in evaluation.metrics.items()
        }
        return cls(goal, returns[recommended], returns[start], metrics)

    @classmethod
    def none(cls, goal: str) -> "HeldOut":
        """Of no rollouts, where there was nothing to evaluate."""
        return cls(goal, np.empty(0), np.empty(0))

    @cached_property
    def improvement(self) -> tuple[float, float, float]:
        """How much better than the start, in the mean over seeds on which both succeeded, and its 95 % interval.

        Positive is better, whatever the goal. NaN if there are fewer than two such seeds. The interval is Student's,
        of paired differences.
        """
        return paired(sign_of(self.goal) * (self.returns - self.start_returns))

    @property
    def means(self) -> tuple[float, float]:
        """Mean returns of the successful rollouts of the recommendation and the start; NaN where there is none."""
        return mean_of(self.returns), mean_of(self.start_returns)

    @property
    def failed(self) -> tuple[int, int]:
        """How many rollouts of the recommendation failed, and of the start."""
        return int((~np.isfinite(self.returns)).sum()), int((~np.isfinite(self.start_returns)).sum())

    def remarks(self, seeded: bool) -> Iterator[str]:
        """What has to be said where the plant is not given the seeds, and returned the same for all of them."""
        returns = [self.returns, self.start_returns]
        if not seeded and all(len(x) > TRIED and (x == x[0]).all() for x in returns):
            yield "the plant is not given a seed and returned the same twice: it was not run on every held-out seed"

    @property
    def verdict(self) -> str:
        """The improvement, its interval, and whether the difference is significant, in one sentence."""
        mean, low, high = self.improvement
        (failed, start_failed), k = self.failed, len(self.returns)
        lost = f"; failed in {failed} of {k} report episodes, the start in {start_failed}"
        lost = lost if failed or start_failed else ""
        if not np.isfinite(mean):
            return f"not compared: too few seeds on which both succeeded{lost}"
        said = (
            "better than the start"
            if low > 0
            else "worse than the start"
            if high < 0
            else "no significant difference"
        )
        where = " where both succeeded" if lost else ""
        return f"improvement {mean:.4g} (95 % interval {low:.4g} … {high:.4g}): {said}{where}{lost}"


def mean_of(values: Float[Array, "k"]) -> float:
    """The mean of the finite values; NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def paired(gaps: Float[Array, "k"]) -> tuple[float, float, float]:
    """The mean of the finite differences with Student's 95 % interval; NaN if there are fewer than two."""
    gaps = gaps[np.isfinite(gaps)]
    if len(gaps) < 2:
        return float("nan"), float("nan"), float("nan")
    mean, error = float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    from scipy.special import stdtrit  # noqa: PLC0415 - takes a while

    half = float(stdtrit(len(gaps) - 1, 0.975)) * error
    return mean, mean - half, mean + half
