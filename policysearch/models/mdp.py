"""Exact returns and gradients of finite decision processes under memoryless softmax policies.

In state s the agent sees the observation o = o(s), which several states may share, and draws a ~ π(a|o),
the softmax of the row θ[o] of a table. With P_π, r_π the transitions and expected rewards under π, and d_t the
distribution of the state at step t over the states that still act (d_0 = μ):

    finite horizon H:  Q_t(s, a) = r(s, a) + γ Σ_s' P(s'|s, a) V_{t+1}(s'),   V_H = 0,   d_{t+1} = P_πᵀ d_t
    infinite, γ < 1:   V = (I − γ P_π)⁻¹ r_π,   Q = r + γ P V,   d = Σ_t γ^t d_t = (I − γ P_πᵀ)⁻¹ μ

    J = μᵀ V_0,   ∂J/∂θ_oa = Σ_t γ^t Σ_{s: o(s)=o} d_t(s) π(a|o) A_t(s, a),   A_t = Q_t − V_t

The infinite case is the same without the sum over t. This is the policy gradient theorem (Sutton, McAllester,
Singh & Mansour 2000). The Fisher matrix (Kakade 2001, "A natural policy gradient") has one block per
observation, w_o (diag π_o − π_o π_oᵀ), whose weight is Σ_t P(o_t = o) for a finite horizon (that of the
whole trajectory, which no discount changes) and (1 − γ) Σ_t γ^t P(o_t = o) for the infinite one. As
F x = ∇J is solved by x_oa = Σ_t γ^t Σ_{s: o(s)=o} d_t(s) A_t(s, a)/w_o, and rows of equal numbers are all that
F sends to zero, F⁺ ∇J is x with each row centred: (A(s, a) + c_s)/(1 − γ) where every state shows itself.
The best policy of the underlying process, which sees the state, comes from backward induction or policy
iteration (Puterman 1994, Markov Decision Processes, sections 4.5 and 6.4).

The policy is `Softmax(Linear(O, A, bias=False), (A,))` of one-hot observations; its flat parameters are
θ.T.ravel().
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from policysearch.core import Array

#: Deterministic policies that `best_deterministic_return` compares at most.
MAX_POLICIES = 100_000


@dataclass(frozen=True, eq=False)
class MDP:
    """A finite decision process; the symbols are those of the module.

    Raises:
        ValueError: for shapes that do not match, P or μ that are no probabilities, a horizon or discount under
            which the return does not exist, or terminal states that act.
    """

    P: Float[Array, "s a s"]
    r: Float[Array, "s a"]  # the expected reward
    mu: Float[Array, "s"]  # the distribution of the start
    horizon: int | None  # None: infinite
    discount: float = 1.0
    observations: Int[Array, "s"] | None = None  # what each state shows, counted from 0; None: itself
    reward_std: float = 0.0  # of Gaussian noise on every reward; J does not know it
    terminal: Bool[Array, "s"] | None = None  # absorbing states without reward, in which no action is taken

    def __post_init__(self) -> None:
        shape = self.r.shape if self.r.ndim == 2 else (0, 0)
        if 0 in shape:
            raise ValueError(f"r: expected a number for every state and action, got shape {self.r.shape}")
        per_state = dict.fromkeys(("mu", "observations", "terminal"), shape[:1])
        for name, expected in {"P": (*shape, shape[0]), **per_state}.items():
            if (value := getattr(self, name)) is not None and value.shape != expected:
                raise ValueError(f"{name}: expected shape {expected} to match r, got {value.shape}")
        for name, p in (("P", self.P), ("mu", self.mu)):
            sums = p.sum(axis=-1)
            if not (p >= 0).all() or np.abs(sums - 1).max() > 1e-9:
                got = f"least {p.min():g}, sums from {sums.min():g} to {sums.max():g}"
                raise ValueError(f"{name}: expected probabilities that sum to 1, got {got}")
        if not (np.isfinite(self.r).all() and 0 <= self.reward_std < np.inf):
            raise ValueError(f"r, reward_std: expected finite numbers, got {self.r} and {self.reward_std}")
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"horizon: expected at least 1, or None for an infinite one, got {self.horizon}")
        if not 0 <= self.discount <= 1 or (self.horizon is None and self.discount == 1):
            raise ValueError(f"discount: expected 0 to 1, below 1 without a horizon, got {self.discount}")
        if self.observations is not None and self.observations.min() < 0:
            raise ValueError(f"observations: expected numbers counted from 0, got {self.observations}")
        for s in np.flatnonzero(False if self.terminal is None else self.terminal):
            if (self.P[s, :, s] < 1).any() or self.r[s].any() or self.mu[s] > 0:
                raise ValueError(
                    f"terminal: expected states that stay, pay nothing and start nothing, not {s}"
                )

    @property
    def shown(self) -> Int[Array, "s"]:
        """The observation that each state shows."""
        return np.arange(len(self.r)) if self.observations is None else self.observations

    @property
    def table(self) -> tuple[int, int]:
        """The shape O × A of θ."""
        return int(self.shown.max()) + 1, self.r.shape[1]

    def policy(self, theta: Float[Array, "o a"]) -> Float[Array, "o a"]:
        """π(a|o), a row per observation; an action whose θ is −∞ is never taken."""
        if theta.shape != self.table:
            raise ValueError(f"theta: expected shape {self.table}, got {theta.shape}")
        unnormalised = np.exp(theta - theta.max(axis=1, keepdims=True))
        return unnormalised / unnormalised.sum(axis=1, keepdims=True)

    def action_values(self, theta: Float[Array, "o a"]) -> Float[Array, "*t s a"]:
        """Q_t for t = 0 … H − 1, or Q."""
        pi = self.policy(theta)[self.shown]
        if self.horizon is None:
            P_pi, r_pi = np.einsum("sa,sau->su", pi, self.P), (pi * self.r).sum(axis=1)
            return self.r + self.discount * self.P @ _discounted_sum(P_pi, r_pi, self.discount)
        Q, V = np.empty((self.horizon, *self.r.shape)), np.zeros(len(self.r))
        for t in reversed(range(self.horizon)):
            Q[t] = self.r + self.discount * self.P @ V
            V = (pi * Q[t]).sum(axis=1)
        return Q

    def values(self, theta: Float[Array, "o a"]) -> Float[Array, "*t s"]:
        """V_t for t = 0 … H − 1, or V."""
        return (self.policy(theta)[self.shown] * self.action_values(theta)).sum(axis=-1)

    def expected_return(self, theta: Float[Array, "o a"]) -> float:
        """J(θ)."""
        return float(self.mu @ self.values(theta).reshape(-1, len(self.r))[0])

    def visits(self, theta: Float[Array, "o a"]) -> Float[Array, "*t s"]:
        """γ^t d_t for t = 0 … H − 1, or d: how often each state acts, discounted."""
        acting = np.ones(len(self.r)) if self.terminal is None else 1.0 - self.terminal
        P_pi = np.einsum("sa,sau->su", self.policy(theta)[self.shown], self.P) * acting  # into those that act
        if self.horizon is None:
            return _discounted_sum(P_pi.T, self.mu, self.discount)
        d = np.tile(self.mu, (self.horizon, 1))
        for t in range(1, self.horizon):
            d[t] = self.discount * P_pi.T @ d[t - 1]
        return d

    def _weights(self, theta: Float[Array, "o a"]) -> Float[Array, "o"]:
        """w_o, the weight of each observation in the Fisher matrix."""
        if self.horizon is None:
            return np.bincount(self.shown, (1 - self.discount) * self.visits(theta))
        return np.bincount(self.shown, replace(self, discount=1.0).visits(theta).sum(axis=0))

    def _pulls(self, theta: Float[Array, "o a"]) -> Float[Array, "o a"]:
        """Σ_t γ^t Σ_{s: o(s)=o} d_t(s) A_t(s, a): the gradient without its factor π(a|o)."""
        Q, V, d = self.action_values(theta), self.values(theta), self.visits(theta)
        of_states = (d[..., None] * (Q - V[..., None])).reshape(-1, *self.r.shape).sum(axis=0)
        pulls = np.zeros(self.table)
        np.add.at(pulls, self.shown, of_states)
        return pulls

    def gradient(self, theta: Float[Array, "o a"]) -> Float[Array, "o a"]:
        """∂J/∂θ."""
        return self.policy(theta) * self._pulls(theta)

    def fisher(self, theta: Float[Array, "o a"]) -> Float[Array, "d d"]:
        """F, for the parameters in the order θ.ravel()."""
        pi, (O, A) = self.policy(theta), self.table  # noqa: E741 - the symbol
        F = np.zeros((O, A, O, A))
        blocks = pi[:, :, None] * (np.eye(A) - pi[:, None, :])
        F[range(O), :, range(O), :] = self._weights(theta)[:, None, None] * blocks
        return F.reshape(O * A, O * A)

    def natural_gradient(self, theta: Float[Array, "o a"]) -> Float[Array, "o a"]:
        """F⁺ ∇J; zero for an observation that is never made."""
        w = self._weights(theta)[:, None]
        x = np.divide(self._pulls(theta), w, out=np.zeros(self.table), where=w > 0)
        return x - x.mean(axis=1, keepdims=True)

    def optimal_return(self) -> float:
        """The return of the best policy that sees the state, and the time if there is a horizon."""
        return self._optimum()[1]

    def optimal_policy(self) -> Int[Array, "*t s"]:
        """An action for every state that is best, at each step t = 0 … H − 1 if there is a horizon."""
        return self._optimum()[0]

    def _optimum(self) -> tuple[Int[Array, "*t s"], float]:
        states = np.arange(len(self.r))
        if self.horizon is not None:
            best, V = np.empty((self.horizon, states.size), dtype=int), np.zeros(states.size)
            for t in reversed(range(self.horizon)):  # backward induction
                Q = self.r + self.discount * self.P @ V
                best[t], V = Q.argmax(axis=1), Q.max(axis=1)
            return best, float(self.mu @ V)
        actions = np.zeros(states.size, dtype=int)
        while True:  # policy iteration: a change has to improve by more than rounding
            V = _discounted_sum(self.P[states, actions], self.r[states, actions], self.discount)
            Q = self.r + self.discount * self.P @ V
            better = Q.max(axis=1) > V + 1e-12 * (1 + np.abs(Q).max())
            if not better.any():
                return actions, float(self.mu @ V)
            actions = np.where(better, Q.argmax(axis=1), actions)

    def best_deterministic_return(self) -> float:
        """The return of the best deterministic memoryless policy, found by trying them all.

        Raises:
            ValueError: if there are more than MAX_POLICIES of them.
        """
        O, A = self.table  # noqa: E741 - the symbol
        if A**O > MAX_POLICIES:
            raise ValueError(f"expected at most {MAX_POLICIES} deterministic policies, got {A}^{O}")
        states = np.arange(len(self.r))
        actions = np.array(list(itertools.product(range(A), repeat=O)))[:, self.shown]
        P, r = self.P[states, actions], self.r[states, actions]  # of each policy
        V = np.zeros(r.shape)
        if self.horizon is None:
            V = _discounted_sum(P, r, self.discount)
        for _ in range(self.horizon or 0):
            V = r + self.discount * (P @ V[..., None])[..., 0]
        return float((V @ self.mu).max())


def _discounted_sum(
    P: Float[Array, "*n s s"], x: Float[Array, "*n s"], discount: float
) -> Float[Array, "*n s"]:
    """Σ_t γ^t P^t x = (I − γ P)⁻¹ x."""
    return np.linalg.solve(np.eye(P.shape[-1]) - discount * P, x[..., None])[..., 0]
