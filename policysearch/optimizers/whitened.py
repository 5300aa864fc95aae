"""Observation normalisation for any optimizer: `Whitened(optimizer, policy)`.

The inner optimizer searches policies that act on (s − μ)/σ, with the running mean μ and standard deviation
σ of all observations so far (Mania, Guy & Recht 2018, algorithm 2). What is proposed, run, recommended and
saved are ordinary parameters: the normalisation is folded into the first layer, W ← W diag(1/σ),
b ← b − W μ/σ, so a saved policy reproduces its returns by itself. μ and σ are frozen within a generation.
An observation whose variance is below 1e-8 is ignored (σ = ∞), as in the authors' code.

Scores pass through the folding by themselves: π acting on s with folded parameters is π acting on
(s − μ)/σ with the inner ones, so the inner optimizer is given rollouts of normalised observations.

Invariant to: what the inner optimizer is invariant to, and to units and offsets of the observations once
these have been seen.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from policysearch.core import (
    Array,
    Domain,
    Evaluation,
    Moments,
    Needs,
    Optimizer,
    Proposal,
    Rollout,
    Search,
    needs_of,
)

MIN_VARIANCE = 1e-8


@runtime_checkable
class Foldable(Protocol):
    """A policy whose first layer can carry a shift and a gain of the observations."""

    def fold(
        self, params: Float[Array, "*n d"], mean: Float[Array, "o"], gain: Float[Array, "o"]
    ) -> Float[Array, "*n d"]:
        """Parameters that act on s as `params` act on gain·(s − mean)."""


@dataclass(frozen=True)
class Whitened:
    """`optimizer`, searching policies of normalised observations.

    Raises:
        ValueError: for a method that keeps rollouts over generations, whatever it is wrapped in.
    """

    optimizer: Optimizer
    policy: Foldable

    def __post_init__(self) -> None:
        if needs_of(self.optimizer).kept_rollouts:
            raise ValueError(
                "whitened: the method uses rollouts of earlier generations again, whose observations were "
                "normalised otherwise; choose another method, or leave out the whitening"
            )

    @property
    def needs(self) -> Needs:
        """What the inner optimizer needs."""
        return needs_of(self.optimizer)

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """The inner search, its proposals folded and its rollouts normalised."""
        search = self.optimizer.search(domain, rng)
        moments: Moments | None = None
        proposal = next(search)
        while True:
            mean, gain = _normalisation(moments)
            evaluation = yield self._folded(proposal, mean, gain)
            try:
                proposal = search.send(_unfolded(evaluation, proposal, mean, gain))
            except StopIteration as end:
                return end.value if mean is None else self.policy.fold(end.value, mean, gain)
            new = evaluation.moments
            if new is not None:
                moments = new if moments is None else moments + new

    def _folded(self, proposal: Proposal, mean: Any, gain: Any) -> Proposal:
        """The proposal in parameters of the raw observations."""
        if mean is None:
            return replace(proposal, moments=True)
        params = self.policy.fold(proposal.params, mean, gain)
        recommendation = self.policy.fold(proposal.recommendation, mean, gain)
        return replace(proposal, params=params, recommendation=recommendation, moments=True)


def _normalisation(moments: Moments | None) -> tuple[Any, Any]:
    """μ and 1/σ, or nothing before the first observations."""
    if moments is None or moments.count == 0:
        return None, None
    variance = moments.std**2
    gain = np.where(variance < MIN_VARIANCE, 0.0, 1.0 / np.sqrt(np.maximum(variance, MIN_VARIANCE)))
    return moments.mean, gain


def _unfolded(evaluation: Evaluation, proposal: Proposal, mean: Any, gain: Any) -> Evaluation:
    """The evaluation as the inner optimizer sees it: its own parameters, normalised observations."""

    def normalised(rollout: Rollout, params: Float[Array, "d"]) -> Rollout:
        if mean is None:
            return rollout
        obs, final = (rollout.obs - mean) * gain, (rollout.final_obs - mean) * gain
        return replace(rollout, params=params, obs=obs, final_obs=final)

    rollouts = tuple(
        tuple(normalised(rollout, params) for rollout in episodes)
        for params, episodes in zip(proposal.params, evaluation.rollouts, strict=bool(evaluation.rollouts))
    )
    return replace(evaluation, params=proposal.params, rollouts=rollouts)
