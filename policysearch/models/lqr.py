"""Exact returns and gradients, where they can be had: the finite-horizon linear-quadratic regulator.

    x_0 ~ N(μ_0, S_0),   x_{t+1} = A x_t + B u_t + w_t,   w_t ~ N(0, W),   t = 0 … H − 1
    u_t = K x_t + e_t,   e_t ~ N(0, Σ),  Σ = diag(exp 2ℓ)                  (linear-Gaussian policy)
    return = − Σ_t (x_tᵀ Q x_t + u_tᵀ R u_t) − x_Hᵀ Q_f x_H

With M = A + BK and the second moments X_0 = S_0 + μ_0 μ_0ᵀ, X_{t+1} = M X_t Mᵀ + B Σ Bᵀ + W:

    J     = − Σ_t γ^t [tr((Q + Kᵀ R K) X_t) + tr(R Σ)] − γ^H tr(Q_f X_H)
    P_H   = Q_f,   P_t = Q + Kᵀ R K + γ Mᵀ P_{t+1} M,   L_t = R + γ Bᵀ P_{t+1} B
    ∂J/∂K = −2 Σ_t γ^t (L_t K + γ Bᵀ P_{t+1} A) X_t
    ∂J/∂ℓ_i = −2 Σ_t γ^t [L_t]_ii exp 2ℓ_i
    F       = diag(Σ⁻¹ ⊗ Σ_{t<H} X_t, 2H I)

F is the Fisher matrix of the whole trajectory, which no discount changes, for K row by row and then ℓ: the
parameters of `Gaussian(Linear(…, bias=False))`. Exploration only hurts here: ∂J/∂ℓ < 0. The best controller
is u_t = K_t x_t with K_t = −γ L_t⁻¹ Bᵀ P_{t+1} A from the Riccati recursion (Bertsekas, Dynamic Programming
and Optimal Control, vol. 1, section 3.1).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from policysearch.core import Array


@dataclass(frozen=True, eq=False)
class LQR:
    """A finite-horizon linear-quadratic problem; the symbols are those of the module."""

    A: Float[Array, "x x"]
    B: Float[Array, "x u"]
    Q: Float[Array, "x x"]
    R: Float[Array, "u u"]
    Q_f: Float[Array, "x x"]
    W: Float[Array, "x x"]
    mu_0: Float[Array, "x"]
    S_0: Float[Array, "x x"]
    horizon: int
    discount: float = 1.0

    def expected_return(self, K: Float[Array, "u x"], log_std: Float[Array, "u"]) -> float:
        """J(K, ℓ); `log_std` of −inf is the deterministic controller u = K x."""
        X, Sigma = self._second_moments(K, log_std)
        stage = self.Q + K.T @ self.R @ K
        costs = np.einsum("ij,tij->t", stage, X[:-1]) + np.trace(self.R @ Sigma)
        discounts = self.discount ** np.arange(self.horizon + 1)
        return float(-discounts[:-1] @ costs - discounts[-1] * np.sum(self.Q_f * X[-1]))

    def gradient(
        self, K: Float[Array, "u x"], log_std: Float[Array, "u"]
    ) -> tuple[Float[Array, "u x"], Float[Array, "u"]]:
        """∂J/∂K and ∂J/∂ℓ."""
        X, Sigma = self._second_moments(K, log_std)
        M, P = self.A + self.B @ K, self.Q_f
        grad_K, grad_log_std = np.zeros_like(K), np.zeros_like(log_std)
        for t in reversed(range(self.horizon)):
            L = self.R + self.discount * self.B.T @ P @ self.B
            pull = L @ K + self.discount * self.B.T @ P @ self.A
            grad_K -= 2 * self.discount**t * pull @ X[t]
            grad_log_std -= 2 * self.discount**t * np.diag(L) * np.diag(Sigma)
            P = self.Q + K.T @ self.R @ K + self.discount * M.T @ P @ M
        return grad_K, grad_log_std

    def fisher(self, K: Float[Array, "u x"], log_std: Float[Array, "u"]) -> Float[Array, "d d"]:
        """F; `log_std` has to be finite."""
        X, Sigma = self._second_moments(K, log_std)
        F = 2.0 * self.horizon * np.eye(K.size + log_std.size)
        F[: K.size, : K.size] = np.kron(np.linalg.inv(Sigma), X[:-1].sum(axis=0))
        return F

    def natural_gradient(
        self, K: Float[Array, "u x"], log_std: Float[Array, "u"]
    ) -> tuple[Float[Array, "u x"], Float[Array, "u"]]:
        """F⁺ ∇J, as gains and as log_std; nothing moves gains on states that are never reached."""
        X, Sigma = self._second_moments(K, log_std)
        grad_K, grad_log_std = self.gradient(K, log_std)
        inverse = np.linalg.pinv(X[:-1].sum(axis=0), rcond=1e-12, hermitian=True)
        return Sigma @ grad_K @ inverse, grad_log_std / (2 * self.horizon)

    def optimal_return(self) -> float:
        """The return of the best controller there is, from the Riccati recursion.

        P is that of the best gains, a sum of squares, which keeps rounding from growing with an unstable A.
        """
        P, noise = self.Q_f, 0.0
        for _ in range(self.horizon):
            L = self.R + self.discount * self.B.T @ P @ self.B
            K = -np.linalg.solve(L, self.discount * self.B.T @ P @ self.A)
            M = self.A + self.B @ K
            noise = self.discount * (noise + float(np.sum(P * self.W)))
            P = self.Q + K.T @ self.R @ K + self.discount * M.T @ P @ M
        return -float(np.sum(P * (self.S_0 + np.outer(self.mu_0, self.mu_0)))) - noise

    def _second_moments(
        self, K: Float[Array, "u x"], log_std: Float[Array, "u"]
    ) -> tuple[Float[Array, "T x x"], Float[Array, "u u"]]:
        Sigma = np.diag(np.exp(2 * log_std))
        M, X = self.A + self.B @ K, [self.S_0 + np.outer(self.mu_0, self.mu_0)]
        for _ in range(self.horizon):
            X.append(M @ X[-1] @ M.T + self.B @ Sigma @ self.B.T + self.W)
        return np.array(X), Sigma
