"""The pictures of a comparison; the same tables give the same bytes.

Colours are Okabe & Ito's, which differ for all kinds of colour vision; methods also differ by dashes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from policysearch.compare import statistics
from policysearch.compare.comparison import TARGETS, Comparison
from policysearch.compare.statistics import curve_interval, iqm
from policysearch.compare.tuning import values_of
from policysearch.core import tunable_of
from policysearch.files import write_text
from policysearch.optimizers import OPTIMIZERS, find_method
from policysearch.reporting.figures import (
    BLUE,
    COLOURS,
    DASHES,
    GREY,
    ORANGE,
    figure_of,
    limits,
    lowest,
    svg,
    write_png,
)
from policysearch.tasks import known_task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SMALL: dict[str, Any] = {"fontsize": 7, "va": "bottom", "color": "0.4"}


def write_curves(comparison: Comparison, out: Path) -> None:
    """Write `curves.png` and `curves.svg`: a row per task, anytime curves next to final returns."""
    figure = overview(comparison)
    write_png(out / "curves.png", figure)
    write_text(out / "curves.svg", svg(figure, "curves"))


def overview(comparison: Comparison) -> "Figure":
    """A row per task: the anytime curves next to the final returns of all runs."""
    tasks, height = comparison.tasks, max(3.0, 0.6 + 0.2 * len(comparison.labels))
    with figure_of(
        len(tasks), 2, 10.0, height * len(tasks) + 0.3, layout=_layout(), width_ratios=(1.5, 1)
    ) as (figure, axes):
        for (left, right), task in zip(axes, tasks, strict=True):
            limits = frame(comparison, task)
            unit, _ = comparison.study.grid(task)
            _curves(left, comparison, task, unit, limits, bands=False)
            _finals(right, comparison, task, limits)
    return figure


def _layout() -> Any:
    """Margins as small as texts allow, found in one pass over them, where "constrained" takes four."""
    from matplotlib.layout_engine import TightLayoutEngine  # noqa: PLC0415 - as `figure_of`

    return TightLayoutEngine(pad=0.4, h_pad=0.6, w_pad=0.6)


def anytime(comparison: Comparison, task: str, axis: str) -> "Figure":
    """IQM of the recommendation's return with its 95 % interval, against rollouts or steps."""
    with _picture() as (figure, axes):
        _curves(axes, comparison, task, axis, frame(comparison, task), bands=True)
    return figure


def finals(comparison: Comparison, task: str) -> "Figure":
    """Final returns of all runs, with the IQM and its 95 % interval."""
    with figure_of(1, 1, 4.8, 0.9 + 0.24 * len(comparison.labels), layout=_layout()) as (figure, axes):
        _finals(axes[0, 0], comparison, task, frame(comparison, task))
    return figure


def profile(comparison: Comparison) -> "Figure":
    """Fraction of runs whose normalised final return exceeds τ, tasks weighted alike."""
    tasks, taus = comparison.normalised_tasks, np.linspace(-0.25, 1.25, 121)
    with _picture() as (figure, axes):
        for label in comparison.labels:
            mine = [task for task in tasks if comparison.has(task, label)]
            if not mine:
                continue
            scores = [comparison.normalised(task, comparison.final(task, label)) for task in mine]
            curve = np.mean([statistics.performance_profile(score, taus) for score in scores], axis=0)
            axes.plot(taus, curve, label=label, **_style(comparison, label))
        axes.set(xlabel="normalised return τ", ylabel="fraction of runs above τ", ylim=(-0.03, 1.03))
    return figure


def ecdf(comparison: Comparison) -> "Figure":
    """Fraction of (task, run, target) that was reached, against the part of the budget that was spent."""
    with _picture() as (figure, axes):
        spent = np.linspace(0, 1, 201)
        for label in comparison.labels:
            hits = comparison.hits(label)
            if hits.size:
                curve = (hits[:, None] <= spent).mean(axis=0)
                axes.step(spent, curve, where="post", label=label, **_style(comparison, label))
        targets = ", ".join(f"{target:g}" for target in TARGETS)
        axes.set(xlabel="part of the budget", ylabel=f"targets reached ({targets})", ylim=(-0.03, 1.03))
    return figure


def sensitivity(comparison: Comparison, label: str) -> "Figure":
    """Final returns of a method's tuning runs against each hyperparameter: a row per task."""
    mine = comparison.tuning[comparison.tuning["optimizer"] == label]
    drawn = pd.DataFrame([values_of(text) for text in mine["hyperparameters"]], index=mine.index)
    method = comparison.study.optimizers[label].method
    if OPTIMIZERS.is_at_hand(method):
        ranges = dict(tunable_of(find_method(method)))
    else:  # a plug-in, which a saved study may do without
        ranges = {str(name): (float(x.min()), float(x.max())) for name, x in drawn.items()}
    tasks = list(dict.fromkeys(mine["task"]))
    width, height = max(2.4 * len(ranges), 3.2), 2.1 * len(tasks)
    with figure_of(len(tasks), len(ranges), width, height, sharey="row") as (figure, axes):
        for row, task in zip(axes, tasks, strict=True):
            runs = mine[mine["task"] == task]
            for axis, (name, ends) in zip(row, ranges.items(), strict=True):
                _tuning_dots(axis, drawn.loc[runs.index, name].to_numpy(), runs, ends)
                axis.set_xlabel(name)
            row[0].set_ylabel(f"final return\n{task}", fontsize=8)
    return figure


def _tuning_dots(axis: "Axes", x: Any, runs: pd.DataFrame, ends: tuple[float, float]) -> None:
    y, chosen = runs["final_return"].to_numpy(dtype=float), runs["chosen"].to_numpy(dtype=bool)
    first = runs["configuration"].to_numpy() == 0
    axis.set_xscale("log")
    ticks = sorted({*ends, *x[first]})
    axis.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axis.minorticks_off()
    axis.set_xlim(min([*ends, *x]) / 1.15, max([*ends, *x]) * 1.15)
    axis.plot(x, y, "o", color=GREY, markersize=3, linestyle="none")
    axis.plot(x[first], y[first], "s", color=BLUE, markersize=4.5, fillstyle="none")
    axis.plot(x[chosen], y[chosen], "o", color=ORANGE, markersize=4)
    axis.ticklabel_format(axis="y", useOffset=False)
    finite = y[np.isfinite(y)]
    if finite.size:  # a diverged run may leave the frame
        axis.set_ylim(*limits(finite, lowest(finite, share=0.5, factor=3.0)))


@contextmanager
def _picture() -> Iterator[tuple[Any, Any]]:
    """A figure of one picture, without names of methods; its margins are fixed, as computing them takes time."""
    height = 3.3
    with figure_of(1, 1, 4.8, height, layout=None) as (figure, axes):
        figure.subplots_adjust(left=0.16, right=0.98, top=1 - 0.3 / height, bottom=0.5 / height)
        yield figure, axes[0, 0]


class Look(NamedTuple):
    """How a method is drawn: the same wherever it is, whatever other methods there are before it."""

    mark: str  # the name of its marks
    colour: str
    dashes: str  # of a line of width 3, as SVG has it


def looks(comparison: Comparison) -> dict[str, Look]:
    """How each method is drawn, for legends."""
    styles = {label: _style(comparison, label) for label in comparison.labels}
    return {
        label: Look(style["url"][1:], style["color"], _svg_dashes(style["linestyle"]))
        for label, style in styles.items()
    }


def _svg_dashes(style: Any) -> str:
    return "none" if style == "-" else " ".join(f"{3 * length:g}" for length in style[1])


def _style(comparison: Comparison, label: str) -> dict[str, Any]:
    number = list(comparison.study.optimizers).index(label)
    dashes = DASHES[number // 7 % 3]
    return {"color": COLOURS[number % 7], "linestyle": dashes, "linewidth": 1.5, "url": f"#m{number}"}


@lru_cache(64)
def frame(comparison: Comparison, task: str) -> tuple[float, float]:
    """The range of returns that a task's pictures show; a method that is much worse than the start may leave it."""
    start = _start(comparison, task)
    unit, _ = comparison.study.grid(task)
    values = [start, *comparison.study.task(task, known_task).references.values()]
    for label in comparison.labels:
        if comparison.has(task, label):
            values += iqm(comparison.curve(task, label, unit)[1]).tolist()
            values += comparison.final(task, label).tolist()
    values = [value for value in values if np.isfinite(value)] or [0.0]
    low, high = min(values), max(values)
    return limits(values, max(low, start - 0.5 * (high - start)) if high > start else low)


def _start(comparison: Comparison, task: str) -> float:
    runs = comparison.runs
    return float(runs.loc[runs["task"] == task, "start_return"].mean())


def _curves(
    axis: "Axes", comparison: Comparison, task: str, unit: str, limits: tuple[float, float], *, bands: bool
) -> None:
    """Interquartile means over the runs against rollouts or steps."""
    for label in comparison.labels:
        if not comparison.has(task, label):
            continue
        grid, values = comparison.curve(task, label, unit)
        style = _style(comparison, label)
        axis.plot(grid, iqm(values), label=label, **style)
        if bands:
            low, high = curve_interval(values, comparison.study.seed, "curve", task, label, unit)
            axis.fill_between(
                grid, low, high, color=style["color"], alpha=0.1, linewidth=0, urls=[style["url"]]
            )
    start, task_of = _start(comparison, task), comparison.study.task(task, known_task)
    axis.axhline(start, color=GREY, linewidth=0.8)
    axis.annotate("start", (1, start), xycoords=("axes fraction", "data"), **_SMALL, ha="right")
    for name, value in task_of.references.items():
        axis.axhline(value, color=GREY, linewidth=0.8, linestyle=(0, (1, 1)))
        axis.annotate(name, (0, value), xycoords=("axes fraction", "data"), **_SMALL, ha="left")
    axis.set_ylim(*limits)
    mine = comparison.runs.loc[comparison.runs["task"] == task]
    policy = mine["policy"].iloc[0] if "policy" in mine else task_of.policy
    runs = mine.groupby("optimizer").size().max()
    axis.set_title(f"{task} ({policy}), {runs} runs", fontsize=10, loc="left")
    axis.set_xlabel(task_of.step if unit == "steps" else unit)
    axis.set_ylabel(
        f"return of the recommendation ({task_of.unit})" if task_of.unit else "return of the recommendation"
    )


def _finals(axis: "Axes", comparison: Comparison, task: str, limits: tuple[float, float]) -> None:
    """A dot per run, the IQM and its interval, best on top; what lies outside the frame is an arrow."""
    mine = comparison.summary[comparison.summary["task"] == task]
    ranked = mine.sort_values("iqm", ascending=True, kind="stable", na_position="first")
    low, high = limits
    for y, entry in enumerate(ranked.to_dict("records")):
        label = str(entry["optimizer"])
        style = _style(comparison, label)
        runs = comparison.final(task, label)
        runs = np.where(np.isnan(runs), -np.inf, runs)
        inside = runs >= low
        mark = {"color": style["color"], "url": style["url"]}
        axis.plot(
            runs[inside],
            np.full(inside.sum(), y - 0.22),
            "o",
            markersize=2.5,
            alpha=0.6,
            markeredgewidth=0,
            **mark,
        )
        if not inside.all():
            axis.plot(low, y - 0.22, "<", markersize=3.5, clip_on=False, **mark)
            axis.annotate(f" {(~inside).sum()}", (low, y - 0.22), fontsize=6, va="center", **mark)
        ends = (entry["ci_low"], entry["ci_high"])
        if np.isfinite(ends).all():
            axis.plot(np.clip(ends, low, high), (y, y), **style)
        x = entry["iqm"]
        in_frame = np.isfinite(x) and x >= low
        axis.plot(x if in_frame else low, y, "D" if in_frame else "<", markersize=4.5, clip_on=False, **mark)
    axis.locator_params(axis="x", nbins=5)
    axis.set_yticks(range(len(ranked)), ranked["optimizer"].astype(str))
    for tick, label in zip(axis.get_yticklabels(), ranked["optimizer"], strict=True):
        tick.set_url(_style(comparison, str(label))["url"])
    axis.set_xlim(low, high)
    axis.set_ylim(-0.7, len(ranked) - 0.3)
    axis.set_xlabel("final return: runs, IQM and 95 % interval")
    axis.grid(axis="x", color="0.92")
    axis.set_axisbelow(True)
