"""All estimators of ∇J with one interface, for comparisons between them: `FROM_ROLLOUTS` and `FROM_RETURNS`.

The first kind uses recorded rollouts and the scores of the policy. The second kind perturbs parameters and
uses returns only. Both are given N rollouts, and estimate the gradient of the discounted
return of the *stochastic* policy at θ, its own exploration included.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Rollout
from policysearch.gradients import baselines, finite_difference, parameter_space, score_function, values
from policysearch.seeding import stream

Rollouts = Sequence[Rollout]


@dataclass(frozen=True)
class FromRollouts:
    """An estimator that uses scores: (rollouts, past rollouts of the same policy, discount) → ĝ."""

    estimate: Callable[[Rollouts, Rollouts, float], Float[Array, "d"]]
    bias: str = ""  # what biases it; nothing for those that are unbiased
    least: int = 2  # rollouts that it needs
    most_params: float = np.inf  # parameters up to which it is affordable


@dataclass(frozen=True)
class Plan:
    """Candidates to run once each, which of them share their randomness, and what their returns say."""

    params: Float[Array, "n d"]
    episode: Sequence[int]  # candidates with equal numbers meet the same episode
    finish: Callable[[Float[Array, "n"]], Float[Array, "d"]]


@dataclass(frozen=True)
class FromReturns:
    """An estimator that perturbs parameters: (θ, N, ε, rng) → its plan, or nothing where N is too small."""

    plan: Callable[[Float[Array, "d"], int, float, np.random.Generator], Plan | None]
    bias: str = ""


def _weighted(make: Callable[[Rollouts, float], list[Array]], bias: str = "", least: int = 2) -> FromRollouts:
    return FromRollouts(
        lambda rollouts, _, gamma: score_function.gradient(rollouts, make(rollouts, gamma)), bias, least
    )


def _simple(baseline: baselines.Simple, *, reward_to_go: bool = True) -> FromRollouts:
    return _weighted(
        lambda rollouts, gamma: baselines.weights(
            rollouts, discount=gamma, baseline=baseline, reward_to_go=reward_to_go, discounted_start=True
        ),
        least=1 if baseline == "none" else 2,
    )


def _optimal(*, per_component: bool, reward_to_go: bool) -> FromRollouts:
    def estimate(rollouts: Rollouts, _: Rollouts, gamma: float) -> Float[Array, "d"]:
        w = baselines.weights(
            rollouts, discount=gamma, baseline="none", reward_to_go=reward_to_go, discounted_start=True
        )
        return baselines.optimal_gradients(rollouts, w, per_component=per_component).mean(axis=0)

    return FromRollouts(estimate)


def _valued(kind: values.ValueKind, lam: float, bias: str = "") -> FromRollouts:
    def estimate(rollouts: Rollouts, past: Rollouts, gamma: float) -> Float[Array, "d"]:
        value = values.refitted(kind, None, past, gamma, stream("value network"))
        A = values.advantages(rollouts, value, discount=gamma, lam=lam)
        return score_function.gradient(rollouts, score_function.from_start(A, gamma))

    return FromRollouts(estimate, bias)


#: The likelihood-ratio estimators. All are of the discounted gradient: γ^t is kept.
FROM_ROLLOUTS: dict[str, FromRollouts] = {
    "whole return": _simple("none", reward_to_go=False),
    "whole return, own average": _weighted(
        lambda rollouts, gamma: baselines.average_return(
            rollouts, score_function.whole_returns(rollouts, gamma), gamma, include_self=True
        ),
        bias="its baseline contains the episode itself: (N − 1)/N of the gradient",
    ),
    "whole return, others' average": _simple("mean", reward_to_go=False),
    "whole return, optimal baseline": _optimal(per_component=False, reward_to_go=False),
    "whole return, optimal per component": _optimal(per_component=True, reward_to_go=False),
    "reward-to-go": _simple("none"),
    "reward-to-go, others' average": _simple("mean"),
    "reward-to-go, average per step": _simple("step"),
    "reward-to-go, optimal baseline": _optimal(per_component=False, reward_to_go=True),
    "reward-to-go, optimal per component": _optimal(per_component=True, reward_to_go=True),
    "reward-to-go, optimal per step": FromRollouts(
        lambda rollouts, _, gamma: baselines.step_optimal_gradients(rollouts, gamma).mean(axis=0),
        most_params=200,
    ),
    "reward-to-go, linear value": _valued("linear", 1.0),
    "reward-to-go, network value": _valued("network", 1.0),
    "GAE 0.95, linear value": _valued("linear", 0.95, bias="the fitted values stand for later rewards"),
}


def _coordinates(theta: Float[Array, "d"], rollouts: int, epsilon: float, *, common: bool) -> Plan | None:
    d = theta.size
    k = rollouts // (2 * d)
    if k < 1:
        return None
    steps = epsilon * np.eye(d)
    params = np.repeat(np.concatenate([theta + steps, theta - steps]), k, axis=0)
    episode = np.tile(np.arange(k), 2 * d) if common else np.arange(2 * d * k)

    def finish(returns: Float[Array, "n"]) -> Float[Array, "d"]:
        plus, minus = returns.reshape(2, d, k).mean(axis=2)
        return finite_difference.central(plus, minus, epsilon)

    return Plan(params, episode.tolist(), finish)


def _forward(theta: Float[Array, "d"], rollouts: int, epsilon: float, *, common: bool) -> Plan | None:
    d = theta.size
    k = rollouts // (d + 1)
    if k < 1:
        return None
    params = np.repeat(np.concatenate([theta[None], theta + epsilon * np.eye(d)]), k, axis=0)
    episode = np.tile(np.arange(k), d + 1) if common else np.arange((d + 1) * k)

    def finish(returns: Float[Array, "n"]) -> Float[Array, "d"]:
        J = returns.reshape(d + 1, k).mean(axis=1)
        return finite_difference.forward(J[1:], float(J[0]), epsilon)

    return Plan(params, episode.tolist(), finish)


def _pairs(
    theta: Float[Array, "d"],
    rollouts: int,
    epsilon: float,
    directions: Float[Array, "n d"],
    *,
    common: bool,
    signs: bool,
) -> Plan | None:
    n = len(directions)
    if n < 1:
        return None
    params = theta + epsilon * parameter_space.mirrored(directions)
    episode = np.tile(np.arange(n), 2) if common else np.arange(2 * n)

    def finish(returns: Float[Array, "n"]) -> Float[Array, "d"]:
        plus, minus = np.split(returns, 2)
        if signs:
            return finite_difference.simultaneous(directions, plus, minus, epsilon)
        return parameter_space.mean_gradient(parameter_space.mirrored(directions), returns, epsilon)

    return Plan(params, episode.tolist(), finish)


def _spsa(
    theta: Array, rollouts: int, epsilon: float, rng: np.random.Generator, *, common: bool
) -> Plan | None:
    signs = np.where(rng.random((rollouts // 2, theta.size)) < 0.5, -1.0, 1.0)
    return _pairs(theta, rollouts, epsilon, signs, common=common, signs=True)


def _smoothing(
    theta: Array, rollouts: int, epsilon: float, rng: np.random.Generator, *, common: bool
) -> Plan | None:
    z = rng.standard_normal((rollouts // 2, theta.size))
    return _pairs(theta, rollouts, epsilon, z, common=common, signs=False)


def _kohl_stone(theta: Array, rollouts: int, epsilon: float, rng: np.random.Generator) -> Plan | None:
    signs = rng.integers(-1, 2, size=(rollouts, theta.size)).astype(float)
    return Plan(
        theta + epsilon * signs,
        range(rollouts),
        lambda returns: finite_difference.kohl_stone(signs, returns) / (2 * epsilon),
    )


def _regression(theta: Array, rollouts: int, epsilon: float, rng: np.random.Generator) -> Plan | None:
    if rollouts < theta.size + 1:
        return None
    offsets = epsilon * rng.standard_normal((rollouts, theta.size))
    return Plan(
        theta + offsets, range(rollouts), lambda returns: finite_difference.regression(offsets, returns)
    )


_CURVED = "the step ε is not small"

#: The gradient-free estimators, each with independent episodes and, where it compares pairs, with common ones.
FROM_RETURNS: dict[str, FromReturns] = {
    "forward differences": FromReturns(lambda t, n, e, _: _forward(t, n, e, common=False), _CURVED),
    "forward differences, common": FromReturns(lambda t, n, e, _: _forward(t, n, e, common=True), _CURVED),
    "central differences": FromReturns(lambda t, n, e, _: _coordinates(t, n, e, common=False), _CURVED),
    "central differences, common": FromReturns(
        lambda t, n, e, _: _coordinates(t, n, e, common=True), _CURVED
    ),
    "Kohl & Stone": FromReturns(_kohl_stone, "where staying looks best, the component is 0"),
    "regression": FromReturns(_regression, _CURVED),
    "SPSA": FromReturns(lambda t, n, e, rng: _spsa(t, n, e, rng, common=False), _CURVED),
    "SPSA, common": FromReturns(lambda t, n, e, rng: _spsa(t, n, e, rng, common=True), _CURVED),
    "smoothing (ES)": FromReturns(lambda t, n, e, rng: _smoothing(t, n, e, rng, common=False), _CURVED),
    "smoothing (ES), common": FromReturns(
        lambda t, n, e, rng: _smoothing(t, n, e, rng, common=True), _CURVED
    ),
}
