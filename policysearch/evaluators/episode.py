"""An episode that is running, and the evaluation that it is part of."""

from dataclasses import dataclass, field

import numpy as np

from policysearch.core import Array, Failure, Policy, Proposal
from policysearch.evaluators.copies import Copies
from policysearch.evaluators.shared import Outcome, action_stream, episode_seed
from policysearch.seeding import Key


@dataclass(eq=False)
class Episode:
    """A running episode, and its record if one is kept."""

    candidate: int
    index: int
    seed: int
    slot: int  # of its environment copy
    rng: np.random.Generator | None  # of its action noise, if actions are drawn
    obs: list[Array] = field(default_factory=list)
    actions: list[Array] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Setting:
    """What the episodes of an evaluation have in common."""

    copies: Copies
    policy: Policy
    proposal: Proposal
    key: Key
    sampling: bool  # whether actions are drawn
    common_random_numbers: bool

    def episode(self, i: int, j: int, slot: int) -> Episode:
        """Episode j of candidate i, in the environment copy of a slot."""
        rng = action_stream(self.key, i, j) if self.sampling else None
        seed = episode_seed(self.key, i, j, common=self.common_random_numbers)
        return Episode(i, j, seed, slot, rng)


def failed(episode: Episode, reason: str, steps: int = 0, clipped: int = 0) -> Outcome:
    """The outcome of an episode that has no return; the lines of `reason` after the first are a traceback."""
    line, _, traceback = reason.partition("\n")
    failure = Failure(episode.candidate, episode.index, episode.seed, line, traceback)
    return Outcome(episode.candidate, episode.index, np.nan, steps, clipped, failure)
