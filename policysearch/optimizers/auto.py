"""A method that chooses: a small simplex first, and then what suits the noise and the number of parameters.

    more than 100 parameters        sep-cma-es
    otherwise                       30 rollouts of nelder-mead, whose best point is measured twice more; from there
        the same return each time       multi-start, as there is no noise
        other returns                   sep-cma-es, or with one parameter hill-climbing

A small simplex wins with few rollouts, with noise and without. A lucky point does not stay: with noise, what follows
begins there, but keeps nothing of its value. The rule does not ask for the budget, so a search may be continued with
more rollouts.

Source: the idea of rules that choose by what is known of a problem is that of NGOpt (Meunier et al. 2022, "Black-box
optimization revisited: improving algorithm selection wizards through massive benchmarking"); this rule is our own.

Defaults: by the tuning problems of `experiments/choosing_a_method`, on which the numbers above and those of the three
methods were chosen (`auto_rule.py` there).

Invariant to: constants added to returns, monotone transformations of returns.

When to use it: where nothing is known of the noise, with 30 to some hundred rollouts.
When not: for thousands of rollouts, where `cma-es` learns what depends on what, or for methods that are compared.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from policysearch.core import Domain, Evaluation, Optimizer, Proposal, Search
from policysearch.optimizers.checks import positive, within
from policysearch.optimizers.hill_climbing import HillClimbing
from policysearch.optimizers.multi_start import Best, MultiStart
from policysearch.optimizers.nelder_mead import NelderMead
from policysearch.optimizers.separable_cma_es import SeparableCMAES

#: Parameters beyond which a simplex, which has a corner more, is left out.
MANY = 100
#: Points of every design of `multi-start`.
DESIGN = 6


@dataclass(frozen=True)
class Auto:
    """A simplex, and then a method for what it found."""

    polish: int = 30  # rollouts of the first simplex
    edge: float = 0.15  # of it, in scaled parameter units
    restart_edge: float = 0.36  # of those of multi-start
    sigma: float = 0.17  # first step size of sep-cma-es

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "polish")
        positive(self, "edge", "restart_edge", "sigma")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """The simplex, the two measurements, and the method chosen."""
        domain = replace(domain, known=None)  # the start is the best of it
        if domain.start.size > MANY:
            return (yield from SeparableCMAES(sigma=self.sigma).search(domain, rng))
        best = yield from self._polished(domain, rng)
        again = yield Proposal(best.params[None], best.params, episodes=2)
        # also where one of them failed
        noise = bool(np.ptp(again.returns) != 0 or again.fitness[0] != best.fitness)
        then = self._chosen(domain, noise=noise)
        return (yield from then.search(replace(domain, start=best.params), rng))

    def _polished(self, domain: Domain, rng: np.random.Generator) -> Generator[Proposal, Evaluation, Best]:
        """The best point of a simplex; the start while there is none."""
        search, best, spent = NelderMead(edge=self.edge).search(domain, rng), Best(domain.start), 0
        proposal = next(search)
        while spent == 0 or spent + proposal.cost <= self.polish:
            evaluation = yield replace(proposal, recommendation=best.params)
            spent += proposal.cost
            best.learn(evaluation)
            proposal = search.send(evaluation)
        search.close()
        return best

    def _chosen(self, domain: Domain, *, noise: bool) -> Optimizer:
        if not noise:
            return MultiStart(design=DESIGN, edge=self.restart_edge)
        return SeparableCMAES(sigma=self.sigma) if domain.start.size > 1 else HillClimbing()
