"""Trust regions with quadratic models: a parabola through the last points, the best step on it, and again.

The model Q of the return interpolates d + 1 to 2d + 1 points y_i. Of all such Q the one is taken whose second
derivatives changed least in the Frobenius norm (Powell 2004, eqs. 1.4 and 2.3). With s_i = y_i − x, x the best point:

    Q(x + s) = c + gᵀs + ½ sᵀHs,   H ← H + Σ_i λ_i s_i s_iᵀ

    | A   e   S | | λ |   | r |     A_ij = ½ (s_iᵀ s_j)²
    | eᵀ  0   0 | | c | = | 0 |     S = (s_1 … s_m)ᵀ,  e = (1 … 1)ᵀ
    | Sᵀ  0   0 | | g |   | 0 |     r_i = f(y_i) − ½ s_iᵀ H s_i

The next candidate is where Q is largest in the trust region, the box |s_j| ≤ Δ within the bounds. By the share of
the promised gain that it reached, Δ doubles or halves, never below the resolution ρ. It takes the place of a point
that is far away or whose Lagrange polynomial ℓ_i is large there. After a step that failed, the farthest point, if it
is more than 2.5Δ away, is replaced by that point of the region where |ℓ_i| is largest; if there is none, ρ shrinks
to a tenth. Once ρ is below `accuracy`, the search starts again from the best point of a design, as in `multi-start`.

Every start begins with a point and one on each axis, or with what is known of earlier tries. The recommendation is
the best point of all.

Source: Powell 2004, "Least Frobenius norm updating of quadratic models that satisfy interpolation conditions"; Powell
2009, "The BOBYQA algorithm for bound constrained optimization without derivatives". This is a simpler form: it begins
with half as many points, solves the system anew for every step, and has a box for a region (constants recalled, not
verified).

Defaults: `radius` by the tuning problems of `experiments/choosing_a_method` (`auto_rule.py` there); the others are
our choice.

Invariant to: constants added to returns and positive factors on returns, up to rounding.

When to use it: where returns are smooth and without noise, with some ten to some hundred rollouts.
When not: with noise, returns that jump, or more than about 100 parameters: a step takes a number of operations that
grows as d³. It has one candidate at a time.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from policysearch.core import Array, Domain, Evaluation, Needs, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within
from policysearch.optimizers.multi_start import Best, spread
from policysearch.optimizers.nelder_mead import on_axes

#: Shares of the promised gain below which a step has failed, and above which the region grows (η of Powell 2009).
POOR, GOOD = 0.1, 0.7
#: In units of Δ; 2 in the source. In a box many points are 2Δ apart but for rounding, which would then decide.
FAR = 2.5
#: A change of the unit of H after which the values are others, as after a failure, and H is forgotten.
UNRELATED = 1e6
#: Candidates of a generation at most, and the spread of a design where there are no bounds.
AT_ONCE, WIDE = 11, 1.0
#: Elements of the inverse from which on the points lie too badly for it, and how small singular values then count.
SINGULAR, RANK = 1e10, 1e-12


@dataclass(frozen=True)
class QuadraticModel:
    """Steps to the top of a parabola through the last points, in a trust region."""

    needs: ClassVar[Needs] = Needs(uses_known=True)
    tunable: ClassVar[Ranges] = {"radius": (0.03, 1.0)}

    radius: float = 0.15  # of the first trust region of every start, in scaled parameter units
    accuracy: float = 1e-5  # share of it at which a start is given up
    design: int = 6  # points from which the next start is chosen

    def __post_init__(self) -> None:
        positive(self, "radius", "accuracy")
        within(self, 1, np.inf, "design")

    def memory(self, d: int, o: int) -> int:
        """Bytes of the system of 3d + 2 rows, its inverse, and what makes it."""
        return 4 * 8 * (3 * d + 2) ** 2

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Climb, and again from another point."""
        best, start = Best(domain.start), domain.start
        points = _Points(start, best)
        if domain.known is not None:
            points.learn(domain.known)
            points.keep_nearest(2 * start.size + 1)
        while True:
            yield from self._climbed(domain, points)
            design = _Points(start, best)
            yield from design.measure(spread(domain, rng, self.design, WIDE))
            points = _Points(design.best, best)

    def _climbed(self, domain: Domain, points: "_Points") -> Generator[Proposal, Evaluation, None]:
        """A point on each axis along which the points do not differ, and steps on the model until ρ is small."""
        around = on_axes(domain, points.best, self.radius)[points.flat]
        first = around if points.f.size else np.vstack([points.best, around])
        for begin in range(0, len(first), AT_ONCE):
            yield from points.measure(first[begin : begin + AT_ONCE])
        delta = rho = self.radius
        Q = _Model(domain.start.size)
        while points.differ and rho > self.accuracy * self.radius:
            Q.fit(points)
            x, f = points.best, points.value
            step, promised = Q.best_step(domain, x, delta)
            length = float(np.abs(step).max())
            if length >= rho / 2 and promised > 0:
                gain = (yield from points.measure((x + step)[None])) / 2 - f / 2
                Q.leave_out(points, x, delta)
                if gain >= POOR * promised:
                    delta = max(delta, 2 * length) if gain > GOOD * promised else delta
                    continue
                delta = max(rho, min(delta, length) / 2)
            else:
                delta = max(rho, delta / 2)
            far = points.farthest
            if points.distances[far] > FAR * delta:
                Q.fit(points)
                better = points.best + Q.spread_step(domain, points.best, far, delta)
                yield from points.measure(better[None], instead=far)
            elif delta <= rho:
                rho, delta = rho / 10, max(delta / 2, rho / 10)


class _Points:
    """What is interpolated: points y and their values f. `found` is the best point of the whole search."""

    def __init__(self, start: Float[Array, "d"], found: Best) -> None:
        self.y, self.f, self._start, self._found = np.empty((0, start.size)), np.empty(0), start, found

    @property
    def top(self) -> int:
        """The index of the best point, of equal ones the first."""
        return int(self.f.argmax())

    @property
    def best(self) -> Float[Array, "d"]:
        """The best point; the start where there is none."""
        return self.y[self.top] if self.f.size else self._start

    @property
    def value(self) -> float:
        """Of the best point."""
        return float(self.f[self.top])

    @property
    def differ(self) -> bool:
        """Whether there are two values."""
        return bool(self.f.size and self.f.min() < self.value)

    @property
    def flat(self) -> Bool[Array, "d"]:
        """The coordinates in which the points do not differ."""
        return np.ptp(self.y, axis=0) == 0 if self.f.size else np.ones(self._start.size, dtype=bool)

    @property
    def distances(self) -> Float[Array, "m"]:
        """Of the points to the best one, the largest of all coordinates."""
        return np.abs(self.y - self.best).max(axis=1)

    @property
    def farthest(self) -> int:
        """The index of the point with the largest Euclidean distance."""
        return int(np.sum((self.y - self.best) ** 2, axis=1).argmax())

    def measure(
        self, candidates: Float[Array, "n d"], instead: int | None = None
    ) -> Generator[Proposal, Evaluation, float]:
        """Add candidates, one in the place of another point; the value of the last, −∞ if it was not measured."""
        evaluation = yield Proposal(candidates, self._found.params)
        if instead is not None and evaluation.measured.size:
            self.remove(instead)
        self.learn(evaluation)
        return float(self.f[-1]) if len(candidates) - 1 in evaluation.measured else -np.inf

    def learn(self, evaluation: Evaluation) -> None:
        """Add what was measured."""
        self._found.learn(evaluation)
        told = evaluation.measured
        self.y = np.vstack([self.y, evaluation.params[told]])
        self.f = np.append(self.f, evaluation.fitness[told])

    def keep_nearest(self, most: int) -> None:
        """Forget all points but those that are nearest to the best one."""
        if self.f.size > most:
            kept = np.sort(np.argsort(self.distances, kind="stable")[:most])
            self.y, self.f = self.y[kept], self.f[kept]

    def remove(self, i: int) -> None:
        """Forget a point."""
        self.y, self.f = np.delete(self.y, i, axis=0), np.delete(self.f, i)


class _Model:
    """Q around the best point; lengths in units of the largest distance R, values in units of half their range."""

    def __init__(self, d: int) -> None:
        self._H, self._R, self._unit = np.zeros((d, d)), 1.0, 1.0
        self._g, self._S, self._L = np.zeros(d), np.empty((0, d)), np.empty((0, 0))

    def fit(self, points: _Points) -> None:
        """The parabola through the points; the columns of L are the coefficients of the Lagrange polynomials."""
        m, d = points.y.shape
        unit = points.value / 2 - float(points.f.min()) / 2  # halves, whose difference is finite
        R, unit = float(points.distances.max()) or 1.0, unit or 1.0
        change = (R / self._R) ** 2 * (self._unit / unit)
        H = change * self._H if change < UNRELATED else np.zeros((d, d))
        self._R, self._unit = R, unit
        S = self._S = (points.y - points.best) / R
        W = np.zeros((m + d + 1, m + d + 1))
        W[:m, :m] = (S @ S.T) ** 2 / 2
        W[:m, m] = W[m, :m] = 1.0
        W[:m, m + 1 :], W[m + 1 :, :m] = S, S.T
        self._L = _inverse(W)[:, :m]
        r = (points.f / 2 - points.value / 2) / unit - np.einsum("ij,jk,ik->i", S, H, S) / 2
        solution = self._L @ r
        self._H, self._g = H + S.T @ (solution[:m, None] * S), solution[m + 1 :]

    def best_step(
        self, domain: Domain, x: Float[Array, "d"], delta: float
    ) -> tuple[Float[Array, "d"], float]:
        """The step at which Q is largest, and half of what it promises."""
        t = delta / self._R
        step, promised = _maximised(t * self._g, t**2 * self._H, domain, x, delta)
        return step, promised * self._unit

    def spread_step(self, domain: Domain, x: Float[Array, "d"], i: int, delta: float) -> Float[Array, "d"]:
        """The step at which |ℓ_i| is largest, of a point that is not the best; its constant is then 0."""
        m, t = len(self._S), delta / self._R
        column = self._L[:, i]
        g, H = t * column[m + 1 :], t**2 * (self._S.T @ (column[:m, None] * self._S))
        up, down = (_maximised(sign * g, sign * H, domain, x, delta) for sign in (1.0, -1.0))
        return (down if down[1] > 1.01 * up[1] else up)[
            0
        ]  # both are equal if ℓ_i is linear; no matter of rounding

    def leave_out(self, points: _Points, x: Float[Array, "d"], delta: float) -> None:
        """After a step from x, of too many points forget one that is far or whose ℓ_i is large at the new one."""
        m, d = self._S.shape
        if len(points.f) <= max(m, 2 * d + 1):
            return
        s = (points.y[-1] - x) / self._R
        lagrange = self._L.T @ np.concatenate([(self._S @ s) ** 2 / 2, [1.0], s])
        weight = np.abs(lagrange) * np.maximum(1.0, points.distances[:m] / delta) ** 4
        if points.top < m:
            weight[points.top] = -1.0
        points.remove(int(weight.argmax()))


def _inverse(W: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """W⁻¹, or its pseudoinverse where points lie badly."""
    try:
        inverse = np.linalg.inv(W)
    except np.linalg.LinAlgError:
        inverse = np.full_like(W, np.inf)
    if np.abs(inverse).max() < SINGULAR:
        return inverse
    return np.linalg.pinv(W, rcond=RANK, hermitian=True)


def _maximised(
    g: Float[Array, "d"], H: Float[Array, "d d"], domain: Domain, x: Float[Array, "d"], delta: float
) -> tuple[Float[Array, "d"], float]:
    """A maximum of gᵀu + ½ uᵀHu in |u_j| ≤ 1 and the bounds, by conjugate gradients: the step Δu, and its value.

    A coordinate that meets its limit stays there until the others are at their maximum.
    """
    low, high = np.maximum(-1.0, (domain.lower - x) / delta), np.minimum(1.0, (domain.upper - x) / delta)
    u, r = np.zeros_like(g), g.copy()  # r is the gradient at u, p the direction
    free = _free(u, r, low, high)
    p, small = np.where(free, r, 0.0), 1e-10 * float(np.abs(g).max())
    for _ in range(10 * g.size + 10):
        if np.abs(r[free]).max(initial=0.0) <= small:
            released = _free(u, r, low, high)
            if (released == free).all():
                break
            free = released
            p = np.where(free, r, 0.0)
            continue
        Hp, limit = H @ p, np.where(p > 0, high, low)
        reach = np.divide(limit - u, p, out=np.full_like(u, np.inf), where=p != 0)
        first, curvature = int(reach.argmin()), float(p @ Hp)
        t = float(r @ p) / -curvature if curvature < 0 else np.inf
        if t < reach[first]:
            before = float(r[free] @ r[free])
            u, r = u + t * p, r + t * Hp
            p = np.where(free, r + float(r[free] @ r[free]) / before * p, 0.0)
        else:
            u, r = u + reach[first] * p, r + reach[first] * Hp
            u[first], free[first] = limit[first], False
            p = np.where(free, r, 0.0)
    step = domain.clip(x + delta * np.clip(u, low, high)) - x
    v = step / delta
    return step, float(g @ v + v @ H @ v / 2)


def _free(
    u: Float[Array, "d"], r: Float[Array, "d"], low: Float[Array, "d"], high: Float[Array, "d"]
) -> Bool[Array, "d"]:
    """The coordinates that are not at a limit which the gradient points out of."""
    return ~((u <= low) & (r < 0)) & ~((u >= high) & (r > 0))
