"""The score-function (likelihood-ratio) gradient of Williams 1992, with reward-to-go and baselines.

    ∇J(θ) ≈ 1/N Σ_i Σ_t w_it ∇ log π(a_it | s_it; θ),      w_it = G_it − b_it,   G_it = Σ_{u≥t} γ^{u−t} r_iu

Multiplying w_it by γ^t makes the estimate unbiased for the discounted J; common practice drops the
factor, which is then biased for it (Nota & Thomas 2020). With γ = 1 the two agree. A baseline made from
the *other* episodes leaves the estimate unbiased (Kool, van Hoof & Welling 2019, leave-one-out).
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Rollout

Baseline = Literal["none", "mean", "step"]


def rewards_to_go(rewards: Float[Array, "T"], discount: float) -> Float[Array, "T"]:
    """G_t = Σ_{u≥t} γ^{u−t} r_u."""
    if discount == 1.0:
        return np.cumsum(rewards[::-1])[::-1]
    backwards = accumulate(rewards[::-1].tolist(), lambda G, r: r + discount * G)
    return np.fromiter(backwards, float, rewards.size)[::-1]


def mean_of_others(values: Float[Array, "N *T"]) -> Float[Array, "N *T"]:
    """For every episode, the mean over the other N − 1; zeros when there is no other."""
    others = len(values) - 1
    return (values.sum(axis=0) - values) / others if others else np.zeros_like(values)


def weights(
    rollouts: Sequence[Rollout],
    *,
    discount: float,
    baseline: Baseline = "step",
    reward_to_go: bool = True,
    discounted_start: bool = False,
) -> list[Float[Array, "_"]]:
    """The factor w_it before every score.

    Args:
        rollouts: N episodes, of unequal length as they come.
        discount: γ.
        baseline: "none"; "mean", the average return of the other episodes; "step", their average
            reward-to-go at the same step, an episode that has ended counting as 0.
        reward_to_go: whether past rewards are left out (causality); otherwise G_it is the whole return.
        discounted_start: whether to keep the factor γ^t, which the whole return has already.
    """
    lengths = [rollout.rewards.size for rollout in rollouts]
    to_go = np.zeros((len(rollouts), max(lengths)))
    for row, rollout in zip(to_go, rollouts, strict=True):
        row[: rollout.rewards.size] = rewards_to_go(rollout.rewards, discount)
    returns = to_go[:, :1]
    G = to_go if reward_to_go else np.broadcast_to(returns, to_go.shape)
    if baseline == "mean":
        G = G - mean_of_others(returns)
    elif baseline == "step":
        G = G - mean_of_others(G)
    if discounted_start and reward_to_go:  # the whole return is discounted from the start already
        G = G * discount ** np.arange(to_go.shape[1])
    return [row[:length] for row, length in zip(G, lengths, strict=True)]


def gradient(rollouts: Sequence[Rollout], weights: Sequence[Float[Array, "_"]]) -> Float[Array, "d"]:
    """1/N Σ_i Σ_t w_it ∇ log π(a_it | s_it; θ)."""
    scores = [rollout.score(w) for rollout, w in zip(rollouts, weights, strict=True)]
    return np.mean(scores, axis=0)
