"""Your own method: simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983, "Optimization by simulated annealing").

cd experiments/own_method
python -m policysearch.compare --tasks CartPole-v1 --optimizers annealing:Annealing hill-climbing cma-es ars --runs 3
python -c "import annealing, policysearch.testing; policysearch.testing.check_optimizer(annealing.Annealing)"

A candidate x' ~ N(x, σ² I) replaces x with probability min(1, exp((f(x') − f(x))/T)); T falls by a factor.
"""

from dataclasses import dataclass

import numpy as np

from policysearch.core import Proposal


@dataclass(frozen=True)
class Annealing:
    """One candidate at a time, sometimes accepted although it is worse."""

    tunable = {"sigma": (0.03, 3.0), "temperature": (0.1, 100.0)}

    sigma: float = 0.3  # standard deviation of a step
    temperature: float = 10.0  # at the start, in units of the return
    cooling: float = 0.98  # of the temperature, in every generation

    def search(self, domain, rng):
        """Propose, accept or not, cool down; the best is recommended."""
        candidate = x = best = domain.start
        fitness, highest, temperature = -np.inf, -np.inf, self.temperature
        while True:
            evaluation = yield Proposal(candidate[None], recommendation=best)
            for value in evaluation.fitness[evaluation.measured]:
                if value >= fitness or rng.random() < np.exp((value - fitness) / temperature):
                    x, fitness = candidate, value
                if value > highest:
                    best, highest = candidate, value
            candidate = domain.clip(x + self.sigma * rng.standard_normal(x.size))
            temperature *= self.cooling
