"""A method that chooses by the noise and the number of parameters.

    more than 100 parameters      sep-cma-es
    otherwise                     the start and a point on each axis (of ten at most); the best is measured again
        the same return           quadratic-model begins with these points
        another return            nelder-mead, too
    after 30 rollouts
        no noise so far           the best point is measured again; with the same return the model stays
        noise                     from the best point sep-cma-es, or with one parameter hill-climbing

Without noise a model of the return is the fastest; with noise a small simplex wins with few rollouts. A lucky point
does not stay: what follows the simplex begins there, but keeps nothing of its value. The rule does not ask for the
budget, so a search may be continued with more rollouts.

Source: the idea of rules that choose by what is known of a problem is that of NGOpt (Meunier et al. 2022, "Black-box
optimization revisited: improving algorithm selection wizards through massive benchmarking"); this rule is our own.

Defaults: by the tuning problems of `experiments/choosing_a_method`, on which the numbers above and those of the three
methods were chosen (`auto_rule.py` there).

Invariant to: constants added to returns and positive factors on returns; with noise, monotone transformations too.

When to use it: where nothing is known of the noise, with 30 to some hundred rollouts.
When not: for thousands of rollouts, where `cma-es` learns what depends on what, or for methods that are compared.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from policysearch.core import Domain, Evaluation, Optimizer, Proposal, Search
from policysearch.optimizers.checks import positive, within
from policysearch.optimizers.hill_climbing import HillClimbing
from policysearch.optimizers.multi_start import Best
from policysearch.optimizers.nelder_mead import NelderMead, on_axes
from policysearch.optimizers.quadratic_model import AT_ONCE, QuadraticModel
from policysearch.optimizers.separable_cma_es import SeparableCMAES

#: Parameters beyond which a simplex, which has a corner more, is left out.
MANY = 100


@dataclass(frozen=True)
class Auto:
    """A model where there is no noise; a simplex and then an evolution strategy where there is."""

    revision: ClassVar[int] = 2  # without noise a quadratic model, no simplex

    polish: int = 30  # rollouts of the first method
    edge: float = 0.15  # of the simplex and of the model's first region, in scaled parameter units
    sigma: float = 0.17  # first step size of sep-cma-es

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "polish")
        positive(self, "edge", "sigma")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Look for noise, and delegate."""
        domain = replace(domain, known=None)  # the start is the best of it
        if domain.start.size > MANY:
            return (yield from SeparableCMAES(sigma=self.sigma).search(domain, rng))
        best = Best(domain.start)
        corners = np.vstack([domain.start, on_axes(domain, domain.start, self.edge)])[:AT_ONCE]
        first = _kept((yield Proposal(corners, domain.start)))
        best.learn(first)
        noise = yield from _noise(best)
        search, proposal = self._begun(domain, rng, first, noise=noise)
        spent = begun = first.returns.size
        while spent == begun or spent + proposal.cost <= self.polish:
            evaluation = yield replace(proposal, recommendation=best.params)
            spent += proposal.cost
            best.learn(evaluation)
            proposal = search.send(evaluation)
        if not noise and not (yield from _noise(best)):
            return (yield from _rest(search, proposal))
        return (yield from self._then(domain).search(replace(domain, start=best.params), rng))

    def _begun(
        self, domain: Domain, rng: np.random.Generator, first: Evaluation, *, noise: bool
    ) -> tuple[Search, Proposal]:
        """The first method, which knows the first generation if that is of use to it, and what it asks for."""
        if not noise:
            search = QuadraticModel(radius=self.edge).search(replace(domain, known=first), rng)
            return search, next(search)
        search = NelderMead(edge=self.edge).search(domain, rng)
        proposal = next(search)
        whole = len(proposal.params) == len(first.params)
        return search, search.send(first) if whole else proposal

    def _then(self, domain: Domain) -> Optimizer:
        return SeparableCMAES(sigma=self.sigma) if domain.start.size > 1 else HillClimbing()


def _kept(told: Evaluation) -> Evaluation:
    """A copy, as who told it may change it."""
    return replace(told, params=told.params.copy(), returns=told.returns.copy())


def _noise(best: Best) -> Generator[Proposal, Evaluation, bool]:
    """Whether the best point has another return than before, or fails."""
    again = yield Proposal(best.params[None], best.params)
    return bool(again.fitness[0] != best.fitness)


def _rest(search: Search, proposal: Proposal) -> Search:
    """A search that has begun, from what it asks for next."""
    while True:
        proposal = search.send((yield proposal))
