"""Caution for any optimizer: `Trusted(optimizer, reach)` never steps further than `reach` from what has worked.

What has worked: the start, which is assumed to work, and every candidate that was run without a failed episode.
A proposed row x, first clipped to the bounds as evaluators do, is run as

    clip(x, w − reach, w + reach),   w the point that has worked with the smallest max_j |x_j − w_j|

(of several the earliest), so no parameter moves by more than `reach` from values that have worked together, and the
region grows with what works. A row inside it is run as it is, to the last bit. A recommendation that has worked, the
final one too, is the point that it last worked as; any other is projected in the same way.

The inner optimizer takes the evaluation for that of its own rows. The return of a projected row is reduced by the
spread of its generation's returns (where these are equal, of all so far) for every `reach` that it was outside. So
the search returns to the region, and fewer rows have to be projected. Without this penalty (a constant extension),
rows on the same side of the region look alike: CMA-ES fails twice as often near a border beyond which every candidate
fails, and simplexes collapse. Methods whose steps are much larger than `reach` lose by it, most of all random search.

Whole numbers and options change where their coordinate crosses a border: between two of them there is no small step,
whatever the reach. A point that worked once and fails later still counts as one that has worked.

Invariant to: what the inner optimizer is invariant to, in returns; units, as far as `reach` is scaled along. Not to
rotation of the parameters, since the distance is that of the largest coordinate.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from policysearch.core import Array, Domain, Needs, Optimizer, Search, needs_of
from policysearch.optimizers.checks import positive

#: As a share of the returns themselves, a range that is rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Trusted:
    """`optimizer`, every candidate within `reach` of one that has worked."""

    optimizer: Optimizer
    reach: float = 0.1  # of a parameter, in scaled parameter units: where it is bounded, of its range

    def __post_init__(self) -> None:
        positive(self, "reach")

    @property
    def needs(self) -> Needs:
        """What the inner optimizer needs."""
        return needs_of(self.optimizer)

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """The inner search with its proposals brought close to what has worked."""
        search, region = self.optimizer.search(domain, rng), _Region(domain, self.reach)
        proposal, spread, seen = next(search), 0.0, np.empty(0)
        while True:
            params = np.array([region.nearby(row) for row in proposal.params])
            recommendation = region.recommended(proposal.recommendation)
            evaluation = yield replace(proposal, params=params, recommendation=recommendation)
            region.learn(proposal.params, params, np.isfinite(evaluation.returns).all(axis=1))
            outside = np.abs(domain.clip(proposal.params) - params).max(axis=1) / self.reach
            seen = _ends(evaluation.returns, seen)
            spread = _spread(evaluation.returns, spread) or _spread(seen, 0.0)
            with np.errstate(over="ignore"):  # of returns like −1e308, which then count as failures
                told = replace(evaluation, returns=evaluation.returns - spread * outside[:, None])
            try:
                proposal = search.send(told if outside.any() else evaluation)
            except StopIteration as end:
                return region.recommended(np.asarray(end.value))


def _ends(returns: Float[Array, "n k"], before: Float[Array, "_"]) -> Float[Array, "_"]:
    """The smallest and the largest finite return so far; nothing while there is none."""
    known = np.append(before, returns[np.isfinite(returns)])
    return np.array([known.min(), known.max()]) if known.size else known


def _spread(returns: Float[Array, "*n"], before: float) -> float:
    """The range of the finite returns of a generation, or that of an earlier one if it has none, or rounding only."""
    finite = returns[np.isfinite(returns)]
    with np.errstate(over="ignore"):
        spread = float(np.ptp(finite)) if finite.size else 0.0
    rounding = ROUNDING * float(np.abs(finite).max(initial=0.0))
    return spread if rounding < spread < np.inf else before


class _Region:
    """The points that have worked, and what is within reach of them."""

    def __init__(self, domain: Domain, reach: float) -> None:
        self._domain, self._reach = domain, reach
        self._worked = domain.start[None]
        self._last: dict[bytes, Array] = {}  # by proposed row, the point that it last worked as

    def nearby(self, row: Float[Array, "d"]) -> Float[Array, "d"]:
        """The row, brought inside."""
        row = self._domain.clip(row)
        w = self._worked[np.abs(self._worked - row).max(axis=1).argmin()]
        return np.clip(row, w - self._reach, w + self._reach)

    def recommended(self, row: Float[Array, "d"]) -> Float[Array, "d"]:
        """The point that the row last worked as; where it has not, the row brought inside."""
        return self._last.get(row.tobytes(), self.nearby(row))

    def learn(self, proposed: Float[Array, "n d"], run: Float[Array, "n d"], fine: Bool[Array, "n"]) -> None:
        """Take note of the rows that have worked."""
        self._worked = np.concatenate([self._worked, run[fine]])
        self._last |= {row.tobytes(): point for row, point in zip(proposed[fine], run[fine], strict=True)}
