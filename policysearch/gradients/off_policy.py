"""Gradients at θ' from rollouts of other parameters θ, by importance weights.

    ρ_t = π(a_t|s_t; θ') / π(a_t|s_t; θ),    ρ_{0:t} = Π_{k≤t} ρ_k,    w the whole product ρ_{0:T−1}

    trajectory      ρ_{0:T−1} (G_t − b_t)                           unbiased; variance exponential in T
    per-decision    ρ_{0:t} (Σ_{u≥t} γ^{u−t} r_u ρ_{t+1:u} − b_t)    unbiased; no ratio later than its reward
    first-order     ρ_t (G_t − b_t)                                 exact at θ' = θ, close for close policies

each before ∇ log π(a_t|s_t; θ') (the first order ignores that other states are visited), all with the
factor γ^t if `discounted_start` (see `score_function`). The forms are those of Precup, Sutton & Singh 2000
(per-decision) and Kakade & Langford 2002 (first order). Self-normalised weights are divided by their mean
over the episodes: biased of order 1/N, consistent; none is larger than N.

Products are sums of logarithms. The effective sample size (Σw)²/Σw² (Kong 1992) says how many of the N
episodes still count; a weight that would overflow is cut off with a warning that names it.
"""

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Rollout
from policysearch.gradients.baselines import mean_of_others
from policysearch.gradients.score_function import (
    cut,
    from_start,
    log_probs,
    padded,
    parted,
    returns_to_go,
    rewards_to_go,
)

Weighting = Literal["trajectory", "per-decision", "first-order"]

#: Logarithm of the largest importance weight; with returns up to 1e100 the products stay finite.
MAX_LOG_WEIGHT = 300.0


class ImportanceWeightWarning(RuntimeWarning):
    """An importance weight is too large for a floating-point number, so that the estimate is meaningless."""


def log_ratios(
    rollouts: Sequence[Rollout],
    params: Float[Array, "d"],
    own: Sequence[Float[Array, "_"]] | None = None,
) -> list[Float[Array, "_"]]:
    """log ρ_it = log π(a_it|s_it; θ') − log π(a_it|s_it; θ_i) for every step; `own` is the latter, if known."""
    if own is None:
        own = [r.policy.log_prob(r.params, r.obs, r.actions) for r in rollouts]
    return [new - old for new, old in zip(log_probs(rollouts, params), own, strict=True)]


def effective_sample_size(log_weights: Float[Array, "N"]) -> float:
    """(Σw)²/Σw²: between 1 and N; from logarithms, so that nothing overflows."""
    w = np.exp(log_weights - log_weights.max())
    return float(w.sum() ** 2 / (w**2).sum())


def weights(
    rollouts: Sequence[Rollout],
    params: Float[Array, "d"],
    *,
    discount: float,
    weighting: Weighting,
    baseline: bool = True,
    self_normalised: bool = False,
    discounted_start: bool = False,
    logs: Sequence[Float[Array, "_"]] | None = None,
) -> list[Float[Array, "_"]]:
    """The factor before every ∇ log π(a_it | s_it; θ').

    Args:
        rollouts: N episodes; each knows the parameters θ that made it.
        params: θ'.
        discount: γ.
        weighting: which ratios are multiplied, see the module.
        baseline: whether b_t, the average reward-to-go of the other episodes, is subtracted.
        self_normalised: whether weights are divided by their mean over the episodes, at every step.
        discounted_start: whether to keep the factor γ^t.
        logs: the `log_ratios`, where they are known.
    """
    logs = log_ratios(rollouts, params) if logs is None else logs
    rho = parted(_exp(np.concatenate(_log_weights(logs, weighting)), logs), rollouts)
    if self_normalised:
        rho = _normalised(rho, weighting)
    G = returns_to_go(rollouts, discount)
    if weighting == "per-decision":  # ρ_{0:t} r_u ρ_{t+1:u} = r_u ρ_{0:u}
        paid = [rollout.rewards * w for rollout, w in zip(rollouts, rho, strict=True)]
        weighted = [rewards_to_go(r, discount) for r in paid]
    else:
        weighted = [w * g for w, g in zip(rho, G, strict=True)]
    if baseline:
        b = mean_of_others(padded(G))
        weighted = [x - w * b_i for x, w, b_i in zip(weighted, rho, cut(b, rollouts), strict=True)]
    return from_start(weighted, discount) if discounted_start else weighted


def _log_weights(logs: Sequence[Float[Array, "_"]], weighting: Weighting) -> list[Float[Array, "_"]]:
    """log of ρ_{0:T−1}, ρ_{0:t} or ρ_t for every step."""
    if weighting == "trajectory":
        return [np.full(step.size, step.sum()) for step in logs]
    return [np.cumsum(step) for step in logs] if weighting == "per-decision" else list(logs)


def _normalised(ratios: Sequence[Float[Array, "_"]], weighting: Weighting) -> list[Float[Array, "_"]]:
    """Weights divided by their mean over the episodes, at every step.

    A product of ratios has mean 1 over all episodes if those that have ended keep theirs; a single ratio has it
    over those that are still running.
    """
    table, sizes = padded(ratios), np.array([row.size for row in ratios])
    running = (np.arange(table.shape[1]) < sizes[:, None]).astype(float)
    if weighting != "first-order":
        last = np.array([row[-1] for row in ratios])
        table, running = np.where(running > 0, table, last[:, None]), np.ones_like(running)
    mean = table.sum(axis=0) / running.sum(axis=0)
    mean = np.where(mean > 0, mean, 1.0)
    return [row / mean[: row.size] for row in ratios]


def _exp(log_weights: Float[Array, "S"], logs: Sequence[Float[Array, "_"]]) -> Float[Array, "S"]:
    if log_weights.max() <= MAX_LOG_WEIGHT:
        return np.exp(log_weights)
    size = effective_sample_size(np.array([step.sum() for step in logs]))
    warnings.warn(
        f"an importance weight of e^{log_weights.max():.0f} is cut to e^{MAX_LOG_WEIGHT:.0f}: the policies are "
        f"too far apart; effective sample size {size:.1f} of {len(logs)} episodes",
        ImportanceWeightWarning,
        stacklevel=3,
    )
    return np.exp(np.minimum(log_weights, MAX_LOG_WEIGHT))
