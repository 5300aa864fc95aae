"""Augmented random search.

Source: Mania, Guy & Recht 2018, "Simple random search of static linear policies is competitive for
reinforcement learning", algorithms 1 and 2.

    r_k± = return of M ± ν δ_k,  δ_k ~ N(0, I),  k = 1 … N
    M ← M + α/(b σ_R) Σ_{k ≤ b} (r_(k)+ − r_(k)−) δ_(k)

over the b directions with the largest max(r_k+, r_k−); σ_R is the standard deviation of the 2b returns
used. b = N is the paper's V1, b < N V1-t; observations normalised by `whitened` make V2 and V2-t.
Equal returns (σ_R = 0) make no step.

Defaults: α = 0.02, ν = 0.03, N = 8 as in the authors' code.

Invariant to: constants added to returns, positive factors on returns, rotation of the parameters (in
distribution).

When to use it: for linear policies of robots that walk, as `whitened:ars`; and where a run must not end worse
than it began.
When not: with 100 rollouts or fewer, unless α is raised.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from policysearch.core import Domain, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class ARS:
    """Finite differences along random directions, scaled by the spread of the returns."""

    tunable: ClassVar[Ranges] = {"directions": (2, 32), "step_size": (0.002, 2.0), "sigma": (0.003, 3.0)}

    directions: int = 8  # N
    top: int | None = None  # b; None: all directions
    step_size: float = 0.02  # α
    sigma: float = 0.03  # ν, in scaled parameter units

    def __post_init__(self) -> None:
        within(self, 1, np.inf, "directions")
        within(self, 1, self.directions, "top")
        positive(self, "step_size", "sigma")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Try directions both ways, follow the best."""
        M = domain.start
        N, b = self.directions, self.top or self.directions
        while True:
            delta = rng.standard_normal((N, M.size))
            candidates = np.empty((2 * N, M.size))
            np.multiply(self.sigma, delta, out=candidates[:N])
            np.subtract(M, candidates[:N], out=candidates[N:])
            candidates[:N] += M
            evaluation = yield Proposal(domain.clip(candidates), recommendation=M)
            r_plus, r_minus = evaluation.fitness[:N], evaluation.fitness[N:]
            top = np.argsort(-np.maximum(r_plus, r_minus), kind="stable")[:b]
            with np.errstate(over="ignore"):  # of returns like −1e200: an infinite spread makes no step
                sigma_R = np.concatenate([r_plus[top], r_minus[top]]).std()
            if sigma_R > 0:
                M = M + self.step_size / (b * sigma_R) * (r_plus[top] - r_minus[top]) @ delta[top]
                M = domain.clip(M)
