"""The likelihood ratio taken over parameters: gradients of E[J(θ)] for θ ~ N(m, diag σ²).

    ∇_m E[J] = E[J (θ − m)/σ²],    ∇_{ln σ} E[J] = E[J ((θ − m)²/σ² − 1)]

These are score functions of a distribution that is drawn from once per episode instead of once per step:
nothing needs to be differentiable, and nothing is known of what happened within the episode. Gaussian
smoothing (evolution strategies; Nesterov & Spokoiny 2017, Salimans et al. 2017) is the first line with a
fixed σ: it is the gradient of a *smoothed* return, which differs from ∇J by terms of order σ². PGPE (Sehnke
et al. 2010) and natural evolution strategies (Wierstra et al. 2014) learn σ by the second.
"""

import numpy as np
from jaxtyping import Float

from policysearch.core import Array


def mean_gradient(
    z: Float[Array, "n d"], fitness: Float[Array, "n"], sigma: float | Float[Array, "d"]
) -> Float[Array, "d"]:
    """∇_m = 1/n Σ_i J_i z_i/σ for candidates m + σ z_i."""
    return np.asarray(fitness @ z / (len(z) * sigma))


def log_std_gradient(z: Float[Array, "n d"], fitness: Float[Array, "n"]) -> Float[Array, "d"]:
    """∇_{ln σ} = 1/n Σ_i J_i (z_i² − 1) for candidates m + σ z_i."""
    squares = np.square(z)
    squares -= 1.0
    return np.asarray(fitness @ squares / len(z))


def mirrored(z: Float[Array, "n d"]) -> Float[Array, "_ d"]:
    """z and −z: antithetic pairs, whose common part cancels from the gradient of the mean."""
    return np.concatenate([z, -z])
