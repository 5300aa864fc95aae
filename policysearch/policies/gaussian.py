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
from policysearch.policies.heads import NetworkHead, log_stds
from policysearch.policies.linear import Linear
from policysearch.policies.linearised import Distribution
from policysearch.policies.mlp import MLP


@dataclass(frozen=True)
class Gaussian(NetworkHead):
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
    def distribution(self) -> Distribution:
        """Normal."""
        return Distribution("gaussian")

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
        in_lanes=policy.mean.in_lanes,
        forward=forward,
        ACTIONS=actions,
        LOG_STD=policy.mean.num_params,
    )
