"""Several episodes per candidate for any optimizer: `Repeated(optimizer, episodes)`.

A proposal that asks for at least as many episodes by itself is left alone.
Invariant to: what the inner optimizer is invariant to.
"""

from dataclasses import dataclass, replace

import numpy as np

from policysearch.core import Domain, Needs, Optimizer, Search, needs_of
from policysearch.optimizers.checks import within


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
        search = self.optimizer.search(domain, rng)
        proposal = next(search)
        while True:
            evaluation = yield replace(proposal, episodes=max(proposal.episodes, self.episodes))
            try:
                proposal = search.send(evaluation)
            except StopIteration as end:
                return np.asarray(end.value)
