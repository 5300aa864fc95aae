"""The Gaussian policy: a ~ N(μ(s; θ), diag(exp 2ℓ)), its log standard deviations ℓ learned too.

    log π(a|s)  = Σ_i [−½ z_i² − ℓ_i − ½ log 2π],      z = (a − μ)/σ,   σ = exp ℓ
    ∂/∂μ = z/σ,   ∂/∂ℓ_i = z_i² − 1

Parameters: those of the mean, then ℓ, which does not depend on the observation. The mode is the mean.

When to use it: for continuous actions and methods with scores; other methods search its mode.
When not: where the best policy is deterministic and the method needs no scores: search the mean alone.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, PolicyKernel
from policysearch.policies import kernels
from policysearch.policies.heads import Head, log_stds
from policysearch.policies.linear import Linear
from policysearch.policies.mlp import MLP


@dataclass(frozen=True)
class Gaussian(Head):
    """Normal noise around a linear map or network."""

    mean: Linear | MLP
    initial_std: float = 0.5  # in units of the action

    def __post_init__(self) -> None:
        log_stds(self.initial_std, 0)

    @property
    def body(self) -> Linear | MLP:
        """The mean."""
        return self.mean

    @property
    def mode(self) -> Linear | MLP:
        """The mean, without ℓ."""
        return self.mean

    @property
    def initial_log_std(self) -> Float[Array, "a"]:
        """One ℓ per action."""
        return log_stds(self.initial_std, self.mean.action_size)

    def act(
        self, params: Float[Array, "m d"], obs: Float[Array, "m o"], state: Float[Array, "m h"]
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The mean."""
        return self.mean.act(self._split(params)[0], obs, state)

    def noise(self, rng: np.random.Generator, steps: int) -> Float[Array, "steps a"]:
        """Standard normal numbers, one per action."""
        return rng.standard_normal((steps, self.mean.action_size))

    def sample(
        self,
        params: Float[Array, "m d"],
        obs: Float[Array, "m o"],
        state: Float[Array, "m h"],
        noise: Float[Array, "m a"],
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """μ + σ·noise."""
        theta, log_std = self._split(params)
        mean, state = self.mean.act(theta, obs, state)
        return mean + np.exp(log_std) * noise, state

    @property
    def kernel(self) -> PolicyKernel:
        """The compiled form of `act` and `sample`."""
        return _kernel(self)

    def _z(
        self, params: Float[Array, "d"], obs: Float[Array, "T o"], actions: Float[Array, "T a"]
    ) -> tuple[Float[Array, "T a"], Float[Array, "a"]]:
        theta, log_std = self._split(params)
        return (actions - self.mean.forward(theta, obs)) * np.exp(-log_std), log_std

    def log_prob(
        self, params: Float[Array, "d"], obs: Float[Array, "T o"], actions: Float[Array, "T a"]
    ) -> Float[Array, "T"]:
        """log π(a_t | s_t; θ)."""
        z, log_std = self._z(params, obs, actions)
        return (-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(axis=1)

    def score(
        self,
        params: Float[Array, "d"],
        obs: Float[Array, "T o"],
        actions: Float[Array, "T a"],
        weights: Float[Array, "T"],
    ) -> Float[Array, "d"]:
        """Σ_t weights_t ∇ log π(a_t | s_t; θ)."""
        z, log_std = self._z(params, obs, actions)
        mean_bar = weights[:, None] * z * np.exp(-log_std)
        score_mean = self.mean.vjp(self._split(params)[0], obs, mean_bar)
        return np.concatenate([score_mean, weights @ (z**2 - 1.0)])

    def score_along(
        self,
        params: Float[Array, "d"],
        obs: Float[Array, "T o"],
        actions: Float[Array, "T a"],
        direction: Float[Array, "d"],
    ) -> Float[Array, "T"]:
        """∇ log π(a_t | s_t; θ) · direction."""
        z, log_std = self._z(params, obs, actions)
        theta_dot, log_std_dot = self._split(direction)
        mean_dot = self.mean.jvp(self._split(params)[0], obs, theta_dot)
        return (z * np.exp(-log_std) * mean_dot).sum(axis=1) + (z**2 - 1.0) @ log_std_dot

    def kl(
        self, old: Float[Array, "d"], new: Float[Array, "d"], obs: Float[Array, "T o"]
    ) -> Float[Array, "T"]:
        """log σ'/σ + (σ² + (μ − μ')²)/2σ'² − ½, summed over the actions."""
        theta, log_std = self._split(old)
        theta_new, log_std_new = self._split(new)
        gap = self.mean.forward(theta, obs) - self.mean.forward(theta_new, obs)
        ratio = 0.5 * (np.exp(2 * log_std) + gap**2) * np.exp(-2 * log_std_new)
        return (log_std_new - log_std + ratio - 0.5).sum(axis=1)

    def fold(
        self, params: Float[Array, "*n d"], mean: Float[Array, "o"], gain: Float[Array, "o"]
    ) -> Float[Array, "*n d"]:
        """Parameters that act on s as `params` act on gain·(s − mean)."""
        theta, log_std = self._split(params)
        return np.concatenate([self.mean.fold(theta, mean, gain), log_std], axis=-1)


@lru_cache
def _kernel(policy: Gaussian) -> PolicyKernel:
    forward, scratch = policy.mean.forward_kernel()
    actions = policy.mean.action_size
    return kernels.policy_kernel(
        kernels.gaussian,
        scratch_size=scratch,
        noise_size=actions,
        forward=forward,
        ACTIONS=actions,
        LOG_STD=policy.mean.num_params,
    )
