"""Policy gradients with parameter-based exploration: REINFORCE over parameters, with mirrored samples.

    θ_i± = m ± ε_i,   ε_i ~ N(0, diag σ²),   r_i± their returns,   b a running mean of all returns
    m ← m + α_m Σ_i ε_i (r_i⁺ − r_i⁻)/2                                                      (symmetric sampling)
    σ ← σ + α_σ Σ_i (ε_i² − σ²)/σ · ((r_i⁺ + r_i⁻)/2 − b)

Source: Sehnke, Osendorfer, Rückstieß, Graves, Peters & Schmidhuber 2010, "Parameter-exploring policy
gradients", algorithm 2, with its α_m = 0.2 and α_σ = 0.1. The source divides the differences by their
distance to the best return known; here both are averaged over the pairs and divided by the standard
deviation of the generation's returns, and σ changes by a factor, e^{±α_σ} per generation at most.

Defaults: 6 candidates, σ = 0.124, α_m and α_σ are the best of eight settings on the tuning problems of
`experiments/choosing_a_method`; `source` has the α_m and α_σ of the source, with 20 candidates and σ = 0.5. The
memory of b is our choice.

Invariant to: constants added to returns, positive factors on returns, units.

When to use it: to compare the likelihood ratio over parameters with the one over actions, or with larger
learning rates.
When not: with a few hundred rollouts and the source's learning rates: its steps are too small.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from policysearch.core import Domain, Proposal, Ranges, Search
from policysearch.gradients import parameter_space
from policysearch.optimizers.checks import positive, within

#: A smaller spread, as a share of the mean, is rounding.
RESOLUTION = 1e-12


@dataclass(frozen=True)
class PGPE:
    """A diagonal Gaussian that follows the likelihood-ratio gradient of the expected return."""

    tunable: ClassVar[Ranges] = {
        "population_size": (4, 60), "sigma": (0.05, 5.0), "learning_rate": (0.02, 2.0), "sigma_rate": (0.01, 0.5)
    }  # fmt: skip
    source: ClassVar[Mapping[str, float]] = {
        "population_size": 20, "sigma": 0.5, "learning_rate": 0.2, "sigma_rate": 0.1
    }  # fmt: skip

    population_size: int = 6  # an even number: mirrored pairs
    sigma: float = 0.124  # initial standard deviation, in scaled parameter units
    learning_rate: float = 0.517  # α_m
    sigma_rate: float = 0.435  # α_σ
    baseline_memory: float = 0.9  # of the running mean b

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "population_size")
        positive(self, "sigma", "learning_rate")
        within(self, 0, np.inf, "sigma_rate")
        within(self, 0, 1, "baseline_memory")
        if self.population_size % 2:
            raise ValueError(f"population_size: expected an even number, got {self.population_size}")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw mirrored pairs; move the mean by their differences, the spread by their averages."""
        m, sigma = domain.start, np.full_like(domain.start, self.sigma)
        b: float | None = None
        while True:
            z = rng.standard_normal((self.population_size // 2, m.size))
            candidates = domain.clip(m + sigma * parameter_space.mirrored(z))
            evaluation = yield Proposal(
                candidates, recommendation=m, diagnostics={"sigma": float(sigma.mean())}
            )
            if not np.isfinite(evaluation.returns).any():
                continue  # nothing is known: b is not to be learned from stand-ins
            r_plus, r_minus = np.split(evaluation.fitness, 2)
            # Of returns like −1e200 the spread is infinite; it makes no step.
            with np.errstate(over="ignore", invalid="ignore"):
                mean, spread = float(evaluation.fitness.mean()), float(evaluation.fitness.std())
            if not np.isfinite(spread):
                continue
            b = mean if b is None else b
            if spread > RESOLUTION * abs(mean):
                differences = (r_plus - r_minus) / (2 * spread)
                averages = ((r_plus + r_minus) / 2 - b) / spread
                # σ² ∇_m and ∇_{ln σ}: the natural units of a Gaussian's mean and spread
                m = domain.clip(
                    m + self.learning_rate * sigma**2 * parameter_space.mean_gradient(z, differences, sigma)
                )
                growth = self.sigma_rate * parameter_space.log_std_gradient(z, averages)
                sigma = sigma * np.exp(np.clip(growth, -self.sigma_rate, self.sigma_rate))
            b = self.baseline_memory * b + (1 - self.baseline_memory) * mean
