"""The Gaussian process by which Bayesian optimization recommends, which needs neither optuna nor PyTorch."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from policysearch.core import Array
from policysearch.optimizers.bayesian import LOWER, UPPER, _cost, _matern, posterior_mean
from policysearch.seeding import stream


def distances(u: Array) -> Array:
    return np.asarray(np.linalg.norm(u[:, None] - u[None], axis=-1))


def sample(n: int, d: int = 3, seed: int = 1) -> tuple[Array, Array]:
    rng = stream(seed)
    u = rng.random((n, d))
    y = np.sin(3 * u.sum(axis=1)) + 0.1 * rng.standard_normal(n)
    return u, (y - y.mean()) / y.std()


@pytest.mark.parametrize("log", [[-0.7, -1.2], [0.5, -6.0], [-2.0, 2.0]])
def test_the_cost_is_minus_the_log_density_of_a_normal_with_the_best_scale(log: list[float]) -> None:
    u, z = sample(9)
    A = _matern(distances(u) / np.exp(log[0]))[0] + np.exp(log[1]) * np.eye(9)
    scales = [
        multivariate_normal(cov=s2 * A).logpdf(z)
        for s2 in (z @ np.linalg.solve(A, z) / 9) * np.array([0.9, 1.0, 1.1])
    ]
    assert scales[1] > max(scales[0], scales[2])
    constant = 9 / 2 * (1 + np.log(2 * np.pi / 9))
    assert _cost(np.array(log), distances(u), z)[0] == pytest.approx(-scales[1] - constant, rel=1e-9)


@pytest.mark.parametrize("log", [[-0.7, -1.2], [0.5, -6.0], [-2.0, 2.0]])
def test_the_derivatives_of_the_cost_are_those_of_finite_differences(log: list[float]) -> None:
    u, z = sample(9)
    numeric = approx_fprime(np.array(log), lambda p: _cost(p, distances(u), z)[0], 1e-7)
    assert _cost(np.array(log), distances(u), z)[1] == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_the_kernel_is_that_of_matern_with_five_halves() -> None:
    r = np.array([[0.0, 1.0], [1.0, 0.0]]) / np.sqrt(5)
    by_hand = (1 + 1 + 1 / 3) / np.e
    assert _matern(r)[0] == pytest.approx(np.array([[1.0, by_hand], [by_hand, 1.0]]))


def test_the_posterior_mean_is_that_of_the_likeliest_length_and_noise() -> None:
    u, y = sample(25)
    logs = [np.linspace(np.log(low), np.log(high), 60) for low, high in zip(LOWER, UPPER, strict=True)]
    D = distances(u)
    z = (y - y.mean()) / y.std()
    _, length, noise = min((_cost(np.array([a, b]), D, z)[0], a, b) for a in logs[0] for b in logs[1])
    K = _matern(D / np.exp(length))[0]
    by_grid = y.mean() + y.std() * K @ np.linalg.inv(K + np.exp(noise) * np.eye(25)) @ z
    assert posterior_mean(u, y) == pytest.approx(by_grid, abs=0.05 * y.std())


def test_one_lucky_value_among_poor_neighbours_is_not_believed() -> None:
    # around 0.2 nothing is to be had, but one of six got 10; around 0.8 there is always about 6
    u = np.array([0.17, 0.18, 0.19, 0.2, 0.21, 0.22, 0.77, 0.78, 0.79, 0.8, 0.81, 0.82])[:, None]
    y = np.array([0.3, -0.2, 0.1, 10.0, -0.3, 0.0, 6.1, 5.8, 6.2, 6.0, 5.9, 6.3])
    assert y.argmax() == 3
    assert posterior_mean(u, y).argmax() >= 6


def test_values_without_noise_are_believed_and_pure_noise_is_not() -> None:
    u, _ = sample(25)
    smooth = np.sin(2 * u[:, 0]) + u[:, 1]
    assert posterior_mean(u, smooth) == pytest.approx(smooth, abs=0.02)
    # 24 values per place, at three places: what is left is about a fifth of the noise, 1/√24
    places, noise = np.repeat([[0.1], [0.5], [0.9]], 24, axis=0), stream(2).standard_normal(72)
    assert posterior_mean(places, noise).std() < 0.35 * noise.std()


def test_units_and_offsets_of_the_values_pass_through() -> None:
    u, y = sample(12)
    assert posterior_mean(u, 1000.0 * y - 50.0) == pytest.approx(
        1000.0 * posterior_mean(u, y) - 50.0, rel=1e-4
    )


def test_values_of_any_size_have_a_finite_mean() -> None:
    u, y = sample(6)
    assert np.isfinite(posterior_mean(u, 1e100 * y)).all()
    assert posterior_mean(u, np.full(6, 3.3)).tolist() == [3.3] * 6
    assert posterior_mean(u[:1], np.array([2.0])).tolist() == [2.0]
    twins = np.repeat(u[:3], 2, axis=0)
    assert np.isfinite(posterior_mean(twins, y)).all()
