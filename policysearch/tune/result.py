"""The result of a tuning: the recommendation, its evaluation on held-out seeds, and the rollouts of the search."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.configuration import Goal
from policysearch.core import Array
from policysearch.deploy import export
from policysearch.evaluators.functions import NOT_RUN, sign_of
from policysearch.reporting import notebook
from policysearch.space import Space
from policysearch.tune import plots
from policysearch.tune.held_out import HeldOut, mean_of
from policysearch.tune.pareto import front
from policysearch.tune.records import Measurement, best_of, completed
from policysearch.tune.scenarios import ALONE, Scenarios, lines
from policysearch.tune.sensitivity import Sensitivity
from policysearch.tune.surface import Surface, as_run
from policysearch.tune.words import formatted, stated, with_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIED = 0.05  # of its range: less is hardly varied (choice)
AT_BOUND = 0.01  # of its range: a value so near to a bound might be better beyond it (choice)


@dataclass(frozen=True, eq=False)
class TuneResult:
    """What `tune` returns; `str` is a summary.

    Returns are the function's own, whether they were maximised or minimised.
    """

    space: Space
    goal: str
    recommendation: Float[Array, "d"]  # as coordinates
    rollouts: tuple[Measurement, ...]  # of the search
    held_out: HeldOut  # the recommendation and the start
    perturbed: Mapping[str, HeldOut] = field(default_factory=dict)  # the same on changed plants
    best_seen_held_out: HeldOut | None = None  # the best candidate, if another, and the recommendation
    sensitivity: Sensitivity | None = None  # measured around the recommendation, if it was asked for
    metrics: Mapping[str, Goal] = field(default_factory=dict)  # what is better of what else was measured
    broken: float = 0.0  # by how much the recommendation breaks constraints on outputs, on held-out seeds
    outputs: tuple[str, ...] = ()  # a line for each of them
    on: Scenarios = ALONE  # the plants of every candidate, and what of their returns counts
    scenarios: pd.DataFrame | None = None  # their values, and means of the recommendation and the start
    known: tuple[Measurement, ...] = ()  # earlier tries, from which the search began
    note: str = ""  # why the search ended early
    #: What ended it: its "budget", "time", "target", "patience", or the "search" itself, as `note` says.
    ended: str = "budget"
    target: float | None = None  # of the search, if it had one
    remarks: tuple[str, ...] = ()  # on checks before the search, and on changes of what was run

    @property
    def values(self) -> dict[str, Any]:
        """The recommended parameters by name, in their own units."""
        return self.space.named(self.recommendation)

    @property
    def usable(self) -> bool:
        """Whether the recommendation succeeded on held-out seeds at least once, and meets what outputs have to."""
        return bool(np.isfinite(self.held_out.returns).any()) and self.broken == 0

    @property
    def start(self) -> dict[str, Any]:
        """The parameters with which the search began."""
        return self.space.named(self.space.domain.start)

    @property
    def improvement(self) -> tuple[float, float, float]:
        """Mean improvement over the start on held-out seeds, and the ends of its 95 % interval."""
        return self.held_out.improvement

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row per rollout of the search: parameters, return, steps, why it failed, and what else was measured."""
        return pd.DataFrame([rollout.row for rollout in self.rollouts])

    @cached_property
    def robustness(self) -> pd.DataFrame:
        """A row per changed plant, after one for the plant as it is: means, improvement, failures."""
        rows = [
            (name, *held_out.means, *held_out.improvement, held_out.failed[0])
            for name, held_out in ({"as it is": self.held_out} | dict(self.perturbed)).items()
        ]
        columns = ["plant", "recommended", "start", "improvement", "low", "high", "failed"]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def completed(self) -> list[Measurement]:
        """The candidates all of whose rollouts succeeded."""
        return completed(self.rollouts, self.on.worth(self.goal))

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """A row per candidate without a failed rollout: its means, parameters as in `history`."""
        return pd.DataFrame([candidate.candidate_row for candidate in self.completed])

    @cached_property
    def best_seen(self) -> tuple[dict[str, Any], float]:
        """The candidate with the best mean that is known, and that mean: too good by luck where returns are noisy."""
        candidates = [*completed(self.known), *self.completed]
        if not candidates:
            return {}, float("nan")
        best = best_of(candidates, self.goal)
        return dict(best.values), best.ret

    @cached_property
    def surface(self) -> Surface | None:
        """A quadratic fitted to the candidates around the recommendation; None if they are too few."""
        if not self.completed:
            return None
        params = np.array([candidate.coordinates for candidate in self.completed])
        means = np.array([candidate.ret for candidate in self.completed])
        return Surface.fit(self.space, params, sign_of(self.goal) * means, self.recommendation)

    @cached_property
    def hardly_varied(self) -> tuple[str, ...]:
        """The parameters that the search hardly varied, so that little is known of them.

        Their tried values span less than `VARIED` of the range between their bounds, or of a unit of the search where
        they do not have two; of options and whole numbers with few values, only one was tried.
        """
        tried = [rollout.coordinates for rollout in self.rollouts if not rollout.reason.startswith(NOT_RUN)]
        if not tried:
            return ()
        width = self.space.domain.upper - self.space.domain.lower
        share = np.ptp(as_run(self.space, np.array(tried)), axis=0) / np.where(np.isfinite(width), width, 1.0)
        pairs = zip(self.space.searched, share.tolist(), strict=True)
        return tuple(p.name for p, x in pairs if (x == 0 if p.few else x < VARIED))

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
        """The returns of the search, and those of the start and the recommendation on held-out seeds."""
        return plots.search(self.history, self.held_out.returns, self.held_out.start_returns, self.goal)

    def plot_tradeoff(self, x: str, y: str = "return") -> "Figure":
        """Two quantities of all candidates, and those to which no other is better in both.

        Raises:
            ValueError: for a quantity that was not measured.
        """
        self._check_measured(x, y)
        means = {"return": self.held_out.means} | {
            name: (mean_of(of), mean_of(of_start)) for name, (of, of_start) in self.held_out.metrics.items()
        }
        marked = {}
        if x in means and y in means:
            who = {"start, held-out seeds": 1, "recommended, held-out seeds": 0}
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
        names = dict.fromkeys(name for candidate in self.completed for name in candidate.metrics)
        return tuple(name for name in names if name != "violation")

    def export(self, path: Path | str) -> Path:
        """Write the recommended parameters for another program: the ending .json, .h (C) or .mat (MATLAB) says which.

        Raises:
            ValueError: for another ending.
            OSError: if it cannot be written.
        """
        units = {parameter.name: parameter.unit for parameter in self.space.parameters}
        return export.values(Path(path), self.values, units, "Recommended parameters")

    @cached_property
    def _picture(self) -> bytes | None:
        return notebook.picture(self.plot)

    def _repr_png_(self) -> bytes | None:
        return self._picture

    def _repr_html_(self) -> str:
        return notebook.page(str(self), self._picture)

    def __str__(self) -> str:
        if not len(self.held_out.returns):
            there_is = any(np.isfinite(rollout.ret) for rollout in self.rollouts)
            return "\n".join([*(_so_far(self) if there_is else _nothing(self)), *self.remarks])
        return "\n".join(
            [
                *_recommended(self),
                *_at_bounds(self),
                *_hardly_varied(self),
                *_worth(self),
                *_search(self),
                *_around(self),
                *self.remarks,
            ]
        )

    def _better(self, quantity: str) -> str:
        return self.goal if quantity == "return" else self.metrics.get(quantity, "minimise")

    def _check_measured(self, *quantities: str) -> None:
        known = (
            ("return", "steps", *self.measured) if self.completed else ("nothing, as all rollouts failed",)
        )
        if unknown := [name for name in quantities if name not in known]:
            raise ValueError(f"expected some of {', '.join(known)}, got {', '.join(unknown)}")


def _nothing(result: TuneResult) -> Iterator[str]:
    """What is said where no rollout has succeeded."""
    ran = [rollout for rollout in result.rollouts if not rollout.reason.startswith(NOT_RUN)]
    yield f"nothing usable was found: all {len(ran)} rollouts failed, first: {ran[0].reason}"
    start = ", ".join(stated(p, result.start[p.name]) for p in result.space.parameters)
    yield f"try the start by itself ({start}), mend what fails, and run the same again with --retry-failed"
    yield f"the search ended early: {result.note}"


def _so_far(result: TuneResult) -> Iterator[str]:
    """What is said of a search that was stopped before its recommendation was evaluated."""
    yield from _recommended(result)
    yield "this is what is recommended so far: it was not evaluated on held-out seeds"
    yield from _search(result)
    yield from _around(result)


def _recommended(result: TuneResult) -> Iterator[str]:
    yield "recommended:"
    for p in result.space.parameters:
        noted = "held" if p.held else f"start {formatted(result.start[p.name])}"
        yield f"  {stated(p, result.values[p.name])} ({noted})"


def _at_bounds(result: TuneResult) -> Iterator[str]:
    """A line for every number that the search has moved to one of its bounds, or nearly so."""
    domain, here = result.space.domain, as_run(result.space, result.recommendation)
    for i, p in enumerate(result.space.searched):
        if p.few or result.values[p.name] == result.start[p.name]:
            continue
        near = AT_BOUND * (domain.upper[i] - domain.lower[i])
        near = near if np.isfinite(near) else AT_BOUND
        for which, bound, end in (("lower", p.lower, domain.lower[i]), ("upper", p.upper, domain.upper[i])):
            if abs(here[i] - end) <= near:
                place = f"{which} bound of {bound:g} {p.unit}".rstrip()
                yield f"{p.name} is at its {place}: if the bound can be moved, values beyond it may be better"
                break


def _hardly_varied(result: TuneResult) -> Iterator[str]:
    """A line for every parameter of which little is known."""
    for name in result.hardly_varied:
        texts = [formatted(rollout.values[name]) for rollout in result.rollouts]
        where = f"at {texts[0]}" if len({*texts}) == 1 else f"near {formatted(result.start[name])}"
        yield f"{name} was tried {where} only, so that little is known of it: more rollouts or other bounds help"


def _worth(result: TuneResult) -> Iterator[str]:
    held_out = result.held_out
    mean, start = (formatted(m) for m in held_out.means)
    yield f"on {len(held_out.returns)} held-out seeds: {mean}, the start {start} ({result.goal}d)"
    yield held_out.verdict
    yield from result.outputs
    yield from lines(result.scenarios, result.goal)
    if result.target is not None:
        reached = sign_of(result.goal) * (held_out.means[0] - result.target) >= 0
        said = "reached" if reached else "not reached"
        yield f"the target of {result.target:g} is {said} on the held-out seeds, in the mean"
    if result.values == result.start:
        yield "nothing better than the start was found: it stays the recommendation"
    for name, (values, start_values) in held_out.metrics.items():
        yield f"{name}: {formatted(mean_of(values))}, the start {formatted(mean_of(start_values))}"
    for name, changed in result.perturbed.items():
        means = ", the start ".join(formatted(m) for m in changed.means)
        yield f"on {name}: {means}; {changed.verdict}"


def _search(result: TuneResult) -> Iterator[str]:
    reasons = [rollout.reason for rollout in result.rollouts if rollout.reason]
    refused = [reason for reason in reasons if reason.startswith(NOT_RUN)]
    failed = [reason for reason in reasons if not reason.startswith(NOT_RUN)]
    if failed:
        yield f"{len(failed)} of {len(result.rollouts)} rollouts of the search failed, first: {failed[0]}"
    if refused:
        yield (
            f"{len(refused)} of {len(result.rollouts)} rollouts of the search were not run, as they break a "
            f"constraint, first: {refused[0].removeprefix(NOT_RUN).strip()}"
        )
    seen, value = result.best_seen
    held_out = result.best_seen_held_out
    tied = held_out is not None and held_out.improvement == (0.0, 0.0, 0.0)
    if seen and seen != result.values and not tied:
        yield f"the best value seen was {value:.4g}, by other parameters: {_why_not_the_best(result)}"
    if result.note:
        yield f"the search ended early: {result.note}"


def _why_not_the_best(result: TuneResult) -> str:
    held_out = result.best_seen_held_out
    if held_out is None:
        return f"perhaps by luck, as the best of {len(result.rollouts)}"
    mean, recommended = (formatted(m) for m in held_out.means)
    said = f"on the held-out seeds they give {mean}, the recommendation {recommended}"
    if lost := held_out.failed[0]:
        said += f" (they failed on {lost} of {len(held_out.returns)})"
    _, low, _ = held_out.improvement
    if low > 0 and lost <= held_out.failed[1]:
        seen = ", ".join(stated(p, result.best_seen[0][p.name]) for p in result.space.searched)
        return f"{said}; they are better by {with_interval(*held_out.improvement)}: consider them ({seen})"
    return f"{said}, which is no reason to prefer them"


def _around(result: TuneResult) -> Iterator[str]:
    if result.sensitivity is not None:
        head, *lines = str(result.sensitivity).splitlines()
        yield f"around it, {head}:"
        yield from (f"  {line}" for line in lines)
    if result.surface is not None:
        yield f"from the search alone, {result.surface}"
