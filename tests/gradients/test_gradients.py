"""The score-function estimator against the exact gradient, and the exact gradient against itself."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

from policysearch.core import Array, Proposal, Rollout
from policysearch.evaluators import EpisodeEvaluator
from policysearch.gradients import baselines, score_function
from policysearch.models.lqr import LQR
from policysearch.policies import Gaussian, Linear
from policysearch.seeding import stream
from policysearch.simulators.lqr import LQREnv, chain

A, B = np.array([[1.0, 0.2], [0.0, 0.9]]), np.array([[0.0], [1.0]])
SMALL = LQR(
    A=A, B=B, Q=np.diag([0.1, 1.0]), R=np.array([[0.05]]), Q_f=np.diag([0.1, 1.0]), W=1e-4 * np.eye(2),
    mu_0=np.array([2.0, -1.0]), S_0=0.01 * np.eye(2), horizon=3,
)  # fmt: skip
K, LOG_STD = np.zeros((1, 2)), np.array([-0.7])
POLICY = Gaussian(Linear(2, 1, bias=False))


def exact(problem: LQR) -> Array:
    grad_K, grad_log_std = problem.gradient(K, LOG_STD)
    return np.concatenate([grad_K.ravel(), grad_log_std])


def episodes(problem: LQR, n: int, seed: int) -> list[Rollout]:
    """Episodes of the linear-Gaussian policy, simulated here without the evaluator."""
    rng, H = stream(seed), problem.horizon
    x = problem.mu_0 + rng.standard_normal((n, 2)) @ np.linalg.cholesky(problem.S_0).T
    obs, actions, rewards = np.empty((n, H, 2)), np.empty((n, H, 1)), np.empty((n, H))
    for t in range(H):
        u = x @ K.T + np.exp(LOG_STD) * rng.standard_normal((n, 1))
        obs[:, t], actions[:, t] = x, u
        rewards[:, t] = -np.einsum("ni,ij,nj->n", x, problem.Q, x) - np.einsum("ni,ij,nj->n", u, problem.R, u)
        x = x @ problem.A.T + u @ problem.B.T + rng.standard_normal((n, 2)) @ np.linalg.cholesky(problem.W).T
    # the last reward also pays for the final state, discounted once more than the step itself
    rewards[:, -1] -= problem.discount * np.einsum("ni,ij,nj->n", x, problem.Q_f, x)
    params = np.concatenate([K.ravel(), LOG_STD])
    return [
        Rollout(POLICY, params, *record, x[i], True, False)  # type: ignore[arg-type]
        for i, record in enumerate(zip(obs, actions, rewards, strict=True))
    ]


@cache
def pool_of(discount: float, n: int) -> list[Rollout]:
    return episodes(dataclasses.replace(SMALL, discount=discount), n, seed=1)


def mean_estimate(groups: int, N: int, discount: float, **options: Any) -> tuple[Array, Array]:
    """The mean over groups of N episodes of the estimate, and its standard error.

    The score is linear in the weights, so the episodes of fifty batches are scored together.
    """
    pool = pool_of(discount, groups * N)
    weights = [
        baselines.weights(pool[i : i + N], discount=discount, **options) for i in range(0, groups * N, N)
    ]
    flat = np.array([w for group in weights for w in group])
    batches = []
    for part, w in zip(np.array_split(np.arange(len(pool)), 50), np.array_split(flat, 50), strict=True):
        obs = np.concatenate([pool[i].obs for i in part])
        actions = np.concatenate([pool[i].actions for i in part])
        batches.append(POLICY.score(pool[0].params, obs, actions, w.ravel()) / len(part))
    return np.mean(batches, axis=0), np.std(batches, axis=0, ddof=1) / np.sqrt(50)


@pytest.mark.parametrize(
    ("baseline", "reward_to_go"),
    [
        ("mean", False),
        *(
            pytest.param(baseline, reward_to_go, marks=pytest.mark.nightly)
            for baseline, reward_to_go in (
                ("step", True),
                ("none", True),
                ("none", False),
                ("mean", True),
                ("step", False),
            )
        ),
    ],
)
def test_the_policy_gradient_is_unbiased_with_two_episodes(baseline: Any, reward_to_go: bool) -> None:
    # N = 2: a baseline that included its own episode would halve the gradient.
    options = {"baseline": baseline, "reward_to_go": reward_to_go}
    found, error = mean_estimate(14_000 if baseline == "none" else 7_000, 2, 1.0, **options)
    truth = exact(SMALL)
    assert np.linalg.norm(error) < 0.03 * np.linalg.norm(truth)
    assert (np.abs(found - truth) < 4 * error).all()


def test_the_factor_gamma_to_the_t_is_what_makes_the_discounted_gradient_unbiased() -> None:
    problem = dataclasses.replace(SMALL, discount=0.7)
    truth = exact(problem)
    kept, error = mean_estimate(7_000, 2, 0.7, discounted_start=True)
    assert np.linalg.norm(error) < 0.03 * np.linalg.norm(truth)
    assert (np.abs(kept - truth) < 4 * error).all()
    dropped, error = mean_estimate(7_000, 2, 0.7)
    assert (np.abs(dropped - truth) > 8 * error).any()


@pytest.mark.nightly
def test_baselines_and_reward_to_go_lower_the_variance() -> None:
    def spread(**options: Any) -> float:
        return float(np.sum(mean_estimate(2000, 4, 1.0, **options)[1] ** 2))

    plain = spread(baseline="none", reward_to_go=False)
    assert spread(baseline="none") < 0.8 * plain
    assert spread(baseline="step") < 0.8 * spread(baseline="none")


def rollout(rewards: list[float]) -> Rollout:
    T = len(rewards)
    return Rollout(
        POLICY, np.zeros(3), np.zeros((T, 2)), np.zeros((T, 1)), np.array(rewards), np.zeros(2), True, False
    )


@pytest.mark.parametrize("discount", [1.0, 0.9, 0.5])
def test_reward_to_go_is_its_double_sum(discount: float) -> None:
    rewards = stream(2).standard_normal(7)
    expected = [sum(discount ** (u - t) * rewards[u] for u in range(t, 7)) for t in range(7)]
    assert score_function.rewards_to_go(rewards, discount) == pytest.approx(expected)


def test_weights_worked_by_hand_for_episodes_of_unequal_length() -> None:
    rollouts = [rollout([1.0, 2.0, 4.0]), rollout([3.0]), rollout([0.0, 5.0])]
    # G: (7, 6, 4), (3), (5, 5); an episode that has ended counts as 0
    none = baselines.weights(rollouts, discount=1.0, baseline="none")
    assert [w.tolist() for w in none] == [[7, 6, 4], [3], [5, 5]]
    mean = baselines.weights(rollouts, discount=1.0, baseline="mean")
    # others' returns: (3 + 5)/2 = 4, (7 + 5)/2 = 6, (7 + 3)/2 = 5
    assert [w.tolist() for w in mean] == [[3, 2, 0], [-3], [0, 0]]
    step = baselines.weights(rollouts, discount=1.0, baseline="step")
    # step 1: others of episode 0: (0 + 5)/2; of episode 2: (6 + 0)/2; step 2: (0 + 0)/2
    assert [w.tolist() for w in step] == [[3, 3.5, 4], [-3], [0, 2]]
    whole = baselines.weights(rollouts, discount=1.0, baseline="none", reward_to_go=False)
    assert [w.tolist() for w in whole] == [[7, 7, 7], [3], [5, 5]]
    halved = baselines.weights(rollouts, discount=0.5, baseline="none", discounted_start=True)
    # G: (1 + 1 + 1, 2 + 2, 4), times (1, ½, ¼)
    assert halved[0].tolist() == [3, 2, 1]


def test_the_gradient_is_the_mean_over_episodes_of_their_weighted_scores() -> None:
    pool = episodes(SMALL, 3, seed=2)
    weights = [np.array([1.0, 2.0, -1.0]), np.array([0.5, 0.0, 3.0]), np.array([-2.0, 1.0, 1.0])]
    scores = [POLICY.score(r.params, r.obs, r.actions, w) for r, w in zip(pool, weights, strict=True)]
    assert score_function.gradient(pool, weights) == pytest.approx(sum(scores) / 3)


def differences(problem: LQR, K: Array, log_std: Array) -> tuple[Array, Array]:
    h = 1e-6

    def J(dK: Array, dl: Array) -> float:  # noqa: N802 - the symbol
        return problem.expected_return(K + dK, log_std + dl)

    none = np.zeros_like(log_std)
    grad_K = np.zeros_like(K)
    for index in np.ndindex(*K.shape):
        e = np.zeros_like(K)
        e[index] = h
        grad_K[index] = (J(e, none) - J(-e, none)) / (2 * h)
    grad_l = [(J(0 * K, h * e) - J(0 * K, -h * e)) / (2 * h) for e in np.eye(log_std.size)]
    return grad_K, np.array(grad_l)


@pytest.mark.parametrize("discount", [1.0, 0.8])
@pytest.mark.parametrize("base", [SMALL, dataclasses.replace(chain(), horizon=10)], ids=["small", "chain"])
def test_the_exact_gradient_is_the_derivative_of_the_exact_return(base: LQR, discount: float) -> None:
    problem = dataclasses.replace(base, discount=discount)
    size, inputs = problem.B.shape
    gain, log_std = -0.2 * np.ones((inputs, size)), np.log(0.3) * np.ones(inputs)
    for ours, numeric in zip(
        problem.gradient(gain, log_std), differences(problem, gain, log_std), strict=True
    ):
        assert ours == pytest.approx(numeric, rel=1e-6, abs=1e-7)


def test_exploration_only_hurts_a_linear_quadratic_regulator() -> None:
    assert (chain().gradient(-0.05 * np.eye(3), np.zeros(3))[1] < 0).all()


@pytest.mark.nightly
def test_the_expected_return_is_the_mean_over_simulated_episodes() -> None:
    problem = chain()
    policy = Gaussian(Linear(3, 3, bias=False))
    gain, log_std = -0.06 * np.eye(3), np.full(3, np.log(0.1))
    evaluator = EpisodeEvaluator(lambda: LQREnv(problem), policy)
    params = np.concatenate([gain.ravel(), log_std])[None]
    returns = evaluator.evaluate(Proposal(params, params[0], 700, sample=True), (1,)).returns
    truth, error = problem.expected_return(gain, log_std), returns.std() / np.sqrt(returns.size)
    assert error < 0.03 * abs(truth)
    assert abs(returns.mean() - truth) < 4 * error
    modes = evaluator.evaluate(Proposal(params, params[0], 700), (1,)).returns
    quiet, error = problem.expected_return(gain, np.full(3, -np.inf)), modes.std() / np.sqrt(modes.size)
    assert error < 0.03 * abs(quiet)
    assert abs(modes.mean() - quiet) < 4 * error


@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_no_controller_beats_the_riccati_optimum_and_its_own_gains_reach_it(discount: float) -> None:
    problem = dataclasses.replace(SMALL, discount=discount)
    best = problem.optimal_return()
    for seed in range(200):
        gain = stream(seed).standard_normal((1, 2))
        assert problem.expected_return(gain, np.array([-np.inf])) < best
    # the cost of the time-varying gains, summed forwards along the second moments
    P, gains = problem.Q_f, []
    for _ in range(problem.horizon):
        L = problem.R + discount * problem.B.T @ P @ problem.B
        gains.append(-np.linalg.solve(L, discount * problem.B.T @ P @ problem.A))
        P = problem.Q + discount * problem.A.T @ P @ (problem.A + problem.B @ gains[-1])
    X, total = problem.S_0 + np.outer(problem.mu_0, problem.mu_0), 0.0
    for t, gain in enumerate(reversed(gains)):
        total -= discount**t * np.trace((problem.Q + gain.T @ problem.R @ gain) @ X)
        M = problem.A + problem.B @ gain
        X = M @ X @ M.T + problem.W
    total -= discount**problem.horizon * np.trace(problem.Q_f @ X)
    assert best == pytest.approx(total, rel=1e-12)


def test_the_instance_used_in_comparisons_is_the_marginally_unstable_chain() -> None:
    problem = chain()
    assert np.max(np.abs(np.linalg.eigvals(problem.A))) == pytest.approx(1.0241, abs=1e-4)
    nothing = problem.expected_return(np.zeros((3, 3)), np.full(3, -np.inf))
    assert nothing == pytest.approx(-3.546, abs=1e-3)
    assert problem.optimal_return() == pytest.approx(-0.2413, abs=1e-4)


def test_an_unstable_controller_fails_the_episode_and_raises_nothing() -> None:
    evaluator = EpisodeEvaluator(LQREnv, Linear(3, 3))
    params = np.full((1, 12), 1e4)
    evaluation = evaluator.evaluate(Proposal(params, params[0]), (1,))
    assert np.isnan(evaluation.returns).all()
    assert "not finite" in evaluation.failures[0].reason or "reward is" in evaluation.failures[0].reason
