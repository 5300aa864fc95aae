"""A method that chooses by the noise, the bounds and the number of parameters; the default of `tune`.

    more than 100 parameters      sep-cma-es
    otherwise                     the start is measured twice
        the same return           quadratic-model; after 30 rollouts its best point is measured again, and where the
                                  return is another one, the lines below continue from there
        another return            with bounds sep-cma-es; without nelder-mead, after 30 rollouts sep-cma-es
                                  one parameter: local-regression

Without noise a model of the return is the fastest. With noise a tenth of a range is a good first step; without bounds
a small simplex finds where to begin, and a lucky point does not stay: what follows keeps nothing of its value. The
rule does not ask for the budget, so a search may be continued with more rollouts.

Source: the idea of rules that choose by what is known of a problem is that of NGOpt (Meunier et al. 2022, "Black-box
optimization revisited: improving algorithm selection wizards through massive benchmarking"); this rule is our own.

Defaults: by the tuning problems of `experiments/choosing_a_method`, on which the numbers above and the methods were
chosen (`auto_rule.py` there). The choice for one parameter is that of `experiments/one_parameter`.

Invariant to: constants added to returns and positive factors on returns.

When to use it: where nothing is known of the noise, with 30 to some hundred rollouts.
When not: for thousands of rollouts, where `cma-es` learns what depends on what; for methods that are compared; for
many workers and returns without noise, where it has one candidate at a time.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from policysearch.core import Domain, Evaluation, Needs, Optimizer, Proposal, Search
from policysearch.optimizers.checks import positive, within
from policysearch.optimizers.local_regression import LocalRegression
from policysearch.optimizers.multi_start import Best
from policysearch.optimizers.nelder_mead import NelderMead
from policysearch.optimizers.passing_on import passed_on
from policysearch.optimizers.quadratic_model import QuadraticModel
from policysearch.optimizers.separable_cma_es import SeparableCMAES

#: Parameters beyond which a model or a simplex, which begin with a point for each, is left out.
MANY = 100
#: Why a method was chosen, as proposals say it.
EXACT, NOISY = (
    "the start has the same return twice",
    "a point measured again has another return, or none",
)


@dataclass(frozen=True)
class Auto:
    """A model where there is no noise, an evolution strategy where there is."""

    needs: ClassVar[Needs] = Needs(uses_known=True)
    #: 2: without noise a quadratic model, no simplex; 3: with noise and bounds no simplex; earlier tries are used
    revision: ClassVar[int] = 3

    polish: int = 30  # rollouts before the second look for noise, and those of a simplex
    edge: float = 0.15  # of the simplex and of the model's first region, in scaled parameter units
    sigma: float = 0.1  # first step size of sep-cma-es, in scaled parameter units

    def __post_init__(self) -> None:
        within(self, 3, np.inf, "polish")
        positive(self, "edge", "sigma")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Look for noise, and delegate."""
        if domain.start.size > MANY:
            why = f"there are more than {MANY} parameters"
            return (yield from _stated("sep-cma-es", self._strategy(), domain, rng, why))
        best = Best(domain.start)
        first = _kept((yield Proposal(domain.start[None], domain.start)))
        best.learn(first)
        if (yield from _noise(best)):
            return (yield from self._with_noise(domain, rng))
        known = first if domain.known is None else domain.known
        search = _stated("quadratic-model", self._without_noise(), replace(domain, known=known), rng, EXACT)
        proposal = yield from _begun(search, best, self.polish - 2)
        if not (yield from _noise(best)):
            return (yield from passed_on(search, begun=proposal))
        return (yield from self._with_noise(replace(domain, start=best.params, known=None), rng))

    def _with_noise(self, domain: Domain, rng: np.random.Generator) -> Search:
        """By the number of parameters and the bounds."""
        if domain.start.size == 1:
            return (yield from _stated("local-regression", LocalRegression(), domain, rng, NOISY))
        if self._simplex(domain):
            best = Best(domain.start)
            simplex = _stated("nelder-mead", NelderMead(edge=self.edge), domain, rng, NOISY)
            yield from _begun(simplex, best, self.polish)
            domain = replace(domain, start=best.params, known=None)
        return (yield from _stated("sep-cma-es", self._strategy(), domain, rng, NOISY))

    def _without_noise(self) -> Optimizer:
        return QuadraticModel(radius=self.edge)

    def _simplex(self, domain: Domain) -> bool:
        return not domain.enclosed

    def _strategy(self) -> Optimizer:
        return SeparableCMAES(sigma=self.sigma)


def _stated(name: str, method: Optimizer, domain: Domain, rng: np.random.Generator, why: str) -> Search:
    """A search whose proposals say which method was chosen, and why."""
    rule = f"{name}, as {why}"
    return passed_on(method.search(domain, rng), lambda proposal: replace(proposal, rule=rule))


def _kept(told: Evaluation) -> Evaluation:
    """A copy, as who told it may change it."""
    return replace(told, params=told.params.copy(), returns=told.returns.copy())


def _noise(best: Best) -> Generator[Proposal, Evaluation, bool]:
    """Whether the best point has another return than before, or fails."""
    again = yield Proposal(best.params[None], best.params)
    return bool(again.fitness[0] != best.fitness)


def _begun(search: Search, best: Best, rollouts: int) -> Generator[Proposal, Evaluation, Proposal]:
    """A search for so many rollouts, but a generation at least; what it asks for next."""
    proposal, spent = next(search), 0
    while spent == 0 or spent + proposal.cost <= rollouts:
        evaluation = yield replace(proposal, recommendation=best.params)
        spent += proposal.cost
        best.learn(evaluation)
        proposal = search.send(evaluation)
    return proposal
