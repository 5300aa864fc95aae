"""Gradients by finite differences, from the returns of perturbed parameters.

Kohl & Stone 2004, "Policy gradient reinforcement learning for fast quadrupedal locomotion", perturb every
parameter by −ε, 0 or +ε at random and compare averages; Peters & Schaal 2008, "Reinforcement learning of
motor skills with policy gradients", section 2.1, fit a plane to any set of perturbations; Spall 1992
perturbs all parameters at once. None of them looks inside an episode.
"""

import numpy as np
from jaxtyping import Float

from policysearch.core import Array


def kohl_stone(signs: Float[Array, "n d"], fitness: Float[Array, "n"]) -> Float[Array, "d"]:
    """The adjustment A: per parameter Avg₊ − Avg₋, or 0 where Avg₀ is the best of the three.

    `signs` holds −1, 0 or +1. A parameter for which one of the three groups is empty gets 0.
    """
    fitness = centred(fitness)
    groups = [(signs == sign).astype(float) for sign in (1.0, 0.0, -1.0)]
    counts = np.array([group.sum(axis=0) for group in groups])
    sums = np.array([fitness @ group for group in groups])
    plus, zero, minus = sums / np.maximum(counts, 1)
    stay = ((zero > plus) & (zero > minus)) | (counts == 0).any(axis=0)
    return np.where(stay, 0.0, plus - minus)


def regression(offsets: Float[Array, "n d"], fitness: Float[Array, "n"]) -> Float[Array, "d"]:
    """The slope of the least-squares plane fitness ≈ J + offsets·g, with its intercept J.

    With fewer than d + 1 perturbations it is the shortest such slope. The intercept matters: without it,
    a constant added to every return would turn the gradient into noise.
    """
    return np.linalg.lstsq(offsets - offsets.mean(axis=0), centred(fitness), rcond=None)[0]


def centred(fitness: Float[Array, "n"]) -> Float[Array, "n"]:
    """The fitness less its mean: exactly zero where all are equal, whose mean may be rounded."""
    return fitness - fitness.mean() if fitness.max() > fitness.min() else np.zeros_like(fitness)


def forward(plus: Float[Array, "d"], base: float, epsilon: float) -> Float[Array, "d"]:
    """(J(θ + ε e_j) − J(θ)) / ε for every parameter j: half as many candidates as `central`, error of order ε."""
    return (plus - base) / epsilon


def central(plus: Float[Array, "d"], minus: Float[Array, "d"], epsilon: float) -> Float[Array, "d"]:
    """(J(θ + ε e_j) − J(θ − ε e_j)) / 2ε for every parameter j."""
    return (plus - minus) / (2.0 * epsilon)


def simultaneous(
    delta: Float[Array, "n d"], plus: Float[Array, "n"], minus: Float[Array, "n"], c: float
) -> Float[Array, "d"]:
    """Spall's SPSA: the mean over n pairs of (J(θ + c Δ) − J(θ − c Δ)) / (2 c Δ_j), for signs Δ_j = ±1."""
    return np.asarray((plus - minus) @ delta / (2 * c * len(delta)))  # 1/Δ = Δ for signs
