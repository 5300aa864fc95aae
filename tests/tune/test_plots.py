"""The pictures of a tuning: what is drawn is what is known."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.cbook import STEP_LOOKUP_MAP
from matplotlib.figure import Figure

from policysearch.core import Array, Evaluation
from policysearch.reporting.figures import svg
from policysearch.space import Choice, Parameter, Space
from policysearch.tune import plots
from policysearch.tune.sensitivity import Sensitivity, measure
from policysearch.tune.surface import Surface

SPACE = Space(
    (
        Parameter("kp", 20.0, 0.1, 100.0, "V/rad", "log"),
        Parameter("kd", 3.0, 0.0, 10.0, "V·s/rad"),
        Parameter("window", 5, 1, 9, "samples", integer=True),
        Choice("filter", ("none", "median"), "median"),
    )
)
AT = SPACE.encode(np.array([10.0, 4.0, 4.0, 1.0]))


def function(params: Array) -> Array:
    values = SPACE.decode(params)
    x = SPACE.encode(values)[:, :3] - AT[:3]
    bowl = (
        -3.0 * x[:, 0] ** 2
        - x[:, 1] ** 2
        - x[:, 0] * x[:, 1]
        - 0.2 * x[:, 2] ** 2
        - 0.1 * (values[:, 3] == 0)
    )
    return np.where(values[:, 0] > 35, -1e6, bowl)


def evaluate(params: Array, episodes: int) -> Evaluation:
    own = 0.01 * np.random.default_rng(0).standard_normal((len(params), episodes))
    returns = function(params)[:, None] + own
    returns[SPACE.decode(params)[:, 1] > 5.5] = np.nan
    return Evaluation(params, returns, np.ones(returns.shape, dtype=int))


@pytest.fixture(scope="module")
def measured() -> Sensitivity:
    return measure(evaluate, SPACE, AT, 400)


@pytest.fixture(scope="module")
def surface() -> Surface:
    params = np.random.default_rng(1).random((200, 4))
    found = Surface.fit(SPACE, params, function(params), AT)
    assert found is not None
    return found


def shown(figure: Figure) -> list[Axes]:
    return [axis for axis in figure.axes if axis.axison]


def names(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def marks(axis: Axes, mark: str) -> list[tuple[float, float]]:
    """Where the marks of this kind are."""
    return [
        (float(x), float(y))
        for line in axis.lines
        if line.get_marker() == mark
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)  # type: ignore[arg-type]
    ]


def history() -> pd.DataFrame:
    """Three candidates, two tries each: means 4, none as one failed, 2; and a terrible one."""
    returns = [5.0, 3.0, 1.0, np.nan, 1.5, 2.5, 1e6, 3.0]
    return pd.DataFrame(
        {"generation": [0, 0, 0, 0, 1, 1, 1, 1], "candidate": [0, 0, 1, 1, 0, 0, 1, 1], "return": returns}
    )


@pytest.mark.parametrize(("goal", "sign"), [("minimise", 1.0), ("maximise", -1.0)])
def test_terrible_and_failed_tries_are_at_the_edge_that_is_worse_and_counted(goal: str, sign: float) -> None:
    table = history().assign(**{"return": sign * history()["return"]})
    recommended, start = sign * np.array([1.0, 1.2]), sign * np.array([6.0, np.nan])
    figure = plots.search(table, recommended, start, goal)
    tries, fresh = figure.axes
    low, high = sorted(sign * np.array(tries.get_ylim()))
    assert 0.0 < low < 1.0
    assert 6.0 < high < 7.0
    edge = 1.0 if sign > 0 else 0.0  # as a share of the axis
    assert marks(tries, "^" if sign > 0 else "v") == [(7.0, edge)]
    assert marks(tries, "|") == [(4.0, edge)]
    assert marks(fresh, "|") == [(0.0, edge)]
    assert len(marks(tries, ".")) == 6
    assert tries.get_xlabel() == "rollouts of the search (1 failed: ticks, 1 beyond the axis: triangles)"
    assert tries.get_ylabel() == f"return, {goal}d"
    best = next(line for line in tries.lines if line.get_label() == "best mean so far")
    np.testing.assert_array_equal(best.get_xdata(), [2.0, 4.0, 6.0, 8.0])
    np.testing.assert_array_equal(best.get_ydata(), sign * np.array([4.0, 4.0, 2.0, 2.0]))
    means = [
        line.get_ydata()[0]
        for line in fresh.lines
        if len(line.get_xdata()) == 2 and line.get_marker() == "None"
    ]  # type: ignore[arg-type,index]
    assert means == pytest.approx([sign * 6.0, sign * 1.1])


def test_a_search_that_only_failed_has_a_picture() -> None:
    nothing = np.full(3, np.nan)
    figure = plots.search(history().assign(**{"return": np.nan}), nothing, nothing, "maximise")
    assert len(marks(figure.axes[0], "|")) == 8
    figure.draw_without_rendering()


def test_every_parameter_has_a_slice_in_its_unit_and_scale_with_what_was_measured(
    measured: Sensitivity, surface: Surface
) -> None:
    figure = plots.slices(measured, surface, SPACE.named(SPACE.domain.start))
    kp, kd, window, choice = shown(figure)
    assert [axis.get_xlabel() for axis in shown(figure)] == [
        "kp (V/rad)",
        "kd (V·s/rad)",
        "window (samples)",
        "filter",
    ]
    assert [axis.get_xscale() for axis in shown(figure)] == ["log", "linear", "linear", "linear"]
    assert [label.get_text() for label in choice.get_xticklabels()] == ["none", "median"]
    assert set(names(figure)) == {"fitted surface", "measured", "recommended", "start"}
    for axis, at, start in ((kp, 10.0, 20.0), (kd, 4.0, 3.0), (window, 4, 5), (choice, 1, 1)):
        placed = {line.get_label(): line.get_xdata()[0] for line in axis.lines}  # type: ignore[index]
        assert (placed["recommended"], placed["start"]) == (pytest.approx(at), pytest.approx(start))
    rows = measured.of("kd")
    bars = kd.containers[0].lines[0]  # type: ignore[union-attr]
    good = rows[rows["difference"].notna()]
    np.testing.assert_allclose(bars.get_ydata(), good["difference"])
    assert [x for x, _ in marks(kd, "|")] == rows.loc[rows["failed"] == 1.0, "value"].tolist()
    curve = next(line for line in kd.lines if line.get_label() == "fitted surface")
    np.testing.assert_allclose(curve.get_ydata(), surface.slice("kd")["difference"])
    figure.draw_without_rendering()


def test_a_cliff_does_not_set_the_scale_of_the_slices(measured: Sensitivity) -> None:
    figure = plots.slices(measured)
    kp = figure.axes[0]
    cliff = measured.of("kp").query("difference < -1000")["value"].tolist()
    assert [x for x, _ in marks(kp, "v")] == cliff != []
    low, high = kp.get_ylim()
    others = measured.slices["difference"]
    assert low < others[others > -1000].min()
    assert low > -1.0
    assert high < 0.1


def test_slices_of_the_surface_alone_leave_out_what_it_does_not_know(surface: Surface) -> None:
    figure = plots.slices(surface=surface)
    assert [axis.get_xlabel().split()[0] for axis in shown(figure)] == ["kp", "kd", "window"]
    assert "measured" not in names(figure)
    with pytest.raises(ValueError, match="expected a sensitivity or a surface, got neither"):
        plots.slices()


def test_maps_of_pairs_begin_with_the_surest_interaction_and_show_where_tries_were(surface: Surface) -> None:
    figure = plots.pairs(surface, most=2)
    first, second, bar = figure.axes
    assert (first.get_xlabel(), first.get_ylabel()) == ("kp (V/rad)", "kd (V·s/rad)")
    assert (first.get_xscale(), first.get_yscale()) == ("log", "linear")
    shades = first.collections[0].get_array()
    assert shades is not None
    np.testing.assert_allclose(np.ravel(shades), surface.pair("kp", "kd").to_numpy().ravel())
    assert first.collections[0].get_clim() == second.collections[0].get_clim()
    values = SPACE.decode(surface.candidates)
    np.testing.assert_allclose(marks(first, "."), values[:, :2])
    assert marks(first, "*") == [(pytest.approx(10.0), pytest.approx(4.0))]
    assert "positive is better" in bar.get_ylabel()
    alone = Space((Parameter("k", 0.5, 0.0, 1.0),))
    x = np.linspace(0, 1, 12)[:, None]
    line = Surface.fit(alone, x, -(x[:, 0] ** 2), np.array([0.0]))
    assert line is not None
    with pytest.raises(ValueError, match="expected candidates that differ in two parameters, got k"):
        plots.pairs(line)


@pytest.mark.parametrize("x_goal", ["minimise", "maximise"])
@pytest.mark.parametrize("y_goal", ["minimise", "maximise"])
def test_the_stairs_go_through_the_front_and_never_past_a_candidate(x_goal: str, y_goal: str) -> None:
    rng = np.random.default_rng(3)
    angle, radius = 2 * np.pi * rng.random(60), rng.random(60) ** 0.2
    disc = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    candidates = pd.DataFrame(disc, columns=["energy", "return"])
    goals = {"energy": x_goal, "return": y_goal}
    figure = plots.tradeoff(candidates, "energy", "return", goals, {"start": (0.9, 0.8)})
    (axis,) = figure.axes
    better = {"minimise": "smaller", "maximise": "larger"}
    assert axis.get_xlabel() == f"energy ({better[x_goal]} is better)"
    assert axis.get_ylabel() == f"return ({better[y_goal]} is better)"
    assert names(figure) == ["candidates of the search", "none is better in both", "start"]
    assert marks(axis, "s") == [(0.9, 0.8)]
    stairs = next(line for line in axis.lines if line.get_label() == "none is better in both")
    steps = STEP_LOOKUP_MAP[stairs.get_drawstyle()]
    corners = np.column_stack(steps(*stairs.get_data()))
    signs = np.array([1.0 if goal == "minimise" else -1.0 for goal in (x_goal, y_goal)])
    points = signs * candidates.to_numpy()
    for corner in signs * corners:
        assert not (points < corner - 1e-12).all(axis=1).any()
        assert (points <= corner + 1e-12).all(axis=1).any()  # nor is anything promised
    assert len(stairs.get_xdata()) > 2  # type: ignore[arg-type]


def test_a_quantity_without_a_goal_is_to_be_minimised_and_pictures_have_the_same_bytes_every_time() -> None:
    candidates = pd.DataFrame({"energy": [1.0, 2.0], "return": [3.0, 4.0]})
    figures = [plots.tradeoff(candidates, "energy", "return", {"return": "maximise"}) for _ in range(2)]
    assert figures[0].axes[0].get_xlabel() == "energy (smaller is better)"
    assert svg(figures[0], "tradeoff") == svg(figures[1], "tradeoff")
