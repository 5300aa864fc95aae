"""The score-function estimator, its expectation taken exactly over all pairs of episodes of a small chain.

Two states, two actions, at most three steps, episodes of unequal length: 28 episodes, 784 pairs. So there is
no sampling error, and a bias of any size shows.
"""

import itertools
from typing import Any

import numpy as np
import pytest

from policysearch.core import Array, Rollout
from policysearch.gradients import baselines, score_function
from policysearch.policies import Linear, Softmax
from policysearch.seeding import stream

POLICY = Softmax(Linear(2, 2, bias=False), (2,))
THETA = np.array([0.3, -0.5, -0.4, 0.8])
HORIZON = 3
REWARD = np.array([[1.0, -2.0], [0.5, 3.0]])  # of action a in state s
STOP = np.array([[0.3, 0.6], [0.5, 0.2]])  # probability that the episode ends there


def all_episodes() -> list[tuple[float, Rollout]]:
    """Every episode, with the part of its probability that is not the policy's."""
    found = []

    def grow(chance: float, states: list[int], actions: list[int], rewards: list[float]) -> None:
        s = states[-1]
        for a in range(2):
            record = [*actions, a], [*rewards, float(REWARD[s, a])]
            last = len(states) == HORIZON
            stop = 1.0 if last else float(STOP[s, a])
            found.append((chance * stop, rollout(states, *record, terminated=not last)))
            if not last:
                grow(chance * (1 - stop), [*states, 1 - s if a else s], *record)

    grow(0.6, [0], [], [])
    grow(0.4, [1], [], [])
    return found


def rollout(states: list[int], actions: list[int], rewards: list[float], terminated: bool = True) -> Rollout:
    chosen = np.array(actions, dtype=float)[:, None]
    return Rollout(
        POLICY, THETA, np.eye(2)[states], chosen, np.array(rewards), np.zeros(2), terminated, not terminated
    )


EPISODES = all_episodes()


def probability(theta: Array, chance: float, episode: Rollout) -> float:
    return chance * float(np.exp(POLICY.log_prob(theta, episode.obs, episode.actions).sum()))


def J(theta: Array, discount: float) -> float:  # noqa: N802 - the symbol
    return sum(
        probability(theta, chance, e) * float(discount ** np.arange(e.rewards.size) @ e.rewards)
        for chance, e in EPISODES
    )


def exact_gradient(discount: float) -> Array:
    h = 1e-5
    return np.array([(J(THETA + h * e, discount) - J(THETA - h * e, discount)) / (2 * h) for e in np.eye(4)])


def expected_estimate(**options: Any) -> Array:
    """The mean of the estimate from two episodes, over all pairs with their probabilities."""
    total = np.zeros(4)
    weighed = [
        (probability(THETA, chance, e), e, np.array([e.score(unit) for unit in np.eye(e.rewards.size)]))
        for chance, e in EPISODES
    ]  # with the score of every step: the estimate is linear in the weights
    for (p, e, scores), (q, other, other_scores) in itertools.product(weighed, weighed):
        w, other_w = baselines.weights([e, other], **options)
        total += p * q * (w @ scores + other_w @ other_scores) / 2
    return total


def test_the_episodes_of_the_chain_are_all_there_are() -> None:
    assert sum(probability(THETA, chance, e) for chance, e in EPISODES) == pytest.approx(1.0)
    assert {e.rewards.size for _, e in EPISODES} == {1, 2, 3}


@pytest.mark.parametrize("discount", [1.0, 0.6])
@pytest.mark.parametrize("reward_to_go", [True, False])
@pytest.mark.parametrize("baseline", ["none", "mean", "step"])
def test_the_expectation_over_all_pairs_of_episodes_is_the_gradient_of_the_discounted_return(
    baseline: Any, reward_to_go: bool, discount: float
) -> None:
    found = expected_estimate(
        discount=discount, baseline=baseline, reward_to_go=reward_to_go, discounted_start=True
    )
    assert found == pytest.approx(exact_gradient(discount), abs=1e-8)


def test_dropping_the_discount_of_late_steps_is_a_bias_of_the_discounted_gradient() -> None:
    exact = exact_gradient(0.6)
    found = expected_estimate(discount=0.6, baseline="step")
    assert np.linalg.norm(found - exact) > 0.1 * np.linalg.norm(exact)


def test_the_whole_discounted_return_needs_no_factor() -> None:
    options = {"discount": 0.6, "baseline": "mean", "reward_to_go": False}
    pair = [rollout([0, 0], [0, 1], [1.0, 2.0]), rollout([1], [1], [4.0])]
    # returns 1 + 0.6·2 = 2.2 and 4; the other's return is the baseline
    for kept in (True, False):
        weights = baselines.weights(pair, discounted_start=kept, **options)  # type: ignore[arg-type]
        assert weights[0] == pytest.approx([2.2 - 4.0, 2.2 - 4.0])
        assert weights[1] == pytest.approx([4.0 - 2.2])


def test_the_mean_of_others_worked_by_hand() -> None:
    values = np.array([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])
    assert baselines.mean_of_others(values).tolist() == [[4.0, 40.0], [3.5, 35.0], [1.5, 15.0]]
    with pytest.raises(ValueError, match="needs at least 2, got 1"):
        baselines.mean_of_others(values[:1])


def test_reward_to_go_worked_by_hand() -> None:
    rewards = np.array([1.0, 0.0, 4.0])
    assert score_function.rewards_to_go(rewards, 1.0).tolist() == [5.0, 4.0, 4.0]
    assert score_function.rewards_to_go(rewards, 0.5).tolist() == [1 + 0.25 * 4, 0.5 * 4, 4.0]
    assert score_function.rewards_to_go(rewards, 0.0).tolist() == [1.0, 0.0, 4.0]
    assert rewards.tolist() == [1.0, 0.0, 4.0]


@pytest.mark.parametrize("baseline", ["mean", "step"])
def test_a_baseline_takes_away_a_constant_return(baseline: Any) -> None:
    options: dict[str, Any] = {"discount": 1.0, "baseline": baseline}
    plain = [rollout([0, 1], [0, 1], [1.0, 2.0]), rollout([1, 0], [1, 1], [3.0, -1.0])]
    raised = [rollout([0, 1], [0, 1], [1.0, 102.0]), rollout([1, 0], [1, 1], [3.0, 99.0])]
    for a, b in zip(baselines.weights(plain, **options), baselines.weights(raised, **options), strict=True):
        assert a == pytest.approx(b)


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99, 1.01])
def test_rewards_to_go_are_the_sums_of_the_interpreter_to_the_bit(discount: float) -> None:
    rng = stream(5)
    wild = rng.standard_normal(200) * 10 ** rng.uniform(-5, 5, 200)
    for rewards in (wild, wild[::2], np.array([-0.0]), np.array([np.nan, np.inf, 1.0]), np.empty(0)):
        backwards, G = [], -0.0
        for r in rewards[::-1].tolist():
            G = r + discount * G
            backwards.append(G)
        assert repr(score_function.rewards_to_go(rewards, discount).tolist()) == repr(backwards[::-1])
