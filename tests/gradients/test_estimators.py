"""The estimators of ∇J, their expectations taken exactly over all episodes of the chain of `test_score_function`."""

import dataclasses
import itertools
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from test_gradients import SMALL, episodes
from test_gradients import exact as exact_of_lqr
from test_score_function import (
    EPISODES,
    HORIZON,
    POLICY,
    REWARD,
    STOP,
    THETA,
    J,
    exact_gradient,
    probability,
    rollout,
)

from policysearch.core import Array, Proposal, Rollout
from policysearch.estimates.measurement import Estimates, Request, measured
from policysearch.evaluators import CompiledEvaluator
from policysearch.gradients import (
    baselines,
    finite_difference,
    natural,
    off_policy,
    parameter_space,
    score_function,
    values,
)
from policysearch.gradients.estimators import FROM_RETURNS, FROM_ROLLOUTS
from policysearch.policies import Gaussian, Linear, Softmax
from policysearch.seeding import stream
from policysearch.simulators.problems import random_mdp
from policysearch.simulators.tabular import make_simulator
from policysearch.tasks import find_task

Estimate = Callable[[Sequence[Rollout]], Array]
OTHER = THETA + np.array([0.4, -0.3, 0.2, 0.5])  # parameters that made no rollout


def expected(estimate: Estimate, episodes_each: int = 2) -> Array:
    """The mean of an estimate from independent episodes, over all of them with their probabilities."""
    total = np.zeros(4)
    known = [(probability(THETA, chance, e), e) for chance, e in EPISODES]
    for group in itertools.product(known, repeat=episodes_each):
        p = float(np.prod([chance for chance, _ in group]))
        total += p * estimate([e for _, e in group])
    return total


def gradient_at(theta: Array, discount: float) -> Array:
    h = 1e-5
    return np.array([(J(theta + h * e, discount) - J(theta - h * e, discount)) / (2 * h) for e in np.eye(4)])


# On policy -------------------------------------------------------------------------------------------


def test_an_average_that_contains_the_episode_itself_shrinks_the_gradient_by_one_nth() -> None:
    def estimate(group: Sequence[Rollout]) -> Array:
        w = baselines.average_return(group, score_function.whole_returns(group, 1.0), 1.0, include_self=True)
        return score_function.gradient(group, w)

    assert expected(estimate, 2) == pytest.approx(exact_gradient(1.0) / 2, abs=1e-8)


def test_a_step_average_that_contains_the_episode_itself_is_biased_too() -> None:
    def estimate(pair: Sequence[Rollout]) -> Array:
        w = baselines.step_average(pair, score_function.returns_to_go(pair, 1.0), include_self=True)
        return score_function.gradient(pair, w)

    assert expected(estimate) == pytest.approx(exact_gradient(1.0) / 2, abs=1e-8)


def test_the_optimal_baseline_worked_by_hand() -> None:
    # one state, two actions, θ = 0: scores of action 0 and 1 are (½, −½) and (−½, ½); components mirror each other
    policy = Softmax(Linear(1, 2, bias=False), (2,))

    def bandit(action: float, reward: float, steps: int) -> Rollout:
        actions = np.full((steps, 1), action)
        rewards = np.append(np.zeros(steps - 1), reward)
        return Rollout(policy, np.zeros(2), np.ones((steps, 1)), actions, rewards, np.ones(1), True, False)

    group = [bandit(0.0, 4.0, 1), bandit(1.0, 1.0, 2), bandit(0.0, 2.0, 3)]
    # S = ½, −1, 3/2 (first component); R = 4, 1, 2; S²R = 1, 1, 4.5; S² = ¼, 1, 9/4
    # b_i from the others: 5.5/3.25, 5.5/2.5, 2/1.25
    b = np.array([5.5 / 3.25, 5.5 / 2.5, 2 / 1.25])
    expected_g = (np.array([4.0, 1.0, 2.0]) - b) * [0.5, -1.0, 1.5]
    for per_component in (True, False):
        w = score_function.whole_returns(group, 1.0)
        g = baselines.optimal_gradients(group, w, per_component=per_component)
        assert g[:, 0] == pytest.approx(expected_g)
        assert g[:, 1] == pytest.approx(-expected_g)


def test_the_optimal_baseline_has_less_variance_than_the_average_return() -> None:
    # the whole distribution: Var over all pairs, exactly
    def spread(estimate: Estimate) -> float:
        squares = expected(lambda pair: estimate(pair) ** 2)
        return float((squares - expected(estimate) ** 2).sum())

    def constant(b: float) -> Estimate:
        return lambda pair: score_function.gradient(
            pair, [w - b for w in score_function.whole_returns(pair, 1.0)]
        )

    moments = [
        (probability(THETA, c, e), float((e.score(np.ones(e.rewards.size)) ** 2).sum()), e.rewards.sum())
        for c, e in EPISODES
    ]
    best = sum(p * s * r for p, s, r in moments) / sum(p * s for p, s, _ in moments)
    average = sum(p * r for p, _, r in moments)
    assert spread(constant(best)) < spread(constant(average)) < spread(constant(0.0))
    assert spread(constant(best)) < min(spread(constant(best + shift)) for shift in (-0.1, 0.1))


class Table:
    """A value function that is a table over state and step."""

    def __init__(self, table: Array) -> None:
        self.table = table

    def __call__(self, rollout: Rollout) -> Array:
        states = rollout.obs.argmax(axis=1)
        return np.asarray(self.table[states, np.arange(states.size)])


def true_values(discount: float) -> Array:
    """V(s, t) of the chain under THETA, by backward recursion."""
    pi = np.exp(THETA.reshape(2, 2).T)
    pi /= pi.sum(axis=1, keepdims=True)  # of action a in state s
    V = np.zeros((2, HORIZON + 1))
    for t in reversed(range(HORIZON)):
        for s in range(2):
            after = [V[s, t + 1], V[1 - s, t + 1]]
            V[s, t] = sum(
                pi[s, a] * (REWARD[s, a] + discount * (1 - STOP[s, a]) * after[a]) for a in range(2)
            )
    return V


@pytest.mark.parametrize("discount", [1.0, 0.6])
def test_any_value_function_is_an_unbiased_baseline_with_lambda_one(discount: float) -> None:
    wrong = Table(stream(1).standard_normal((2, HORIZON + 1)))

    def estimate(one: Sequence[Rollout]) -> Array:
        A = values.advantages(one, wrong, discount=discount)
        return score_function.gradient(one, score_function.from_start(A, discount))

    assert expected(estimate, 1) == pytest.approx(exact_gradient(discount), abs=1e-8)


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_with_the_true_values_every_lambda_is_unbiased(lam: float) -> None:
    true = Table(true_values(0.6))

    def estimate(one: Sequence[Rollout]) -> Array:
        A = values.advantages(one, true, discount=0.6, lam=lam)
        return score_function.gradient(one, score_function.from_start(A, 0.6))

    assert expected(estimate, 1) == pytest.approx(exact_gradient(0.6), abs=1e-8)


def test_with_wrong_values_a_small_lambda_has_the_predicted_bias() -> None:
    # λ = 0 and V = 0 leave the immediate reward: Σ_t E[r_t ∇ log π(a_t|s_t)]
    def estimate(one: Sequence[Rollout]) -> Array:
        return score_function.gradient(one, values.advantages(one, None, discount=1.0, lam=0.0))

    predicted = sum(probability(THETA, c, e) * e.score(e.rewards) for c, e in EPISODES)
    found = expected(estimate, 1)
    assert found == pytest.approx(predicted, abs=1e-12)
    assert np.linalg.norm(found - exact_gradient(1.0)) > 0.1 * np.linalg.norm(exact_gradient(1.0))


@pytest.mark.parametrize("terminated", [True, False])
def test_advantages_worked_by_hand(terminated: bool) -> None:
    episode = rollout([0, 1], [0, 1], [1.0, 2.0], terminated=terminated)
    value = Table(
        np.array([[3.0, 0.0, 7.0], [0.0, 5.0, 7.0]])
    )  # V = 3 and 5; after the end nothing, whatever ended it
    # δ = 1 + ½·5 − 3 = ½ and 2 − 5 = −3; A_0 = ½ + ½·½·(−3)
    assert values.advantages([episode], value, discount=0.5, lam=0.5)[0].tolist() == [-0.25, -3.0]


def test_a_batch_of_episodes_has_the_values_and_advantages_of_each_to_the_last_bit() -> None:
    """What one episode has after its end is no part of the one before it; lengths are those of many products."""
    rng = np.random.default_rng(3)
    any_one, batch = rollout([0], [0], [1.0]), []
    for T in (1, 2, 3, 7, 8, 9, 64, 101):
        rewards, obs = rng.normal(size=T), rng.normal(size=(T, 2))
        batch.append(dataclasses.replace(any_one, obs=obs, actions=np.zeros((T, 1)), rewards=rewards))
    value = values.LinearValue.fitted(batch, 0.9)
    for discount, lam in ((0.9, 0.5), (1.0, 1.0)):
        together = values.advantages(batch, value, discount=discount, lam=lam)
        for one, A in zip(batch, together, strict=True):
            assert A.tolist() == values.advantages([one], value, discount=discount, lam=lam)[0].tolist()
            V = np.append(value(one), 0.0)
            delta = one.rewards + discount * V[1:] - V[:-1]
            assert pytest.approx(score_function.rewards_to_go(delta, discount * lam), rel=1e-12) == A
        G = score_function.returns_to_go(batch, discount)
        assert [g.tolist() for g in G] == [
            score_function.rewards_to_go(one.rewards, discount).tolist() for one in batch
        ]


def test_standardised_weights_have_mean_zero_and_deviation_one_and_equal_ones_vanish() -> None:
    w = values.standardised([np.array([1.0, 2.0]), np.array([6.0])])
    flat = np.concatenate(w)
    assert flat.mean() == pytest.approx(0.0)
    assert flat.std() == pytest.approx(1.0)
    assert [a.size for a in w] == [2, 1]
    assert (np.concatenate(values.standardised([np.full(3, 7.1), np.full(2, 7.1)])) == 0).all()


def smooth_rollouts(n: int, seed: int) -> list[Rollout]:
    """Episodes whose value is known: reward is a function of the state, which moves by itself."""
    policy, rng, out = Gaussian(Linear(2, 1)), stream(seed), []
    for _ in range(n):
        s = rng.standard_normal((30, 2))
        obs, T = np.cumsum(0.1 * s, axis=0) + rng.standard_normal(2), 29
        rewards = 0.1 * obs[:T, 0] - 0.05 * obs[:T, 1] ** 2 + 0.01 * rng.standard_normal(T)
        out.append(Rollout(policy, np.zeros(4), obs[:T], np.zeros((T, 1)), rewards, obs[T], False, True))
    return out


@pytest.mark.parametrize("kind", ["linear", pytest.param("network", marks=pytest.mark.nightly)])
def test_a_fitted_value_function_explains_new_rollouts(kind: Any) -> None:
    past, fresh = smooth_rollouts(150, 1), smooth_rollouts(50, 2)
    value = None
    for _ in range(1 if kind == "linear" else 8):
        value = values.refitted(kind, value, past, 0.9, stream(3))
    assert value is not None
    G = np.concatenate([score_function.rewards_to_go(r.rewards, 0.9) for r in fresh])
    V = np.concatenate([value(r) for r in fresh])
    assert np.var(G - V) < 0.35 * np.var(G)


def test_the_linear_value_is_the_least_squares_fit_of_its_features() -> None:
    batch = smooth_rollouts(20, 4)
    value = values.LinearValue.fitted(batch, 0.9, ridge=0.0)
    G = [score_function.rewards_to_go(r.rewards, 0.9) for r in batch]
    rows = []
    for r in batch:
        s, tau = r.obs, np.arange(len(r.obs))[:, None] / 100
        rows.append(np.hstack([s, s**2, tau, tau**2, tau**3, np.ones_like(tau)]))
    best = np.linalg.lstsq(np.vstack(rows), np.concatenate(G), rcond=None)[0]
    V = np.concatenate([value(r) for r in batch])
    assert pytest.approx(np.vstack(rows) @ best, abs=1e-6) == V


def test_small_features_keep_their_say_beside_large_ones() -> None:
    # the cube of time reaches 27 here, the observation 0.001: a common ridge would leave it nothing to say
    small = [dataclasses.replace(r, obs=1e-3 * r.obs, rewards=r.obs[:, 0]) for r in smooth_rollouts(60, 6)]
    long = [
        dataclasses.replace(
            r,
            obs=np.tile(r.obs, (10, 1)),
            actions=np.tile(r.actions, (10, 1)),
            rewards=np.tile(r.rewards, 10),
        )
        for r in small
    ]
    value = values.LinearValue.fitted(long, 0.5)
    G = np.concatenate([score_function.rewards_to_go(r.rewards, 0.5) for r in long])
    V = np.concatenate([value(r) for r in long])
    assert np.var(G - V) < 0.2 * np.var(G)
    scaled = values.LinearValue.fitted([dataclasses.replace(r, obs=1e3 * r.obs) for r in long], 0.5)
    assert np.concatenate([scaled(dataclasses.replace(r, obs=1e3 * r.obs)) for r in long]) == pytest.approx(
        V, rel=1e-6
    )


def test_a_rescaled_value_network_is_the_same_function_with_standardised_inputs_and_targets() -> None:
    first, second = smooth_rollouts(20, 7), smooth_rollouts(20, 8)
    moved = [dataclasses.replace(r, obs=5.0 + 0.1 * r.obs, rewards=30.0 * r.rewards + 7.0) for r in second]
    value = values.NetworkValue.unfitted(first, 0.9, stream(1)).fitted(first, 0.9)
    rescaled = value.rescaled(moved, 0.9)
    # near enough that no input is cut
    near = [dataclasses.replace(r, obs=0.9 * r.obs + 0.2, rewards=2.0 * r.rewards + 0.5) for r in first]
    again = value.rescaled(near, 0.9)
    for r in first:
        assert again(r) == pytest.approx(value(r), rel=1e-9)
    inputs = rescaled.inputs(moved)[:, :2]
    assert inputs.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-9)
    assert inputs.std(axis=0) == pytest.approx([1.0, 1.0])
    G = np.concatenate([score_function.rewards_to_go(r.rewards, 0.9) for r in moved])
    assert (rescaled.mean, rescaled.scale) == (pytest.approx(G.mean()), pytest.approx(G.std()))


def test_an_observation_that_never_changes_and_one_that_explodes_leave_the_values_finite() -> None:
    batch = smooth_rollouts(5, 5)
    odd = [dataclasses.replace(r, obs=np.column_stack([r.obs[:, 0] * 0, r.obs[:, 1] * 1e9])) for r in batch]
    for kind in ("linear", "network"):
        value = values.refitted(kind, None, odd, 0.99, stream(1))  # type: ignore[arg-type]
        assert all(np.isfinite(value(r)).all() for r in odd)


def test_the_entropy_weights_give_the_gradient_of_the_entropies_of_the_states_that_were_visited() -> None:
    def entropy(theta: Array) -> float:
        total = 0.0
        for chance, e in EPISODES:
            p = probability(THETA, chance, e)
            for s in e.obs:
                logs = np.array([POLICY.log_prob(theta, s[None], np.array([[a]]))[0] for a in (0.0, 1.0)])
                total -= p * float(np.exp(logs) @ logs)
        return total

    h = 1e-5
    truth = np.array([(entropy(THETA + h * e) - entropy(THETA - h * e)) / (2 * h) for e in np.eye(4)])
    found = expected(lambda pair: score_function.gradient(pair, score_function.entropy_weights(pair)))
    assert found == pytest.approx(truth, abs=1e-8)
    alone = expected(lambda one: score_function.gradient(one, score_function.entropy_weights(one)), 1)
    assert alone == pytest.approx(truth, abs=1e-8)


def test_the_pseudo_loss_has_the_estimate_as_its_gradient() -> None:
    batch = [EPISODES[i][1] for i in (3, 11, 20)]
    w = baselines.weights(batch, discount=0.9, baseline="step")
    h = 1e-6
    numeric = [
        (
            score_function.pseudo_loss(batch, w, THETA + h * e)
            - score_function.pseudo_loss(batch, w, THETA - h * e)
        )
        / (2 * h)
        for e in np.eye(4)
    ]
    assert score_function.gradient(batch, w) == pytest.approx(np.array(numeric), abs=1e-8)


def test_the_score_of_every_step_is_the_score_with_one_weight() -> None:
    e = max((e for _, e in EPISODES), key=lambda e: e.rewards.size)
    assert score_function.step_scores(e) == pytest.approx(
        np.array([e.score(unit) for unit in np.eye(e.rewards.size)])
    )


def test_the_gradient_does_not_depend_on_how_episodes_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [e for _, e in EPISODES]
    w = baselines.weights(batch, discount=0.9)
    whole = score_function.gradient(batch, w)
    for block in (1, 5, 17):
        monkeypatch.setattr(score_function, "BLOCK", block)
        assert score_function.gradient(batch, w) == pytest.approx(whole, rel=1e-12, abs=1e-14)
        joined = list(score_function.joined(batch))
        assert sum(len(members) for members, *_ in joined) == len(batch)
        assert all(len(o) == len(a) == sum(m.rewards.size for m in members) for members, o, a in joined)
        logs = [POLICY.log_prob(THETA, e.obs, e.actions) for e in batch]
        found = score_function.log_probs(batch)
        assert all(np.array_equal(a, b) for a, b in zip(found, logs, strict=True))


def test_the_episodes_of_a_policy_with_memory_are_never_joined() -> None:
    class Remembering(Softmax):
        state_size = 1

    policy = Remembering(POLICY.logits, POLICY.choices)
    batch = [dataclasses.replace(e, policy=policy) for _, e in EPISODES]
    assert all(len(members) == 1 for members, *_ in score_function.joined(batch))


@pytest.mark.parametrize("baseline", ["mean", "step", "optimal"])
def test_a_single_episode_with_a_baseline_from_the_others_is_refused(baseline: str) -> None:
    one = [EPISODES[5][1]]
    with pytest.raises(
        ValueError, match="a baseline from the other episodes needs at least 2, got 1; draw more"
    ):
        if baseline == "optimal":
            baselines.optimal_gradients(one, score_function.whole_returns(one, 1.0))
        else:
            baselines.weights(one, discount=1.0, baseline=baseline)  # type: ignore[arg-type]


# Off policy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("discount", [1.0, 0.6])
@pytest.mark.parametrize("baseline", [True, False])
@pytest.mark.parametrize("weighting", ["trajectory", "per-decision"])
def test_products_of_ratios_give_the_gradient_of_parameters_that_made_no_rollout(
    weighting: Any, baseline: bool, discount: float
) -> None:
    def estimate(pair: Sequence[Rollout]) -> Array:
        w = off_policy.weights(
            pair, OTHER, discount=discount, weighting=weighting, baseline=baseline, discounted_start=True
        )
        return score_function.gradient(pair, w, OTHER)

    assert expected(estimate) == pytest.approx(gradient_at(OTHER, discount), abs=1e-8)


def test_the_first_order_weights_have_the_predicted_bias() -> None:
    # states as θ visits them, actions as θ' takes them, values as θ earns them
    V = true_values(1.0)
    old, new = (np.exp(theta.reshape(2, 2).T) for theta in (THETA, OTHER))
    old, new = old / old.sum(axis=1, keepdims=True), new / new.sum(axis=1, keepdims=True)
    d, predicted = np.array([0.6, 0.4]), np.zeros((2, 2))
    for t in range(HORIZON):
        after = np.zeros(2)
        for s in range(2):
            Q = [REWARD[s, a] + (1 - STOP[s, a]) * V[s if a == 0 else 1 - s, t + 1] for a in range(2)]
            for a in range(2):
                score = np.eye(2)[a] - new[s]
                predicted[s] += d[s] * new[s, a] * Q[a] * score
                after[s if a == 0 else 1 - s] += d[s] * old[s, a] * (1 - STOP[s, a])
        d = after

    def estimate(one: Sequence[Rollout]) -> Array:
        w = off_policy.weights(one, OTHER, discount=1.0, weighting="first-order", baseline=False)
        return score_function.gradient(one, w, OTHER)

    found, truth = expected(estimate, 1), gradient_at(OTHER, 1.0)
    assert found == pytest.approx(predicted.T.ravel(), abs=1e-10)
    assert np.linalg.norm(found - truth) > 0.01 * np.linalg.norm(truth)


@pytest.mark.parametrize("self_normalised", [True, False])
@pytest.mark.parametrize("weighting", ["trajectory", "per-decision", "first-order"])
def test_all_importance_weights_coincide_with_reward_to_go_where_the_policies_do(
    weighting: Any, self_normalised: bool
) -> None:
    batch = [EPISODES[i][1] for i in (3, 11, 20)]
    w = off_policy.weights(batch, THETA, discount=0.9, weighting=weighting, self_normalised=self_normalised)
    for found, plain in zip(w, baselines.weights(batch, discount=0.9, baseline="step"), strict=True):
        assert found == pytest.approx(plain)


def test_importance_weights_worked_by_hand() -> None:
    # a fair coin drew heads, tails; the new policy has ln odds 1 for heads: ratios 2p, 2(1 − p)
    policy, p = Softmax(Linear(1, 2, bias=False), (2,)), float(np.e / (1 + np.e))
    e = Rollout(
        policy,
        np.zeros(2),
        np.ones((2, 1)),
        np.array([[0.0], [1.0]]),
        np.array([1.0, 10.0]),
        np.ones(1),
        True,
        False,
    )
    new = np.array([1.0, 0.0])
    first, second = 2 * p, 2 * (1 - p)
    assert np.exp(off_policy.log_ratios([e], new)[0]) == pytest.approx([first, second])
    options: dict[str, Any] = {"discount": 0.5, "baseline": False}
    w = off_policy.weights([e], new, weighting="trajectory", **options)[0]
    assert w == pytest.approx([first * second * (1 + 5), first * second * 10])
    w = off_policy.weights([e], new, weighting="per-decision", **options)[0]
    assert w == pytest.approx([first * (1 + 5 * second), first * second * 10])
    w = off_policy.weights([e], new, weighting="first-order", **options)[0]
    assert w == pytest.approx([first * 6, second * 10])


@pytest.mark.parametrize("weighting", ["trajectory", "per-decision", "first-order"])
def test_self_normalised_weights_average_to_one_and_none_is_larger_than_the_number_of_episodes(
    weighting: Any,
) -> None:
    batch = [e for _, e in EPISODES if e.rewards.size == HORIZON]
    paid_last = [dataclasses.replace(e, rewards=np.array([0.0, 0.0, 1.0])) for e in batch]
    far = THETA + np.array([4.0, -3.0, -5.0, 2.0])
    options: dict[str, Any] = {"discount": 1.0, "weighting": weighting, "baseline": False}
    w = np.array(off_policy.weights(paid_last, far, self_normalised=True, **options))
    assert w.mean(axis=0) == pytest.approx(np.ones(HORIZON))
    assert w.max() <= len(batch)
    raw = np.array(off_policy.weights(paid_last, far, **options))
    assert (np.abs(raw.mean(axis=0) - 1) > 0.05).any()


def test_episodes_that_have_ended_keep_their_weight_when_products_are_normalised() -> None:
    short, long = rollout([0], [0], [1.0]), rollout([0, 1], [1, 0], [0.0, 1.0])
    rho = [np.exp(log) for log in off_policy.log_ratios([short, long], OTHER)]
    w = off_policy.weights(
        [short, long], OTHER, discount=1.0, weighting="per-decision", baseline=False, self_normalised=True
    )
    assert w[0][0] == pytest.approx(rho[0][0] / ((rho[0][0] + rho[1][0]) / 2))
    assert w[1][1] == pytest.approx(rho[1].prod() / ((rho[0][0] + rho[1].prod()) / 2))


def test_the_effective_sample_size_is_the_square_of_the_sum_over_the_sum_of_squares() -> None:
    assert off_policy.effective_sample_size(np.log(np.array([1.0, 2.0, 3.0]))) == pytest.approx(36 / 14)
    assert off_policy.effective_sample_size(np.full(7, 900.0)) == pytest.approx(7.0)
    assert off_policy.effective_sample_size(np.array([0.0, 5000.0])) == pytest.approx(1.0)


def test_a_weight_that_overflows_is_cut_with_a_warning_that_names_the_effective_sample_size() -> None:
    policy, T = Gaussian(Linear(1, 1)), 400
    start = policy.start(stream(0))
    batch = [
        Rollout(
            policy,
            start,
            np.ones((T, 1)),
            stream(i).standard_normal((T, 1)) * 3,
            np.ones(T),
            np.ones(1),
            True,
            False,
        )
        for i in range(3)
    ]
    wide = np.append(start[:-1], np.log(3.0))
    with pytest.warns(off_policy.ImportanceWeightWarning, match=r"effective sample size 1\.\d of 3 episodes"):
        w = off_policy.weights(batch, wide, discount=1.0, weighting="trajectory")
    assert all(np.isfinite(row).all() for row in w)
    with pytest.warns(off_policy.ImportanceWeightWarning):
        w = off_policy.weights(batch, wide, discount=1.0, weighting="per-decision")
    assert all(np.isfinite(row).all() for row in w)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        off_policy.weights(batch, wide, discount=1.0, weighting="first-order")


# Natural ---------------------------------------------------------------------------------------------


def test_the_fisher_product_is_that_of_the_matrix_of_the_sampled_scores() -> None:
    batch = episodes(SMALL, 7, seed=3)
    scores = [score_function.step_scores(r) for r in batch]
    F = sum(S.T @ S for S in scores) / 7 + 0.3 * np.eye(3)
    v = np.array([0.3, -2.0, 0.7])
    assert natural.fisher_product(batch, 0.3)(v) == pytest.approx(F @ v)
    g = np.array([1.0, 2.0, 3.0])
    x = natural.conjugate_gradient(natural.fisher_product(batch, 0.3), g)
    assert x == pytest.approx(np.linalg.solve(F, g))
    step = natural.step_of_divergence(natural.fisher_product(batch, 0.3), x, 0.01)
    assert 0.5 * step @ F @ step == pytest.approx(0.01)
    assert step / np.linalg.norm(step) == pytest.approx(x / np.linalg.norm(x))


@pytest.mark.nightly
def test_the_fisher_matrix_is_the_curvature_of_the_divergence() -> None:
    batch = episodes(SMALL, 12_000, seed=4)
    theta, v = batch[0].params, np.array([0.2, -0.1, 0.3])
    obs = np.concatenate([r.obs for r in batch])
    h = 1e-3
    curvature = 2 * POLICY_KL(batch, theta, h * v, obs) / h**2
    sampled = float(v @ natural.fisher_product(batch)(v))
    assert sampled == pytest.approx(curvature, rel=0.05)


def POLICY_KL(batch: list[Rollout], theta: Array, step: Array, obs: Array) -> float:  # noqa: N802
    return float(batch[0].policy.kl(theta, theta + step, obs).sum()) / len(batch)


def test_a_singular_fisher_matrix_gives_the_shortest_solution() -> None:
    F = np.diag([4.0, 1.0, 0.0])
    for g, x in (([4.0, 3.0, 0.0], [1.0, 3.0, 0.0]), ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])):
        assert natural.conjugate_gradient(lambda v: F @ v, np.array(g)) == pytest.approx(np.array(x))
    # a part of g that F cannot reach ends the iterations with something finite
    assert np.isfinite(natural.conjugate_gradient(lambda v: F @ v, np.array([1.0, 1.0, 1.0]))).all()
    assert (natural.step_of_divergence(lambda v: 0 * v, np.ones(3), 0.1) == 0).all()


def test_the_natural_actor_critic_is_least_squares_with_an_intercept() -> None:
    rng = stream(2)
    S, w = rng.standard_normal((50, 3)), np.array([1.0, -2.0, 0.5])
    slope, baseline = natural.enac(S, S @ w + 7.0)
    assert slope == pytest.approx(w)
    assert baseline == pytest.approx(7.0)
    few, _ = natural.enac(S[:2], (S @ w)[:2])
    centred = S[:2] - S[:2].mean(axis=0)
    assert few == pytest.approx(np.linalg.pinv(centred) @ (centred @ w))  # the shortest of all that fit


@pytest.mark.nightly
def test_both_ways_to_the_natural_gradient_agree_with_the_exact_one() -> None:
    batch = episodes(SMALL, 15_000, seed=5)
    truth = np.concatenate(
        [
            part.ravel()
            for part in SMALL.natural_gradient(batch[0].params[:2].reshape(1, 2), batch[0].params[2:])
        ]
    )
    w = baselines.weights(batch, discount=1.0, baseline="step")
    by_cg = natural.conjugate_gradient(natural.fisher_product(batch), score_function.gradient(batch, w))
    by_regression, _ = natural.enac(
        score_function.total_scores(batch), score_function.discounted_returns(batch, 1.0)
    )
    assert np.linalg.norm(by_cg - truth) < 0.08 * np.linalg.norm(truth)
    assert np.linalg.norm(by_regression - truth) < 0.08 * np.linalg.norm(truth)


# Gradient-free ---------------------------------------------------------------------------------------


def quadratic(x: Array) -> Array:
    return -(x**2) @ np.array([1.0, 2.0, 3.0]) + x @ np.array([1.0, 0.0, -1.0]) + 4.0


HERE = np.array([0.5, -0.2, 0.1])
SLOPE = -2 * HERE * [1.0, 2.0, 3.0] + [1.0, 0.0, -1.0]


def test_forward_differences_of_a_parabola_are_off_by_half_the_curvature_times_the_step() -> None:
    plus, eps = quadratic(HERE + 0.1 * np.eye(3)), 0.1
    found = finite_difference.forward(plus, float(quadratic(HERE)), eps)
    assert found == pytest.approx(SLOPE - eps * np.array([1.0, 2.0, 3.0]))
    minus = quadratic(HERE - eps * np.eye(3))
    assert finite_difference.central(plus, minus, eps) == pytest.approx(SLOPE)


def test_simultaneous_perturbations_are_unbiased_on_a_parabola_over_all_signs() -> None:
    delta = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
    plus, minus = quadratic(HERE + 0.1 * delta), quadratic(HERE - 0.1 * delta)
    assert finite_difference.simultaneous(delta, plus, minus, 0.1) == pytest.approx(SLOPE)


def test_the_parameter_space_gradients_are_those_of_the_smoothed_return() -> None:
    # E[J(m + σ z)] of a parabola: its value at m minus Σ c_j σ_j²; so ∇_m is the slope at m and ∇_{ln σ} = −2 c σ²
    sigma, n = np.array([0.3, 0.2, 0.4]), 200_000
    z = parameter_space.mirrored(stream(6).standard_normal((n, 3)))
    J_values = quadratic(HERE + sigma * z) - float(quadratic(HERE))
    for found, truth, each in (
        (parameter_space.mean_gradient(z, J_values, sigma), SLOPE, J_values[:, None] * z / sigma),
        (
            parameter_space.log_std_gradient(z, J_values),
            -2 * np.array([1.0, 2.0, 3.0]) * sigma**2,
            J_values[:, None] * (z**2 - 1),
        ),
    ):
        error = each.std(axis=0) / np.sqrt(n)  # generous: pairs are not independent
        assert np.linalg.norm(error) < 0.03 * np.linalg.norm(truth)
        assert (np.abs(found - truth) < 4 * error).all()


def test_smoothing_a_cubic_is_biased_by_three_sigma_squared() -> None:
    sigma = 0.5
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    each = [
        float(parameter_space.mean_gradient(np.array([[x]]), np.array([(1 + sigma * x) ** 3]), sigma)[0])
        for x in nodes
    ]
    assert np.array(each) @ weights / weights.sum() == pytest.approx(3 + 3 * sigma**2)


# The whole registry ----------------------------------------------------------------------------------

UNBIASED = [name for name, estimator in FROM_ROLLOUTS.items() if not estimator.bias]


#: Earlier episodes, to which values are fitted.
PAST = [episode for _, episode in EPISODES[::3]]


def expected_on_the_chain(name: str, discount: float, monkeypatch: pytest.MonkeyPatch) -> Array:
    """The expectation of an estimator over all pairs of episodes, values fitted to the same past once."""
    refitted = values.refitted
    fit = cache(lambda kind: refitted(kind, None, PAST, discount, stream("value network")))
    monkeypatch.setattr(values, "refitted", lambda kind, *_: fit(kind))
    return expected(lambda pair: FROM_ROLLOUTS[name].estimate(pair, PAST, discount))


@pytest.mark.parametrize("discount", [pytest.param(1.0, marks=pytest.mark.nightly), 0.6])
@pytest.mark.parametrize("name", FROM_ROLLOUTS)
def test_an_estimator_is_unbiased_over_all_pairs_of_episodes_exactly_if_it_says_so(
    name: str, discount: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, truth = expected_on_the_chain(name, discount, monkeypatch), exact_gradient(discount)
    assert (found == pytest.approx(truth, abs=1e-8)) == (name in UNBIASED)
    assert np.linalg.norm(found - truth) < 0.6 * np.linalg.norm(
        truth
    )  # a bias that is named is not a mistake


@cache
def regulator_episodes(n: int, seed: int) -> list[Rollout]:
    return episodes(SMALL, n, seed)


GROUPS = 100
#: Without a baseline the whole return needs more rollouts for the same precision.
LOUD = ("whole return", "reward-to-go")


def z_scores(discount: float, make: Callable[[int, int], list[Rollout]], truth: Array, name: str) -> Array:
    pool, past = make(28_000 if name in LOUD else 6000, 1), make(100, 2)
    N = len(pool) // GROUPS
    estimate = FROM_ROLLOUTS[name].estimate
    found = np.array([estimate(pool[i : i + N], past, discount) for i in range(0, len(pool), N)])
    error = found.std(axis=0, ddof=1) / np.sqrt(GROUPS)
    assert np.linalg.norm(error) < 0.03 * np.linalg.norm(truth)
    return np.asarray((found.mean(axis=0) - truth) / error)


#: Two by day: the baseline of the methods, and a fitted one. The chain says the same of all, without a sampling error.
BY_DAY = ("reward-to-go, average per step", "reward-to-go, linear value")
BY_NIGHT = [pytest.param(name, marks=pytest.mark.nightly) for name in UNBIASED]


@pytest.mark.parametrize("name", [*BY_DAY, *(case for case in BY_NIGHT if case.values[0] not in BY_DAY)])
def test_an_estimator_that_says_so_is_unbiased_on_the_regulator(name: str) -> None:
    z = z_scores(1.0, regulator_episodes, exact_of_lqr(SMALL), name)
    assert (np.abs(z) < 4).all()


GARNET = random_mdp(stream(1), states=3, actions=2, horizon=4, discount=0.8)
TABLE = 0.5 * stream(2).standard_normal(GARNET.table)


@cache
def garnet_episodes(n: int, seed: int) -> list[Rollout]:
    theta = TABLE.T.ravel()
    policy = Softmax(Linear(3, 2, bias=False), (2,))
    evaluator = CompiledEvaluator(make_simulator(GARNET), policy, max_episode_steps=5, threads=1)
    asked = Proposal(theta[None], theta, n, sample=True, record=True)
    return list(evaluator.evaluate(asked, ("garnet", seed)).rollouts[0])


@pytest.mark.parametrize("name", BY_NIGHT)
def test_an_estimator_that_says_so_is_unbiased_on_a_tabular_process(name: str) -> None:
    z = z_scores(0.8, garnet_episodes, GARNET.gradient(TABLE).T.ravel(), name)
    assert (np.abs(z) < 4).all()


def test_every_gradient_free_estimator_finds_the_slope_of_a_noiseless_parabola() -> None:
    for name, estimator in FROM_RETURNS.items():
        many = 20_000 if name in ("Kohl & Stone",) or "smoothing" in name or name == "SPSA" else 2000
        plan = estimator.plan(HERE, many, 1e-3, stream(7))
        assert plan is not None
        assert len(plan.params) == len(plan.episode) <= many
        found = plan.finish(quadratic(plan.params) - float(quadratic(HERE)))
        assert np.linalg.norm(found - SLOPE) < 0.08 * np.linalg.norm(SLOPE), name


def test_common_episodes_are_shared_within_pairs_and_by_all_coordinates() -> None:
    plan = FROM_RETURNS["central differences, common"].plan(HERE, 24, 0.1, stream(1))
    assert plan is not None
    assert [sorted(plan.episode).count(j) for j in range(4)] == [6, 6, 6, 6]
    pairs = FROM_RETURNS["SPSA, common"].plan(HERE, 10, 0.1, stream(1))
    assert pairs is not None
    assert (pairs.params[:5] + pairs.params[5:]) / 2 == pytest.approx(np.tile(HERE, (5, 1)))
    assert list(pairs.episode) == [0, 1, 2, 3, 4] * 2
    for name in ("central differences", "SPSA", "Kohl & Stone", "regression"):
        alone = FROM_RETURNS[name].plan(HERE, 24, 0.1, stream(1))
        assert alone is not None
        assert len(set(alone.episode)) == len(alone.params)


@pytest.mark.parametrize(
    ("name", "least"),
    [("central differences", 6), ("forward differences", 4), ("regression", 4), ("SPSA", 2)],
)
def test_too_few_rollouts_make_no_estimate(name: str, least: int) -> None:
    assert FROM_RETURNS[name].plan(HERE, least - 1, 0.1, stream(1)) is None
    assert FROM_RETURNS[name].plan(HERE, least, 0.1, stream(1)) is not None


@pytest.mark.nightly
@pytest.mark.parametrize("weighting", ["trajectory", "per-decision"])
def test_importance_weights_find_the_gradient_of_another_controller_of_the_regulator(weighting: Any) -> None:
    pool = regulator_episodes(20_000, 8)
    other = pool[0].params + np.array([0.05, -0.05, -0.1])
    truth = np.concatenate([part.ravel() for part in SMALL.gradient(other[:2].reshape(1, 2), other[2:])])
    found = []
    for i in range(0, len(pool), 200):
        group = pool[i : i + 200]
        w = off_policy.weights(group, other, discount=1.0, weighting=weighting)
        found.append(score_function.gradient(group, w, other))
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert np.linalg.norm(error) < 0.03 * np.linalg.norm(truth)
    assert (np.abs(np.mean(found, axis=0) - truth) < 4 * error).all()
    # and it is another gradient than that of the policy that was run
    assert np.linalg.norm(truth - exact_of_lqr(SMALL)) > 0.1 * np.linalg.norm(truth)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["SPSA, common", "central differences, common", "smoothing (ES), common"])
def test_small_perturbations_with_common_episodes_find_the_gradient_of_the_regulator(name: str) -> None:
    task = find_task("lqr")
    *_, found = measured(Request(task=task, estimators=[name], rollouts=[150], repeats=30, perturbation=1e-3))
    assert isinstance(found, Estimates)
    row = found.table.iloc[0]
    assert row["noise"] < 0.4
    assert row["z"] < 3
