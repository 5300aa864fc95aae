"""Hill climbing: try random neighbours of the incumbent and move to the best of them if it is better.

The incumbent is evaluated again, together with its neighbours, in every generation, on the same episodes: under
noise, a lucky incumbent would otherwise never be replaced (the problem that Hansen et al. 2009 and many
before them describe for elitist strategies). Fifteen neighbours per move, as in the comparison of gait
learners that followed the AIBO experiment (Kohl & Stone 2004b, AAAI; recalled, not verified).

With `adapt`, the step follows the one-fifth success rule as in Hansen, Arnold & Auger 2015, "Evolution
strategies", algorithm 4, once for each of the n neighbours, of which a share p is better than the incumbent:

    σ ← σ exp(n (p − 1/5) / √(d + 1))

Defaults: 15 neighbours are those of the gait study; σ = 0.1, a tenth of a bounded range, is our choice.

Invariant to: constants added to returns, monotone transformations of returns, rotation of the parameters
(in distribution); with `adapt` also, eventually, to their common scale.

When to use it: with up to about 20 parameters and 30 to 300 rollouts, noisy or not.
When not: in narrow, curved valleys, whose directions it does not learn.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from policysearch.core import Domain, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class HillClimbing:
    """Best of `neighbours` Gaussian steps from the incumbent."""

    tunable: ClassVar[Ranges] = {"neighbours": (5, 50), "sigma": (0.01, 1.0)}

    neighbours: int = 15
    sigma: float = 0.1  # standard deviation of a step, in scaled parameter units
    reevaluate: bool = True  # evaluate the incumbent again in every generation
    adapt: bool = False  # one-fifth success rule for sigma

    def __post_init__(self) -> None:
        within(self, 1, np.inf, "neighbours")
        positive(self, "sigma")

    @property
    def revision(self) -> int:
        """2 with `adapt`: its rule counts every neighbour."""
        return 2 if self.adapt else 1

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Perturb, compare, move."""
        incumbent, sigma, d = domain.start, self.sigma, domain.start.size
        known = -np.inf  # fitness of the incumbent, once evaluated
        while True:
            has_incumbent = int(self.reevaluate or known == -np.inf)
            candidates = np.empty((has_incumbent + self.neighbours, d))
            moved = candidates[has_incumbent:]
            rng.standard_normal(out=moved)
            moved *= sigma
            moved += incumbent
            candidates = domain.clip(candidates)
            candidates[:has_incumbent] = incumbent
            evaluation = yield Proposal(candidates, recommendation=incumbent, diagnostics={"sigma": sigma})
            i = int(evaluation.ranking()[0])
            neighbours = evaluation.fitness[-self.neighbours :]
            better = int((neighbours > (evaluation.fitness[0] if has_incumbent else known)).sum())
            if has_incumbent or better:
                incumbent, known = candidates[i], evaluation.fitness[i]
            if self.adapt:
                sigma *= np.exp((better - self.neighbours / 5) / np.sqrt(d + 1))
