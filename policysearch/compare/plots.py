"""The picture of a comparison: a row per task, the anytime curves beside the final returns."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from policysearch.compare.statistics import iqm
from policysearch.compare.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Okabe & Ito's colours, which differ for all kinds of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))


def write_curves(study: Study, curves: pd.DataFrame, summary: pd.DataFrame, out: Path) -> None:
    """Write `curves.png` and `curves.svg`; the same data give the same bytes."""
    import matplotlib as mpl  # noqa: PLC0415 - takes most of a second

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    tasks = [task for task in study.tasks if (curves["task"] == task).any()]
    height = max(3.0, 0.6 + 0.2 * len(study.optimizers))
    with mpl.rc_context({"svg.hashsalt": "policysearch", "font.size": 9, "svg.fonttype": "none"}):
        figure, axes = plt.subplots(
            len(tasks),
            2,
            figsize=(10.0, height * len(tasks) + 0.3),
            squeeze=False,
            layout="constrained",
            width_ratios=(1.5, 1),
            sharey=False,
        )
        for (left, right), task in zip(axes, tasks, strict=True):
            mine = summary[summary["task"] == task]
            low, high = _curves(left, study, task, curves[curves["task"] == task])
            _finals(right, study, mine, low, high)
        figure.savefig(out / "curves.png", dpi=110, metadata={"Software": None})
        figure.savefig(out / "curves.svg", metadata={"Date": None})
        plt.close(figure)


def _style(study: Study, label: str) -> dict[str, Any]:
    number = list(study.optimizers).index(label)
    return {"color": COLOURS[number % 7], "linestyle": DASHES[number // 7 % 3]}


def _curves(axis: "Axes", study: Study, task: str, curves: pd.DataFrame) -> tuple[float, float]:
    """Interquartile means over the runs against rollouts; returns the range of returns shown."""
    middles = {}
    for label, mine in curves.groupby("optimizer", sort=False):
        wide = mine.pivot_table(index="rollouts", columns="run", values="return_mean", dropna=False)
        middles[label] = iqm(wide.to_numpy(dtype=float))
        axis.plot(wide.index, middles[label], linewidth=1.5, **_style(study, str(label)))
    start = float(curves.loc[curves["rollouts"] == 0, "return_mean"].mean())
    axis.axhline(start, color="0.6", linewidth=0.8)
    axis.annotate("start, untouched", (1, start), xycoords=("axes fraction", "data"), **_SMALL, ha="right")
    seen = [start, *(value for middle in middles.values() for value in middle if np.isfinite(value))]
    for name, value in study.task(task).references.items():
        axis.axhline(value, color="0.6", linewidth=0.8, linestyle=(0, (1, 1)))
        axis.annotate(name, (0, value), xycoords=("axes fraction", "data"), **_SMALL, ha="left")
        seen.append(value)
    seen = [value for value in seen if np.isfinite(value)] or [0.0]
    low, high = min(seen), max(seen)
    if high > start:  # a method that ruins the start may leave the frame
        low = max(low, start - 0.5 * (high - start))
    margin = 0.07 * (high - low or 1.0)
    axis.set_ylim(low - margin, high + margin)
    axis.set_title(f"{task} ({study.task(task).policy}), {study.runs} runs", fontsize=10, loc="left")
    axis.set_xlabel("rollouts")
    axis.set_ylabel("return of the recommendation")
    axis.spines[["top", "right"]].set_visible(False)
    return low - margin, high + margin


_SMALL: dict[str, Any] = {"fontsize": 7, "va": "bottom", "color": "0.4"}


def _finals(axis: "Axes", study: Study, summary: pd.DataFrame, low: float, high: float) -> None:
    """Final returns with their intervals, best on top; what lies outside the range is marked by an arrow."""
    ranked = summary.sort_values("iqm", ascending=True, kind="stable", na_position="first")
    for y, entry in enumerate(ranked.to_dict("records")):
        style = _style(study, str(entry["optimizer"]))
        x, ends = entry["iqm"], (entry["ci_low"], entry["ci_high"])
        if not np.isfinite(x) or x < low:
            axis.plot(low, y, marker="<", color=style["color"], markersize=5, clip_on=False)
            continue
        if np.isfinite(ends).all():
            axis.plot(np.clip(ends, low, high), (y, y), linewidth=1.5, **style)
        axis.plot(x, y, marker="o", color=style["color"], markersize=4.5)
    axis.locator_params(axis="x", nbins=5)
    axis.set_yticks(range(len(ranked)), ranked["optimizer"].astype(str))
    axis.set_xlim(low, high)
    axis.set_ylim(-0.7, len(ranked) - 0.3)
    axis.set_xlabel("final return, IQM and 95 % interval")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", color="0.92")
    axis.set_axisbelow(True)
