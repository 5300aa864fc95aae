"""Which parameters matter around a recommendation, from the candidates of a search.

`Surface` is a quadratic in the coordinates relative to the recommendation, fitted by weighted least squares to the
nearest candidates:

    y = b_0 + Σ_i b_i x_i + Σ_{i≤j} b_ij x_i x_j,    b = B Xᵀ W y,    B = (Xᵀ W X)⁻¹,    h_i = w_i x_iᵀ B x_i

with tricube weights w = (1 − (r/R)³)³ (Cleveland 1979), r the distance to the recommendation and R a tenth more than
the largest. Candidates far below the others are left out (see `lowest`), as an unstable gain may cost a million; so
are those with another option of a `Choice`. Without candidate i its prediction would be off by e_i/(1 − h_i), which
gives both R², that of leaving one out (Allen 1974), and the coefficients' covariance

    B Xᵀ W diag(e_i/(1 − h_i))² W X B        (HC3, MacKinnon & White 1985: the noise may differ between candidates)

Larger returns are better here. A row should be a candidate, not an episode: with one episode left out, the others of
its candidate would remain. Candidates that share their seeds are not independent, which these intervals ignore.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.core import Array
from policysearch.reporting.figures import lowest
from policysearch.space import Choice, Space

#: Candidates for each coefficient that a surface needs.
CANDIDATES_PER_COEFFICIENT = 2

Term = tuple[int, ...]  # the coordinates whose product it is; () is 1


@dataclass(frozen=True, eq=False)
class Surface:
    """A quadratic around the recommendation; positive differences are better."""

    space: Space
    at: Float[Array, "d"]  # the recommendation, in coordinates
    kind: str
    terms: tuple[Term, ...]
    coefficients: Float[Array, "p"]
    covariance: Float[Array, "p p"]
    r_squared: float  # of predicting a candidate that was left out; NaN where all returns are equal
    candidates: Float[Array, "n d"]  # those that it is fitted to, in coordinates

    @classmethod
    def fit(
        cls, space: Space, params: Float[Array, "n d"], returns: Float[Array, "n"], at: Float[Array, "d"]
    ) -> "Surface | None":
        """The richest of full quadratic, diagonal quadratic and linear that the candidates determine; None if none.

        Args:
            space: the parameters.
            params: a candidate a row, in coordinates.
            returns: their mean returns, larger is better; NaN where one failed.
            at: the recommendation.
        """
        at = as_run(space, at)
        x = as_run(space, params) - at
        options = np.array([isinstance(parameter, Choice) for parameter in space.searched])
        use = np.isfinite(returns) & (x[:, options] == 0).all(axis=1)
        x, y = x[use], returns[use]
        sound = y >= lowest(y)
        x, y = x[sound], y[sound]
        r = np.linalg.norm(x, axis=1)
        if not r.any():
            return None
        weights = (1 - (r / (1.1 * r.max())) ** 3) ** 3
        for kind, terms in _models(x):
            if len(y) >= CANDIDATES_PER_COEFFICIENT * len(terms) and (
                fitted := _least_squares(x, y, weights, terms)
            ):
                return cls(space, at, kind, terms, *fitted, x + at)
        return None

    def difference(
        self, coordinates: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n"], Float[Array, "n"], Float[Array, "n"]]:
        """How much better than the recommendation in the mean, and the ends of the 95 % interval of that.

        NaN where a parameter is changed that is the same in all candidates.
        """
        x = as_run(self.space, coordinates) - self.at
        X = _columns(x, self.terms[1:])
        mean = X @ self.coefficients[1:]
        variance = np.einsum("np,pq,nq->n", X, self.covariance[1:, 1:], X)
        half = self._half_width(variance)
        foreign = (np.delete(x, self.varied, axis=1) != 0).any(axis=1)
        mean[foreign] = np.nan
        return mean, mean - half, mean + half

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, by coordinate."""
        return tuple(parameter.name for parameter in self.space.searched)

    @cached_property
    def varied(self) -> tuple[int, ...]:
        """Places of the parameters in which the candidates differ: those that the surface describes."""
        return tuple(term[0] for term in self.terms if len(term) == 1)

    def slice(self, name: str, points: int = 61) -> pd.DataFrame:
        """The difference to the recommendation over the values of one parameter that the candidates span.

        Columns are value (in its own unit), difference, low and high.

        Raises:
            ValueError: for a parameter in which no candidate differs, or that is a choice.
        """
        i = self._place(name)
        grid = np.tile(self.at, (points + 1, 1))
        grid[:, i] = self._grid(i, points)
        values = self.space.decode(grid)[:, i]
        mean, low, high = self.difference(grid)
        frame = pd.DataFrame({"value": values, "difference": mean, "low": low, "high": high})
        return frame.drop_duplicates("value").reset_index(drop=True)  # of whole numbers

    def pair(self, first: str, second: str, points: int = 31) -> pd.DataFrame:
        """The difference to the recommendation over a grid of two parameters: columns are values of the first.

        Raises:
            ValueError: for a parameter in which no candidate differs, or that is a choice.
        """
        i, j = self._place(first), self._place(second)
        grids = np.meshgrid(self._grid(i, points), self._grid(j, points))
        grid = np.tile(self.at, (grids[0].size, 1))
        grid[:, i], grid[:, j] = grids[0].ravel(), grids[1].ravel()
        values = self.space.decode(grid)
        mean = self.difference(grid)[0].reshape(grids[0].shape)
        rows = pd.Index(values[:, j].reshape(mean.shape)[:, 0], name=second)
        frame = pd.DataFrame(mean, index=rows, columns=pd.Index(values[: points + 1, i], name=first))
        return frame.loc[~frame.index.duplicated(), ~frame.columns.duplicated()]

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """A row per pair of parameters, the surest first: what moving both adds to moving each.

        Each moves upwards by half of the candidates' span; `difference`, `low` and `high` are in units of the return.
        There are none unless the quadratic is full.
        """
        half, errors = np.ptp(self.candidates, axis=0) / 2, self._half_width(np.diag(self.covariance))
        rows = []
        for p, term in enumerate(self.terms):
            if len(term) == 2 and term[0] != term[1]:
                i, j = term
                mean, error = self.coefficients[p], errors[p]
                ends = half[i] * half[j] * np.array([mean, mean - error, mean + error])
                rows.append((self.names[i], self.names[j], *ends.tolist()))
        frame = pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high"])
        sureness = frame["difference"].abs() / (frame["high"] - frame["low"] + 1e-300)
        return frame.loc[sureness.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)

    def __str__(self) -> str:
        said = (
            "all equal"
            if np.isnan(self.r_squared)
            else f"one left out is predicted with R² = {self.r_squared:.2f}"
        )
        return f"{self.kind} of the {len(self.candidates)} candidates: {said}"

    def _half_width(self, variances: Float[Array, "n"]) -> Float[Array, "n"]:
        """Half of the 95 % intervals of estimates with these variances; against rounding, of at least 0."""
        from scipy.special import stdtrit  # noqa: PLC0415 - takes a while

        t = stdtrit(len(self.candidates) - len(self.terms), 0.975)
        return np.asarray(t * np.sqrt(np.maximum(variances, 0.0)))

    def _grid(self, i: int, points: int) -> Float[Array, "m"]:
        """Coordinates over the span of the candidates, the recommendation among them."""
        low, high = self.candidates[:, i].min(), self.candidates[:, i].max()
        return np.sort(np.append(np.linspace(low, high, points), self.at[i]))

    def _place(self, name: str) -> int:
        known = [self.names[i] for i in self.varied]
        if name not in known:
            raise ValueError(
                f"expected a number in which the candidates differ, of {', '.join(known)}, got {name}"
            )
        return self.names.index(name)


def as_run(space: Space, coordinates: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """The coordinates of the values that are run: within bounds, whole numbers rounded."""
    return space.encode(space.decode(coordinates))


def _models(x: Float[Array, "n d"]) -> Iterator[tuple[str, tuple[Term, ...]]]:
    """The terms of the models, the richest first; a square needs two candidates besides the two commonest values."""
    counts = [sorted(np.unique(column, return_counts=True)[1]) for column in x.T]
    lines: list[Term] = [(i,) for i, count in enumerate(counts) if sum(count[:-1]) >= 2]
    if not lines:
        return
    squares: list[Term] = [(i, i) for i, count in enumerate(counts) if sum(count[:-2]) >= 2]
    products: list[Term] = [(*a, *b) for a, b in itertools.combinations(lines, 2)]
    yield "full quadratic", ((), *lines, *squares, *products)
    yield "diagonal quadratic", ((), *lines, *squares)
    yield "linear model", ((), *lines)


def _columns(x: Float[Array, "n d"], terms: Sequence[Term]) -> Float[Array, "n p"]:
    return np.column_stack([np.prod(x[:, list(term)], axis=1) for term in terms])


def _least_squares(
    x: Float[Array, "n d"], y: Float[Array, "n"], weights: Float[Array, "n"], terms: Sequence[Term]
) -> tuple[Float[Array, "p"], Float[Array, "p p"], float] | None:
    """Coefficients, their covariance and the leave-one-out R²; None if the candidates do not determine them."""
    root = np.sqrt(weights)
    A = _columns(x, terms) * root[:, None]
    scale = np.linalg.norm(A, axis=0)
    Q, R = np.linalg.qr(A / scale)
    h = (Q**2).sum(axis=1)
    if np.abs(np.diag(R)).min() < 1e-8 or h.max() > 1 - 1e-8:
        return None
    back = np.linalg.inv(R) / scale[:, None]  # B = back backᵀ
    b = back @ (Q.T @ (root * y))
    left_out = (root * y - A @ b) / (1 - h)
    covariance = back @ (Q.T @ np.diag(left_out**2) @ Q) @ back.T
    mean = np.average(y, weights=weights)
    of_mean = root * (y - mean) / (1 - weights / weights.sum())
    spread = float(of_mean @ of_mean)
    flat = spread <= 1e-24 * float((root * y) @ (root * y))
    return b, covariance, float("nan") if flat else 1 - float(left_out @ left_out) / spread
