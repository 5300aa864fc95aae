"""What a policy is: the protocols, the compiled form, the record of an episode, and moments of what it observes.

The axis letters are those of `policysearch.core`, which exports every name of this module.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

Array = np.ndarray


@runtime_checkable
class Policy(Protocol):
    """A pure map from parameters, observation and policy state to an action.

    Instances are frozen dataclasses. Every row of a batch is computed independently of the others, bit
    for bit. Discrete actions are indices held as floats; an action that cannot be computed is NaN.
    """

    @property
    def num_params(self) -> int:
        """d, the length of the parameter vector."""

    @property
    def state_size(self) -> int:
        """h, the size of the policy's own memory; 0 for memoryless policies."""

    @property
    def param_names(self) -> tuple[str, ...]:
        """A name for every parameter, in order."""

    def start(self, rng: np.random.Generator) -> Float[Array, "d"]:
        """Parameters from which a search starts."""

    def act(
        self, params: Float[Array, "m d"], obs: Float[Array, "m o"], state: Float[Array, "m h"]
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The policy's mode (its most likely action) and its next state."""


@runtime_checkable
class StochasticPolicy(Policy, Protocol):
    """A policy that is a distribution over actions: what the likelihood ratio needs.

    Scores and log-probabilities are those of the action as drawn, before an environment clips it.
    """

    @property
    def mode(self) -> Policy:
        """The deterministic policy that acts as the mode of this one.

        Its parameters are the leading ones of this policy; those the mode ignores come last.
        """

    def noise(self, rng: np.random.Generator, steps: int) -> Float[Array, "steps z"]:
        """The randomness of the next `steps` actions. Drawing 2 + 3 steps equals drawing 5."""

    def sample(
        self,
        params: Float[Array, "m d"],
        obs: Float[Array, "m o"],
        state: Float[Array, "m h"],
        noise: Float[Array, "m z"],
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The action that `noise` selects from π(· | s; θ), and the next state."""

    def log_prob(
        self, params: Float[Array, "d"], obs: Float[Array, "T o"], actions: Float[Array, "T a"]
    ) -> Float[Array, "T"]:
        """log π(a_t | s_t; θ)."""

    def score(
        self,
        params: Float[Array, "d"],
        obs: Float[Array, "T o"],
        actions: Float[Array, "T a"],
        weights: Float[Array, "T"],
    ) -> Float[Array, "d"]:
        """Σ_t weights_t ∇_θ log π(a_t | s_t; θ): a vector–Jacobian product."""

    def score_along(
        self,
        params: Float[Array, "d"],
        obs: Float[Array, "T o"],
        actions: Float[Array, "T a"],
        direction: Float[Array, "d"],
    ) -> Float[Array, "T"]:
        """∇_θ log π(a_t | s_t; θ) · direction for every step: a Jacobian–vector product."""

    def kl(
        self, old: Float[Array, "d"], new: Float[Array, "d"], obs: Float[Array, "T o"]
    ) -> Float[Array, "T"]:
        """KL(π(· | s_t; old) ‖ π(· | s_t; new))."""


@dataclass(frozen=True, eq=False)
class PolicyKernel:
    """A policy's compiled form, for policies that have one as their attribute `kernel`.

    `act(params, obs, state, noise, scratch, action)` is a Numba function of one row (shapes d, o, h, z,
    `scratch_size`, a) that writes `action` and updates `state`; with noise of size 0 it takes the mode. It
    computes what the policy's `act` and `sample` do, up to rounding. `act_on_rows` is the same for a batch.
    """

    act: Callable[..., None]
    act_on_rows: Callable[..., None]
    scratch_size: int
    noise_size: int  # z; 0 for a policy that cannot sample
    revision: int = 1  # raised when the same parameters give other actions
    in_lanes: bool = False  # whether `act` is so short that many episodes side by side are faster


def kernel_of(policy: Policy) -> PolicyKernel | None:
    """The compiled form of a policy, if it has one."""
    kernel = getattr(policy, "kernel", None)
    return kernel if isinstance(kernel, PolicyKernel) else None


@dataclass(frozen=True, eq=False)
class Rollout:
    """The record of one episode: observations, drawn actions and rewards."""

    policy: StochasticPolicy
    params: Float[Array, "d"]
    obs: Float[Array, "T o"]
    actions: Float[Array, "T a"]  # as drawn, before clipping to the action space
    rewards: Float[Array, "T"]
    final_obs: Float[Array, "o"]
    terminated: bool
    truncated: bool

    def score(self, weights: Float[Array, "T"]) -> Float[Array, "d"]:
        """Σ_t weights_t ∇_θ log π(a_t | s_t; θ) at the parameters that made the rollout."""
        return self.policy.score(self.params, self.obs, self.actions, weights)


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and sum of squared deviations M2 of observations; `+` merges two sets of them.

    Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample
    variances", eq. 1.5.
    """

    count: int
    mean: Float[Array, "o"]
    M2: Float[Array, "o"]

    @classmethod
    def empty(cls, size: int) -> "Moments":
        """The moments of no observation at all."""
        return cls(0, np.zeros(size), np.zeros(size))

    @classmethod
    def merged(cls, parts: "Sequence[Moments]") -> "Moments":
        """The moments of the observations of all `parts` together."""
        counts = np.array([part.count for part in parts])
        means = np.array([part.mean for part in parts])
        return cls.of_groups(counts, means, np.array([part.M2 for part in parts]))

    @classmethod
    def of_groups(
        cls, counts: Int[Array, "g"], means: Float[Array, "g o"], M2s: Float[Array, "g o"]
    ) -> "Moments":
        """The moments of all observations, given those of g groups of them."""
        count = int(counts.sum())
        weights = counts[:, None] / max(count, 1)
        mean = (weights * means).sum(axis=0)
        return cls(count, mean, M2s.sum(axis=0) + count * (weights * (means - mean) ** 2).sum(axis=0))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments.merged((self, other))

    @property
    def std(self) -> Float[Array, "o"]:
        """Standard deviation (population form); zeros while there are no observations."""
        return np.sqrt(self.M2 / max(self.count, 1))
