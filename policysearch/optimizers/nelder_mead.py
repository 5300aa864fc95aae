"""The downhill simplex of Nelder & Mead 1965 (the "amoeba"), climbing: returns are maximised.

A simplex of d + 1 points; in every iteration its worst point x_w is replaced. With the centroid c of the others:

    reflect   x_r = c + α(c − x_w)
    expand    x_e = c + γ(x_r − c)    if x_r beats the best point; keep the better of the two
    contract  x_c = c + β(x − c)      if x_r is below all other points; x is the better of x_r and x_w
    shrink    x_i ← x_b + δ(x_i − x_b) if x_c is no better than that x; all points but the best x_b

with α = 1, γ = 2, β = δ = ½ as in the paper. Points outside the bounds are projected onto them; a simplex that
has become flat by that could not leave its plane, and is replaced by one as large around its best point (compare
Luersen & Le Riche 2004, "Globalized Nelder–Mead method for engineering optimization"). Values are never measured
twice: under noise a lucky vertex stays, which is why the method gets stuck on real robots.

Defaults: α, γ, β and δ are the paper's; the edge of 0.5 is our choice.

Invariant to: constants added to returns, monotone transformations of returns; with the simplex, affine
transformations of the parameters.

When to use it: with up to about ten parameters and returns without noise.
When not: under noise, or with many parameters: the first simplex alone takes d + 1 rollouts.
"""

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

    revision: ClassVar[int] = 2  # 2: a simplex that bounds have made flat is replaced
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
        simplex = np.vstack([domain.start, self._around(domain, domain.start, self.edge)])
        evaluation = yield Proposal(simplex, recommendation=domain.start)
        f = _values(evaluation)
        d = domain.start.size
        while True:
            order = np.argsort(-f, kind="stable")  # best first, worst last
            simplex, f = simplex[order], f[order]
            if _flat(simplex):
                simplex[1:] = self._around(domain, simplex[0], float(np.ptp(simplex, axis=0).max()))
                evaluation = yield Proposal(simplex[1:].copy(), recommendation=simplex[0])
                f[1:] = _values(evaluation)
                continue
            x_b, x_w, c = simplex[0], simplex[d], simplex[:d].sum(axis=0) / d
            x = domain.clip(c + self.reflection * (c - x_w))
            f_x = yield from _measure(x, x_b)
            if f_x > f[0]:
                x_e = domain.clip(c + self.expansion * (x - c))
                f_e = yield from _measure(x_e, x)
                simplex[d], f[d] = (x_e, f_e) if f_e > f_x else (x, f_x)
            elif f_x > f[d - 1]:
                simplex[d], f[d] = x, f_x
            else:
                if f_x > f[d]:
                    simplex[d], f[d] = x, f_x
                x_c = c + self.contraction * (simplex[d] - c)
                f_c = yield from _measure(x_c, x_b)
                if f_c > f[d]:
                    simplex[d], f[d] = x_c, f_c
                else:
                    simplex[1:] = x_b + self.shrinkage * (simplex[1:] - x_b)
                    evaluation = yield Proposal(simplex[1:].copy(), recommendation=x_b)
                    f[1:] = _values(evaluation)

    def _around(self, domain: Domain, x: Float[Array, "d"], edge: float) -> Float[Array, "d d"]:
        """The point moved by `edge` along each axis; backwards where a bound is near and there is more room."""
        back = (x + edge > domain.upper) & (x - domain.lower >= domain.upper - x)
        return domain.clip(x + np.diag(np.where(back, -edge, edge)))


def _flat(simplex: Float[Array, "n d"]) -> bool:
    """Whether the corners lie, but for rounding, in fewer dimensions than there are parameters."""
    edges = simplex[1:] - simplex[0]
    size = np.abs(edges).max()
    return bool(size > 0 and np.linalg.svd(edges / size, compute_uv=False)[-1] < FLAT)


def _measure(x: Float[Array, "d"], best: Float[Array, "d"]) -> Generator[Proposal, Evaluation, float]:
    evaluation = yield Proposal(x[None], recommendation=best)
    return float(evaluation.fitness[0])


def _values(evaluation: Evaluation) -> Float[Array, "n"]:
    """The fitness; vertices that were not measured come last, and so are the first to be replaced."""
    f = evaluation.fitness.copy()
    f[list(evaluation.unmeasured)] = just_below(float(f.min()), -np.inf)
    return f
