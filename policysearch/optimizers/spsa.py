"""Simultaneous perturbation stochastic approximation.

Source: Spall 1992; the gains from Spall 1998, "Implementation of the simultaneous perturbation algorithm
for stochastic optimization".

    ĝ_k = (y(θ_k + c_k Δ_k) − y(θ_k − c_k Δ_k)) / (2 c_k Δ_k),   Δ_k = ±1 per parameter
    θ_{k+1} = θ_k + a_k ĝ_k,   a_k = a/(k + 1 + A)^α,   c_k = c/(k + 1)^γ,   α = 0.602, γ = 0.101

A is a tenth of the expected iterations, and a is set from the first gradient that is not zero such that
the first step moves each parameter by `first_step`, both as Spall 1998 recommends (section III.B). A later
step that would move them further than `max_step` is shortened to it: one bad pair would otherwise throw θ
to where every gradient is larger still (Spall leaves such steps out, "blocking"; we shorten them).

Defaults: α, γ, A and a are Spall's; c, `first_step` and `max_step` are our choice.

Invariant to: constants added to returns and positive factors on returns (through the choice of a), units.
Random signs tie it to the axes.

When to use it: with few noisy rollouts, or many parameters: a step takes two rollouts.
When not: where a run must not end worse than it began: with 30 noisy rollouts a fifth of the runs did.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from policysearch.core import Domain, Proposal, Ranges, Search
from policysearch.gradients import finite_difference
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class SPSA:
    """A gradient from two candidates, whatever the dimension."""

    tunable: ClassVar[Ranges] = {"c": (0.01, 1.0), "first_step": (0.01, 1.0)}

    c: float = 0.1  # first perturbation, in scaled parameter units
    first_step: float = 0.1  # mean size of the first change of a parameter, in scaled parameter units
    max_step: float = 0.2  # limit on the mean change of a parameter, in scaled parameter units
    expected_iterations: int = 100
    alpha: float = 0.602
    gamma: float = 0.101
    pairs: int = 1  # pairs of candidates averaged per gradient

    def __post_init__(self) -> None:
        positive(self, "c", "first_step", "max_step", "alpha", "gamma")
        within(self, 1, np.inf, "expected_iterations", "pairs")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Perturb all parameters at once, both ways, and follow the difference."""
        theta, d = domain.start, domain.start.size
        A = 0.1 * self.expected_iterations
        a = k = 0
        while True:
            c_k = self.c / (k + 1) ** self.gamma
            delta = np.where(rng.random((self.pairs, d)) < 0.5, -1.0, 1.0)
            candidates = domain.clip(theta + c_k * np.concatenate([delta, -delta]))
            evaluation = yield Proposal(candidates, recommendation=theta)
            y = evaluation.fitness
            y_plus, y_minus = y[: self.pairs], y[self.pairs :]
            with np.errstate(over="ignore"):  # of returns like −1e308: an infinite gradient makes no step
                g = finite_difference.simultaneous(delta, y_plus, y_minus, c_k)
                size = float(np.abs(g).sum()) / d
            if not 0 < size < np.inf:
                continue
            if a == 0:
                a = self.first_step * (1 + A) ** self.alpha / size
            a_k = min(a / (k + 1 + A) ** self.alpha, self.max_step / size)
            theta = domain.clip(theta + a_k * g)
            k += 1
