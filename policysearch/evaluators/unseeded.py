"""Many episodes of a plant that is not given their seeds: `Unseeded(runner)`.

Such a plant usually returns the same each time, so that 20 held-out seeds would be 20 equal runs. But it may draw
random numbers of its own. Each candidate is therefore run twice. If the returns are equal, or both runs fail, they
are those of all episodes; if the two runs of any candidate differ, every episode is run.
"""

from dataclasses import dataclass, replace

import numpy as np

from policysearch.core import Evaluation, Proposal
from policysearch.evaluators.runner import Runner, episode_seed
from policysearch.seeding import Key

TRIED = 2  # runs of each candidate


@dataclass(frozen=True)
class Unseeded:
    """`inner`, whose equal episodes are run twice; nothing changes for one that is given its seeds."""

    inner: Runner
    scenarios: int = 1  # each of which is run twice (`policysearch.optimizers.robust`)

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The evaluation of `proposal`, whose episodes may be copies of the first."""
        s = self.scenarios
        if self.inner.seeded or proposal.episodes <= TRIED * s:
            return self.inner.evaluate(proposal, key)
        tried = self.inner.evaluate(replace(proposal, episodes=TRIED * s), key)
        if not np.array_equal(tried.returns[:, :s], tried.returns[:, s:], equal_nan=True):
            return self.inner.evaluate(proposal, key)
        times = (1, proposal.episodes // s)
        return replace(
            tried,
            returns=np.tile(tried.returns[:, :s], times),
            steps=np.tile(tried.steps[:, :s], times),
            metrics={name: np.tile(x[:, :s], times) for name, x in tried.metrics.items()},
            failures=tuple(
                replace(failure, episode=j, seed=episode_seed(key, failure.candidate, j // s, common=True))
                for failure in tried.failures
                if failure.episode < s
                for j in range(failure.episode, proposal.episodes, s)
            ),
        )
