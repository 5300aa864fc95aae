"""Search of one parameter by local regression: smooth what was tried, and try more around the top of it.

At every point x_i that was tried, a quadratic is fitted to the k nearest points (loess):

    ŷ_i = b_0,   b = argmin Σ_j w_ij (y_j − b_0 − b_1 u_ij − b_2 u_ij²)²,   u_ij = (x_j − x_i)/h_i

with tricube weights w_ij = (1 − |u_ij|³)³, h_i the distance to the k-th point (a tenth more). The number k is the one
that predicts left-out points best, by the median of |y_i − ŷ_i|/(1 − l_i), l_i the weight of y_i in ŷ_i. So without
noise k is small, and the search narrows as golden section does; with noise k is large, and what is near is averaged.

The recommendation is the point with the largest ŷ_i. The next points are drawn around it, as far away as its k-th
neighbour, one in each of as many equal parts; `explore` more anywhere in what was searched so far. Where the
recommendation is the outermost point that was tried, the search goes further in that direction; where all returns are
equal, in both. The start stays the recommendation until another point is better.

Source: Cleveland 1979, "Robust locally weighted regression and smoothing scatterplots"; Stone 1974 and Allen 1974 for
leaving one out. The rule for the next points is our own.
Defaults: our choice, by `experiments/one_parameter`.

Invariant to: constants added to returns and positive factors on returns, up to rounding; units of the parameter, if
`radius` is scaled along. Not to monotone transformations of returns, which are averaged.

When to use it: for a single number, with noise or without, also where it has several optima; the default of `tune`.
When not: for several parameters, or for one choice among options without an order.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from policysearch.core import Array, Domain, Needs, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within

#: The numbers k of nearest points that are compared, and how many points at most are fitted (choice).
NEIGHBOURS, MAX_FITTED = (4, 7, 12, 20, 35, 60), 400
#: How much further the search goes beyond the outermost point, and after equal returns (choice).
WIDER = 2.0


@dataclass(frozen=True)
class LocalRegression:
    """Loess of all returns so far; one parameter only."""

    needs: ClassVar[Needs] = Needs(uses_known=True)
    tunable: ClassVar[Ranges] = {"points": (4, 12), "radius": (0.2, 2.0)}

    first: int = 8  # points of the first generation, the start among them
    points: int = 6  # of every other one, around the recommendation
    explore: int = 1  # points beyond those, anywhere in what was searched so far
    radius: float = 1.0  # of the first generation, around the start; in scaled parameter units

    def __post_init__(self) -> None:
        within(self, 4, np.inf, "first")
        within(self, 1, np.inf, "points")
        within(self, 0, np.inf, "explore")
        positive(self, "radius")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Try, smooth, try around the top."""
        if domain.start.size != 1:
            raise ValueError(
                f"local-regression: expected 1 parameter, got {domain.start.size}; use another optimizer"
            )
        best, x, y, failed = float(domain.start[0]), np.empty(0), np.empty(0), np.empty(0, dtype=bool)
        searched = _within(domain, best - self.radius, best + self.radius)
        tried, evaluation = np.append(best, _spread(rng, *searched, self.first - 1)), domain.known
        if evaluation is not None:  # earlier tries take the place of the first generation
            tried = evaluation.params[:, 0]
            searched = min(searched[0], tried.min()), max(searched[1], tried.max())
        while True:
            if evaluation is None:
                evaluation = yield Proposal(tried[:, None], recommendation=np.array([best]))
            if np.isfinite(evaluation.returns).any():  # or nothing is known of what failed
                told = evaluation.measured
                x, y = np.append(x, tried[told]), np.append(y, evaluation.fitness[told])
                failed = np.append(failed, ~np.isfinite(evaluation.returns[told]).all(axis=1))
            evaluation = None
            if not y.size or y.min() == y.max():
                low, high = searched
                searched = _within(domain, low - (high - low) / 2, high + (high - low) / 2)
                tried = _spread(rng, *searched, self.points + self.explore)
                continue
            best, reach = _top(x, y, failed, best)
            low, high = best - reach, best + reach
            further = WIDER * max(reach, (searched[1] - searched[0]) / self.first)
            low, high = low - further * (best == x.min()), high + further * (best == x.max())
            around = _within(domain, low, high)
            searched = min(searched[0], around[0]), max(searched[1], around[1])
            anywhere = searched[0] + (searched[1] - searched[0]) * rng.random(self.explore)
            tried = np.append(_spread(rng, *around, self.points), anywhere)


def _within(domain: Domain, low: float, high: float) -> tuple[float, float]:
    """An interval without what lies beyond the bounds."""
    lower, upper = domain.clip(np.array([[low], [high]]))[:, 0].tolist()
    return lower, upper


def _spread(rng: np.random.Generator, low: float, high: float, n: int) -> Float[Array, "n"]:
    """A point drawn in each of n equal parts of an interval."""
    return low + (high - low) * (np.arange(n) + rng.random(n)) / n


def _top(
    x: Float[Array, "n"], y: Float[Array, "n"], failed: Bool[Array, "n"], near: float
) -> tuple[float, float]:
    """The point with the largest smoothed return, of equal ones the first, and the distance to its k-th neighbour.

    A point that failed is none, but its fitness counts in the smoothed returns of the others.
    """
    use = np.sort(np.argsort(np.abs(x - near), kind="stable")[:MAX_FITTED])
    x, y, failed = x[use], y[use], failed[use]
    spread = y.max() / 2 - y.min() / 2  # halves, whose difference is finite
    z = (y / 2 - y.min() / 2) / spread if spread > 0 else np.zeros_like(y)
    fits = [(k, *_loess(x, z, min(k, x.size))) for k in NEIGHBOURS if k < max(x.size, NEIGHBOURS[0] + 1)]
    k, smoothed, _ = min(fits, key=lambda fit: float(np.median(fit[2])))
    top = float(x[np.where(failed, -np.inf, smoothed).argmax()])
    distances = np.sort(np.abs(x - top))
    return top, float(distances[min(k, x.size) - 1])


def _loess(x: Float[Array, "n"], y: Float[Array, "n"], k: int) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """ŷ, and by how much each point is missed that is left out."""
    near = np.argpartition(np.abs(x[:, None] - x), k - 1, axis=1)[:, :k]
    u = x[near] - x[:, None]
    tiny = np.finfo(float).eps * (1 + np.abs(x[:, None]))  # where the k points are one
    u = u / (1.1 * np.abs(u).max(axis=1, keepdims=True) + tiny)
    w = (1 - np.abs(u) ** 3) ** 3
    # M b = v: five moments of the weights, three of the returns; e keeps M regular where u has two values only
    s = [(w * u**power).sum(axis=1) for power in range(5)]
    v = [(w * u**power * y[near]).sum(axis=1) for power in range(3)]
    e = 1e-9 * s[0]
    s_2, s_4 = s[2] + e, s[4] + e
    # the first row of M⁻¹, by cofactors
    row = s_2 * s_4 - s[3] ** 2, s[2] * s[3] - s[1] * s_4, s[1] * s[3] - s_2 * s[2]
    determinant = s[0] * row[0] + s[1] * row[1] + s[2] * row[2]
    fitted = (row[0] * v[0] + row[1] * v[1] + row[2] * v[2]) / determinant
    own_weight = np.minimum(row[0] / determinant, 0.999)
    return fitted, np.abs(y - fitted) / (1 - own_weight)
