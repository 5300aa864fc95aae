"""The loop of an optimizer around another one, which changes what is asked and what is told."""

from collections.abc import Callable

import numpy as np

from policysearch.core import Evaluation, Proposal, Search


def passed_on(
    search: Search,
    asked: Callable[[Proposal], Proposal] = lambda proposal: proposal,
    told: Callable[[Evaluation], Evaluation] = lambda evaluation: evaluation,
    begun: Proposal | None = None,
) -> Search:
    """The inner search: `asked` changes its proposals, `told` the evaluations that it is given.

    `begun` is what a search that has begun asks for next.
    """
    proposal = next(search) if begun is None else begun
    while True:
        evaluation = yield asked(proposal)
        try:
            proposal = search.send(told(evaluation))
        except StopIteration as end:
            return np.asarray(end.value)
