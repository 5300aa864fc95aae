"""A genetic algorithm on real vectors: selection, uniform crossover, Gaussian mutation, elitism.

The next generation keeps the `elites` best, which are evaluated again together with all others; the others are
children of parents chosen by tournament (Goldberg & Deb 1991) or from the best fraction (truncation, Such
et al. 2017, "Deep neuroevolution"). A child takes each gene from either parent with equal chance (Syswerda
1989, uniform crossover) with probability `crossover_rate` (0.6: De Jong 1975), else it copies the first;
then each gene is mutated by N(0, mutation_sigma²) with probability `mutation_rate`.

Defaults: the crossover rate is De Jong's; all others are our choice.

Invariant to: constants added to returns, monotone transformations of returns. Crossover ties it to the
coordinate axes: it is not invariant to rotation.

When to use it: with 300 rollouts and more, and where options are among the parameters.
When not: with fewer rollouts, or where parameters depend strongly on one another.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from policysearch.core import Array, Domain, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class Genetic:
    """Tournament or truncation selection, uniform crossover, Gaussian mutation, elitism."""

    tunable: ClassVar[Ranges] = {
        "population_size": (10, 50),
        "mutation_sigma": (0.01, 1.0),
        "sigma": (0.05, 5.0),
    }

    population_size: int = 20
    elites: int = 1
    selection: Literal["tournament", "truncation"] = "tournament"
    tournament_size: int = 2
    truncation: float = 0.25  # fraction of the population that may be parents
    crossover_rate: float = 0.6
    mutation_rate: float = 1.0  # per gene
    mutation_sigma: float = 0.1  # in scaled parameter units
    sigma: float = 0.5  # spread of the first generation around the start, in scaled parameter units

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "population_size")
        within(self, 0, self.population_size - 1, "elites")
        within(self, 1, self.population_size, "tournament_size")
        within(self, 0, 1, "truncation", "crossover_rate", "mutation_rate")
        positive(self, "truncation", "mutation_sigma", "sigma")
        if self.selection not in ("tournament", "truncation"):
            raise ValueError(f"selection: expected 'tournament' or 'truncation', got {self.selection!r}")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Breed generation after generation."""
        shape = (self.population_size, domain.start.size)
        population = domain.start + self.sigma * rng.standard_normal(shape)
        population[0] = domain.start
        population = domain.clip(population)
        best = domain.start
        while True:
            evaluation = yield Proposal(population, recommendation=best)
            ranking = evaluation.ranking()
            best = population[ranking[0]]
            children = self._children(population, ranking, rng)
            population = np.concatenate([population[ranking[: self.elites]], domain.clip(children)])

    def _children(
        self, population: Float[Array, "n d"], ranking: Int[Array, "n"], rng: np.random.Generator
    ) -> Float[Array, "c d"]:
        n = self.population_size - self.elites
        mothers, fathers = ranking[self._parents(n, rng)], ranking[self._parents(n, rng)]
        crossed = rng.random(n) < self.crossover_rate
        children, chance = population[mothers], rng.random((n, population.shape[1]))
        for child in np.flatnonzero(crossed):
            np.copyto(children[child], population[fathers[child]], where=chance[child] < 0.5)
        rng.random(out=chance)
        mutation = rng.standard_normal(children.shape)
        mutation *= self.mutation_sigma
        if self.mutation_rate < 1:
            mutation *= chance < self.mutation_rate
        children += mutation
        return children

    def _parents(self, n: int, rng: np.random.Generator) -> Int[Array, "n"]:
        """Ranks of n parents: 0 is the best."""
        if self.selection == "tournament":
            return rng.integers(self.population_size, size=(n, self.tournament_size)).min(axis=1)
        return rng.integers(max(1, round(self.truncation * self.population_size)), size=n)
