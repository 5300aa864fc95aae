"""The questions of a search to a person, and the evaluation that their answers make.

A question is a candidate and an episode of a proposal. Its name in the log holds what decides it: the generation, the
proposal, candidate and episode. When an answer changes that the search has been told, the search is run again from
its beginning. As long as it asks the same questions, their answers hold; answers to other questions are set aside,
and count again if their questions return. So a session with corrected mistakes ends like one without mistakes.

At least half of the candidates of a proposal are measured. A candidate without any measured episode is
`Evaluation.unmeasured`; one with some counts with their mean.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from policysearch.core import Evaluation, Proposal

Pair = tuple[int, int]  # candidate, episode


@dataclass(frozen=True, eq=False)
class AskedGeneration:
    """A proposal, and its questions in the order in which they are asked."""

    proposal: Proposal
    number: int  # from 0
    digest: str  # of what decides the answers
    questions: Mapping[Pair, str]  # the name of each in the log

    @classmethod
    def of(
        cls, proposal: Proposal, number: int, digest: str, pairs: Iterable[Pair], purpose: str = "search"
    ) -> "AskedGeneration":
        """The questions for these pairs."""
        name = f"{purpose}/{number}/{digest}"
        return cls(proposal, number, digest, {(i, j): f"{name}/{i}/{j}" for i, j in pairs})

    def pair(self, question: str) -> Pair:
        """The pair of a question."""
        return next(pair for pair, name in self.questions.items() if name == question)

    def may_skip(self, pair: Pair, skipped: Collection[Pair]) -> bool:
        """Whether at least half of the candidates are measured when this pair is skipped too."""
        counts = Counter(i for i, _ in {*skipped, pair})
        unmeasured = sum(count == self.proposal.episodes for count in counts.values())
        return 2 * unmeasured <= len(self.proposal.params)


def without(evaluation: Evaluation, skipped: Collection[Pair], *, fill: bool = True) -> Evaluation:
    """`evaluation` without the skipped pairs.

    A candidate is unmeasured if all its episodes were skipped. Otherwise the skipped ones get the mean return of the
    others if `fill`, else NaN.
    """
    returns, unmeasured = evaluation.returns.copy(), list[int]()
    for i in sorted({i for i, _ in skipped}):
        missing = [j for c, j in skipped if c == i]
        if len(missing) == returns.shape[1]:
            unmeasured.append(i)
        elif fill:
            returns[i, missing] = np.delete(returns[i], missing).mean()
    return replace(evaluation, returns=returns, unmeasured=tuple(unmeasured))
