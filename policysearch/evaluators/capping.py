"""Episodes that are stopped early when their return is already too low: `Capped(evaluator)`.

Adaptive capping is from ParamILS (Hutter, Hoos, Leyton-Brown & Stützle 2009, "ParamILS: an automatic algorithm
configuration framework", section 4), where a run is stopped that takes longer than the incumbent's. Here the bound
comes from the last generation. A generation of a search is run with a return below which an episode may end early
(`Proposal.cutoff`):

    the worst finite return of the last generation that had one,
    −∞    before the first, and after a generation none of whose returns reached its own cutoff

If all episodes of a generation were capped, their returns say neither which candidate is better nor how bad they are.
The next generation is therefore run in full: otherwise one easy generation, or the end of a run before a restart,
would cut all later ones short. A single candidate leaves the cutoff as it is. Where some episodes are capped, the
cutoff loosens by what their last steps cost; where none is, it tightens. Proposals of other purposes than "search"
are run in full.

The return of a capped episode lies below the cutoff and above what the full return would be. The order of the capped
candidates is lost, and with it, where episodes differ more than candidates do, the order of whole generations. More
episodes per candidate help there. Methods that use the size of returns, and not only their order, see smaller
differences.
"""

from dataclasses import replace

import numpy as np

from policysearch.core import Evaluation, Evaluator, Proposal
from policysearch.seeding import Key


class Capped:
    """`inner`, which is told the cutoff of every generation; it depends on what was evaluated before, in this order.

    Use it around `Recorded`: a replayed search comes to the same cutoffs.
    """

    def __init__(self, inner: Evaluator) -> None:
        self.inner, self._cutoff = inner, -np.inf

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The evaluation of `proposal`, some of whose episodes may have been stopped early."""
        if proposal.purpose != "search":
            return self.inner.evaluate(proposal, key)
        evaluation = self.inner.evaluate(replace(proposal, cutoff=self._cutoff), key)
        finite = evaluation.returns[np.isfinite(evaluation.returns)]
        if finite.size and len(proposal.params) > 1:
            self._cutoff = float(finite.min()) if finite.max() >= self._cutoff else -np.inf
        return evaluation
