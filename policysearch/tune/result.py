"""What tuning has found: the recommendation, what it is worth on fresh tries, and all that was tried."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.configuration import Goal
from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators.functions import NOT_RUN, sign_of
from policysearch.space import Choice, Space
from policysearch.tune import plots
from policysearch.tune.fresh import Fresh, mean_of, shown
from policysearch.tune.pareto import front
from policysearch.tune.sensitivity import Sensitivity
from policysearch.tune.surface import Surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AT_BOUND = 0.01  # of its range: a value so near to a bound might want to be beyond it (choice)


@dataclass(frozen=True)
class Trial:
    """One try of the search."""

    generation: int
    candidate: int
    episode: int
    purpose: str  # "search", or "re-evaluation" of what was tried before
    values: Mapping[str, Any]  # parameters by name
    coordinates: Float[Array, "d"]
    ret: float  # as the function gave it; NaN if it failed
    steps: int
    reason: str = ""  # of a failure
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, proposal: Proposal, evaluation: Evaluation, space: Space, generation: int, sign: float
    ) -> Iterator["Trial"]:
        """The tries of a generation; candidates that nobody measured were not tried."""
        reasons = {(failure.candidate, failure.episode): failure.reason for failure in evaluation.failures}
        for i in evaluation.measured:
            params = proposal.params[i]
            values = space.named(params)
            for j in range(proposal.episodes):
                metrics = {name: float(numbers[i, j]) for name, numbers in evaluation.metrics.items()}
                ret, steps = sign * float(evaluation.returns[i, j]), int(evaluation.steps[i, j])
                reason = reasons.get((int(i), j), "")
                yield cls(
                    generation, int(i), j, proposal.purpose, values, params, ret, steps, reason, metrics
                )


@dataclass(frozen=True, eq=False)
class TuneResult:
    """What `tune` returns; `str` says it in words.

    Returns are the function's own, whether they were maximised or minimised.
    """

    space: Space
    goal: str
    recommendation: Float[Array, "d"]  # as coordinates
    trials: tuple[Trial, ...]
    fresh: Fresh  # the recommendation beside the start
    perturbed: Mapping[str, Fresh] = field(default_factory=dict)  # the same on changed plants
    rival: Fresh | None = None  # the best candidate of the search, if another, beside the recommendation
    sensitivity: Sensitivity | None = None  # measured around the recommendation, if it was asked for
    metrics: Mapping[str, Goal] = field(default_factory=dict)  # what is better of what else was measured
    note: str = ""  # why the search ended early

    @property
    def values(self) -> dict[str, Any]:
        """The recommended parameters by name, in their own units."""
        return self.space.named(self.recommendation)

    @property
    def start(self) -> dict[str, Any]:
        """The parameters with which the search began."""
        return self.space.named(self.space.domain.start)

    @property
    def improvement(self) -> tuple[float, float, float]:
        """How much better than the start, in the mean over fresh seeds that both met, and its 95 % interval."""
        return self.fresh.improvement

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row per try: parameters, return, steps, why it failed, and what else was measured."""
        return pd.DataFrame(
            [
                {
                    "generation": t.generation,
                    "candidate": t.candidate,
                    "episode": t.episode,
                    "purpose": t.purpose,
                }
                | dict(t.values)
                | {"return": t.ret, "steps": t.steps, "failure": t.reason}
                | dict(t.metrics)
                for t in self.trials
            ]
        )

    @cached_property
    def robustness(self) -> pd.DataFrame:
        """A row per changed plant, after one for the plant as it is: means, improvement, failures."""
        rows = {"as it is": self.fresh} | dict(self.perturbed)
        return pd.DataFrame(
            [
                dict(
                    zip(
                        ("plant", "recommended", "start", "improvement", "low", "high", "failed"),
                        (name, *fresh.means, *fresh.improvement, fresh.failed[0]),
                        strict=True,
                    )
                )
                for name, fresh in rows.items()
            ]
        )

    @cached_property
    def whole(self) -> list[list[Trial]]:
        """The tries of each candidate all of whose tries succeeded."""
        return whole(self.trials)

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """A row per candidate that was tried without failure: its means, parameters as in `history`."""
        rows = [
            {"generation": group[0].generation, "candidate": group[0].candidate}
            | dict(group[0].values)
            | {"return": _mean(t.ret for t in group), "steps": _mean(t.steps for t in group)}
            | {name: _mean(t.metrics[name] for t in group) for name in group[0].metrics}
            for group in self.whole
        ]
        return pd.DataFrame(rows)

    @cached_property
    def best_seen(self) -> tuple[dict[str, Any], float]:
        """The candidate with the best mean of the search, and that mean: a lucky number, if tries are noisy."""
        if not self.whole:
            return {}, float("nan")
        best = best_of(self.whole, self.goal)
        return dict(best[0].values), _mean(trial.ret for trial in best)

    @cached_property
    def surface(self) -> Surface | None:
        """What the tries alone say of the neighbourhood of the recommendation; None if they are too few."""
        if not self.whole:
            return None
        params = np.array([group[0].coordinates for group in self.whole])
        means = np.array([_mean(trial.ret for trial in group) for group in self.whole])
        return Surface.fit(self.space, params, sign_of(self.goal) * means, self.recommendation)

    def front(self, x: str, y: str = "return") -> pd.DataFrame:
        """The candidates to which no other is better in both of two quantities.

        Raises:
            ValueError: for a quantity that was not measured.
        """
        self._check_measured(x, y)
        candidates = self.candidates
        costs = np.column_stack([-sign_of(self._better(name)) * candidates[name] for name in (x, y)])
        return candidates[front(costs)].sort_values(x)

    def plot(self) -> "Figure":
        """The returns over the tries, and what the start and the recommendation gave on fresh seeds."""
        return plots.tries(self.history, self.fresh.returns, self.fresh.start_returns, self.goal)

    def plot_tradeoff(self, x: str, y: str = "return") -> "Figure":
        """Two quantities of all candidates, and those to which no other is better in both.

        Raises:
            ValueError: for a quantity that was not measured.
        """
        self._check_measured(x, y)
        means = {"return": self.fresh.means} | {
            name: (mean_of(of), mean_of(of_start)) for name, (of, of_start) in self.fresh.metrics.items()
        }
        marked = {}
        if x in means and y in means:
            who = {"start, fresh seeds": 1, "recommended, fresh seeds": 0}
            marked = {name: (means[x][i], means[y][i]) for name, i in who.items()}
        goals = {name: self._better(name) for name in (x, y)}
        return plots.tradeoff(self.candidates, x, y, goals, marked)

    def pictures(self) -> "dict[str, Figure]":
        """All pictures that there is something to show in, by name."""
        pictures = {"tries": self.plot()}
        if self.sensitivity is not None or self.surface is not None:
            pictures["sensitivity"] = plots.slices(self.sensitivity, self.surface, self.start)
        if self.surface is not None and len(self.surface.varied) > 1:
            pictures["pairs"] = plots.pairs(self.surface)
        if self.measured:
            first = sorted(self.measured, key=lambda name: name not in self.metrics)  # those with a goal
            pictures["tradeoff"] = self.plot_tradeoff(first[0], (*first[1:], "return")[0])
        return pictures

    @property
    def measured(self) -> tuple[str, ...]:
        """What else was measured of candidates that did not fail, by name."""
        names = dict.fromkeys(name for group in self.whole for name in group[0].metrics)
        return tuple(name for name in names if name != "violation")

    def _better(self, quantity: str) -> str:
        return self.goal if quantity == "return" else self.metrics.get(quantity, "minimise")

    def _check_measured(self, *quantities: str) -> None:
        known = ("return", "steps", *self.measured) if self.whole else ("nothing, as all tries failed",)
        if unknown := [name for name in quantities if name not in known]:
            raise ValueError(f"expected some of {', '.join(known)}, got {', '.join(unknown)}")

    # -------------------------------------------------------------------------------------------------- in words

    def __str__(self) -> str:
        return "\n".join([*self._recommended(), *self._worth(), *self._search(), *self._around()])

    def _recommended(self) -> Iterator[str]:
        yield "recommended:"
        for p in self.space.parameters:
            value, before = self.values[p.name], self.start[p.name]
            yield f"  {p.name} = {shown(value)} {p.unit}".rstrip() + f" (start {shown(before)})"
        for p in self.space.parameters:
            value = self.values[p.name]
            moved = not isinstance(p, Choice) and value != self.start[p.name]
            if moved and (end := _bound(self.space, p.name, float(value))):
                yield f"{p.name} is at its {end}: if that is no limit of yours, beyond it may be better"

    def _worth(self) -> Iterator[str]:
        fresh = self.fresh
        mean, start = (shown(m) for m in fresh.means)
        yield f"on {len(fresh.returns)} fresh seeds: {mean}, the start {start} ({self.goal}d)"
        yield fresh.verdict
        for name, (values, start_values) in fresh.metrics.items():
            yield f"{name}: {shown(mean_of(values))}, the start {shown(mean_of(start_values))}"
        for name, changed in self.perturbed.items():
            means = ", the start ".join(shown(m) for m in changed.means)
            yield f"on {name}: {means}; {changed.verdict}"

    def _search(self) -> Iterator[str]:
        reasons = [trial.reason for trial in self.trials if trial.reason]
        refused = [reason for reason in reasons if reason.startswith(NOT_RUN)]
        failed = [reason for reason in reasons if not reason.startswith(NOT_RUN)]
        if failed:
            yield f"{len(failed)} of {len(self.trials)} tries of the search failed, first: {failed[0]}"
        if refused:
            yield (
                f"{len(refused)} of {len(self.trials)} tries of the search were not run, as they break a constraint, "
                f"first: {refused[0].removeprefix(NOT_RUN).strip()}"
            )
        seen, value = self.best_seen
        tied = self.rival is not None and self.rival.improvement == (0.0, 0.0, 0.0)
        if seen and seen != self.values and not tied:
            yield f"the best value seen was {value:.4g}, by other parameters: {self._why_not_the_best()}"
        if self.note:
            yield f"the search ended early: {self.note}"

    def _why_not_the_best(self) -> str:
        if self.rival is None:
            return f"one lucky number among {len(self.trials)}, perhaps"
        mean, recommended = (shown(m) for m in self.rival.means)
        on_fresh = f"on the fresh seeds they give {mean}, the recommendation {recommended}"
        if lost := self.rival.failed[0]:
            on_fresh += f" (they failed on {lost} of {len(self.rival.returns)})"
        gap, low, high = self.rival.improvement
        if low > 0 and lost <= self.rival.failed[1]:
            better = f"they are better by {gap:.3g} ({low:.3g} … {high:.3g})"
            return f"{on_fresh}; {better}: consider them ({self._in_short()})"
        return f"{on_fresh}; what is recommended is what the method stands by"

    def _in_short(self) -> str:
        seen = self.best_seen[0]
        return ", ".join(f"{p.name} = {shown(seen[p.name])} {p.unit}".rstrip() for p in self.space.parameters)

    def _around(self) -> Iterator[str]:
        if self.sensitivity is not None:
            head, *lines = str(self.sensitivity).splitlines()
            yield f"around it, {head}:"
            yield from (f"  {line}" for line in lines)
        if self.surface is not None:
            yield f"from the tries alone, {self.surface}"


def whole(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The tries of each candidate all of whose tries succeeded."""
    groups: dict[tuple[int, int], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.generation, trial.candidate), []).append(trial)
    return [group for group in groups.values() if all(np.isfinite(trial.ret) for trial in group)]


def best_of(groups: Sequence[list[Trial]], goal: str) -> list[Trial]:
    """The candidate with the best mean."""
    return max(groups, key=lambda group: sign_of(goal) * _mean(trial.ret for trial in group))


def _mean(values: Iterable[float]) -> float:
    return mean_of(np.array(list(values), dtype=float))


def _bound(space: Space, name: str, value: float) -> str:
    """Which bound a value is at, or nearly, in words; empty if none."""
    i = space.names.index(name)
    (lower, upper), unit = space.bounds, space.parameters[i].unit
    ends = np.tile(space.decode(space.domain.start), (3, 1))
    ends[:, i] = value, lower[i], upper[i]
    here, *bounds = space.encode(ends)[:, i]
    width = bounds[1] - bounds[0] if np.isfinite(bounds[1] - bounds[0]) else 1.0
    for which, bound, coordinate in zip(("lower", "upper"), (lower[i], upper[i]), bounds, strict=True):
        if abs(here - coordinate) <= AT_BOUND * width:
            return f"{which} bound of {bound:g} {unit}".rstrip()
    return ""
