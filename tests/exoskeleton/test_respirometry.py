"""The estimate of a steady metabolic rate, against closed forms, the published recursion and hand-made files."""

import numpy as np
import pytest
from scipy.stats import norm

from policysearch.core import Array
from policysearch.exoskeleton.respirometry import (
    MIN_BREATHS,
    TAU,
    Breaths,
    brockway,
    decay,
    estimate,
    fit,
    mean_of_last,
    running,
    sensitivity,
)
from policysearch.seeding import stream

#: Breaths of every period p at p, 2p, …, so many seconds: sd of the estimate / sd of a breath, exact design.
PERIODS = (2.5, 3.0, 3.5, 4.0)
RATIOS = {
    60.0: (0.544, 0.596, 0.651, 0.689),
    90.0: (0.325, 0.356, 0.398, 0.423),
    120.0: (0.235, 0.258, 0.281, 0.298),
    180.0: (0.160, 0.175, 0.190, 0.202),
    360.0: (0.095, 0.104, 0.113, 0.120),
}


def breath_times(seconds: float, period: float) -> Array:
    return period * np.arange(1.0, np.floor(seconds / period + 1e-9) + 1.0)


def response(time: Array, initial: float, steady: float, tau: float = TAU) -> Array:
    return np.asarray(steady + (initial - steady) * np.exp(-time / tau))


def noisy(seconds: float = 120.0, seed: int = 0) -> Breaths:
    rng = stream("breaths", seed)
    time = np.cumsum(rng.lognormal(1.07, 0.25, int(seconds / 3.0)))
    clean = response(time, 1.4, 4.0)
    return Breaths(time, clean * (1.0 + 0.12 * rng.standard_normal(time.size)))


def published(time: Array, rate: Array, tau: float = 42.0) -> tuple[Array, float]:
    """The published code, line by line."""
    A = np.zeros((len(time), 2))
    A[0] = [1.0, 0.0]
    for i in range(1, len(time)):
        for j in range(2):
            dt = time[i] - time[i - 1]
            if j == 0:
                A[i, j] = A[i - 1, j] * (1 - dt / tau)
            else:
                A[i, j] = A[i - 1, j] * (1 - dt / tau) + dt / tau
    x = np.linalg.pinv(A) @ rate
    return x, float(np.mean((A @ x - rate) ** 2))


def test_brockways_power_is_that_of_the_published_code_to_a_hundredth() -> None:
    power = brockway(np.array([1000.0, 0.0, 900.0]), np.array([0.0, 1000.0, 800.0]))
    assert power == pytest.approx([276.333, 75.1667, 276.333 * 0.9 + 75.1667 * 0.8], rel=1e-5)
    assert power == pytest.approx([278.0, 75.0, 278.0 * 0.9 + 75.0 * 0.8], rel=0.01)


@pytest.mark.parametrize("seconds", RATIOS)
def test_the_estimates_standard_deviation_is_that_of_the_reference_table(seconds: float) -> None:
    for period, expected in zip(PERIODS, RATIOS[seconds], strict=True):
        e = decay(breath_times(seconds, period), design="exact")
        design = np.column_stack([e, 1.0 - e])
        ratio = np.sqrt(np.linalg.inv(design.T @ design)[1, 1])
        assert ratio == pytest.approx(expected, rel=0.005)


def test_two_minutes_at_three_seconds_have_that_standard_deviation_and_know_it() -> None:
    rng, time, bouts, sd = stream("cell"), breath_times(120.0, 3.0), 3000, 0.178
    fits = [
        fit(Breaths(time, 5.0 + sd * rng.standard_normal(time.size)), design="exact") for _ in range(bouts)
    ]
    rates, errors = np.array([(each.rate, each.standard_error) for each in fits]).T
    expected, se = 0.2579 * sd, 0.2579 * sd / np.sqrt(2 * bouts)
    assert se < 0.02 * expected
    assert abs(rates.std() - expected) < 4 * se
    assert abs(rates.mean() - 5.0) < 4 * expected / np.sqrt(bouts)
    spread = (errors**2).std() / np.sqrt(bouts)  # s² is unbiased and so is the squared error
    assert spread < 0.01 * expected**2
    assert abs((errors**2).mean() - expected**2) < 4 * spread


@pytest.mark.parametrize(("period", "percent"), list(zip(PERIODS, (19.5, 17.8, 16.4, 15.4), strict=True)))
def test_the_breath_noise_behind_4_6_percent_per_estimate(period: float, percent: float) -> None:
    e = decay(breath_times(120.0, period), design="exact")
    ratio = np.sqrt(np.linalg.inv(np.column_stack([e, 1.0 - e]).T @ np.column_stack([e, 1.0 - e]))[1, 1])
    assert 4.6 / ratio == pytest.approx(percent, abs=0.1)


@pytest.mark.parametrize(("seconds", "percent"), [(60.0, 10.7), (120.0, 4.6), (180.0, 3.1), (360.0, 1.9)])
def test_with_that_noise_longer_bouts_have_estimates_that_vary_less(seconds: float, percent: float) -> None:
    e = decay(breath_times(seconds, 3.0), design="exact")
    ratio = np.sqrt(np.linalg.inv(np.column_stack([e, 1.0 - e]).T @ np.column_stack([e, 1.0 - e]))[1, 1])
    assert 17.8 * ratio == pytest.approx(percent, abs=0.1)  # the reference rounds: 10.6, 4.59, 3.12, 1.85


@pytest.mark.parametrize(
    ("tau", "percent"), [(30.0, 7.6), (36.0, 4.0), (42.0, 0.0), (48.0, -4.1), (54.0, -8.1), (66.0, -15.6)]
)
def test_another_time_constant_biases_the_estimate_by_a_part_of_the_change(
    tau: float, percent: float
) -> None:
    time = breath_times(120.0, 3.0)
    breaths = Breaths(time, response(time, 3.0, 4.0, tau))
    exact, euler = (100.0 * (fit(breaths, design=design).rate - 4.0) for design in ("exact", "euler"))
    assert exact == pytest.approx(percent, abs=0.05)
    assert euler - exact == pytest.approx(-1.0, abs=0.05)


def test_the_mean_of_the_last_minute_of_two_is_far_off() -> None:
    time = breath_times(120.0, 3.0)
    mean = mean_of_last(Breaths(time, response(time, 3.0, 4.0)), 60.0)
    assert 100.0 * (mean.rate - 4.0) == pytest.approx(-12.3, abs=0.05)
    kept = np.tile([3.9, 4.1], 20)
    assert mean_of_last(Breaths(time, kept), 60.0).standard_error == pytest.approx(
        0.2236 * kept[:20].std(ddof=1), rel=1e-3
    )


def test_two_laws_are_ordered_rightly_as_often_as_their_difference_allows() -> None:
    time, bouts, rng = breath_times(120.0, 3.0), 20_000, stream("pairs")
    e = decay(time, design="exact")
    weights = np.linalg.pinv(np.column_stack([e, 1.0 - e]))[1]  # an estimate is a weighted sum of breaths
    noise = np.array([weights @ rng.normal(0.0, 17.8, (time.size, bouts)) for _ in range(2)])
    for difference, percent in ((1, 56), (2, 62), (3, 68), (5, 78), (8, 89), (10, 94)):
        exact = norm.cdf(difference / (4.6 * np.sqrt(2.0)))
        assert 100.0 * exact == pytest.approx(percent, abs=0.5)
        se = np.sqrt(exact * (1.0 - exact) / bouts)
        assert se < 0.004
        assert abs((noise[0] < noise[1] + difference).mean() - exact) < 4 * se


@pytest.mark.parametrize("seed", range(3))
def test_the_euler_design_is_the_published_code(seed: int) -> None:
    breaths = noisy(seed=seed)
    (initial, steady), mse = published(breaths.time, breaths.rate)
    ours = fit(breaths)
    assert ours.rate == pytest.approx(steady, rel=1e-12)
    assert ours.initial == pytest.approx(initial, rel=1e-12)
    assert np.mean((ours.fitted - breaths.rate) ** 2) == pytest.approx(mse, rel=1e-10)
    assert estimate(breaths) == (ours.rate, ours.standard_error)


@pytest.mark.parametrize("design", ["euler", "exact"])
def test_the_standard_error_is_that_of_linear_regression(design: str) -> None:
    breaths = noisy()
    e = decay(breaths.time, design=design)
    A = np.column_stack([e, 1.0 - e])
    x, (squares,), *_ = np.linalg.lstsq(A, breaths.rate)
    covariance = squares / (len(e) - 2) * np.linalg.inv(A.T @ A)
    assert estimate(breaths, design) == pytest.approx((x[1], np.sqrt(covariance[1, 1])), rel=1e-10)


@pytest.mark.parametrize("design", ["euler", "exact"])
def test_after_every_breath_the_running_estimate_is_that_of_the_breaths_so_far(design: str) -> None:
    breaths = noisy(360.0)
    rates, errors = running(breaths, design=design)
    assert np.isnan(rates[:1]).all()
    assert np.isnan(errors[:2]).all()
    assert np.isfinite(rates[1:]).all()
    assert np.isfinite(errors[2:]).all()
    for n in range(MIN_BREATHS, len(rates) + 1):
        batch = fit(Breaths(breaths.time[:n], breaths.rate[:n]), design=design)
        assert rates[n - 1] == pytest.approx(batch.rate, rel=1e-10)
        assert errors[n - 1] == pytest.approx(batch.standard_error, rel=1e-10)


def test_without_noise_the_exact_design_finds_the_steady_rate_and_the_start() -> None:
    time = breath_times(120.0, 3.0)
    found = fit(Breaths(time, response(time, 1.4, 4.3)), design="exact")
    assert found.rate == pytest.approx(4.3, rel=1e-12)
    assert found.initial == pytest.approx(response(time, 1.4, 4.3)[0], rel=1e-12)
    assert found.standard_error < 1e-12
    assert running(Breaths(time, response(time, 1.4, 4.3)), design="exact")[0][1:] == pytest.approx(
        np.full(39, 4.3), rel=1e-10
    )


@pytest.mark.parametrize("design", ["euler", "exact"])
def test_the_clocks_zero_does_not_matter_and_units_scale(design: str) -> None:
    breaths = noisy()
    rate, error = estimate(breaths, design)
    assert estimate(Breaths(breaths.time + 1e4, breaths.rate), design) == pytest.approx(
        (rate, error), rel=1e-9
    )
    assert estimate(Breaths(breaths.time, 70.0 * breaths.rate), design) == pytest.approx(
        (70.0 * rate, 70.0 * error), rel=1e-12
    )


def test_long_bouts_are_the_mean_of_their_last_two_minutes() -> None:
    for seconds, long in ((285.0, False), (291.0, True)):  # 4.7 and 4.8 min from the first breath to the last
        time = breath_times(seconds, 3.0)
        breaths = Breaths(time, response(time, 1.4, 4.0) + 0.1 * np.sin(time))
        assert estimate(breaths) == estimate(breaths, "mean" if long else "euler")
    assert estimate(breaths, "mean").rate == pytest.approx(breaths.rate[-40:].mean(), rel=1e-12)
    with pytest.raises(ValueError, match="need at least 2 breaths in the last 2 s, got 1"):
        mean_of_last(breaths, 2.0)


def test_the_estimate_is_called_sensitive_to_tau_after_a_large_change_only() -> None:
    time = breath_times(120.0, 3.0)
    noise = 0.5 * stream("noise").standard_normal(time.size)
    steady = sensitivity(Breaths(time, 4.3 + noise), "exact")
    assert not steady.warn
    change = sensitivity(Breaths(time, response(time, 1.4, 4.3) + noise), "exact")
    assert change.warn
    clean = sensitivity(Breaths(time, response(time, 1.4, 4.3)), "exact")
    assert list(clean.taus) == [30.0, 42.0, 54.0]
    assert clean.rates[1] == pytest.approx(4.3)
    assert clean.rates[0] < clean.rates[1] < clean.rates[2]  # a slow fit sees more to come


def changed(row: int, column: str, value: float) -> tuple[Array, Array]:
    columns = {"time": breath_times(60.0, 3.0), "rate": np.full(20, 4.0)}
    columns[column][row] = value
    return columns["time"], columns["rate"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(3, "time", np.nan), r"breath 3 \(from 0\): expected a finite time \(s\), got nan"),
        (
            changed(3, "time", 9.0),
            r"breath 3 \(from 0\): expected a time later than the previous one \(s\), got 9",
        ),
        (
            changed(0, "time", 7.0),
            r"breath 1 \(from 0\): expected a time later than the previous one \(s\), got 6",
        ),
        (changed(5, "rate", 0.0), r"breath 5 \(from 0\): expected a positive finite rate \(W/kg\), got 0"),
        (
            changed(5, "rate", -2.5),
            r"breath 5 \(from 0\): expected a positive finite rate \(W/kg\), got -2.5",
        ),
        (
            changed(19, "rate", np.inf),
            r"breath 19 \(from 0\): expected a positive finite rate \(W/kg\), got inf",
        ),
        ((np.arange(9.0), np.ones(9)), "need at least 10 breaths, got 9: measure for longer"),
    ],
)
def test_bad_breaths_are_refused_with_their_row(data: tuple[Array, Array], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Breaths(*data)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="need a finite tau > 0 s, got 0"):
        estimate(noisy(), "euler", tau=0.0)
