"""Methods of one parameter that were compared and not taken."""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from policysearch.core import Array, Domain, Evaluation, Proposal, Search

GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class GoldenSection:
    """Golden section (Kiefer 1953) in a bracket that grows from the start; every point is the mean of `episodes`."""

    episodes: int = 1
    first_step: float = 0.3

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Bracket, then narrow; ends where the bracket is a billionth."""
        known: dict[float, float] = {}

        def value(x: float) -> Generator[Proposal, Evaluation, float]:
            if x not in known:
                best = max(known, key=lambda at: known[at]) if known else x
                evaluation = yield Proposal(np.array([[x]]), np.array([best]), self.episodes)
                known[x] = float(evaluation.fitness[0])
            return known[x]

        lower, upper = float(domain.lower[0]), float(domain.upper[0])
        a = float(domain.start[0])
        b = min(a + self.first_step, upper) if a < upper else max(a - self.first_step, lower)
        if (yield from value(b)) < (yield from value(a)):
            a, b = b, a
        c = b
        while c == b or known[c] > known[b]:
            a, b = (a, b) if c == b else (b, c)
            c = float(np.clip(b + (b - a) / GOLDEN, lower, upper))
            if c == b:
                break
            yield from value(c)
        left, right = min(a, c), max(a, c)
        while right - left > 1e-9:
            one, other = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
            if (yield from value(one)) >= (yield from value(other)):
                right = other
            else:
                left = one
        return np.array([max(known, key=lambda at: known[at])])


@dataclass(frozen=True)
class TrustRegion:
    """A quadratic regression in a region that shrinks when the fit exceeds its noise (as Chang, Hong & Wan 2013)."""

    points: int = 6
    radius: float = 1.0

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw in the region, fit, move to the top of the fit."""
        center, radius = float(domain.start[0]), self.radius
        x, y = np.empty(0), np.empty(0)
        while True:
            low, high = domain.clip(np.array([[center - radius], [center + radius]]))[:, 0]
            new = low + (high - low) * (np.arange(self.points) + rng.random(self.points)) / self.points
            evaluation = yield Proposal(new[:, None], np.array([center]))
            x, y = np.append(x, new), np.append(y, evaluation.fitness)
            use = (low <= x) & (x <= high)
            grid, fit, error = _quadratic((x[use] - center) / radius, y[use], (low - center) / radius)
            if np.ptp(fit) > 4 * error:
                top = float(grid[fit.argmax()])
                outermost = (
                    top in (grid[0], grid[-1]) and domain.lower[0] < center + radius * top < domain.upper[0]
                )
                center, radius = center + radius * top, radius * (2.0 if outermost else 0.5)
            elif np.ptp(fit) == 0:
                radius *= 2.0


def _quadratic(u: Array, y: Array, low: float) -> tuple[Array, Array, float]:
    """A grid, the values of the quadratic there, and the standard error of its mean."""
    terms = np.vander(u, 3)
    coefficients = np.linalg.lstsq(terms, y, rcond=None)[0]
    rest = y - terms @ coefficients
    grid = np.linspace(low, max(1.0, low), 101)
    return grid, np.polyval(coefficients, grid), float(np.sqrt(rest @ rest / max(y.size - 3, 1) / y.size))
