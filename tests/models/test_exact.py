"""The linear-quadratic regulator, by hand and with full matrices."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import FULL
from scipy import optimize

from policysearch.core import Array
from policysearch.models.lqr import LQR
from policysearch.seeding import stream


def scalar(x: float) -> Array:
    return np.array([[x]])


ONE_STEP = LQR(
    A=scalar(0.9), B=scalar(0.5), Q=scalar(2.0), R=scalar(0.3), Q_f=scalar(1.5), W=scalar(0.2),
    mu_0=np.array([1.0]), S_0=scalar(0.4), horizon=1, discount=0.8,
)  # fmt: skip


def test_one_step_worked_by_hand() -> None:
    K, log_std = scalar(-0.7), np.log(np.array([0.6]))
    # X_0 = 0.4 + 1² = 1.4;  M = 0.9 − 0.35 = 0.55;  X_1 = 0.55²·1.4 + 0.25·0.36 + 0.2 = 0.7135
    # J = −[(2 + 0.49·0.3)·1.4 + 0.3·0.36] − 0.8·1.5·0.7135 = −3.1138 − 0.8562
    assert ONE_STEP.expected_return(K, log_std) == pytest.approx(-3.97)
    # L = 0.3 + 0.8·0.25·1.5 = 0.6;  ∂J/∂K = −2(0.6·(−0.7) + 0.8·0.5·1.5·0.9)·1.4;  ∂J/∂ℓ = −2·0.6·0.36
    grad_K, grad_log_std = ONE_STEP.gradient(K, log_std)
    assert grad_K == pytest.approx(scalar(-0.336))
    assert grad_log_std == pytest.approx(np.array([-0.432]))


def test_the_optimum_of_one_step_worked_by_hand() -> None:
    # G = 0.54, K* = −G/L = −0.9;  P_0 = 2 + 0.8·0.81·1.5 − 0.54²/0.6 = 2.486
    # J* = −2.486·1.4 − 0.8·1.5·0.2
    assert ONE_STEP.optimal_return() == pytest.approx(-3.7204)
    assert ONE_STEP.expected_return(scalar(-0.9), np.array([-np.inf])) == pytest.approx(-3.7204)
    assert ONE_STEP.gradient(scalar(-0.9), np.array([-np.inf]))[0] == pytest.approx(scalar(0.0), abs=1e-12)


def test_fisher_and_natural_gradient_of_one_step_worked_by_hand() -> None:
    K, log_std = scalar(-0.7), np.log(np.array([0.6]))
    # F = X_0/σ² = 1.4/0.36 for K and 2 for ℓ
    assert ONE_STEP.fisher(K, log_std) == pytest.approx(np.diag([1.4 / 0.36, 2.0]))
    # −0.336·0.36/1.4 and −0.432/2
    natural_K, natural_log_std = ONE_STEP.natural_gradient(K, log_std)
    assert natural_K == pytest.approx(scalar(-0.0864))
    assert natural_log_std == pytest.approx(np.array([-0.216]))


def test_the_natural_gradient_solves_for_the_gradient_also_when_no_matrix_is_diagonal() -> None:
    K, log_std = 0.3 * stream(8).standard_normal((2, 3)), np.array([-1.0, 0.2])
    grad, natural = (
        np.concatenate([part.ravel() for part in parts])
        for parts in (FULL.gradient(K, log_std), FULL.natural_gradient(K, log_std))
    )
    assert FULL.fisher(K, log_std) @ natural == pytest.approx(grad, rel=1e-10)
    # a state that is always the same multiple of another leaves a direction of K that nothing moves
    flat = dataclasses.replace(FULL, A=0 * FULL.A, B=0 * FULL.B, W=0 * FULL.W, S_0=0 * FULL.S_0)
    F, (natural_K, _) = flat.fisher(K, log_std), flat.natural_gradient(K, log_std)
    expected = np.linalg.pinv(F, rcond=1e-12) @ np.concatenate([g.ravel() for g in flat.gradient(K, log_std)])
    assert natural_K.ravel() == pytest.approx(expected[:6], rel=1e-9)


def rolled_out(problem: LQR, gains: list[Array], log_std: Array) -> float:
    """The return of gains that vary with time, by carrying mean and covariance forwards."""
    mean, S, total = problem.mu_0, problem.S_0, 0.0
    Sigma = np.diag(np.exp(2 * log_std))
    for t, K in enumerate(gains):
        second = S + np.outer(mean, mean)
        total -= problem.discount**t * np.trace(problem.Q @ second)
        total -= problem.discount**t * np.trace(problem.R @ (K @ second @ K.T + Sigma))
        M = problem.A + problem.B @ K
        mean, S = M @ mean, M @ S @ M.T + problem.B @ Sigma @ problem.B.T + problem.W
    return total - problem.discount ** len(gains) * np.trace(problem.Q_f @ (S + np.outer(mean, mean)))


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_the_expected_return_is_that_of_the_mean_and_covariance_carried_forwards(discount: float) -> None:
    problem = dataclasses.replace(FULL, discount=discount)
    K, log_std = 0.3 * stream(6).standard_normal((2, 3)), np.array([-1.0, 0.2])
    expected = rolled_out(problem, [K] * problem.horizon, log_std)
    assert problem.expected_return(K, log_std) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_the_gradient_is_the_derivative_also_when_no_matrix_is_diagonal(discount: float) -> None:
    problem = dataclasses.replace(FULL, discount=discount)
    theta, h = np.concatenate([0.3 * stream(7).standard_normal(6), [-1.0, 0.2]]), 1e-5

    def J(theta: Array) -> float:  # noqa: N802 - the symbol
        return problem.expected_return(theta[:6].reshape(2, 3), theta[6:])

    numeric = np.array([(J(theta + h * e) - J(theta - h * e)) / (2 * h) for e in np.eye(8)])
    grad_K, grad_log_std = problem.gradient(theta[:6].reshape(2, 3), theta[6:])
    assert np.concatenate([grad_K.ravel(), grad_log_std]) == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.nightly
def test_the_optimum_is_reached_by_varying_gains_and_not_by_the_best_constant_one(discount: float) -> None:
    problem = dataclasses.replace(FULL, discount=discount)
    silent = np.full(2, -np.inf)
    best = problem.optimal_return()

    def cost(gains: Array) -> float:
        return -rolled_out(problem, list(gains.reshape(problem.horizon, 2, 3)), silent)

    # found by a general optimizer, which knows no Riccati equation
    varying = optimize.minimize(cost, np.zeros(problem.horizon * 6), tol=1e-10)
    assert -varying.fun == pytest.approx(best, rel=1e-6)
    assert -varying.fun <= best + 1e-9
    constant = optimize.minimize(
        lambda k: -problem.expected_return(k.reshape(2, 3), silent),
        np.zeros(6),
        jac=lambda k: -problem.gradient(k.reshape(2, 3), silent)[0].ravel(),
    )
    assert -constant.fun < best - 1e-4
    assert -constant.fun > best - 0.2 * abs(best)  # the search did find the neighbourhood


GAINS = st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6).map(lambda k: np.array(k).reshape(2, 3))


@settings(deadline=None)
@given(GAINS, st.floats(-3.0, 1.0), st.floats(0.01, 1.0))
def test_more_exploration_is_always_worse(K: Array, log_std: float, more: float) -> None:
    quiet = np.full(2, log_std)
    assert (FULL.gradient(K, quiet)[1] < 0).all()
    returns = [
        FULL.expected_return(K, np.array(loud)) for loud in ((log_std + more, log_std), (log_std,) * 2)
    ]
    assert returns[0] < returns[1] < FULL.expected_return(K, np.full(2, -np.inf)) <= FULL.optimal_return()


def test_without_noise_and_costs_of_control_the_state_is_brought_to_zero_at_once() -> None:
    eye = np.eye(2)
    problem = LQR(
        A=np.array([[1.0, 0.5], [0.0, 1.0]]), B=eye, Q=eye, R=1e-9 * eye, Q_f=eye, W=0 * eye,
        mu_0=np.array([1.0, 2.0]), S_0=0 * eye, horizon=4,
    )  # fmt: skip
    assert problem.optimal_return() == pytest.approx(-(1.0 + 4.0), rel=1e-6)  # the first state is paid for
    assert problem.expected_return(-problem.A, np.full(2, -np.inf)) == pytest.approx(-5.0, rel=1e-6)
