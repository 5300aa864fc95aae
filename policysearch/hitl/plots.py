"""The pictures of a session with a person; the same session gives the same bytes.

They show what there is: those of a session that has just begun are empty frames that say so. Colours are Okabe &
Ito's, which differ for all kinds of colour vision, and whatever did not count also has another mark.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.exoskeleton.respirometry import fit, running
from policysearch.exoskeleton.torque_law import LATEST_END
from policysearch.exoskeleton.torque_profile import torque
from policysearch.hitl.log import Entry
from policysearch.hitl.plan import CONDITIONS
from policysearch.hitl.view import SessionView
from policysearch.reporting.figures import BLUE, GREEN, GREY, ORANGE, figure_of, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The marks of bouts that do not count.
MARKS = {"skipped": "x", "void": "+", "set aside": "s", "undone": "D", "excluded": "X"}
_COLOUR = dict(zip(CONDITIONS, (GREY, ORANGE, BLUE), strict=True))
_COLUMNS = 6  # of small pictures
_DOTS: dict[str, Any] = {"linestyle": "none", "marker": ".", "color": GREY, "markeredgewidth": 0}


def law_over_stride(session: SessionView) -> "Figure":
    """The recommended law with the reference law and the laws that were tried, in N·m/kg and N·m."""
    stride, law, reference = np.linspace(0.0, 70.0, 281), session.recommendation, session.reference
    tried = session.counted("search")
    last = max((entry.generation for entry in tried), default=0)
    with figure_of(1, 1, 7.0, 4.0) as (figure, ((axis,),)):
        for entry in tried:
            shade = str(0.82 - 0.45 * entry.generation / max(last, 1))  # later ones darker
            label = f"tried in generation {entry.generation + 1}" if entry.generation in (0, last) else None
            axis.plot(
                stride, torque(entry.law, stride), color=shade, linewidth=0.7, label=label, url=_url(entry)
            )
        axis.plot(stride, torque(reference, stride), "--", color=ORANGE, linewidth=1.8, label="reference")
        axis.plot(stride, torque(law, stride), color=BLUE, linewidth=2.6, label="recommended")
        axis.axvline(
            LATEST_END, color="0.3", linewidth=0.8, linestyle=":", label=f"{LATEST_END:g} %, latest end"
        )
        top = max(law[0], reference[0], *(entry.law[0] for entry in tried), 0.1)
        axis.set(xlim=(0, 70), ylim=(-0.13 * top, 1.15 * top), xlabel="% stride", ylabel="torque (N·m/kg)")
        _moments(axis, law)
        mass = session.plan.mass
        right = axis.secondary_yaxis("right", functions=(lambda t: t * mass, lambda t: t / mass))
        right.set_ylabel(f"torque for {mass:g} kg (N·m)")
        legend(figure, [axis])
    return figure


def _url(entry: Entry) -> str:
    """Of the marks of a bout, which stand out when its row of the table is pointed at."""
    return f"#b{entry.number}"


def _moments(axis: "Axes", law: Float[Array, "4"]) -> None:
    """Onset, peak and end of a law, with labels that do not overlap."""
    peak_torque, peak, rise, fall = law.tolist()
    for name, x, y, above in (
        ("onset", peak - rise, 0.0, False),
        ("peak", peak, peak_torque, True),
        ("end", peak + fall, 0.0, False),
    ):
        axis.plot([x], [y], "o", color=BLUE, markersize=5, gid=name)
        axis.annotate(f"{name} {x:.1f} %", (x, y), (0, 6 if above else -6), textcoords="offset points", color=BLUE,
                      ha="center" if 6.0 < x < 64.0 else "left" if x <= 6.0 else "right",
                      va="bottom" if above else "top",
                      bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5})  # fmt: skip


def breaths_with_fit(entry: Entry, tau: float) -> "Figure":
    """The breaths of a bout, the response fitted to them, the estimate after every breath and in the end."""
    with figure_of(1, 1, 7.0, 3.6) as (figure, ((axis,),)):
        axis.set(xlabel="minutes since the first breath", ylabel="metabolic rate (W/kg)")
        if entry.breaths is None:
            _nothing(axis, "no breaths")
        else:
            minutes = _breaths(axis, entry, tau, size=6.0)
            rates, _ = running(entry.breaths, tau)
            axis.plot(minutes, rates, color=ORANGE, linewidth=1.0, label="estimate so far")
            _frame(axis, entry.breaths.rate)
        legend(figure, [axis])
    return figure


def all_breaths(session: SessionView) -> "Figure":
    """The breaths of every bout with a result that has breaths, each with the response fitted to them."""
    entries = [
        e for e in session.entries if e.breaths is not None and np.isfinite(e.rate) and e.status != "undone"
    ]
    rows = max(1, -(-len(entries) // _COLUMNS))
    height = 0.8 + 1.4 * rows
    with figure_of(rows, _COLUMNS, 10.0, height, layout=None, sharey=True) as (figure, axes):
        figure.subplots_adjust(left=0.06, right=0.99, top=1 - 0.25 / height, bottom=0.5 / height, hspace=0.45,
                               wspace=0.12)  # fmt: skip
        panels = list(axes.flat)
        for axis, entry in zip(panels, entries, strict=False):
            _breaths(axis, entry, session.plan.tau, size=3.0)
            axis.set_title(_panel_title(entry), fontsize=7, loc="left", pad=2)
            axis.set_xticks([0, entry.minutes], ["0", f"{entry.minutes:g}"])
            axis.tick_params(labelsize=7)
        for axis in panels[max(len(entries), 1) :]:
            axis.remove()
        if entries:
            _frame(panels[0], np.concatenate([e.breaths.rate for e in entries if e.breaths is not None]))
        else:
            _nothing(panels[0], "no breaths yet")
        figure.supxlabel("minutes since the first breath", fontsize=8, y=0.08 / height, va="bottom")
        figure.supylabel("metabolic rate (W/kg)", fontsize=8, x=0.005)
    return figure


def _panel_title(entry: Entry) -> str:
    what = f"generation {entry.generation + 1}" if entry.purpose == "search" else entry.name
    return f"{entry.number} {what}" + ("" if entry.status == "measured" else f", {entry.status}")


def _breaths(axis: "Axes", entry: Entry, tau: float, size: float) -> Float[Array, "n"]:
    """Draw breaths, response, and the estimate that counts; returns the minutes of the breaths."""
    breaths = entry.breaths
    if breaths is None:
        raise ValueError(f"bout {entry.number}: expected breaths, got none; draw only bouts that have some")
    minutes = (breaths.time - breaths.time[0]) / 60.0
    url = _url(entry)
    axis.plot(minutes, breaths.rate, **_DOTS, markersize=size, label="breaths", url=url)
    axis.plot(minutes, fit(breaths, tau).fitted, color=BLUE, linewidth=0.35 * size, url=url,
              label=f"first-order response, τ = {tau:g} s")  # fmt: skip
    if np.isfinite(entry.rate):
        if np.isfinite(entry.standard_error):
            low, high = entry.rate - entry.standard_error, entry.rate + entry.standard_error
            axis.axhspan(low, high, color=GREEN, alpha=0.3, linewidth=0)
        axis.axhline(
            entry.rate, color=GREEN, linewidth=0.25 * size, label=f"{entry.status}: {entry.estimate} W/kg"
        )
    return np.asarray(minutes)


def _frame(axis: "Axes", rates: Float[Array, "n"]) -> None:
    """Show all breaths; the first estimates may lie outside the axis."""
    margin = 0.06 * float(np.ptp(rates)) or 0.1
    axis.set_ylim(float(rates.min()) - margin, float(rates.max()) + margin)


def narrowing(session: SessionView) -> "Figure":
    """The parameters bout by bout: colour is the result, a band is a generation's mean ± sd of its laws."""
    space, law, reference = session.plan.space, session.recommendation, session.reference
    counted = session.counted("search")
    others = [e for e in session.entries if e.purpose == "search" and e.status in MARKS]
    count = len(space.names)
    with figure_of(count, 1, 8.5, 1.9 * count, sharex=True) as (figure, axes):
        for p, (axis, parameter) in enumerate(zip(axes[:, 0], space.parameters, strict=True)):
            margin = 0.07 * (parameter.upper - parameter.lower)
            axis.set(ylim=(parameter.lower - margin, parameter.upper + margin))
            axis.set_ylabel(f"{parameter.name}\n({parameter.unit})")
            axis.axhline(parameter.lower, color="0.3", linewidth=0.8, label="bounds")
            axis.axhline(parameter.upper, color="0.3", linewidth=0.8)
            if p == 0 and session.plan.laws.is_ankle and session.upper_torque < parameter.upper:
                axis.axhline(session.upper_torque, color=ORANGE, linewidth=1.2, label="lowered limit")
            axis.axhline(reference[p], color=ORANGE, linewidth=1.0, linestyle="--", label="reference")
            _bands(axis, counted + others, p)
            for status, mark in MARKS.items():
                for e in (e for e in others if e.status == status):
                    axis.plot(
                        e.number, e.law[p], mark, color="0.25", fillstyle="none", label=status, url=_url(e)
                    )
            if counted:
                edges = ["0.1" if e.status == "amended" else "none" for e in counted]
                results = [result(session, e.rate) for e in counted]
                dots = axis.scatter([e.number for e in counted], [e.law[p] for e in counted], 34, results,
                                    edgecolors=edges, zorder=3, urls=[*map(_url, counted)])  # fmt: skip
                last = max(e.number for e in counted + others)
                axis.plot([last + 1.5], [law[p]], "*", color=BLUE, markersize=11, label="recommended")
        axis.set_xlabel("bout")
        axis.xaxis.get_major_locator().set_params(integer=True)
        if counted:
            scale = figure.colorbar(dots, ax=axes, label=result_words(session), aspect=40, pad=0.02)
            scale.solids.set(rasterized=False, edgecolor="face")  # the page shows no raster images
        else:
            axes[0, 0].set_title("no law measured yet", fontsize=9, color="0.4")
        legend(figure, [axes[0, 0]])
    return figure


def spread(entries: Sequence[Entry], generation: int) -> Float[Array, "2 d"]:
    """Mean and standard deviation of the laws of a generation that are measured or skipped, each law once."""
    laws = np.array([*{e.candidate: e.law for e in _tried(entries, generation)}.values()])
    if len(laws) < 2:
        return np.full((2, len(entries[0].law) if entries else 0), np.nan)
    return np.array([laws.mean(axis=0), laws.std(axis=0, ddof=1)])


def _tried(entries: Iterable[Entry], generation: int) -> list[Entry]:
    return [e for e in entries if e.generation == generation and (e.counts or e.status == "skipped")]


def _bands(axis: "Axes", entries: list[Entry], p: int) -> None:
    for generation in sorted({entry.generation for entry in entries}):
        mean, sd = spread(entries, generation)[:, p]
        if np.isfinite(sd):
            numbers = [entry.number for entry in _tried(entries, generation)]
            ends = (min(numbers) - 0.4, max(numbers) + 0.4)
            axis.fill_between(ends, mean - sd, mean + sd, color=BLUE, alpha=0.14, linewidth=0,
                              label="mean ± sd of a generation")  # fmt: skip
            axis.plot(ends, (mean, mean), color=BLUE, linewidth=1.2)


def validation(session: SessionView) -> "Figure":
    """% less net energy than under zero torque, or by how much an objective is better: means, and each bout."""
    table = session.validation().set_index("condition")
    means, rates = table["reduction"].to_dict(), table["rate"].to_dict()
    with figure_of(1, 1, 7.0, 4.0) as (figure, ((axis,),)):
        objective = session.plan.measured
        metabolic = session.plan.objective == "metabolic"
        unit = "%" if metabolic else objective.unit
        words = "% less net energy" if metabolic else f"{objective.name}: {unit} better"
        axis.set_ylabel(f"{words} than zero torque")
        if "zero torque" not in rates:
            _nothing(axis, "not validated yet")
            return figure
        zero, standing = rates["zero torque"], session.standing if metabolic else 0.0
        net, sign = zero - standing, objective.sign
        unit_of = 100.0 / net if metabolic else 1.0
        names = [name for name in session.plan.validated if name in means]
        for x, name in enumerate(names):
            axis.bar(x, means[name], 0.6, color=_COLOUR.get(name, GREEN), alpha=0.35)
            bouts = session.counted(name)
            places = x + 0.12 * (np.arange(len(bouts)) - (len(bouts) - 1) / 2)
            rates_of = np.array([bout.rate for bout in bouts])
            reductions = (
                100.0 * (1.0 - (rates_of - standing) / net) if metabolic else sign * (rates_of - zero)
            )
            errors = np.nan_to_num([unit_of * bout.standard_error for bout in bouts])
            for place, reduction, error, bout in zip(places, reductions, errors, bouts, strict=True):
                axis.errorbar(
                    place, reduction, error, fmt="o", color="0.15", markersize=5, capsize=2.5, url=_url(bout)
                )
        axis.axhline(0.0, color="0.3", linewidth=0.8)
        axis.set_xticks(range(len(names)), [f"{name}\n{means[name]:.1f} {unit}" for name in names])
    return figure


def drift(session: SessionView) -> "Figure":
    """The reference law over the minutes of the session: its re-tests, and its validation bouts."""
    minutes = np.cumsum([0.0 if entry.status == "skipped" else entry.minutes for entry in session.entries])
    with figure_of(1, 1, 7.0, 3.4) as (figure, ((axis,),)):
        axis.set(xlabel="minutes since the start", ylabel=result_words(session))
        for purpose, mark, name in (("re-test", "o", "re-test"), ("reference", "^", "validation")):
            if entries := session.counted(purpose):
                ends = minutes[[entry.number - 1 for entry in entries]]
                results = [result(session, entry.rate) for entry in entries]
                above = [result(session, entry.rate + entry.standard_error) for entry in entries]
                errors = np.nan_to_num(np.abs(np.subtract(above, results)))
                for end, value, error, entry in zip(ends, results, errors, entries, strict=True):
                    axis.errorbar(
                        end, value, error, fmt=mark, color=ORANGE, capsize=2.5, label=name, url=_url(entry)
                    )
        if axis.containers:
            axis.margins(0.08)
            axis.set_xlim(left=0.0)
        else:
            _nothing(axis, "the reference law was not walked again yet")
        legend(figure, [axis])
    return figure


def result(session: SessionView, rate: float) -> float:
    """What pictures show of a rate (W/kg): the reduction in %, or the rate itself without a baseline."""
    return session.reduction(rate) if session.plan.baseline else rate


def result_words(session: SessionView) -> str:
    """What `result` is."""
    name, unit, _ = session.plan.measured
    if session.plan.objective != "metabolic":
        return f"{name}: {unit} better than the baseline" if session.plan.baseline else f"{name} ({unit})"
    return "% less net energy than the baseline" if session.plan.baseline else "metabolic rate (W/kg)"


def _nothing(axis: "Axes", words: str) -> None:
    axis.set_axis_off()
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", color="0.4")
