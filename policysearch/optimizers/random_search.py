"""Random search: the best of independent draws. The baseline that every method has to beat.

A coordinate with two finite bounds is drawn uniformly between them, any other from N(start, σ²) and
projected onto its bounds. The recommendation is the best candidate seen so far by its noisy fitness, which
is what random search means and why its claims are optimistic under noise. Where all are
equal, nothing is known to be better than the start, which is then recommended.

Source: Bergstra & Bengio 2012, "Random search for hyper-parameter optimization", for why it is a baseline.
Defaults: ten candidates per generation and σ = 1 are our choice.

Invariant to: constants added to returns, monotone transformations of returns. Not to rotation or scale of
the parameters.

When to use it: as the baseline; with about 30 rollouts and good bounds few methods do better.
When not: with more rollouts, or more than about ten parameters: draws do not learn from one another.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from policysearch.core import Domain, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class RandomSearch:
    """Independent draws around the start, or uniformly between bounds."""

    revision: ClassVar[int] = 2  # 2: failed candidates, and those no better than others, are not recommended
    tunable: ClassVar[Ranges] = {"sigma": (0.1, 10.0)}

    population_size: int = 10  # candidates per generation
    sigma: float = 1.0  # standard deviation where there are no bounds, in scaled parameter units

    def __post_init__(self) -> None:
        within(self, 1, np.inf, "population_size")
        positive(self, "sigma")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw, keep the best, repeat."""
        uniform = np.isfinite(domain.lower) & np.isfinite(domain.upper)
        low, high = np.where(uniform, domain.lower, 0.0), np.where(uniform, domain.upper, 0.0)
        best, best_fitness, worst_fitness, measured = domain.start, -np.inf, np.inf, 0
        shape = (self.population_size, domain.start.size)
        while True:
            normal = domain.start + self.sigma * rng.standard_normal(shape)
            candidates = np.where(uniform, low + (high - low) * rng.random(shape), normal)
            candidates = domain.clip(candidates)
            equal = measured > 1 and best_fitness == worst_fitness
            evaluation = yield Proposal(candidates, recommendation=domain.start if equal else best)
            measured += evaluation.measured.size
            worst_fitness = min(worst_fitness, float(evaluation.fitness.min()))
            i = int(evaluation.ranking()[0])
            if evaluation.fitness[i] > best_fitness and np.isfinite(evaluation.returns[i]).all():
                best, best_fitness = candidates[i], evaluation.fitness[i]
