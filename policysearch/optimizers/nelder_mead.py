"""The downhill simplex of Nelder & Mead 1965 (the "amoeba"), climbing: returns are maximised.

A simplex of d + 1 points; in every iteration its worst point x_w is replaced. With the centroid c of the others:

    reflect   x_r = c + α(c − x_w)
    expand    x_e = c + γ(x_r − c)    if x_r beats the best point; keep the better of the two
    contract  x_c = c + β(x − c)      if x_r is below all other points; x is the better of x_r and x_w
    shrink    x_i ← x_b + δ(x_i − x_b) if x_c is no better than that x; all points but the best x_b

with α = 1, γ = 2, β = δ = ½ as in the paper. Points outside the bounds are projected onto them; a simplex that
has become flat by that could not leave its plane, and is replaced by one as large around its best point (compare
Luersen & Le Riche 2004, "Globalized Nelder–Mead method for engineering optimization"). Values are never measured
twice: under noise a lucky vertex stays, which is why the method gets stuck on real robots. A turn takes a number of
steps that grows as d, but for shrinking and for looking whether projected points have made the simplex flat.

Defaults: α, γ, β and δ are the paper's; the edge of 0.5 is our choice.

Invariant to: constants added to returns, monotone transformations of returns; with the simplex, affine
transformations of the parameters.

When to use it: with up to about ten parameters and returns without noise.
When not: under noise, or with many parameters: the first simplex alone takes d + 1 rollouts.
"""

from bisect import bisect_right
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Evaluation, Proposal, Ranges, Search, just_below
from policysearch.optimizers.checks import positive, within

#: A simplex is flat whose smallest extent is this share of its largest (choice).
FLAT = 1e-8


@dataclass(frozen=True)
class NelderMead:
    """Reflection, expansion, contraction and shrinkage of a simplex."""

    #: 2: a simplex that bounds have made flat is replaced; 3: sums of corners are updated, not made anew
    revision: ClassVar[int] = 3
    tunable: ClassVar[Ranges] = {"edge": (0.05, 5.0)}

    edge: float = 0.5  # initial simplex: start + edge along each coordinate, in scaled parameter units
    reflection: float = 1.0  # α
    expansion: float = 2.0  # γ
    contraction: float = 0.5  # β
    shrinkage: float = 0.5  # δ

    def __post_init__(self) -> None:
        positive(self, "edge", "reflection", "contraction", "shrinkage")
        within(self, 1, np.inf, "expansion")
        within(self, 0, 1, "contraction", "shrinkage")

    def memory(self, d: int, o: int) -> int:
        """Bytes of the simplex, which has d + 1 corners, and of its copies."""
        return 3 * 8 * d**2

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Move the simplex uphill."""
        corners = np.vstack([domain.start, on_axes(domain, domain.start, self.edge)])
        evaluation = yield Proposal(corners, recommendation=domain.start)
        simplex, projected = _Simplex(corners, _values(evaluation)), domain.bounded
        while True:
            (x_b, f_b), (x_w, f_w), c = simplex.best, simplex.worst, simplex.centroid()
            if projected and simplex.is_flat():
                around = on_axes(domain, x_b, float(np.ptp(simplex.corners, axis=0).max()))
                evaluation = yield Proposal(around, recommendation=x_b)
                simplex = _Simplex(np.vstack([x_b, around]), np.append(f_b, _values(evaluation)))
                continue
            reflected = c + self.reflection * (c - x_w)
            x = domain.clip(reflected)
            projected = not np.array_equal(x, reflected)
            f_x = yield from _measure(x, x_b)
            if f_x > f_b:
                expanded = c + self.expansion * (x - c)
                x_e = domain.clip(expanded)
                f_e = yield from _measure(x_e, x)
                projected = projected or not np.array_equal(x_e, expanded)
                simplex.replace_worst(*(x_e, f_e) if f_e > f_x else (x, f_x))
            elif f_x > simplex.second_worst:
                simplex.replace_worst(x, f_x)
            else:
                if f_x > f_w:
                    x_w, f_w = x, f_x
                    simplex.replace_worst(x, f_x)
                x_c = c + self.contraction * (x_w - c)
                f_c = yield from _measure(x_c, x_b)
                if f_c > f_w:
                    simplex.replace_worst(x_c, f_c)
                else:
                    others = x_b + self.shrinkage * (simplex.corners[simplex.order[1:]] - x_b)
                    evaluation = yield Proposal(others, recommendation=x_b)
                    simplex = _Simplex(np.vstack([x_b, others]), np.append(f_b, _values(evaluation)))


class _Simplex:
    """Corners with their values; replacing the worst takes a number of steps that grows as d.

    Attributes:
        order: indices of the corners from the best to the worst; of equal ones the older is the better.
    """

    def __init__(self, corners: Float[Array, "n d"], f: Float[Array, "n"]) -> None:
        self.corners, self._f = corners, f.tolist()
        self.order: list[int] = np.argsort(-f, kind="stable").tolist()
        self._sum, self._replaced = corners.sum(axis=0), 0

    @property
    def best(self) -> tuple[Float[Array, "d"], float]:
        """The best corner and its value."""
        return self.corners[self.order[0]].copy(), self._f[self.order[0]]

    @property
    def worst(self) -> tuple[Float[Array, "d"], float]:
        """The worst corner and its value."""
        return self.corners[self.order[-1]].copy(), self._f[self.order[-1]]

    @property
    def second_worst(self) -> float:
        """The value of the worst but one; of the worst where there are two corners."""
        return self._f[self.order[-2]]

    def centroid(self) -> Float[Array, "d"]:
        """The mean of all corners but the worst."""
        return (self._sum - self.corners[self.order[-1]]) / (len(self.order) - 1)

    def replace_worst(self, x: Float[Array, "d"], value: float) -> None:
        """Put a corner in the place of the worst; the sum is made anew now and then, as it gathers rounding."""
        i = self.order.pop()
        self._sum += x - self.corners[i]
        self.corners[i], self._f[i] = x, value
        self.order.insert(bisect_right(self.order, -value, key=lambda j: -self._f[j]), i)
        self._replaced += 1
        if self._replaced % len(self.corners) == 0:
            self._sum = self.corners.sum(axis=0)

    def is_flat(self) -> bool:
        """Whether the corners lie, but for rounding, in fewer dimensions than there are parameters."""
        edges = self.corners - self.corners[self.order[0]]
        size = np.abs(edges).max()
        return bool(size > 0 and np.linalg.svd(edges / size, compute_uv=False)[-1] < FLAT)


def on_axes(domain: Domain, x: Float[Array, "d"], edge: float) -> Float[Array, "d d"]:
    """The point moved by `edge` along each axis; backwards where a bound is near and there is more room."""
    back = (x + edge > domain.upper) & (x - domain.lower >= domain.upper - x)
    return domain.clip(x + np.diag(np.where(back, -edge, edge)))


def _measure(x: Float[Array, "d"], best: Float[Array, "d"]) -> Generator[Proposal, Evaluation, float]:
    evaluation = yield Proposal(x[None], recommendation=best)
    return float(evaluation.fitness[0])


def _values(evaluation: Evaluation) -> Float[Array, "n"]:
    """The fitness; vertices that were not measured come last, and so are the first to be replaced."""
    f = evaluation.fitness.copy()
    f[list(evaluation.unmeasured)] = just_below(float(f.min()), -np.inf)
    return f
