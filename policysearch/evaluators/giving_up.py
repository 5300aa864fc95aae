"""Rollouts that are not carried on when they are hopeless: `GivingUp(evaluator)`.

A generation of a search is run with a return below which an episode may end early (`Proposal.hopeless`):

    the worst finite return of the last generation that had one,
    −∞    before the first, and after a generation none of whose returns reached its own threshold

A generation that gave up as a whole says nothing of who is better or what is bad, so the next is carried through:
otherwise one easy generation, or the end of a run before a restart, would cut all later ones short. A single
candidate is no measure for the next one and leaves the threshold as it is. Where some give up, the threshold loosens
by what their last steps cost; where none does, it tightens. Other purposes than "search" are carried through.

A return that was given up lies below the threshold and above what it would have come to: the order of the hopeless
is lost, and with it, where episodes differ more than candidates do, that of whole generations. More episodes per
candidate help there. Methods that use the size of returns, and not only their order, see smaller differences.
"""

from dataclasses import replace

import numpy as np

from policysearch.core import Evaluation, Evaluator, Proposal
from policysearch.seeding import Key


class GivingUp:
    """`inner`, told when an episode is hopeless; it depends on what was evaluated before, in this order.

    Use it around `Recorded`: a replayed search comes to the same thresholds.
    """

    def __init__(self, inner: Evaluator) -> None:
        self.inner, self._hopeless = inner, -np.inf

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The evaluation of `proposal`, whose hopeless episodes may have been given up."""
        if proposal.purpose != "search":
            return self.inner.evaluate(proposal, key)
        evaluation = self.inner.evaluate(replace(proposal, hopeless=self._hopeless), key)
        finite = evaluation.returns[np.isfinite(evaluation.returns)]
        if finite.size and len(proposal.params) > 1:
            self._hopeless = float(finite.min()) if finite.max() >= self._hopeless else -np.inf
        return evaluation
