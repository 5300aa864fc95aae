"""What tuning has found: the recommendation, what it is worth on fresh tries, and all that was tried."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators.functions import sign_of
from policysearch.figures import COLOURS, figure_of
from policysearch.space import Space

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Trial:
    """One try of the search."""

    generation: int
    candidate: int
    episode: int
    values: Mapping[str, Any]  # parameters by name
    ret: float  # as the function gave it; NaN if it failed
    steps: int
    reason: str = ""  # of a failure
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, proposal: Proposal, evaluation: Evaluation, space: Space, generation: int, sign: float
    ) -> Iterator["Trial"]:
        """The tries of a generation."""
        reasons = {(failure.candidate, failure.episode): failure.reason for failure in evaluation.failures}
        for i, params in enumerate(proposal.params):
            values = space.named(params)
            for j in range(proposal.episodes):
                metrics = {name: float(numbers[i, j]) for name, numbers in evaluation.metrics.items()}
                ret, steps = sign * float(evaluation.returns[i, j]), int(evaluation.steps[i, j])
                yield cls(generation, i, j, values, ret, steps, reasons.get((i, j), ""), metrics)


@dataclass(frozen=True, eq=False)
class TuneResult:
    """What `tune` returns; `str` says it in words.

    Returns are the function's own, whether they were maximised or minimised.
    """

    space: Space
    goal: str
    recommendation: Float[Array, "d"]  # as coordinates
    trials: tuple[Trial, ...]
    returns: Float[Array, "k"]  # of the recommendation on fresh seeds; NaN where it failed
    start_returns: Float[Array, "k"]  # of the start on the same seeds
    note: str = ""  # why the search ended early

    @property
    def values(self) -> dict[str, Any]:
        """The recommended parameters by name, in their own units."""
        return self.space.named(self.recommendation)

    @property
    def start(self) -> dict[str, Any]:
        """The parameters with which the search began."""
        return self.space.named(self.space.domain.start)

    @cached_property
    def improvement(self) -> tuple[float, float, float]:
        """How much better than the start, in the mean over seeds that both met, with the ends of its 95 % interval.

        Positive is better, whatever the goal. NaN if both succeeded on fewer than two seeds. The interval is
        Student's, of paired differences.
        """
        gaps = sign_of(self.goal) * (self.returns - self.start_returns)
        gaps = gaps[np.isfinite(gaps)]
        if len(gaps) < 2:
            return float("nan"), float("nan"), float("nan")
        mean = float(gaps.mean())
        half = float(stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
        return mean, mean - half, mean + half

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row per try: parameters, return, steps, why it failed, and what else was measured."""
        return pd.DataFrame(
            [
                {"generation": t.generation, "candidate": t.candidate, "episode": t.episode}
                | dict(t.values)
                | {"return": t.ret, "steps": t.steps, "failure": t.reason}
                | dict(t.metrics)
                for t in self.trials
            ]
        )

    @cached_property
    def best_seen(self) -> tuple[dict[str, Any], float]:
        """The candidate with the best mean of the search, and that mean: a lucky number, if tries are noisy."""
        means: dict[tuple[int, int], list[Trial]] = {}
        for trial in self.trials:
            means.setdefault((trial.generation, trial.candidate), []).append(trial)
        whole = [group for group in means.values() if all(np.isfinite(trial.ret) for trial in group)]
        if not whole:
            return {}, float("nan")
        sign = sign_of(self.goal)
        best = max(whole, key=lambda group: sign * sum(trial.ret for trial in group) / len(group))
        return dict(best[0].values), float(np.mean([trial.ret for trial in best]))

    def __str__(self) -> str:
        lines = ["recommended:"]
        for parameter in self.space.parameters:
            value, before = self.values[parameter.name], self.start[parameter.name]
            lines.append(
                f"  {parameter.name} = {_shown(value)} {parameter.unit}".rstrip()
                + f" (start {_shown(before)})"
            )
        good, started = (
            self.returns[np.isfinite(self.returns)],
            self.start_returns[np.isfinite(self.start_returns)],
        )
        lines.append(
            f"on {len(self.returns)} fresh seeds: {_mean(good)}, the start {_mean(started)} ({self.goal}d)"
        )
        mean, low, high = self.improvement
        if np.isfinite(mean):
            verdict = (
                "better than the start"
                if low > 0
                else "worse than the start"
                if high < 0
                else "not told apart"
            )
            lines.append(f"improvement {mean:.4g} (95 % interval {low:.4g} … {high:.4g}): {verdict}")
        for what, returns in (("the recommendation", self.returns), ("the start", self.start_returns)):
            if failed := int((~np.isfinite(returns)).sum()):
                lines.append(f"{what} failed on {failed} of {len(returns)} fresh seeds")
        failures = [trial.reason for trial in self.trials if trial.reason]
        if failures:
            lines.append(
                f"{len(failures)} of {len(self.trials)} tries of the search failed, first: {failures[0]}"
            )
        seen, value = self.best_seen
        if seen and seen != self.values:
            lines.append(
                f"the best value seen was {value:.4g}, by other parameters: one lucky number among "
                f"{len(self.trials)}; what is recommended is what the method stands by"
            )
        if self.note:
            lines.append(f"the search ended early: {self.note}")
        return "\n".join(lines)

    def plot(self) -> "Figure":
        """The returns over the tries, and what the start and the recommendation gave on fresh seeds."""
        history = self.history
        with figure_of(1, 2, 9.0, 3.6, sharey=True, width_ratios=[3, 1]) as (figure, ((tries, fresh),)):
            tries.plot(history.index + 1, history["return"], ".", color=COLOURS[5], ms=4)
            for i in history.index[history["failure"] != ""]:
                tries.axvline(i + 1, color=COLOURS[1], lw=0.5, alpha=0.5)
            tries.set(xlabel="tries of the search (lines: failed)", ylabel=f"return, {self.goal}d")
            for x, returns in enumerate((self.start_returns, self.returns)):
                fresh.plot(np.full(len(returns), x), returns, ".", color="0.6", ms=4)
                good = returns[np.isfinite(returns)]
                if len(good):
                    fresh.plot([x - 0.25, x + 0.25], [good.mean()] * 2, color=COLOURS[0], lw=2)
            fresh.set_xticks([0, 1], ["start", "recommended"])
            fresh.set_xlim(-0.6, 1.6)
            fresh.set_title("fresh seeds", fontsize=9)
            return figure


def _shown(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _mean(returns: Float[Array, "k"]) -> str:
    return f"{returns.mean():.5g}" if len(returns) else "no return"
