"""Separable natural evolution strategies: the natural gradient of a diagonal Gaussian over parameters.

    z_i ~ N(0, I),   θ_i = m + σ z_i,   u_i utilities of their ranks
    m ← m + η_m σ Σ_i u_i z_i,      σ ← σ exp(η_σ/2 Σ_i u_i (z_i² − 1))

Source: Schaul, Glasmachers & Schmidhuber 2011, "High dimensions and heavy tails for natural evolution
strategies", algorithm 2, and Wierstra et al. 2014, table 1: λ = 4 + ⌊3 ln d⌋, η_m = 1, η_σ = (3 + ln d)/(5
√d), u_k = max(0, ln(λ/2 + 1) − ln k)/Σ − 1/λ for rank k. Candidates of equal fitness share their utilities, so that a
generation of equal returns makes no step.

Defaults: those of the sources; σ = 0.5 is our choice.

Invariant to: constants added to returns, monotone transformations of returns, and units. Its diagonal ties
it to the axes.

When to use it: with hundreds of parameters and more, since time and memory grow with d only.
When not: with 100 rollouts or fewer, or where parameters depend strongly on one another.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Proposal, Ranges, Search
from policysearch.gradients import parameter_space
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class SNES:
    """Natural gradient ascent on the expected utility of draws from a diagonal Gaussian."""

    revision: ClassVar[int] = 2  # 2: equal candidates share their utilities
    tunable: ClassVar[Ranges] = {"sigma": (0.05, 5.0), "learning_rate": (0.1, 2.0)}

    population_size: int | None = None  # λ; None: 4 + ⌊3 ln d⌋
    sigma: float = 0.5  # initial standard deviation, in scaled parameter units
    learning_rate: float = 1.0  # η_m

    def __post_init__(self) -> None:
        within(self, 3, np.inf, "population_size")
        positive(self, "sigma", "learning_rate")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw, rank, move mean and spread along their natural gradients."""
        m, sigma, d = domain.start, np.full_like(domain.start, self.sigma), domain.start.size
        population_size = self.population_size or 4 + math.floor(3 * math.log(d))
        eta_sigma = (3 + math.log(d)) / (5 * math.sqrt(d))
        u = utilities(population_size)
        while True:
            z = rng.standard_normal((population_size, d))
            candidates = sigma * z
            candidates += m
            evaluation = yield Proposal(
                domain.clip(candidates), recommendation=m, diagnostics={"sigma": float(sigma.mean())}
            )
            ranking = evaluation.ranking()
            ranked, shared = z[ranking], shared_by_ties(u, evaluation.fitness[ranking])
            # λ ∇ in the coordinates of z, where the Fisher matrix is diag(1, 2)
            grad_m = population_size * parameter_space.mean_gradient(ranked, shared, 1.0)
            grad_log_std = population_size * parameter_space.log_std_gradient(ranked, shared)
            m = domain.clip(m + self.learning_rate * sigma * grad_m)
            sigma = sigma * np.exp(eta_sigma / 2 * grad_log_std)


def shared_by_ties(u: Float[Array, "n"], fitness: Float[Array, "n"]) -> Float[Array, "n"]:
    """The utilities of candidates in the order of their fitness, equal ones with the mean of theirs."""
    if fitness[0] == fitness[-1]:
        return np.zeros_like(u)
    _, group = np.unique(-fitness, return_inverse=True)
    return np.asarray((np.bincount(group, u) / np.bincount(group))[group]) if group[-1] < u.size - 1 else u


def utilities(population_size: int) -> Float[Array, "n"]:
    """u_k for ranks k = 1 (best) to λ; they sum to zero."""
    raw = np.maximum(0.0, math.log(population_size / 2 + 1) - np.log(np.arange(1, population_size + 1)))
    return raw / raw.sum() - 1 / population_size
