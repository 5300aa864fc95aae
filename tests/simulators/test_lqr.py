"""The simulator of the linear-quadratic regulator against its equations."""

import dataclasses
import warnings

import gymnasium as gym
import numpy as np
import pytest
from problems import FULL

import policysearch.simulators  # noqa: F401 - registers the environment
from policysearch.core import Array, Proposal
from policysearch.evaluators import EpisodeEvaluator
from policysearch.policies import Gaussian, Linear
from policysearch.seeding import stream
from policysearch.simulators.lqr import LQREnv, chain

#: Noise of rank one: it leaves two directions alone.
SINGULAR = np.outer([1.0, -2.0, 0.5], [1.0, -2.0, 0.5])


def episode(env: LQREnv, seed: int, actions: Array) -> tuple[Array, Array, list[tuple[bool, bool]]]:
    """States (one more than actions), rewards and ends."""
    states, rewards, ends = [env.reset(seed=seed)[0]], [], []
    for action in actions:
        x, reward, terminated, truncated, _ = env.step(action)
        states.append(x)
        rewards.append(reward)
        ends.append((terminated, truncated))
    return np.array(states), np.array(rewards), ends


def test_rewards_are_the_costs_of_state_and_input_and_the_last_pays_for_the_final_state() -> None:
    actions = stream(1).standard_normal((FULL.horizon, 2))
    states, rewards, ends = episode(LQREnv(FULL), 3, actions)
    expected = [-(x @ FULL.Q @ x) - u @ FULL.R @ u for x, u in zip(states[:-1], actions, strict=True)]
    expected[-1] -= states[-1] @ FULL.Q_f @ states[-1]
    assert rewards == pytest.approx(np.array(expected))
    assert ends == [(False, False)] * (FULL.horizon - 1) + [(True, False)]


@pytest.mark.parametrize("noise", [FULL.W, SINGULAR, 0 * SINGULAR], ids=["full", "singular", "none"])
def test_starts_and_noise_have_the_means_and_covariances_of_the_problem(noise: Array) -> None:
    problem = dataclasses.replace(FULL, W=noise)
    env, n = LQREnv(problem), 1500
    actions = stream(2).standard_normal((n, problem.horizon, 2))
    states = np.array([episode(env, seed, actions[seed])[0] for seed in range(n)])
    moved = states[:, :-1] @ problem.A.T + actions @ problem.B.T
    residuals = (states[:, 1:] - moved).reshape(-1, 3)
    for sample, mean, S in ((states[:, 0], problem.mu_0, problem.S_0), (residuals, np.zeros(3), noise)):
        size = len(sample)
        error = np.sqrt(np.diag(S) / size)
        assert (np.abs(sample.mean(axis=0) - mean) <= 4 * error + 1e-12).all()
        spread = np.sqrt((S**2 + np.outer(np.diag(S), np.diag(S))) / size)  # of a sample covariance
        assert (np.abs(np.cov(sample.T) - S) <= 4.5 * spread + 1e-12).all()
    # the noise of one step says nothing of the next
    lagged = (states[:, 1:] - moved)[:, :-1].reshape(-1, 3).T @ (states[:, 1:] - moved)[:, 1:].reshape(-1, 3)
    limit = 4.5 * np.sqrt(np.outer(np.diag(noise), np.diag(noise)) * n * (problem.horizon - 1))
    assert (np.abs(lagged) <= limit + 1e-9).all()


def test_the_noise_of_an_episode_belongs_to_its_seed_and_not_to_the_actions() -> None:
    env = LQREnv(FULL)
    runs = [episode(env, 5, scale * np.ones((FULL.horizon, 2))) for scale in (0.0, 1.0)]
    noise = [
        states[1:] - states[:-1] @ FULL.A.T - scale * np.ones((FULL.horizon, 2)) @ FULL.B.T
        for scale, (states, _, _) in enumerate(runs)
    ]
    assert noise[0] == pytest.approx(noise[1], abs=1e-12)
    assert runs[0][0][0].tobytes() == runs[1][0][0].tobytes()
    other = episode(env, 6, np.zeros((FULL.horizon, 2)))[0]
    assert np.abs(other - runs[0][0]).min() > 1e-6


def test_what_the_environment_hands_out_is_not_its_own_state() -> None:
    spoiled, clean = LQREnv(FULL), LQREnv(FULL)
    actions = np.zeros((2, 2))
    expected = episode(clean, 1, actions)[0]
    x, _ = spoiled.reset(seed=1)
    x[:] = np.nan
    first = spoiled.step(actions[0])[0]
    assert first == pytest.approx(expected[1])
    first[:] = np.nan
    assert spoiled.step(actions[1])[0] == pytest.approx(expected[2])


@pytest.mark.nightly
def test_the_mean_return_of_an_evaluation_is_the_expected_one_with_correlated_noise() -> None:
    problem = dataclasses.replace(FULL, discount=1.0)
    K, log_std = -0.3 * np.linalg.pinv(problem.B) @ problem.A, np.array([-1.5, -1.0])
    params = np.concatenate([K.ravel(), log_std])
    evaluator = EpisodeEvaluator(lambda: LQREnv(problem), Gaussian(Linear(3, 2, bias=False)))
    returns = evaluator.evaluate(Proposal(params[None], params, 3500, sample=True), (1,)).returns
    truth, error = problem.expected_return(K, log_std), returns.std() / np.sqrt(returns.size)
    assert error < 0.03 * abs(truth)
    assert abs(returns.mean() - truth) < 4 * error


@pytest.mark.nightly
def test_the_mean_square_of_a_trajectorys_score_is_the_fisher_matrix() -> None:
    K, log_std = -0.3 * np.linalg.pinv(FULL.B) @ FULL.A, np.array([-1.5, -1.0])
    params = np.concatenate([K.ravel(), log_std])
    evaluator = EpisodeEvaluator(lambda: LQREnv(FULL), Gaussian(Linear(3, 2, bias=False)))
    rollouts = evaluator.evaluate(
        Proposal(params[None], params, 4000, sample=True, record=True), (2,)
    ).rollouts
    scores = np.array([rollout.score(np.ones(len(rollout.rewards))) for rollout in rollouts[0]])
    squares = scores[:, :, None] * scores[:, None, :]
    F, error = FULL.fisher(K, log_std), squares.std(axis=0) / np.sqrt(len(squares))
    assert (np.diag(error) < 0.05 * np.diag(F)).all()
    assert (np.abs(squares.mean(axis=0) - F) < 4 * error).all()


def test_the_registered_environment_is_the_chain_with_unbounded_spaces() -> None:
    env = gym.make("policysearch/LQR-v0", disable_env_checker=True)
    assert env.observation_space == gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    assert env.action_space == gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    actions = 0.1 * stream(3).standard_normal((100, 3))
    x, _ = env.reset(seed=7)
    expected, rewards, _ = episode(LQREnv(chain()), 7, actions)
    assert x.tobytes() == expected[0].tobytes()
    ended = []
    for t, action in enumerate(actions):
        x, reward, terminated, truncated, _ = env.step(action)
        assert (x.tobytes(), reward) == (expected[t + 1].tobytes(), rewards[t])
        ended.append((terminated, truncated))
    assert ended == [(False, False)] * 99 + [(True, False)]


def test_gymnasiums_own_checker_finds_nothing_wrong() -> None:
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Box.*(infinity|inf|symmetric).*")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        warnings.filterwarnings("ignore", message=".*render.*")
        warnings.filterwarnings("ignore", message=".*spec.*")
        check_env(LQREnv(FULL), skip_render_check=True)


def test_a_state_that_runs_away_to_infinity_raises_nothing() -> None:
    env = LQREnv(FULL)
    env.reset(seed=1)
    rewards = [env.step(np.full(2, 1e200))[1] for _ in range(FULL.horizon)]
    assert not np.isfinite(rewards).all()
