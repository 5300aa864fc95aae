"""Evaluation of a plain Python function of named parameters."""

import math
from collections.abc import Callable, Mapping, Sequence

from policysearch.core import Evaluation, Failure, Proposal
from policysearch.evaluators.interface import COMPLEX
from policysearch.evaluators.shared import Outcome, collect, describe_error, episode_seed
from policysearch.seeding import Key
from policysearch.space import Space


class FunctionEvaluator:
    """`function(params, seed) -> return`, the parameters named and in their own units.

    An exception, or a return that is not a finite number, fails the episode and is kept as the reason.

    Args:
        function: what to maximise; `params` maps names to values.
        space: how the optimizer's coordinates become named parameters.
    """

    def __init__(self, function: Callable[[Mapping[str, float], int], float], space: Space) -> None:
        self.function, self.space = function, space

    common_random_numbers, interface = True, None

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """One call of the function per candidate and episode, with the seed of that episode."""
        self.check(proposal)
        pairs = [(i, j) for i in range(len(proposal.params)) for j in range(proposal.episodes)]
        return collect(proposal, self.outcomes(proposal, key, pairs))

    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that wants actions."""
        if proposal.sample or proposal.record:
            raise ValueError("a function has no actions to draw or record; use a method without scores")

    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[tuple[int, int]]) -> list[Outcome]:
        """What comes of these (candidate, episode) pairs of a proposal."""
        return [self._call(proposal, key, i, j) for i, j in pairs]

    def compile(self) -> bool:
        """Nothing to compile."""
        return False

    def close(self) -> None:
        """Nothing to give back."""

    def _call(self, proposal: Proposal, key: Key, i: int, j: int) -> Outcome:
        seed = episode_seed(key, i, j, common=True)
        try:
            value = self.function(self.space.named(proposal.params[i]), seed)
            if isinstance(value, (*COMPLEX, str)):
                raise TypeError(f"expected a real number, got {value!r}")
            value = float(value)
            if not math.isfinite(value):
                raise ValueError(f"the function returned {value}")
            return Outcome(i, j, value, steps=1)
        except Exception as error:  # the user's code may raise anything
            line, _, traceback = describe_error("", error).partition("\n")
            return Outcome(i, j, steps=1, failure=Failure(i, j, seed, line, traceback))
