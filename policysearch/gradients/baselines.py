"""Baselines: what is subtracted from returns to make the score-function gradient quieter.

    g_i = Σ_t (G_it − b) ∇ log π(a_it | s_it; θ),     E[b Σ_t ∇ log π] = 0 for any b that episode i did not shape

Every baseline here is made for episode i from the *other* episodes (leave-one-out; Kool, van Hoof & Welling
2019), so the estimate stays unbiased; the one that includes the episode itself (`include_self`) is what the
textbooks have, and shrinks the estimate by (N − 1)/N.

The best constant baseline is the coefficient of a regression of the gradient without baseline on the scores
S_i = Σ_t ∇ log π (a control variate). With the whole return before every score it is, per component h,

    b_h = E[S_h² R] / E[S_h²]          (Peters & Schaal 2008, section 3.1)
    b   = E[‖S‖² R] / E[‖S‖²]          (one number for all components: Weaver & Tao 2001, Greensmith et al. 2004)

and for G(PO)MDP it may depend on the step as well (`step_optimal_gradients`).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Rollout
from policysearch.gradients.score_function import (
    cut,
    discounted_returns,
    episode_gradients,
    from_start,
    padded,
    returns_to_go,
    step_scores,
    total_scores,
    whole_returns,
)

#: Weights up to this part of the largest return are rounding (choice; a sum of 1,000 returns leaves 10⁻¹³).
ROUNDING = 1e-12
#: Baselines that are subtracted from the weights of the scores.
Simple = Literal["none", "mean", "step"]


def weights(
    rollouts: Sequence[Rollout],
    *,
    discount: float,
    baseline: Simple = "step",
    reward_to_go: bool = True,
    discounted_start: bool = False,
) -> list[Float[Array, "_"]]:
    """The factor w_it before every score, without a bias from the baseline.

    Args:
        rollouts: N episodes, of unequal length as they come.
        discount: γ.
        baseline: "none"; "mean", the average return of the other episodes; "step", their average
            reward-to-go at the same step, an episode that has ended counting as 0.
        reward_to_go: whether past rewards are left out (causality); otherwise G_it is the whole return.
        discounted_start: whether to keep the factor γ^t, which the whole return has already.
    """
    w = returns_to_go(rollouts, discount) if reward_to_go else whole_returns(rollouts, discount)
    if baseline == "mean":
        w = average_return(rollouts, w, discount)
    elif baseline == "step":
        w = step_average(rollouts, w)
    return from_start(w, discount) if discounted_start and reward_to_go else w


def mean_of_others(values: Float[Array, "N *T"]) -> Float[Array, "N *T"]:
    """For every episode, the mean over the other N − 1.

    Raises:
        ValueError: for a single episode, which has no others.
    """
    return (values.sum(axis=0) - values) / (_several(len(values)) - 1)


def without_rounding(
    weights: list[Float[Array, "_"]], rollouts: Sequence[Rollout]
) -> list[Float[Array, "_"]]:
    """The weights, or zeros where all of them are what rounding leaves of equal returns.

    Adam would make whole steps of what rounding leaves, as it does not know how small that is next to the returns.
    """
    largest = max(float(np.abs(rollout.rewards).sum()) for rollout in rollouts)
    nothing = all((np.abs(w) <= ROUNDING * largest).all() for w in weights)
    return [np.zeros_like(w) for w in weights] if nothing else weights


def average_return(
    rollouts: Sequence[Rollout],
    weights: Sequence[Float[Array, "_"]],
    discount: float,
    *,
    include_self: bool = False,
) -> list[Float[Array, "_"]]:
    """w_it minus the average return of the other episodes."""
    R = discounted_returns(rollouts, discount)
    b = np.full(R.shape, R.mean()) if include_self else mean_of_others(R)
    return [w - b_i for w, b_i in zip(weights, b, strict=True)]


def step_average(
    rollouts: Sequence[Rollout], weights: Sequence[Float[Array, "_"]], *, include_self: bool = False
) -> list[Float[Array, "_"]]:
    """w_it minus the average of the others at the same step, an episode that has ended counting as 0."""
    table = padded(weights)
    b = table.mean(axis=0, keepdims=True) if include_self else mean_of_others(table)
    return cut(table - b, rollouts)


def optimal_gradients(
    rollouts: Sequence[Rollout], weights: Sequence[Float[Array, "_"]], *, per_component: bool = True
) -> Float[Array, "N d"]:
    """The contributions g_i − b S_i of the episodes, with the constant b of least variance.

    b is estimated from the other episodes, by component or as one number.
    """
    g, S = episode_gradients(rollouts, weights), total_scores(rollouts)
    products, squares = g * S, S**2
    if not per_component:
        products, squares = products.sum(axis=1, keepdims=True), squares.sum(axis=1, keepdims=True)
    return g - _ratio(mean_of_others(products), mean_of_others(squares)) * S


def step_optimal_gradients(rollouts: Sequence[Rollout], discount: float) -> Float[Array, "N d"]:
    """G(PO)MDP with the baseline of least variance for every step and component (Peters & Schaal 2008, section 3.2).

        g_i = Σ_t (γ^t r_it − b_t) Z_it,   Z_it = Σ_{k≤t} ∇ log π(a_ik | s_ik),   b_th = E[Z_th² γ^t r_t] / E[Z_th²]

    After the end of an episode nothing is paid and Z_it keeps its last value, which has mean zero; without it
    the estimate would be biased wherever the length of an episode depends on its actions. It needs the score
    of every step: 2 d products per rollout, so it is for small policies.
    """
    T = max(rollout.rewards.size for rollout in rollouts)
    r = padded([rollout.rewards * discount ** np.arange(rollout.rewards.size) for rollout in rollouts])
    squares = np.zeros((T, rollouts[0].params.size))
    products = np.zeros_like(squares)
    for rollout, r_i in zip(rollouts, r, strict=True):
        Z2 = _cumulative_scores(rollout, T) ** 2
        squares += Z2
        products += Z2 * r_i[:, None]
    _several(len(rollouts))
    g = []
    for rollout, r_i in zip(rollouts, r, strict=True):  # once more, as keeping every Z would fill the memory
        Z = _cumulative_scores(rollout, T)
        b = _ratio(products - Z**2 * r_i[:, None], squares - Z**2)
        g.append(((r_i[:, None] - b) * Z).sum(axis=0))
    return np.array(g)


def _cumulative_scores(rollout: Rollout, T: int) -> Float[Array, "T d"]:
    """Z_t = Σ_{k≤t} ∇ log π(a_k | s_k), its last value kept up to step T."""
    Z = np.cumsum(step_scores(rollout), axis=0)
    return np.concatenate([Z, np.repeat(Z[-1:], T - len(Z), axis=0)])


def _several(episodes: int) -> int:
    if episodes < 2:
        raise ValueError(
            f"rollouts: a baseline from the other episodes needs at least 2, got {episodes}; "
            "draw more, or use no baseline"
        )
    return episodes


def _ratio(numerator: Float[Array, "*n"], denominator: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The quotient, and 0 where the denominator is: no score there to be made quieter."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
