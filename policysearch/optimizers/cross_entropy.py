"""The cross-entropy method with decreasing noise.

Source: Szita & Lőrincz 2006, "Learning Tetris using the noisy cross-entropy method".

Draw from N(m, diag(v)), refit m and v to the elites (eqs. 2–3), and add to v the noise Z_t (eq. 5), which
keeps it from shrinking too early. The paper's Z_t = max(5 − t/10, 0) for an initial variance of 100 is
`noise` = 0.05 of σ², falling linearly to zero over `noise_generations` = 50. t counts generations, not
candidates. At least two elites are needed: one has no variance. With `covariance = "full"` the whole
covariance of the elites is refitted (Rubinstein & Kroese 2004, section 3.3), which wants more elites than
parameters.

Defaults: the noise is the paper's; 50 candidates, 10 elites and σ = 0.5 are our choice.

Candidates as good as the last elite are elites too, with equal weights that sum to the places left for them. A
generation of equal returns leaves the distribution as it is.

Earlier tries give the first distribution (`warm_start`).

Invariant to: constants added to returns, monotone transformations of returns, and units: rescaling a
parameter with its start and σ changes nothing. The diagonal covariance ties it to the axes, the full one
does not.

When to use it: with several hundred rollouts and noisy returns: the mean of the elites averages over the noise.
When not: with fewer than about five generations of 50 rollouts.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Needs, Proposal, Ranges, Search
from policysearch.optimizers.checks import one_of, positive, within
from policysearch.optimizers.warm_start import first_gaussian


@dataclass(frozen=True)
class CrossEntropy:
    """A Gaussian refitted to the elites of each generation."""

    needs: ClassVar[Needs] = Needs(uses_known=True)
    revision: ClassVar[int] = 2  # 2: ties at the last elite share its place
    tunable: ClassVar[Ranges] = {"population_size": (10, 100), "elites": (3, 20), "sigma": (0.05, 5.0)}

    population_size: int = 50
    elites: int = 10
    sigma: float = 0.5  # initial standard deviation, in scaled parameter units
    noise: float = 0.05  # Z_0 / σ²
    noise_generations: int = 50  # Z_t = 0 from this generation on
    covariance: Literal["diagonal", "full"] = "diagonal"

    def __post_init__(self) -> None:
        positive(self, "sigma")
        within(self, 0, np.inf, "noise")
        within(self, 1, np.inf, "noise_generations")
        one_of(self, "covariance", ("diagonal", "full"))
        if not 2 <= self.elites <= self.population_size:
            raise ValueError(
                f"elites: expected 2 <= elites <= population_size = {self.population_size}, got {self.elites}"
            )

    def memory(self, d: int, o: int) -> int:
        """Bytes of a full covariance, and of what its root takes."""
        return 8 * 8 * d**2 if self.covariance == "full" else 0

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw, select, refit."""
        mean, root = first_gaussian(domain, self.sigma)
        t = 0
        while True:
            z = rng.standard_normal((self.population_size, mean.size))
            candidates = domain.clip(mean + (z * root if root.ndim == 1 else z @ root.T))
            std = root if root.ndim == 1 else np.sqrt((root**2).sum(axis=1))
            evaluation = yield Proposal(
                candidates, recommendation=mean, diagnostics={"sigma": float(std.mean())}
            )
            # Without unmeasured candidates, as long as there are enough others.
            ranking = evaluation.ranking()
            ranking = ranking[np.argsort(np.isin(ranking, evaluation.unmeasured), kind="stable")]
            ranking = ranking[: max(self.elites, evaluation.measured.size)]
            Z = self.noise * self.sigma**2 * max(1.0 - t / self.noise_generations, 0.0)
            ordered = evaluation.fitness[ranking]
            if ordered[0] > ordered[-1]:
                weights = elite_weights(ordered, self.elites)
                elite, weights = candidates[ranking[weights > 0]], weights[weights > 0]
                mean, root = self._refitted(elite, weights, Z)
            t += 1

    def _refitted(
        self, elite: Float[Array, "e d"], weights: Float[Array, "e"], Z: float
    ) -> tuple[Float[Array, "d"], Array]:
        """The mean of the elites, and their standard deviations or a root of their covariance, with Z added."""
        mean = np.average(elite, axis=0, weights=weights)
        if self.covariance == "diagonal":
            return mean, np.sqrt(np.average((elite - mean) ** 2, axis=0, weights=weights) + Z)
        covariance = np.cov(elite.T, bias=True, aweights=weights)
        values, vectors = np.linalg.eigh(covariance + Z * np.eye(elite.shape[1]))
        return mean, np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def elite_weights(ordered: Float[Array, "n"], elites: int) -> Float[Array, "n"]:
    """The weight of every candidate, from the best to the worst: 1 for an elite, shares for ties at the end."""
    last = ordered[elites - 1]
    above, tied = ordered > last, ordered == last
    return np.where(above, 1.0, np.where(tied, (elites - above.sum()) / tied.sum(), 0.0))
