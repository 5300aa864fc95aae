"""The cross-entropy method with decreasing noise.

Source: Szita & Lőrincz 2006, "Learning Tetris using the noisy cross-entropy method".

Draw from N(m, diag(v)), refit m and v to the elites (eqs. 2–3), and add to v the noise Z_t (eq. 5), which
keeps it from shrinking too early. The paper's Z_t = max(5 − t/10, 0) for an initial variance of 100 is
`noise` = 0.05 of σ², falling linearly to zero over `noise_generations` = 50. t counts generations, not
candidates. At least two elites are needed: one has no variance.

Invariant to: constants added to returns, monotone transformations of returns, and units: rescaling a
parameter with its start and σ changes nothing. The diagonal covariance ties it to the axes.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from policysearch.core import Domain, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class CrossEntropy:
    """A diagonal Gaussian refitted to the elites of each generation."""

    tunable: ClassVar[Ranges] = {"population_size": (10, 100), "elites": (3, 20), "sigma": (0.05, 5.0)}

    population_size: int = 50
    elites: int = 10
    sigma: float = 0.5  # initial standard deviation, in scaled parameter units
    noise: float = 0.05  # Z_0 / σ²
    noise_generations: int = 50  # Z_t = 0 from this generation on

    def __post_init__(self) -> None:
        positive(self, "sigma")
        within(self, 0, np.inf, "noise")
        within(self, 1, np.inf, "noise_generations")
        if not 2 <= self.elites <= self.population_size:
            raise ValueError(
                f"elites: expected 2 <= elites <= population_size = {self.population_size}, got {self.elites}"
            )

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw, select, refit."""
        mean, std = domain.start, np.full_like(domain.start, self.sigma)
        t = 0
        while True:
            candidates = mean + std * rng.standard_normal((self.population_size, mean.size))
            candidates = domain.clip(candidates)
            evaluation = yield Proposal(
                candidates, recommendation=mean, diagnostics={"sigma": float(std.mean())}
            )
            elite = candidates[evaluation.ranking()[: self.elites]]
            Z = self.noise * self.sigma**2 * max(1.0 - t / self.noise_generations, 0.0)
            mean, std = elite.mean(axis=0), np.sqrt(elite.var(axis=0) + Z)
            t += 1
