"""The linear policy a = W s + b, or a = W s.

Parameters: W row by row, then b. The start is zero, as in Mania, Guy & Recht 2018.

When to use it: for balancing and locomotion with observations that are angles and speeds; few parameters, so
that gradient-free methods need few rollouts.
When not: where the action is no monotone function of the observations, as in swinging a pendulum up.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, PolicyKernel
from policysearch.jit import specialise
from policysearch.policies import kernels
from policysearch.policies.linearised import Network

#: Entries of a product that LLVM writes out.
MAX_UNROLLED = 32


@dataclass(frozen=True)
class Linear(Network):
    """A linear map from observation to action, with a bias unless `bias` is false."""

    obs_size: int
    action_size: int
    bias: bool = True

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Observations, actions."""
        return (self.obs_size, self.action_size)

    @property
    def num_params(self) -> int:
        """Entries of W and of b."""
        return self.action_size * (self.obs_size + self.bias)

    @property
    def state_size(self) -> int:
        """None: the policy is memoryless."""
        return 0

    @property
    def param_names(self) -> tuple[str, ...]:
        """`W[i,j]` for action i and observation j, then `b[i]`."""
        W = [f"W[{i},{j}]" for i in range(self.action_size) for j in range(self.obs_size)]
        return (*W, *(f"b[{i}]" for i in range(self.action_size * self.bias)))

    def start(self, rng: np.random.Generator) -> Float[Array, "d"]:
        """Zeros."""
        return np.zeros(self.num_params)

    def _unpack(
        self, params: Float[Array, "*m d"]
    ) -> tuple[Float[Array, "*m a o"], Float[Array, "*m a"] | float]:
        size = self.action_size * self.obs_size
        W = params[..., :size].reshape(*params.shape[:-1], self.action_size, self.obs_size)
        return W, params[..., size:] if self.bias else 0.0

    def act(
        self, params: Float[Array, "m d"], obs: Float[Array, "m o"], state: Float[Array, "m h"]
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """W s + b, row by row."""
        W, b = self._unpack(params)
        return np.matmul(W, obs[:, :, None])[:, :, 0] + b, state

    @property
    def kernel_revision(self) -> int:
        """Of the map."""
        return 1

    @property
    def in_lanes(self) -> bool:
        """Whether many episodes side by side are faster: where LLVM unrolls the product."""
        return self.num_params <= MAX_UNROLLED

    @property
    def kernel(self) -> PolicyKernel:
        """The compiled form of `act`."""
        return kernels.map_kernel(self)

    def forward_kernel(self, reserved: int = 0) -> tuple[Any, int]:
        """The compiled map (params, obs, scratch, out), and the size of its scratch.

        The first `reserved` numbers of scratch are left to the caller.
        """
        names = {"ROWS": self.action_size, "COLUMNS": self.obs_size, "BIAS": self.bias}
        return specialise(kernels.linear, **names), reserved

    def fold(
        self, params: Float[Array, "*n d"], mean: Float[Array, "o"], gain: Float[Array, "o"]
    ) -> Float[Array, "*n d"]:
        """Parameters that act on s as `params` act on gain·(s − mean).

        Raises:
            ValueError: if the policy has no bias to carry the mean.
        """
        if not self.bias:
            raise ValueError("whitening shifts the observations: the policy needs a bias, got bias=False")
        W, b = self._unpack(params)
        W = W * gain
        folded = np.concatenate([W.reshape(*params.shape[:-1], -1), b - W @ mean], axis=-1)
        return np.asarray(folded)
