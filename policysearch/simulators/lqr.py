"""The linear-quadratic regulator as a Gymnasium environment, and the instance used in comparisons.

The dynamics matrices are the benchmark of Dean, Mania, Matni, Recht & Tu 2017 that the ARS paper uses: a
marginally unstable chain of three coupled states (spectral radius about 1.024) with one input per state,
Q = 10⁻³ I and R = I. Horizon, start and noise are ours: 100 steps from N(0, I) with W = 10⁻² I. Doing nothing
costs 3.5 and the best controller 0.24, while most gains of size 0.3 are unstable. Exact returns, gradients
and the optimum are in `policysearch.gradients.exact`.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.gradients.exact import LQR


def chain() -> LQR:
    """The instance of this module: three states, three inputs, 100 steps."""
    eye = np.eye(3)
    A = 1.01 * eye + 0.01 * (np.eye(3, k=1) + np.eye(3, k=-1))
    return LQR(
        A=A, B=eye, Q=1e-3 * eye, R=eye, Q_f=1e-3 * eye, W=1e-2 * eye,
        mu_0=np.zeros(3), S_0=eye, horizon=100,
    )  # fmt: skip


class LQREnv(gym.Env[Any, Any]):
    """x' = A x + B u + w, rewarded by −(xᵀQx + uᵀRu); the last step also pays −xᵀQ_f x.

    The horizon ends the episode with `terminated`: it belongs to the problem. Actions are not bounded.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own attribute

    def __init__(self, problem: LQR | None = None) -> None:
        self.problem = problem or chain()
        size, inputs = self.problem.B.shape
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = gym.spaces.Box(-np.inf, np.inf, (inputs,), np.float64)
        self._start_root = _root(self.problem.S_0)
        self._noise_root = _root(self.problem.W)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[Array, "x"], dict[str, Any]]:
        """A start state from N(μ_0, S_0)."""
        super().reset(seed=seed)
        size = self.problem.mu_0.size
        self._x = self.problem.mu_0 + self._start_root @ self.np_random.standard_normal(size)
        self._noise = self.np_random.standard_normal((self.problem.horizon, size)) @ self._noise_root.T
        self._t = 0
        return self._x.copy(), {}

    def step(self, action: Float[Array, "u"]) -> tuple[Float[Array, "x"], float, bool, bool, dict[str, Any]]:
        """One step of the dynamics."""
        p, x = self.problem, self._x
        last = self._t + 1 == p.horizon
        with np.errstate(over="ignore", invalid="ignore"):  # an unstable controller may get to infinity
            cost = x @ p.Q @ x + action @ p.R @ action
            self._x = p.A @ x + p.B @ action + self._noise[self._t]
            cost += self._x @ p.Q_f @ self._x if last else 0.0
        self._t += 1
        return self._x.copy(), -float(cost), last, False, {}


def _root(covariance: Float[Array, "x x"]) -> Float[Array, "x x"]:
    """A matrix S with S Sᵀ = covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
