"""Proximal policy optimization: several epochs of minibatch ascent on a clipped importance ratio.

    L(θ') = E_t[min(ρ_t A_t, clip(ρ_t, 1 − ε, 1 + ε) A_t)],     ρ_t = π_θ'(a_t|s_t)/π_θ(a_t|s_t)

Source: Schulman, Wolski, Dhariwal, Radford & Klimov 2017, eq. 7 and algorithm 1. Advantages are standardised
within a minibatch and the gradient is cut to a norm of 0.5, as in common implementations. Policy and value are
separate networks with an Adam each. A batch is N whole episodes, since whole episodes are what a budget of
rollouts counts (the paper has 2,048 steps, cut anywhere). Failed episodes are left out, so nothing is learned
from a failure.

Defaults: ε = 0.2 is that of section 6.1; Adam with 3·10⁻⁴, 10 epochs of minibatches of 64 steps, γ = 0.99 and
λ = 0.95 are those of table 3 (MuJoCo); N = 10 is our choice.

Invariant to: positive factors on returns, since advantages and the value network's targets are
standardised.

When to use it: for networks with a reward at every step and long episodes.
When not: with a few hundred episodes, unless the learning rates are raised (0.003); for controllers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Needs, Ranges, Rollout, Search, StochasticPolicy
from policysearch.gradients import values
from policysearch.optimizers.adam import Adam
from policysearch.optimizers.batch import batch
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class PPO:
    """Minibatch ascent that stops paying once the policy has changed by a factor of 1 ± ε."""

    needs: ClassVar[Needs] = Needs(scores=True)
    revision: ClassVar[int] = 2  # 2: small advantages are standardised too
    tunable: ClassVar[Ranges] = {"episodes": (2, 40), "learning_rate": (1e-4, 0.1), "epochs": (2, 20)}

    episodes: int = 10  # N per batch
    learning_rate: float = 3e-4  # of the policy
    value_learning_rate: float = 3e-4
    clip: float = 0.2  # ε
    epochs: int = 10
    minibatch: int = 64  # steps
    discount: float = 0.99  # γ
    lam: float = 0.95  # λ of GAE
    entropy: float = 0.0  # β, of the entropy bonus
    max_gradient_norm: float = 0.5

    def __post_init__(self) -> None:
        within(self, 1, np.inf, "episodes", "epochs")
        within(self, 2, np.inf, "minibatch")
        positive(self, "learning_rate", "value_learning_rate", "clip", "discount", "max_gradient_norm")
        within(self, 0, 1, "discount", "lam")
        within(self, 0, np.inf, "entropy")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw episodes; then several passes over their steps in random minibatches."""
        theta = domain.start
        adam, value_adam = Adam(self.learning_rate), Adam(self.value_learning_rate)
        value: values.NetworkValue | None = None
        diagnostics: dict[str, float] = {}
        while True:
            rollouts, diagnostics = yield from batch(theta, self.episodes, diagnostics)
            if not rollouts:
                continue
            policy = _memoryless(rollouts[0].policy)
            if value is None:
                value = values.NetworkValue.unfitted(rollouts, self.discount, rng)
            value = value.rescaled(rollouts, self.discount)
            steps = _Steps.of(rollouts, value, self.discount, self.lam)
            clipped = []
            for rows in _minibatches(len(steps.A), self.epochs, self.minibatch, rng):
                g, outside = self._gradient(policy, theta, steps, rows)
                theta = domain.clip(theta + adam.step(_cut(g, self.max_gradient_norm)))
                phi = value.params + value_adam.step(
                    _cut(steps.value_gradient(value, rows), self.max_gradient_norm)
                )
                value = replace(value, params=phi)
                clipped.append(outside)
            diagnostics["clipped_fraction"] = float(np.mean(clipped))

    def _gradient(
        self, policy: StochasticPolicy, theta: Float[Array, "d"], batch: "_Steps", rows: Array
    ) -> tuple[Float[Array, "d"], float]:
        """∇L on a minibatch, and the fraction of its steps that the clip silences."""
        obs, actions = batch.obs[rows], batch.actions[rows]
        log_prob = policy.log_prob(theta, obs, actions)
        rho = np.exp(np.clip(log_prob - batch.log_prob[rows], -50.0, 50.0))
        A = batch.A[rows]
        A = (A - A.mean()) / (A.std() + 1e-8)
        silent = np.where(A > 0, rho > 1 + self.clip, rho < 1 - self.clip)  # the minimum is the constant
        w = np.where(silent, 0.0, rho * A)
        if self.entropy:
            w -= self.entropy * rho * (log_prob - log_prob.mean())
        return policy.score(theta, obs, actions, w / len(rows)), float(silent.mean())


@dataclass(frozen=True, eq=False)
class _Steps:
    """All steps of a batch of episodes in a row, with what does not change during the epochs."""

    obs: Float[Array, "T o"]
    actions: Float[Array, "T a"]
    log_prob: Float[Array, "T"]  # under the policy that drew them
    A: Float[Array, "T"]  # in the units of the value network
    targets: Float[Array, "T"]  # A + V, in the units of the value network
    inputs: Float[Array, "T i"]  # of the value network

    @classmethod
    def of(
        cls, rollouts: Sequence[Rollout], value: values.NetworkValue, discount: float, lam: float
    ) -> "_Steps":
        A = np.concatenate(values.advantages(rollouts, value, discount=discount, lam=lam))
        V = np.concatenate([value(rollout) for rollout in rollouts])
        return cls(
            np.concatenate([rollout.obs for rollout in rollouts]),
            np.concatenate([rollout.actions for rollout in rollouts]),
            np.concatenate([r.policy.log_prob(r.params, r.obs, r.actions) for r in rollouts]),
            A / value.scale,
            (A + V - value.mean) / value.scale,
            np.concatenate([value.inputs(rollout) for rollout in rollouts]),
        )

    def value_gradient(self, value: values.NetworkValue, rows: Array) -> Float[Array, "p"]:
        """Minus the gradient of half the mean squared error of the value network on a minibatch."""
        x = self.inputs[rows]
        error = value.network.forward(value.params, x)[:, 0] - self.targets[rows]
        return value.network.vjp(value.params, x, -error[:, None] / len(rows))


def _memoryless(policy: StochasticPolicy) -> StochasticPolicy:
    if policy.state_size:
        raise ValueError(
            f"policy: PPO shuffles single steps, so it needs a policy without memory, got {policy}; use "
            "reinforce, natural-gradient or trpo"
        )
    return policy


def _minibatches(steps: int, epochs: int, size: int, rng: np.random.Generator) -> list[Array]:
    """Indices of all minibatches of all epochs, each of about `size` steps."""
    parts = max(round(steps / size), 1)
    return [rows for _ in range(epochs) for rows in np.array_split(rng.permutation(steps), parts)]


def _cut(g: Float[Array, "d"], norm: float) -> Float[Array, "d"]:
    """g, shortened to the norm if it is longer."""
    length = float(np.linalg.norm(g))
    return g * (norm / length) if length > norm else g
