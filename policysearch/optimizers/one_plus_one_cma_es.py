"""The (1+1)-CMA-ES: one parent, one child, and a covariance matrix, for budgets of some ten rollouts.

    child = x + σ A z,   z ~ N(0, I),   C = AAᵀ
    p̄ ← (1 − c_p) p̄ + c_p [the child is better],   σ ← σ exp((p̄ − p*)/((1 − p*) D))

A better child becomes the parent, and C learns from its step y = Az:

    p̄ < p_t:   p_c ← (1 − c_c) p_c + √(c_c(2 − c_c)) y,   C ← (1 − c) C + c p_c p_cᵀ
    else:      p_c ← (1 − c_c) p_c,                        C ← (1 − c) C + c (p_c p_cᵀ + c_c(2 − c_c) C)

with D = 1 + d/2, p* = 2/11, p_t = 0.44, c_p = 1/12, c_c = 2/(d + 2), c = 2/(d² + 6).

Source: Igel, Suttorp & Hansen 2006, "A computational efficient covariance matrix update and a (1+1)-CMA for
evolution strategies" (constants recalled, not verified); the update of the factor A and of its inverse without a
decomposition is that of Suttorp, Hansen & Igel 2009, "Efficient covariance matrix update for variable metric
evolution strategies". Different from the source, a child that is exactly as good changes nothing.

With `reevaluate` the parent is evaluated again with every child, on the same episodes: a lucky parent does not stay,
but each step costs two rollouts. The recommendation is the parent.

Defaults: those of the source; σ = 0.0674 is the best of eight on the tuning problems of
`experiments/choosing_a_method`, and `source` has 0.3, that of `cma-es`.

Invariant to: constants added to returns, monotone transformations of returns, rotation and, after adaptation, any
affine transformation of the parameters.

When to use it: with 20 to 100 rollouts and returns without much noise; every rollout can move the search.
When not: with noise, unless `reevaluate` is set; where rollouts run side by side, as it has one or two at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive

#: p*, p_t and c_p of the source.
TARGET, THRESHOLD, SMOOTHING = 2 / 11, 0.44, 1 / 12


@dataclass(frozen=True)
class OnePlusOneCMAES:
    """A parent and one child at a time, with step size and covariance adaptation."""

    tunable: ClassVar[Ranges] = {"sigma": (0.03, 3.0)}
    source: ClassVar[Mapping[str, float]] = {"sigma": 0.3}

    sigma: float = 0.0674  # initial step size, in scaled parameter units
    reevaluate: bool = False  # evaluate the parent again with every child

    def __post_init__(self) -> None:
        positive(self, "sigma")

    def memory(self, d: int, o: int) -> int:
        """Bytes of A, its inverse, and what changes them."""
        return 6 * 8 * d**2

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw a child, and keep the better one."""
        x, known, sigma, success = domain.start, -np.inf, self.sigma, TARGET
        d, shape = x.size, _Shape.round(x.size)
        while True:
            y = shape.A @ rng.standard_normal(d)
            child = domain.clip(x + sigma * y)
            alone = known > -np.inf and not self.reevaluate
            candidates = child[None] if alone else np.array([x, child])
            evaluation = yield Proposal(candidates, x, diagnostics={"sigma": sigma})
            if not alone and 0 in evaluation.measured:
                known = float(evaluation.fitness[0])
            if len(candidates) - 1 not in evaluation.measured or known == -np.inf:
                continue
            fitness = float(evaluation.fitness[-1])
            if fitness == known:
                continue
            success = (1 - SMOOTHING) * success + SMOOTHING * (fitness > known)
            if fitness > known and np.isfinite(evaluation.returns[-1]).all():
                shape.learn((child - x) / sigma, success < THRESHOLD)
                x, known = child, fitness
            sigma *= float(np.exp((success - TARGET) / ((1 - TARGET) * (1 + d / 2))))


@dataclass(eq=False)
class _Shape:
    """The factor A of C, its inverse, and the path p_c."""

    A: Float[Array, "d d"]
    inverse: Float[Array, "d d"]
    p_c: Float[Array, "d"] = field(init=False)

    def __post_init__(self) -> None:
        self.p_c = np.zeros(len(self.A))

    @classmethod
    def round(cls, d: int) -> "_Shape":
        """That of C = I."""
        return cls(np.eye(d), np.eye(d))

    def learn(self, y: Float[Array, "d"], slow: bool) -> None:
        """C after a better child at the step y; `slow` if few children were better lately."""
        d = y.size
        c_c, c = 2 / (d + 2), 2 / (d**2 + 6)
        self.p_c = (1 - c_c) * self.p_c + (np.sqrt(c_c * (2 - c_c)) * y if slow else 0.0)
        self._update(1 - c if slow else 1 - c + c * c_c * (2 - c_c), c)

    def _update(self, alpha: float, beta: float) -> None:
        """C ← α C + β p_c p_cᵀ, of its factor (Suttorp, Hansen & Igel 2009, eqs. 8 and 9)."""
        w = self.inverse @ self.p_c
        length = float(w @ w)
        root = np.sqrt(alpha)
        self.A, self.inverse = root * self.A, self.inverse / root
        if length > 0:
            grown = np.sqrt(1 + beta / alpha * length)
            self.A += root / length * (grown - 1) * np.outer(self.p_c, w)
            self.inverse -= (1 - 1 / grown) / length * np.outer(w, w @ self.inverse)
