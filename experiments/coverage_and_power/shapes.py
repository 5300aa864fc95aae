"""Shapes that final returns have: how they are drawn, and their interquartile means."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.seeding import stream

Shape = Callable[[np.random.Generator, tuple[int, ...]], Array]

#: Most have a spread of about 1. Ties are rounded to whole numbers, a disaster is 20 below the rest.
SHAPES: dict[str, Shape] = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "uniform": lambda rng, size: rng.uniform(-1.7, 1.7, size),
    "exponential": lambda rng, size: rng.exponential(size=size),
    "lognormal": lambda rng, size: rng.lognormal(size=size),
    "two groups": lambda rng, size: rng.choice([-1.0, 1.0], size) + 0.2 * rng.standard_normal(size),
    "heavy tail (t₃)": lambda rng, size: rng.standard_t(3, size=size),
    "10 % disasters": lambda rng, size: (
        np.where(rng.random(size) < 0.1, -20.0, 0.0) + rng.standard_normal(size)
    ),
    "ties": lambda rng, size: np.round(rng.standard_normal(size)),
}
#: Shapes whose interquartile mean is 0 by symmetry; those of the others are measured.
SYMMETRIC = ("normal", "uniform", "two groups", "heavy tail (t₃)", "ties")


def middle(values: Float[Array, "n"]) -> float:
    """The mean of the middle half."""
    quarter = values.size // 4
    return float(np.sort(values)[quarter:-quarter].mean())


def true_iqm(name: str) -> float:
    """The interquartile mean of a shape."""
    return 0.0 if name in SYMMETRIC else middle(SHAPES[name](stream("truth", name), (4_000_000,)))


def true_mean(name: str) -> float:
    """The mean of a shape."""
    exact = {"exponential": 1.0, "lognormal": float(np.exp(0.5)), "10 % disasters": -2.0}
    return exact.get(name, 0.0)
