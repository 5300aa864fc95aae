"""Evaluation of a plain Python function of named parameters."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from policysearch.core import Evaluation, Failure, Proposal
from policysearch.evaluators.interface import COMPLEX
from policysearch.seeding import Key, seed_of
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

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """One call of the function per candidate and episode; episode j has the seed of (*key, j)."""
        if proposal.sample or proposal.record:
            raise ValueError("a function has no actions to draw or record; use a method without scores")
        shape = (len(proposal.params), proposal.episodes)
        returns, failures = np.full(shape, np.nan), []
        for i, coordinates in enumerate(proposal.params):
            params = self.space.named(coordinates)
            for j in range(proposal.episodes):
                seed = seed_of(*key, j)
                try:
                    value = self.function(params, seed)
                    if isinstance(value, COMPLEX):
                        raise TypeError(f"expected a real number, got {value!r}")
                    value = float(value)
                    if not math.isfinite(value):
                        raise ValueError(f"the function returned {value}")
                    returns[i, j] = value
                except Exception as error:  # the user's code may raise anything
                    failures.append(Failure(i, j, seed, f"{type(error).__name__}: {error}"))
        return Evaluation(proposal.params, returns, np.ones(shape, dtype=int), tuple(failures))
