"""The evolution strategy known as OpenAI-ES.

Source: Salimans, Ho, Chen, Sidor & Sutskever 2017, "Evolution strategies as a scalable alternative to
reinforcement learning".

    g = 1/(nσ) Σ_i F_i ε_i,   ε_i ~ N(0, I) in mirrored pairs,   F = centred ranks of the returns
    θ ← θ + Adam(g − λθ)

Centred ranks lie in [−½, ½]; equal returns share their mean rank, so that a generation of equal returns
makes no step at all.

Defaults: σ = 0.0241 and the learning rate 0.059 are the best of eight settings on the tuning problems of
`experiments/choosing_a_method`. Weight decay λ = 0.005 and `source`, σ = 0.02 and a rate of 0.01, are those of the
authors' published Humanoid configuration (recalled, not verified), for thousands of candidates per step: on a few
hundred rollouts they are slow. 20 candidates per step are our choice.

Invariant to: constants added to returns, monotone transformations of returns. Adam ties it to the axes
and its step does not scale with the parameters.

When to use it: with many processors, thousands of rollouts and many parameters.
When not: with a few hundred rollouts, unless σ and the learning rate are raised (0.1, say).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Proposal, Ranges, Search
from policysearch.gradients import parameter_space
from policysearch.optimizers.adam import Adam
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class EvolutionStrategy:
    """Mirrored Gaussian perturbations, centred ranks, Adam, weight decay."""

    tunable: ClassVar[Ranges] = {"sigma": (0.01, 1.0), "learning_rate": (0.001, 1.0)}
    source: ClassVar[Mapping[str, float]] = {"sigma": 0.02, "learning_rate": 0.01}

    population_size: int = 20  # n, an even number: mirrored pairs
    sigma: float = 0.0241  # in scaled parameter units
    learning_rate: float = 0.059  # of Adam, in scaled parameter units per generation
    weight_decay: float = 0.005  # λ

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "population_size")
        positive(self, "sigma", "learning_rate")
        within(self, 0, np.inf, "weight_decay")
        if self.population_size % 2:
            raise ValueError(f"population_size: expected an even number, got {self.population_size}")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Perturb in mirrored pairs, rank, step."""
        theta, adam = domain.start, Adam(self.learning_rate)
        pairs = self.population_size // 2
        while True:
            epsilon = parameter_space.mirrored(rng.standard_normal((pairs, theta.size)))
            evaluation = yield Proposal(domain.clip(theta + self.sigma * epsilon), recommendation=theta)
            F = centred_ranks(evaluation.fitness)
            if F.any():
                g = parameter_space.mean_gradient(epsilon, F, self.sigma)
                theta = domain.clip(theta + adam.step(g - self.weight_decay * theta))


def centred_ranks(fitness: Float[Array, "n"]) -> Float[Array, "n"]:
    """Ranks scaled to [−½, ½], the best at ½; equal values share the mean of their ranks."""
    ordered = np.sort(fitness)
    below = np.searchsorted(ordered, fitness, side="left")
    upto = np.searchsorted(ordered, fitness, side="right")
    return (below + upto - 1) / (2 * (fitness.size - 1)) - 0.5
