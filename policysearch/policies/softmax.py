"""The softmax policy for discrete actions: π(a|s) ∝ exp(y_a(s; θ)/τ), with temperature τ.

    ∇ log π(a|s) = Σ_b (1{a = b} − π(b|s))/τ ∇ y_b(s)

The logits y come from a linear map (of one-hot observations: the tabular policy) or a network. Several
discrete actions are independent given the observation, each with its own block of logits. Actions are
indices held as floats. The mode takes the largest logit, the first of equals.

When to use it: for discrete actions; `tabular` for observations that are one of a few cells.
When not: for continuous actions.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, PolicyKernel
from policysearch.policies import kernels
from policysearch.policies.heads import NetworkHead, largest
from policysearch.policies.linear import Linear
from policysearch.policies.linearised import Distribution
from policysearch.policies.mlp import MLP


@dataclass(frozen=True)
class Softmax(NetworkHead):
    """Independent categorical actions with `choices[i]` alternatives each."""

    logits: Linear | MLP
    choices: tuple[int, ...]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if sum(self.choices) != self.logits.action_size:
            raise ValueError(
                f"choices: expected {self.logits.action_size} alternatives in all, got {self.choices}"
            )
        if not 0 < self.temperature < np.inf:
            raise ValueError(f"temperature: expected a positive number, got {self.temperature}")

    @property
    def body(self) -> Linear | MLP:
        """The logits."""
        return self.logits

    @property
    def distribution(self) -> Distribution:
        """Categorical, for every action."""
        return Distribution("softmax", self.choices, self.temperature)

    @property
    def mode(self) -> "Softmax":
        """The policy itself: its mode uses every parameter."""
        return self

    def _blocks(self, logits: Float[Array, "m l"]) -> list[Float[Array, "m _"]]:
        """Log-probabilities of the alternatives of each action; NaN where a logit is not finite."""
        if len(self.choices) == 1:
            return [_log_softmax(logits / self.temperature)]
        parts = np.split(logits / self.temperature, np.cumsum(self.choices)[:-1], axis=1)
        return [_log_softmax(part) for part in parts]

    def act(
        self, params: Float[Array, "m d"], obs: Float[Array, "m o"], state: Float[Array, "m h"]
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The index of the largest logit of each action."""
        logits, state = self.logits.act(params, obs, state)
        return largest(logits, self.choices), state

    def noise(self, rng: np.random.Generator, steps: int) -> Float[Array, "steps z"]:
        """Uniform numbers, one per action."""
        return rng.random((steps, len(self.choices)))

    def sample(
        self,
        params: Float[Array, "m d"],
        obs: Float[Array, "m o"],
        state: Float[Array, "m h"],
        noise: Float[Array, "m z"],
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The alternative in whose slice of the cumulative distribution the noise falls."""
        logits, state = self.logits.act(params, obs, state)
        actions = np.empty((len(obs), len(self.choices)))
        for i, log_p in enumerate(self._blocks(logits)):
            cumulative = np.cumsum(np.exp(log_p), axis=1)
            index = (noise[:, i, None] * cumulative[:, -1:] >= cumulative[:, :-1]).sum(axis=1)
            actions[:, i] = np.where(np.isnan(cumulative[:, -1]), np.nan, index)
        return actions, state

    @property
    def kernel(self) -> PolicyKernel:
        """The compiled form of `act` and `sample`."""
        return _kernel(self)

    def fold(
        self, params: Float[Array, "*n d"], mean: Float[Array, "o"], gain: Float[Array, "o"]
    ) -> Float[Array, "*n d"]:
        """Parameters that act on s as `params` act on gain·(s − mean)."""
        return self.logits.fold(params, mean, gain)


def _log_softmax(y: Float[Array, "m c"]) -> Float[Array, "m c"]:
    with np.errstate(invalid="ignore"):
        y = np.where(np.isfinite(y).all(axis=1, keepdims=True), y, np.nan)
        y = y - y.max(axis=1, keepdims=True)
        return y - np.log(np.exp(y).sum(axis=1, keepdims=True))


@lru_cache
def _kernel(policy: Softmax) -> PolicyKernel:
    logits = policy.logits.action_size
    forward, scratch = policy.logits.forward_kernel(reserved=logits)
    return kernels.policy_kernel(
        kernels.softmax if len(policy.choices) == 1 else kernels.softmaxes,
        scratch_size=scratch,
        noise_size=len(policy.choices),
        in_lanes=policy.logits.in_lanes,
        forward=forward,
        LOGITS=logits,
        CHOICES=policy.choices,
        TEMPERATURE=policy.temperature,
    )
