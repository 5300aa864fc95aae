"""Several episodes per candidate for any optimizer: `Repeated(optimizer, episodes)`.

A proposal that asks for at least as many episodes by itself is left alone.
Invariant to: what the inner optimizer is invariant to.
"""

from dataclasses import dataclass, replace

import numpy as np

from policysearch.core import Domain, Needs, Optimizer, Proposal, Search, needs_of
from policysearch.optimizers.checks import within
from policysearch.optimizers.passing_on import passed_on


@dataclass(frozen=True)
class Repeated:
    """`optimizer`, every candidate evaluated on at least `episodes` episodes."""

    optimizer: Optimizer
    episodes: int

    def __post_init__(self) -> None:
        within(self, 1, np.inf, "episodes")

    @property
    def needs(self) -> Needs:
        """What the inner optimizer needs."""
        return needs_of(self.optimizer)

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """The inner search with its proposals repeated."""

        def asked(proposal: Proposal) -> Proposal:
            return replace(proposal, episodes=max(proposal.episodes, self.episodes))

        return passed_on(self.optimizer.search(domain, rng), asked)
