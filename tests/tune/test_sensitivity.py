"""Which parameters matter: known curvatures are found, intervals cover, and what is flat is found flat."""

from collections.abc import Callable

import numpy as np
import pytest

from policysearch.core import Array, Evaluation
from policysearch.space import Choice, Parameter, Space
from policysearch.tune.sensitivity import least_rollouts, measure
from policysearch.tune.surface import Surface, lowest

# Coordinates are shares of the range: kp runs over ln 1000, kd over 10 V·s/rad.
SPACE = Space(
    (
        Parameter("kp", 20.0, 0.1, 100.0, "V/rad", "log"),
        Parameter("kd", 3.0, 0.0, 10.0, "V·s/rad"),
        Parameter("delay", 0.5, 0.0, 1.0, "s"),
    )
)
AT = np.array([0.5, 0.5, 0.5])
HESSIAN = np.array([[-6.0, 2.0, 0.0], [2.0, -3.0, 0.0], [0.0, 0.0, 0.0]])
GRADIENT = np.array([0.4, 0.0, 0.0])


def quadratic(params: Array) -> Array:
    """Known slope, curvature and interaction around `AT`; the delay is flat."""
    x = params - AT
    return 5.0 + x @ GRADIENT + 0.5 * np.einsum("ni,ij,nj->n", x, HESSIAN, x)


def evaluation_of(
    function: Callable[[Array], Array], noise: float = 0.0, seed: int = 0
) -> Callable[[Array, int], Evaluation]:
    """Tries whose noise is that of the episode, the same for all, and some of their own."""

    def evaluate(params: Array, episodes: int) -> Evaluation:
        rng = np.random.default_rng(seed)
        shared = rng.standard_normal(episodes)
        own = noise * rng.standard_normal((len(params), episodes))
        returns = function(params)[:, None] + (10.0 * shared if noise else 0.0) + own
        return Evaluation(params, returns, np.ones(returns.shape, dtype=int))

    return evaluate


# --------------------------------------------------------------------------------------------- from the tries alone


def test_a_quadratic_is_found_exactly_with_its_interaction_and_in_the_parameters_units() -> None:
    params = np.random.default_rng(1).random((60, 3))
    surface = Surface.fit(SPACE, params, quadratic(params), AT)
    assert surface is not None
    assert surface.kind == "full quadratic"
    assert surface.r_squared == pytest.approx(1.0)
    others = np.random.default_rng(2).random((20, 3))
    for got in surface.difference(others):
        np.testing.assert_allclose(got, quadratic(others) - quadratic(AT[None]), atol=1e-9)
    kp = surface.slice("kp")
    x = np.log(kp["value"] / 0.1) / np.log(1000) - 0.5
    np.testing.assert_allclose(kp["difference"], 0.4 * x - 3.0 * x**2, atol=1e-9)
    assert kp.loc[kp["difference"].abs().argmin(), "value"] == pytest.approx(0.1 * 1000**0.5)
    np.testing.assert_allclose(surface.slice("delay")["difference"], 0.0, atol=1e-9)
    grid = surface.pair("kp", "kd")
    assert (grid.columns.name, grid.index.name) == ("kp", "kd")
    a, b = np.log(grid.columns[-1] / 0.1) / np.log(1000) - 0.5, grid.index[3] / 10 - 0.5
    assert grid.iloc[3, -1] == pytest.approx(0.4 * a - 3 * a**2 + 2 * a * b - 1.5 * b**2)
    first = surface.interactions.iloc[0]
    assert (first["first"], first["second"]) == ("kp", "kd")
    width = np.ptp(params, axis=0)
    assert first["difference"] == pytest.approx(2.0 * width[0] / 2 * width[1] / 2)


def test_r_squared_is_that_of_predicting_every_try_by_the_others() -> None:
    rng = np.random.default_rng(3)
    x = rng.random(12)
    y = x - x**2 + 0.05 * rng.standard_normal(12)
    space = Space((Parameter("k", 0.5, 0.0, 1.0),))
    surface = Surface.fit(space, x[:, None], y, np.array([0.5]))
    assert surface is not None
    r = abs(x - 0.5)
    w = (1 - (r / (1.1 * r.max())) ** 3) ** 3
    of_fit, of_mean = 0.0, 0.0
    for i in range(12):
        rest = np.arange(12) != i
        root = np.sqrt(w[rest])[:, None]
        X = np.column_stack([np.ones(12), x - 0.5, (x - 0.5) ** 2])
        b = np.linalg.lstsq(X[rest] * root, y[rest] * root[:, 0], rcond=None)[0]
        of_fit += w[i] * (y[i] - X[i] @ b) ** 2
        of_mean += w[i] * (y[i] - np.average(y[rest], weights=w[rest])) ** 2
    assert surface.r_squared == pytest.approx(1 - of_fit / of_mean)


def test_intervals_of_the_surface_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    far = AT + np.array([[0.3, 0.0, 0.0], [0.0, -0.3, 0.0], [0.2, 0.2, 0.0], [0.0, 0.0, 0.3]])
    truth, hits, r_squared = quadratic(far) - 5.0, [], []
    for _ in range(400):
        params = rng.random((80, 3))
        noise = 0.2 * (1 + 3 * np.linalg.norm(params - AT, axis=1))  # more of it farther away
        surface = Surface.fit(SPACE, params, quadratic(params) + noise * rng.standard_normal(80), AT)
        assert surface is not None
        _, low, high = surface.difference(far)
        hits.append((low <= truth) & (truth <= high))
        r_squared.append(surface.r_squared)
    coverage = np.mean(hits, axis=0)  # ± 1.1 % is one standard error
    assert (np.abs(coverage - 0.955) < 0.03).all(), coverage
    assert 0.0 < np.mean(r_squared) < 0.6


def test_tries_of_pure_noise_predict_nothing_and_are_said_to() -> None:
    rng = np.random.default_rng(5)
    surfaces = [Surface.fit(SPACE, rng.random((60, 3)), rng.standard_normal(60), AT) for _ in range(50)]
    assert np.mean([surface.r_squared for surface in surfaces if surface]) < 0.0


def test_a_few_or_many_terrible_tries_do_not_bend_the_surface() -> None:
    params = np.random.default_rng(6).random((150, 3))
    for share in (0.03, 0.6):
        unstable = params[:, 0] > np.quantile(params[:, 0], 1 - share)
        returns = np.where(unstable, -1e6, quadratic(params))
        surface = Surface.fit(SPACE, params, returns, AT * [0.5, 1.0, 1.0])
        assert surface is not None
        assert not np.isin(surface.candidates[:, 0], params[unstable, 0]).any()
        assert surface.r_squared == pytest.approx(1.0)


def test_the_terrible_do_not_set_the_scale_even_where_most_equal_the_best() -> None:
    assert lowest(np.array([0.0, 1.0, 2.0, 3.0, 4.0, -1e6])) == 0.0
    assert lowest(np.array([500.0] * 9 + [490.0, 480.0, -1e6])) == 480.0
    assert lowest(np.full(4, 7.0)) == 7.0


def test_the_model_is_as_rich_as_the_tries_allow_and_failed_ones_do_not_count() -> None:
    params = np.random.default_rng(8).random((40, 3))

    def kind(tries: int) -> str | None:
        returns = np.where(np.arange(40) < tries, params.sum(axis=1), np.nan)
        surface = Surface.fit(SPACE, params, returns, AT)
        return surface and surface.kind

    # 10, 7 and 4 coefficients
    assert [kind(n) for n in (20, 19, 14, 13, 8)] == [
        "full quadratic",
        "diagonal quadratic",
        "diagonal quadratic",
        "linear model",
        "linear model",
    ]
    assert kind(7) is kind(0) is None
    same = np.tile(AT, (40, 1))
    assert Surface.fit(SPACE, same, quadratic(same), AT) is None


def test_only_tries_with_the_recommended_option_count_and_whole_numbers_are_what_was_run() -> None:
    space = Space(
        (
            Parameter("window", 3, 1, 9, "samples", integer=True),
            Parameter("k", 0.5, 0, 1),
            Choice("filter", ("none", "median"), "none"),
        )
    )
    params = np.random.default_rng(9).random((120, 3))
    values = space.decode(params)
    returns = values[:, 0] - 0.1 * (values[:, 0] - 5) ** 2 + 100.0 * values[:, 2] * values[:, 1]
    surface = Surface.fit(space, params, returns, np.array([0.5, 0.0, 0.1]))
    assert surface is not None
    window = surface.slice("window")
    assert window["value"].tolist() == list(range(1, 10))
    x = window["value"] - 5
    np.testing.assert_allclose(window["difference"], x - 0.1 * x**2, atol=1e-9)
    assert np.isnan(surface.difference(np.array([[0.5, 0.0, 0.9]]))[0]).all()
    with pytest.raises(ValueError, match="of window, k, got filter"):
        surface.slice("filter")


# ---------------------------------------------------------------------------------------------- measured beside it


def test_values_beside_the_recommendation_lose_what_they_lose_and_the_flat_is_flat() -> None:
    found = measure(evaluation_of(quadratic), SPACE, AT, 8 * 25)
    assert found.episodes == 8
    kd = found.of("kd")
    assert kd["value"].tolist() == pytest.approx([3, 4, 4.5, 4.8, 5, 5.2, 5.5, 6, 7])
    np.testing.assert_allclose(kd["difference"], -1.5 * (kd["value"] / 10 - 0.5) ** 2, atol=1e-12)
    np.testing.assert_array_equal(kd["low"], kd["high"])
    rows = found.summary.set_index("parameter")
    assert (rows.loc["kd", "from"], rows.loc["kd", "to"]) == (pytest.approx(5), pytest.approx(5))
    assert rows.loc["kd", "loss"] == pytest.approx(1.5 * 0.2**2)
    assert (rows.loc["delay", "from"], rows.loc["delay", "to"]) == (pytest.approx(0.3), pytest.approx(0.7))
    assert found.lines()[1] == (
        "kd = 5 V·s/rad: the other values are worse; at 3 worse by 0.06 (0.06 … 0.06)"
    )
    assert found.lines()[2] == "delay = 0.5 s: 0.3 to 0.7 not found worse; none has a worse mean"


def test_a_difference_within_rounding_is_none() -> None:
    found = measure(evaluation_of(lambda params: 1.0 - 1e-14 * params[:, 0]), SPACE, AT, 200)
    assert not found.slices["worse"].any()


def test_a_loss_within_the_tolerance_is_not_found_worse() -> None:
    found = measure(evaluation_of(quadratic), SPACE, AT, 200, tolerance=0.016)  # 1.5 · 0.1² = 0.015
    row = found.summary.set_index("parameter").loc["kd"]
    assert (row["from"], row["to"]) == (pytest.approx(4), pytest.approx(6))
    assert "kd = 5 V·s/rad: 4 to 6 not found worse" in str(found)


def test_what_is_not_found_worse_ends_at_the_first_worse_value() -> None:
    def ridges(params: Array) -> Array:
        return -(np.sin(20 * np.pi * (params[:, 1] - 0.5)) ** 2)  # equal at ±0.05, ±0.1, ±0.2; worse at ±0.02

    row = measure(evaluation_of(ridges), SPACE, AT, 200).summary.set_index("parameter").loc["kd"]
    assert (row["from"], row["to"]) == (pytest.approx(5), pytest.approx(5))


def test_measured_intervals_are_paired_and_cover_as_often_as_they_say() -> None:
    space, hits, widths = Space((Parameter("k", 5.0, 0.0, 10.0),)), [], []
    for seed in range(300):
        evaluate = evaluation_of(lambda params: -3.0 * (params[:, 0] - 0.5) ** 2, 0.05, seed)
        slice_ = measure(evaluate, space, np.array([0.5]), 3 * 5, reach=0.4).slices
        assert slice_["value"].tolist() == pytest.approx([3, 5, 7])
        beside = slice_[slice_["value"] != 5.0]
        hits += ((beside["low"] <= -0.12) & (beside["high"] >= -0.12)).tolist()  # 3 · 0.2²
        widths += (beside["high"] - beside["low"]).tolist()
    assert abs(np.mean(hits) - 0.95) < 0.03  # 600 intervals, in pairs
    assert np.mean(widths) < 0.3  # the noise that they share, of 10, is gone


@pytest.mark.parametrize(("rollouts", "values"), [(14, 2), (55, 2), (104, 4), (199, 4), (200, 8), (1000, 8)])
def test_a_measurement_never_overspends_and_prefers_episodes_to_further_values(
    rollouts: int, values: int
) -> None:
    asked = []

    def evaluate(params: Array, episodes: int) -> Evaluation:
        asked.append(params.shape[0] * episodes)
        return evaluation_of(quadratic)(params, episodes)

    found = measure(evaluate, SPACE, AT, rollouts)
    assert len(found.of("kp")) == 1 + values
    assert rollouts - asked[0] < 1 + 3 * values
    assert asked[0] <= rollouts
    assert found.episodes >= 2


def test_too_few_rollouts_are_refused_with_the_least_that_will_do() -> None:
    assert least_rollouts(SPACE) == 14
    with pytest.raises(ValueError, match=r"rollouts: expected at least 14, .*, got 13"):
        measure(evaluation_of(quadratic), SPACE, AT, 13)
    with pytest.raises(ValueError, match=r"expected reach > 0 and tolerance >= 0, got 0\.2 and -1"):
        measure(evaluation_of(quadratic), SPACE, AT, 100, tolerance=-1.0)


def test_values_stay_within_bounds_and_move_by_whole_numbers_and_through_all_options() -> None:
    space = Space(
        (
            Parameter("window", 1, 1, 9, "samples", integer=True),
            Parameter("k", 0.97, 0.0, 1.0),
            Parameter("order", 2, 1, 3, integer=True),
            Choice("filter", ("none", "median", "mean"), "median"),
        )
    )

    def function(params: Array) -> Array:
        return np.where(space.decode(params)[:, 3] == 0, -0.3, 0.0)

    found = measure(evaluation_of(function), space, space.domain.start, 500)
    assert found.of("window")["value"].tolist() == [1, 2, 3]
    assert found.of("k")["value"].tolist() == pytest.approx([0.77, 0.87, 0.92, 0.95, 0.97, 0.99, 1.0])
    assert found.of("order")["value"].tolist() == [1, 2, 3]
    assert found.of("filter")["value"].tolist() == ["none", "median", "mean"]
    assert found.lines()[3] == "filter = median: mean not found worse; at none worse by 0.3 (0.3 … 0.3)"


def test_a_value_that_fails_more_often_is_worse_however_good_its_successes() -> None:
    def evaluate(params: Array, episodes: int) -> Evaluation:
        returns = np.tile(params[:, 1:2], (1, episodes))
        returns[params[:, 1] > 0.55, 0] = np.nan
        return Evaluation(params, returns, np.ones(returns.shape, dtype=int))

    found = measure(evaluate, SPACE, AT, 200)
    row = found.summary.set_index("parameter").loc["kd"]
    assert row["to"] == pytest.approx(5.5)
    assert row["failed"] == pytest.approx(1 / 8)
    assert "at 6 12% failed" in found.lines()[1]
