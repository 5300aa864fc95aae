"""Finite differences in the style of the AIBO gait work (Kohl & Stone 2004, ICRA, figure 3).

    repeat
      R_i = θ + Δ_i, i = 1 … t,  each Δ_ij drawn from {−ε, 0, +ε}
      A_j = 0 if Avg₀ is the best of (Avg₊, Avg₀, Avg₋) for parameter j, else Avg₊ − Avg₋
      θ ← θ + η ε A/|A|

t = 15 and η = 2 as in the paper; ε is one per parameter there and here the same in scaled units (the table
of the AIBO's parameters corresponds to a twelfth of each range). A = 0 leaves θ and draws again. Two more
estimates of the gradient can take the place of A: "central" differences along every axis (2d candidates)
and "regression", the slope of a plane fitted to t random-sign perturbations (Peters & Schaal 2008).

Defaults: t = 8, η = 0.913 and ε = 0.0763 are the best of eight settings on the tuning problems of
`experiments/choosing_a_method`; `source` has t = 15 and η = 2, the paper's, with ε = 0.1, our choice.

Invariant to: constants added to returns, positive factors on returns, units. Tied to the axes, except
regression with t ≫ d.

When to use it: on machines where every step should have the same, small length.
When not: to converge closely: the length of its steps does not shrink.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Proposal, Ranges, Search
from policysearch.gradients import finite_difference as estimate
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class FiniteDifference:
    """Steps of fixed length along an estimated gradient."""

    tunable: ClassVar[Ranges] = {"perturbations": (6, 40), "epsilon": (0.01, 1.0), "step_size": (0.5, 8.0)}
    source: ClassVar[Mapping[str, float]] = {"perturbations": 15, "epsilon": 0.1, "step_size": 2.0}

    variant: Literal["kohl-stone", "central", "regression"] = "kohl-stone"
    perturbations: int = 8  # t; central differences take 2d instead
    epsilon: float = 0.0763  # perturbation of a parameter, in scaled parameter units
    step_size: float = 0.913  # η: length of a step, in units of epsilon

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "perturbations")
        positive(self, "epsilon", "step_size")
        if self.variant not in ("kohl-stone", "central", "regression"):
            raise ValueError(
                f"variant: expected 'kohl-stone', 'central' or 'regression', got {self.variant!r}"
            )

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Perturb, estimate, step."""
        theta, d = domain.start, domain.start.size
        while True:
            if self.variant == "kohl-stone":
                signs = rng.integers(-1, 2, size=(self.perturbations, d)).astype(float)
            elif self.variant == "regression":
                signs = rng.choice((-1.0, 1.0), size=(self.perturbations, d))
            else:
                signs = np.concatenate([np.eye(d), -np.eye(d)])
            candidates = domain.clip(theta + self.epsilon * signs)
            evaluation = yield Proposal(candidates, recommendation=theta)
            with np.errstate(over="ignore", invalid="ignore"):  # returns like −1e200 make no step
                A = self._gradient(signs, evaluation.fitness)
                length = float(np.sqrt(A @ A))
            if 0 < length < np.inf:
                theta = domain.clip(theta + self.step_size * self.epsilon * A / length)

    def _gradient(self, signs: Float[Array, "n d"], fitness: Float[Array, "n"]) -> Float[Array, "d"]:
        if self.variant == "kohl-stone":
            return estimate.kohl_stone(signs, fitness)
        if self.variant == "regression":
            return estimate.regression(signs, fitness)
        plus, minus = np.split(fitness, 2)
        return estimate.central(plus, minus, self.epsilon)
