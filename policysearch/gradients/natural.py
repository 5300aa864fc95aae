"""The natural gradient F⁻¹∇J: the direction of steepest ascent per unit of change of the policy.

    F = E[Σ_t ∇ log π(a_t|s_t) ∇ log π(a_t|s_t)ᵀ],    E[Σ_t KL(π_θ ‖ π_{θ+Δ})] ≈ ½ Δᵀ F Δ

Two ways (Kakade 2001; Peters & Schaal 2008):

- Conjugate gradients on products F v = 1/N Σ_i Σ_t s_it (s_it·v), from the steps that were sampled: F is
  never built (Schulman et al. 2015, appendix C).
- Episodic natural actor-critic: least squares R_i ≈ S_i·w + b; the slope w is the natural gradient, b its
  baseline.

F may be singular (fewer steps than parameters, a saturated policy). `damping` is added to its diagonal;
without damping, conjugate gradients stay in the range of F, so the result is the shortest solution, as from
the regression.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Rollout
from policysearch.gradients.finite_difference import regression
from policysearch.gradients.score_function import joined, linearised

Product = Callable[[Float[Array, "d"]], Float[Array, "d"]]


def fisher_product(
    rollouts: Sequence[Rollout], damping: float = 0.0, params: Float[Array, "d"] | None = None
) -> Product:
    """The map v ↦ (F + damping·I) v, with F averaged over episodes and summed over their steps."""
    policy, theta = rollouts[0].policy, rollouts[0].params if params is None else params
    blocks = [linearised(policy, theta, obs, actions) for _, obs, actions in joined(rollouts)]

    def product(v: Float[Array, "d"]) -> Float[Array, "d"]:
        total = damping * len(rollouts) * v
        for block in blocks:
            total = total + block.score(block.score_along(v))
        return np.asarray(total / len(rollouts))

    return product


def conjugate_gradient(
    product: Product, b: Float[Array, "d"], iterations: int = 10, tolerance: float = 1e-10
) -> Float[Array, "d"]:
    """x with F x ≈ b, for a symmetric F ⪰ 0 that is known by its products (Hestenes & Stiefel 1952).

    It ends when the residual is below `tolerance` times b, or where F has no curvature left in the direction of
    search: for a singular F it has then solved what can be solved.
    """
    x, r = np.zeros_like(b), b.copy()
    p, rr = r.copy(), float(r @ r)
    limit = tolerance**2 * rr
    for _ in range(iterations):
        if rr <= limit:
            break
        Fp = product(p)
        curvature = float(p @ Fp)
        if curvature <= 1e-14 * float(np.linalg.norm(Fp) * np.linalg.norm(p)) or curvature <= 0:
            break
        alpha = rr / curvature
        x, r = x + alpha * p, r - alpha * Fp
        rr, before = float(r @ r), rr
        p = r + rr / before * p
    return x


def step_of_divergence(product: Product, direction: Float[Array, "d"], max_kl: float) -> Float[Array, "d"]:
    """The multiple of `direction` along which the policy changes by `max_kl`, to second order: ½ xᵀFx = max_kl.

    Nothing where F sees no change in that direction.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a direction of 1e200, which the caller finds out
        curvature = float(direction @ product(direction))
        return direction * np.sqrt(2 * max_kl / curvature) if curvature > 0 else np.zeros_like(direction)


def enac(S: Float[Array, "N d"], R: Float[Array, "N"]) -> tuple[Float[Array, "d"], float]:
    """Slope w and intercept b of the least-squares fit R_i ≈ S_i·w + b: natural gradient and baseline.

    With fewer than d + 1 episodes, or dependent scores, it is the shortest such slope. The same plane through
    perturbed parameters instead of scores is the regression of `finite_difference`.
    """
    w = regression(S, R)
    return w, float(R.mean() - S.mean(axis=0) @ w)
