"""What stochastic policies share: a head, which is a distribution over actions, on a body, which is a map.

The body maps an observation to logits or means. The parameters are those of the body, then the log standard
deviations ℓ of the head, if it has any.
"""

from abc import ABC, abstractmethod
from itertools import accumulate, pairwise
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Policy
from policysearch.policies.linearised import Distribution, Linearised, Network


class Head(ABC):
    """A distribution over actions whose logits or means come from `body`."""

    @property
    @abstractmethod
    def body(self) -> Policy:
        """The map from observations to logits or means."""

    @property
    def initial_log_std(self) -> Float[Array, "a"]:
        """ℓ at the start: none, unless a head says otherwise."""
        return np.zeros(0)

    @property
    def num_params(self) -> int:
        """Those of the body, and ℓ."""
        return self.body.num_params + self.initial_log_std.size

    @property
    def state_size(self) -> int:
        """That of the body."""
        return self.body.state_size

    @property
    def param_names(self) -> tuple[str, ...]:
        """Those of the body, then `log_std[i]`."""
        return (*self.body.param_names, *(f"log_std[{i}]" for i in range(self.initial_log_std.size)))

    def start(self, rng: np.random.Generator) -> Float[Array, "d"]:
        """The start of the body, and the initial ℓ."""
        return np.concatenate([self.body.start(rng), self.initial_log_std])

    def _split(self, params: Float[Array, "*m d"]) -> tuple[Float[Array, "*m p"], Float[Array, "*m a"]]:
        """The body's parameters, and ℓ."""
        size = self.body.num_params
        return params[..., :size], params[..., size:]


class NetworkHead(Head):
    """A distribution of `distributions` on a network: its scores are compiled."""

    @property
    @abstractmethod
    def body(self) -> Any:
        """The `Network` from observations to logits or means."""

    @property
    @abstractmethod
    def distribution(self) -> Distribution:
        """The distribution that the network's outputs, and ℓ, are the parameters of."""

    def linearised(
        self, params: Float[Array, "d"], obs: Float[Array, "T o"], actions: Float[Array, "T a"]
    ) -> Linearised:
        """The log-probabilities, which then give scores in any directions."""
        return self.distribution.linearised(self.body.tape(params, obs), actions)

    def log_prob(
        self, params: Float[Array, "d"], obs: Float[Array, "T o"], actions: Float[Array, "T a"]
    ) -> Float[Array, "T"]:
        """log π(a_t | s_t; θ), summed over the actions."""
        return self.linearised(params, obs, actions).log_prob

    def score(
        self,
        params: Float[Array, "d"],
        obs: Float[Array, "T o"],
        actions: Float[Array, "T a"],
        weights: Float[Array, "T"],
    ) -> Float[Array, "d"]:
        """Σ_t weights_t ∇ log π(a_t | s_t; θ)."""
        return self.linearised(params, obs, actions).score(weights)

    def score_along(
        self,
        params: Float[Array, "d"],
        obs: Float[Array, "T o"],
        actions: Float[Array, "T a"],
        direction: Float[Array, "d"],
    ) -> Float[Array, "T"]:
        """∇ log π(a_t | s_t; θ) · direction."""
        return self.linearised(params, obs, actions).score_along(direction)

    def kl(
        self, old: Float[Array, "d"], new: Float[Array, "d"], obs: Float[Array, "T o"]
    ) -> Float[Array, "T"]:
        """KL(π(· | s_t; old) ‖ π(· | s_t; new)), summed over the actions."""
        return self.distribution.divergence(self.body.tape(old, obs), self.body.tape(new, obs))


def is_network(policy: object) -> TypeGuard[NetworkHead]:
    """Whether a policy is a distribution on a `Network`, with the derivatives of these two classes."""
    return (
        isinstance(policy, NetworkHead)
        and type(policy).linearised is NetworkHead.linearised
        and isinstance(policy.body, Network)
        and type(policy.body).tape is Network.tape
    )


def log_stds(initial_std: float, size: int) -> Float[Array, "a"]:
    """`size` logarithms of a standard deviation.

    Raises:
        ValueError: for one that is not positive and finite.
    """
    if not 0 < initial_std < np.inf:
        raise ValueError(f"initial_std: expected a positive number, got {initial_std}")
    return np.full(size, np.log(initial_std))


def largest(logits: Float[Array, "m l"], choices: tuple[int, ...]) -> Float[Array, "m a"]:
    """The index of the largest logit in the block of each action, the first of equals; NaN if one is not finite."""
    columns = [logits[:, i:j].argmax(axis=1) for i, j in pairwise(accumulate(choices, initial=0))]
    actions = np.stack(columns, axis=1).astype(float)
    actions[~np.isfinite(logits).all(axis=1)] = np.nan
    return actions
