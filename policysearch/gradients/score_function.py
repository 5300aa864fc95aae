"""The score-function (likelihood-ratio) gradient of Williams 1992, with reward-to-go.

    ∇J(θ) ≈ 1/N Σ_i Σ_t w_it ∇ log π(a_it | s_it; θ),      w_it = G_it − b_it,   G_it = Σ_{u≥t} γ^{u−t} r_iu

Three meanings of a discount γ < 1, all of them here:

- The whole return R_i = Σ_t γ^t r_it before every score is unbiased for the discounted J.
- Reward-to-go with `discounted_start`, w_it = γ^t (G_it − b_it), is unbiased for the discounted J too: this
  is G(PO)MDP (Baxter & Bartlett 2001), the same sum as Σ_t γ^t r_it Σ_{k≤t} ∇ log π(a_ik | s_ik).
- Reward-to-go without γ^t is common practice and the gradient of no objective (Nota & Thomas 2020); for γ
  near 1 it is a biased, quieter estimate of the undiscounted gradient. With γ = 1 all agree.

The weights of the scores (from baselines, advantages, importance ratios) are computed by the other modules
of this package; this module has the sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from policysearch.core import Array, Rollout, StochasticPolicy
from policysearch.gradients import sums

#: Steps that are scored in one go: large enough for the interpreter, small enough for the processor's cache.
BLOCK = 2048


def rewards_to_go(rewards: Float[Array, "T"], discount: float) -> Float[Array, "T"]:
    """G_t = Σ_{u≥t} γ^{u−t} r_u."""
    if discount == 1.0:
        return np.cumsum(rewards[::-1])[::-1]
    return to_go(rewards, np.array([rewards.size]), discount)


def to_go(rewards: Float[Array, "S"], ends: Int[Array, "N"], discount: float) -> Float[Array, "S"]:
    """G_it of N episodes in a row, the i-th of which ends before step `ends[i]`."""
    G = np.empty(rewards.size)
    rewards = np.array(rewards, dtype=float)  # a copy, as compiled code knows one kind of array
    _to_go()(rewards, ends, float(discount), G)
    return G


def ends_of(rollouts: Sequence[Rollout]) -> Int[Array, "N"]:
    """Where each rollout ends among the steps of all in a row."""
    return np.cumsum([rollout.rewards.size for rollout in rollouts])


def rewards_of(rollouts: Sequence[Rollout]) -> Float[Array, "S"]:
    """The rewards of all rollouts in a row."""
    return np.concatenate([rollout.rewards for rollout in rollouts])


@cache
def _to_go() -> Any:
    from policysearch.jit import specialise  # noqa: PLC0415 - imports Numba

    return specialise(sums.to_go)


def padded(rows: Sequence[Float[Array, "_"]]) -> Float[Array, "N T"]:
    """Rows of unequal length as one matrix, zeros after the end of each."""
    table = np.zeros((len(rows), max(row.size for row in rows)))
    for row, values in zip(table, rows, strict=True):
        row[: values.size] = values
    return table


def cut(table: Float[Array, "N T"], rollouts: Sequence[Rollout]) -> list[Float[Array, "_"]]:
    """The inverse of `padded`: a row per rollout, as long as it."""
    return [row[: rollout.rewards.size] for row, rollout in zip(table, rollouts, strict=True)]


def parted(steps: Float[Array, "S"], rollouts: Sequence[Rollout]) -> list[Float[Array, "_"]]:
    """Numbers for all steps of some rollouts in a row, as one part for each of them."""
    return [steps[first:end] for first, end in pairwise([0, *ends_of(rollouts).tolist()])]


def discounted_returns(rollouts: Sequence[Rollout], discount: float) -> Float[Array, "N"]:
    """R_i = Σ_t γ^t r_it."""
    return np.array([rewards_to_go(rollout.rewards, discount)[0] for rollout in rollouts])


def whole_returns(rollouts: Sequence[Rollout], discount: float) -> list[Float[Array, "_"]]:
    """w_it = R_i: every action is credited with all rewards."""
    R = discounted_returns(rollouts, discount)
    return [np.full(rollout.rewards.size, r) for r, rollout in zip(R, rollouts, strict=True)]


def returns_to_go(rollouts: Sequence[Rollout], discount: float) -> list[Float[Array, "_"]]:
    """w_it = G_it: no action is credited with rewards before it."""
    return parted(to_go(rewards_of(rollouts), ends_of(rollouts), discount), rollouts)


def from_start(weights: Sequence[Float[Array, "_"]], discount: float) -> list[Float[Array, "_"]]:
    """γ^t w_it."""
    return [w * discount ** np.arange(w.size) for w in weights]


@runtime_checkable
class Linearised(Protocol):
    """log π(a_t|s_t; θ) of many steps, and products with its derivatives."""

    @property
    def log_prob(self) -> Float[Array, "T"]:
        """log π(a_t|s_t; θ)."""

    def score(self, weights: Float[Array, "T"]) -> Float[Array, "d"]:
        """Σ_t weights_t ∇ log π(a_t|s_t; θ)."""

    def score_along(self, direction: Float[Array, "d"]) -> Float[Array, "T"]:
        """∇ log π(a_t|s_t; θ) · direction for every step."""


@dataclass(frozen=True, eq=False)
class _ByCalls:
    """What is linearised of any policy: calls of its methods."""

    policy: StochasticPolicy
    record: tuple[Float[Array, "d"], Array, Array]  # θ, observations, actions

    @property
    def log_prob(self) -> Float[Array, "T"]:
        return self.policy.log_prob(*self.record)

    def score(self, weights: Float[Array, "T"]) -> Float[Array, "d"]:
        return self.policy.score(*self.record, weights)

    def score_along(self, direction: Float[Array, "d"]) -> Float[Array, "T"]:
        return self.policy.score_along(*self.record, direction)


def linearised(
    policy: StochasticPolicy, params: Float[Array, "d"], obs: Array, actions: Float[Array, "T a"]
) -> Linearised:
    """The log-probabilities of many steps, and products with their derivatives, at the same parameters.

    A policy may have a method `linearised` of its own, which computes once what the products have in common.
    """
    own = getattr(policy, "linearised", None)
    return own(params, obs, actions) if own else _ByCalls(policy, (params, obs, actions))


def log_probs(
    rollouts: Sequence[Rollout], params: Float[Array, "d"] | None = None
) -> list[Float[Array, "_"]]:
    """log π(a_it | s_it; θ), at the parameters that made the rollouts unless others are given."""
    theta = rollouts[0].params if params is None else params
    found = []
    for members, obs, actions in joined(rollouts):
        found += parted(members[0].policy.log_prob(theta, obs, actions), members)
    return found


def gradient(
    rollouts: Sequence[Rollout],
    weights: Sequence[Float[Array, "_"]],
    params: Float[Array, "d"] | None = None,
) -> Float[Array, "d"]:
    """1/N Σ_i Σ_t w_it ∇ log π(a_it | s_it; θ), at the parameters that made the rollouts unless others are given."""
    policy, theta = rollouts[0].policy, rollouts[0].params if params is None else params
    total, first = np.zeros(theta.size), 0
    for members, obs, actions in joined(rollouts):
        w = np.concatenate(weights[first : first + len(members)])
        total, first = total + policy.score(theta, obs, actions, w), first + len(members)
    return total / len(rollouts)


def episode_gradients(
    rollouts: Sequence[Rollout],
    weights: Sequence[Float[Array, "_"]],
    params: Float[Array, "d"] | None = None,
) -> Float[Array, "N d"]:
    """g_i = Σ_t w_it ∇ log π(a_it | s_it; θ), whose mean is the gradient and whose spread is its error."""
    theta = rollouts[0].params if params is None else params
    pairs = zip(rollouts, weights, strict=True)
    return np.array([r.policy.score(theta, r.obs, r.actions, w) for r, w in pairs])


def total_scores(rollouts: Sequence[Rollout]) -> Float[Array, "N d"]:
    """S_i = Σ_t ∇ log π(a_it | s_it; θ)."""
    return episode_gradients(rollouts, [np.ones(rollout.rewards.size) for rollout in rollouts])


def step_scores(rollout: Rollout) -> Float[Array, "T d"]:
    """∇ log π(a_t | s_t; θ) for every step: d products, so for small policies."""
    directions = np.eye(rollout.params.size)
    along = [rollout.policy.score_along(rollout.params, rollout.obs, rollout.actions, e) for e in directions]
    return np.stack(along, axis=1)


def entropy_weights(rollouts: Sequence[Rollout]) -> list[Float[Array, "_"]]:
    """w_it = −log π(a_it | s_it; θ), centred: with these the estimate is that of Σ_t ∇ H(π(· | s_t; θ)).

    For E[−log π ∇ log π] = ∇H, whatever the distribution. It is the entropy bonus of Williams & Peng 1991, and
    regards the states as given. Each episode is centred by the mean of the others, a single one not at all.
    """
    logs = [-log_p for log_p in log_probs(rollouts)]
    sums, steps = np.array([w.sum() for w in logs]), np.array([w.size for w in logs])
    centre = (sums.sum() - sums) / np.maximum(steps.sum() - steps, 1)
    return [w - c for w, c in zip(logs, centre, strict=True)]


def added(
    weights: Sequence[Float[Array, "_"]], more: Sequence[Float[Array, "_"]], factor: float
) -> list[Float[Array, "_"]]:
    """w_it + factor · w'_it."""
    return [w + factor * m for w, m in zip(weights, more, strict=True)]


def pseudo_loss(
    rollouts: Sequence[Rollout], weights: Sequence[Float[Array, "_"]], params: Float[Array, "d"]
) -> float:
    """1/N Σ_i Σ_t w_it log π(a_it | s_it; θ): the weighted log-likelihood whose gradient is the estimate.

    Only its gradient at the parameters of the rollouts means anything; its value does not.
    """
    pairs = zip(rollouts, weights, strict=True)
    total = sum(float(w @ r.policy.log_prob(params, r.obs, r.actions)) for r, w in pairs)
    return total / len(rollouts)


def joined(rollouts: Sequence[Rollout]) -> Iterator[tuple[Sequence[Rollout], Array, Array]]:
    """Rollouts with their observations and actions, joined to blocks of at least `BLOCK` steps.

    A policy with a memory needs its episodes one by one.
    """
    first, steps = 0, 0
    for last, rollout in enumerate(rollouts):
        steps += rollout.rewards.size
        if steps >= BLOCK or last == len(rollouts) - 1 or rollout.policy.state_size:
            members = rollouts[first : last + 1]
            obs = [member.obs for member in members]
            actions = [member.actions for member in members]
            if len(members) == 1:
                yield members, obs[0], actions[0]
            else:
                yield members, np.concatenate(obs), np.concatenate(actions)
            first, steps = last + 1, 0
