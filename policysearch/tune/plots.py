"""The pictures of a tuning; the same rollouts give the same bytes. Colours are Okabe & Ito's."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.core import Array
from policysearch.evaluators.functions import sign_of
from policysearch.reporting.figures import BLUE, COLOURS, GREEN, ORANGE, figure_of, legend, limits, lowest
from policysearch.space import Choice, Parameter
from policysearch.tune.held_out import mean_of
from policysearch.tune.pareto import front
from policysearch.tune.sensitivity import Sensitivity
from policysearch.tune.surface import Surface
from policysearch.tune.words import labelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3  # of small pictures
_BETTER = "difference to the recommendation\n(positive is better)"


def search(
    history: pd.DataFrame, returns: Float[Array, "k"], start_returns: Float[Array, "k"], goal: str
) -> "Figure":
    """The returns of the search, and those of the start and the recommendation on held-out seeds.

    The axis leaves out the worst returns (see `lowest`), which are triangles at its edge; failed rollouts are ticks.

    Args:
        history: a row per rollout, as in `TuneResult.history`.
        returns: of the recommendation on held-out seeds; NaN where it failed.
        start_returns: of the start on the same seeds.
        goal: "maximise" or "minimise".
    """
    sign, shown = sign_of(goal), history["return"].to_numpy(dtype=float)
    finite = np.isfinite(shown)
    good = [sign * values[np.isfinite(values)] for values in (shown, start_returns, returns)]
    worst = min((lowest(values) for values in good if len(values)), default=0.0)
    with figure_of(1, 2, 9.0, 3.8, sharey=True, width_ratios=[3, 1]) as (figure, ((left, right),)):
        number = np.arange(len(shown)) + 1.0
        outside = _dots(left, number, shown, sign, worst)
        left.plot(
            *_best_so_far(history, sign), color=BLUE, lw=0.9, drawstyle="steps-post", label="best mean so far"
        )
        for x, values in enumerate((start_returns, returns)):
            _dots(right, np.full(len(values), float(x)), values, sign, worst)
            if np.isfinite(mean := mean_of(values)):
                right.plot([x - 0.25, x + 0.25], [mean, mean], color=BLUE, lw=2)
        _end_at(left, sign, worst, [shown, returns, start_returns])
        said = [f"{(~finite).sum()} failed: ticks"] * (not finite.all())
        said += [f"{outside} beyond the axis: triangles"] * (outside > 0)
        brackets = f" ({', '.join(said)})" if said else ""
        left.set(xlabel=f"rollouts of the search{brackets}", ylabel=f"return, {goal}d")
        right.set_xticks([0, 1], ["start", "recommended"])
        right.set(xlim=(-0.6, 1.6), xlabel=f"{len(returns)} held-out seeds")
        legend(figure, [left])
    return figure


def slices(
    sensitivity: Sensitivity | None = None,
    surface: Surface | None = None,
    start: Mapping[str, Any] | None = None,
) -> "Figure":
    """A small picture per parameter: measured values near the recommendation, and the fitted surface.

    Bars and bands are 95 % intervals. What is far below the rest is a triangle at the edge; where most episodes of a
    value failed, there is a tick. `start` holds values by name.

    Raises:
        ValueError: if there is neither.
    """
    known = sensitivity or surface
    if known is None:
        raise ValueError("expected a sensitivity or a surface, got neither")
    space, at = known.space, known.space.named(known.at)
    names = [surface.names[i] for i in surface.varied] if surface else []
    curves = {name: surface.slice(name) for name in names} if surface else {}
    chosen = [p for p in space.searched if sensitivity or p.name in curves]
    worst, differences = _differences(sensitivity, curves)
    with _small_pictures(len(chosen), 2.9, (0.7, 0.5), sharey=True) as (figure, axes):
        for axis, parameter in zip(axes, chosen, strict=True):
            name = parameter.name
            options = parameter.options if isinstance(parameter, Choice) else None
            place = options.index if options else float
            axis.axhline(0.0, color="0.7", lw=0.8)
            if (curve := curves.get(name)) is not None:
                axis.fill_between(curve["value"], curve["low"], curve["high"], color=BLUE, alpha=0.15, lw=0)
                axis.plot(curve["value"], curve["difference"], color=BLUE, lw=1.4, label="fitted surface")
            if sensitivity:
                _measured(axis, sensitivity.of(name), place, worst)
            axis.axvline(place(at[name]), color=GREEN, lw=1.2, label="recommended")
            if start:
                axis.axvline(place(start[name]), color=ORANGE, lw=1.0, ls="--", label="start")
            if options:
                axis.set_xticks(range(len(options)), [str(option) for option in options])
            _scale(axis, parameter)
        for axis in axes[::_COLUMNS]:
            axis.set_ylabel(_BETTER, fontsize=8)
        _end_at(axes[0], 1.0, worst, differences)
        legend(figure, axes, ncols=4)
    return figure


def pairs(surface: Surface, most: int = 6) -> "Figure":
    """Maps of the surface over pairs of parameters, the pairs with the surest interactions first.

    Dots are the candidates that it is fitted to; it extrapolates where there are none.

    Raises:
        ValueError: if the candidates differ in fewer than two parameters.
    """
    space, names = surface.space, [surface.names[i] for i in surface.varied]
    if len(names) < 2:
        raise ValueError(f"expected candidates that differ in two parameters, got {', '.join(names)}")
    surest = list(zip(surface.interactions["first"], surface.interactions["second"], strict=True))
    chosen = (surest or list(itertools.combinations(names, 2)))[:most]
    maps = [surface.pair(first, second) for first, second in chosen]
    values = space.decode(surface.candidates)
    low = lowest(np.concatenate([grid.to_numpy().ravel() for grid in maps]))
    high = max(float(grid.to_numpy().max()) for grid in maps)
    here = space.decode(surface.at)
    with _small_pictures(len(chosen), 2.7, (1.2, 0.3)) as (figure, axes):
        for axis, pair, grid in zip(axes, chosen, maps, strict=True):
            i, j = (surface.names.index(name) for name in pair)
            x, y = grid.columns.to_numpy(dtype=float), grid.index.to_numpy(dtype=float)
            shades = axis.pcolormesh(x, y, grid.to_numpy(), shading="nearest", vmin=low, vmax=high)
            axis.plot(values[:, i], values[:, j], ".", color="white", ms=2.5, alpha=0.7)
            axis.plot(here[i], here[j], "*", color=ORANGE, ms=11, mec="white", label="recommended")
            _scale(axis, space.searched[i])
            _scale(axis, space.searched[j], "y")
        figure.colorbar(shades, ax=figure.axes, label=_BETTER, aspect=30, extend="min", pad=0.02)
        legend(figure, axes, ncols=4)
    return figure


def tradeoff(
    candidates: pd.DataFrame,
    x: str,
    y: str,
    goals: Mapping[str, str],
    marked: Mapping[str, tuple[float, float]] | None = None,
) -> "Figure":
    """The candidates' means of two quantities, and the stairs of those to which none is better in both.

    Args:
        candidates: a row per candidate, with columns `x` and `y`.
        x: the quantity to the right.
        y: the quantity upwards.
        goals: "minimise" or "maximise", by quantity; "minimise" for one that is missing.
        marked: x and y of others by name, such as the start and the recommendation on held-out seeds.
    """
    means = candidates[[x, y]].to_numpy(dtype=float)
    signs = np.array([sign_of(goals.get(name, "minimise")) for name in (x, y)])
    ahead = means[front(-signs * means)]
    ahead = ahead[np.lexsort((signs[1] * ahead[:, 1], ahead[:, 0]))]
    with figure_of(1, 1, 5.2, 4.2) as (figure, ((axis,),)):
        axis.plot(*means.T, ".", color=COLOURS[5], ms=5, label="candidates of the search")
        stairs = "steps-pre" if signs[0] > 0 else "steps-post"
        axis.plot(*ahead.T, ".-", color=BLUE, lw=1.2, ms=6, drawstyle=stairs, label="none is better in both")
        for (name, place), (mark, colour) in zip(
            (marked or {}).items(), itertools.cycle((("s", ORANGE), ("*", GREEN), ("D", COLOURS[3])))
        ):
            axis.plot(*place, mark, color=colour, ms=11 if mark == "*" else 6, mec="white", label=name)
        for set_label, name, sign in zip((axis.set_xlabel, axis.set_ylabel), (x, y), signs, strict=True):
            set_label(f"{name} ({'larger' if sign > 0 else 'smaller'} is better)")
        legend(figure, [axis], ncols=2)
    return figure


@contextmanager
def _small_pictures(
    n: int, width: float, margins: tuple[float, float], **options: Any
) -> Iterator[tuple["Figure", "list[Axes]"]]:
    """A figure with n pictures of `width` × 2.5 inches, and `margins` for labels and legend; its axes."""
    rows, columns = -(-n // _COLUMNS), min(n, _COLUMNS)
    size = margins[0] + width * columns, margins[1] + 2.5 * rows
    with figure_of(rows, columns, *size, **options) as (figure, axes):
        for unused in axes.flat[n:]:
            unused.set_axis_off()
        yield figure, [*axes.flat[:n]]


def _best_so_far(history: pd.DataFrame, sign: float) -> tuple[list[float], list[float]]:
    """The best mean of a candidate so far, at its last rollout: the numbers of the rollouts, and the means."""
    best, numbers, means = -np.inf, [], []
    values = history["return"].to_numpy(dtype=float)
    for rows in (
        history.reset_index(drop=True).groupby(["generation", "candidate"], sort=False).indices.values()
    ):
        mean = sign * float(values[rows].mean())  # NaN if one failed
        best = mean if mean > best else best
        if np.isfinite(best):
            numbers.append(float(np.max(rows)) + 1)
            means.append(sign * best)
    return numbers, means


def _dots(axis: "Axes", x: Float[Array, "k"], values: Float[Array, "k"], sign: float, worst: float) -> int:
    """Dots for rollouts, triangles at the edge for those beyond the worst that is shown, ticks for failed ones.

    Returns how many are beyond.
    """
    failed, beyond = ~np.isfinite(values), sign * values < worst
    axis.plot(x[~failed & ~beyond], values[~failed & ~beyond], ".", color=COLOURS[5], ms=4)
    _at_edge(axis, x[beyond], "v" if sign > 0 else "^", COLOURS[5], sign)
    _at_edge(axis, x[failed], "|", ORANGE, sign)
    return int(beyond.sum())


def _at_edge(axis: "Axes", x: Float[Array, "k"], mark: str, colour: str, sign: float = 1.0) -> None:
    """Marks at the worse end of the axis."""
    if len(x):  # marks that are not clipped take room, even if there are none
        end = np.full(len(x), 0.0 if sign > 0 else 1.0)
        where = axis.get_xaxis_transform()
        axis.plot(x, end, mark, color=colour, ms=4 if mark != "|" else 8, transform=where, clip_on=False)


def _end_at(axis: "Axes", sign: float, worst: float, shown: Iterable[Array | pd.Series]) -> None:
    """Limits from the worst that is shown to the best that there is, with a margin."""
    axis.set_ylim(*limits(np.concatenate([np.ravel(array) for array in shown]), worst, sign))


def _measured(axis: "Axes", mine: pd.DataFrame, place: Any, worst: float) -> None:
    """Bars for the measured values; the recommendation itself has no interval."""
    x = np.array([float(place(value)) for value in mine["value"]])
    mean, low, high, failed = (
        mine[name].to_numpy(dtype=float) for name in ("difference", "low", "high", "failed")
    )
    inside = mean >= worst
    bars = np.array([mean - low, high - mean])[:, inside]
    axis.errorbar(
        x[inside], mean[inside], bars, fmt="o", color="0.15", ms=3.5, lw=1.0, capsize=2, label="measured"
    )
    _at_edge(axis, x[mean < worst], "v", "0.15")
    _at_edge(axis, x[failed > 0.5], "|", ORANGE)


def _differences(
    sensitivity: Sensitivity | None, curves: Mapping[str, pd.DataFrame]
) -> tuple[float, list[pd.Series]]:
    """The lowest difference that slices show, and all differences and upper ends that there are."""
    found = [curve["difference"] for curve in curves.values()]
    if sensitivity is None:
        return min([0.0, *(float(curve.min()) for curve in found)]), found
    rows = sensitivity.slices
    measured = [mine.dropna().to_numpy(dtype=float) for _, mine in rows.groupby("parameter")["difference"]]
    lows = [lowest(differences, share=0.5, factor=30.0) for differences in measured]
    return min([0.0, *lows]), [*found, rows["difference"], rows["high"]]


def _scale(axis: "Axes", parameter: Parameter | Choice, which: Literal["x", "y"] = "x") -> None:
    """The name, unit and scale of a parameter along an axis."""
    axis.set(**{f"{which}label": labelled(parameter)})
    if parameter.scale == "log":
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter  # noqa: PLC0415 - heavy

        axis.set(**{f"{which}scale": "log"})
        ticks = axis.xaxis if which == "x" else axis.yaxis
        ticks.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ticks.set_major_formatter(StrMethodFormatter("{x:g}"))
        ticks.set_minor_formatter(NullFormatter())
    elif parameter.integer and not isinstance(parameter, Choice):
        axis.locator_params(axis=which, integer=True)
