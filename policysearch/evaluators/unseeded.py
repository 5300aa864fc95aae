"""Many episodes of a plant that is not given their seeds: `Unseeded(runner)`.

Such a plant usually returns the same each time, so that 20 held-out seeds would be 20 equal runs. But it may draw
random numbers of its own. Each candidate is therefore run twice. If the returns are equal, or both runs fail, they
are those of all episodes; if the two runs of any candidate differ, every episode is run.
"""

from dataclasses import dataclass, replace

import numpy as np

from policysearch.core import Evaluation, Failure, Proposal
from policysearch.evaluators.runner import Runner, episode_seed
from policysearch.seeding import Key

TRIED = 2  # runs of each candidate


@dataclass(frozen=True)
class Unseeded:
    """`inner`, whose equal episodes are run twice; nothing changes for one that is given its seeds."""

    inner: Runner

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The evaluation of `proposal`, whose episodes may be copies of the first."""
        if self.inner.seeded or proposal.episodes <= TRIED:
            return self.inner.evaluate(proposal, key)
        tried = self.inner.evaluate(replace(proposal, episodes=TRIED), key)
        if not np.array_equal(tried.returns[:, 0], tried.returns[:, 1], equal_nan=True):
            return self.inner.evaluate(proposal, key)
        return replace(
            tried,
            returns=np.repeat(tried.returns[:, :1], proposal.episodes, axis=1),
            steps=np.repeat(tried.steps[:, :1], proposal.episodes, axis=1),
            metrics={
                name: np.repeat(x[:, :1], proposal.episodes, axis=1) for name, x in tried.metrics.items()
            },
            failures=tuple(
                _copied(failure, j, key)
                for failure in tried.failures
                if failure.episode == 0
                for j in range(proposal.episodes)
            ),
        )


def _copied(failure: Failure, episode: int, key: Key) -> Failure:
    seed = episode_seed(key, failure.candidate, episode, common=True)
    return replace(failure, episode=episode, seed=seed)
