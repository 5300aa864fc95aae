"""Multi-start polishing: a design of points, the simplex of Nelder & Mead from the best of them, and again.

Each start is a design, the start of the search and a Latin hypercube in the bounds (McKay, Beckman & Conover 1979),
or Gaussian draws where there are no two bounds; then a simplex (`nelder-mead`) from its best point, until its last
d + 1 points differ by less than `accuracy` of its first edge. The next start has a new design. The recommendation is
the best point of all.

Source: Luersen & Le Riche 2004, "Globalized Nelder–Mead method for engineering optimization", whose restarts are at
points far from those that were tried; designs of random points in their place are our choice.

Defaults: our choice.

Invariant to: constants added to returns, monotone transformations of returns.

When to use it: with up to about ten parameters, returns without noise, several optima, and 100 rollouts or more.
When not: under noise: values are never measured twice, and a lucky point stays.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Evaluation, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within
from policysearch.optimizers.nelder_mead import NelderMead


@dataclass(frozen=True)
class MultiStart:
    """Designs of points, each followed by a Nelder–Mead simplex from its best."""

    tunable: ClassVar[Ranges] = {"design": (4, 40), "edge": (0.03, 1.0)}

    design: int = 10  # points of every design
    sigma: float = 1.0  # of the design where there are no two bounds, in scaled parameter units
    edge: float = 0.1  # of the first simplex of every start, in scaled parameter units
    accuracy: float = 0.01  # share of the edge at which a simplex is given up

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "design")
        positive(self, "sigma", "edge", "accuracy")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Design, polish, and again."""
        best = Best(domain.start)
        points = np.vstack([domain.start, spread(domain, rng, self.design - 1, self.sigma)])
        while True:
            evaluation = yield Proposal(points, best.params)
            own = Best(domain.start)
            for found in (own, best):
                found.learn(evaluation)
            yield from self._polished(replace(domain, start=own.params, known=None), rng, best)
            points = spread(domain, rng, self.design, self.sigma)

    def _polished(
        self, domain: Domain, rng: np.random.Generator, best: "Best"
    ) -> Generator[Proposal, Evaluation, None]:
        """One simplex, until it is small."""
        search, d = NelderMead(edge=self.edge).search(domain, rng), domain.start.size
        proposal, last = next(search), np.empty((0, d))
        while len(last) <= d or np.ptp(last, axis=0).max() > self.accuracy * self.edge:
            evaluation = yield replace(proposal, recommendation=best.params)
            best.learn(evaluation)
            last = np.vstack([last, proposal.params])[-d - 1 :]
            proposal = search.send(evaluation)
        search.close()


def spread(domain: Domain, rng: np.random.Generator, n: int, sigma: float) -> Float[Array, "n d"]:
    """A point in each of n slices of every range; Gaussian draws around the start where there are no two bounds."""
    d = domain.start.size
    slices = rng.permuted(np.tile(np.arange(n), (d, 1)), axis=1).T
    u, z = (slices + rng.random((n, d))) / n, rng.standard_normal((n, d))
    enclosed = np.isfinite(domain.lower) & np.isfinite(domain.upper)
    low, width = (np.where(enclosed, x, 0.0) for x in (domain.lower, domain.upper - domain.lower))
    return domain.clip(np.where(enclosed, low + width * u, domain.start + sigma * z))


@dataclass(eq=False)
class Best:
    """The best point that has not failed, of equal ones the first."""

    params: Float[Array, "d"]
    fitness: float = -np.inf

    def learn(self, evaluation: Evaluation) -> None:
        """Compare with what was measured."""
        for i in evaluation.measured:
            if evaluation.fitness[i] > self.fitness and np.isfinite(evaluation.returns[i]).all():
                self.params, self.fitness = evaluation.params[i].copy(), float(evaluation.fitness[i])
