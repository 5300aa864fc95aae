"""The multi-layer perceptron with tanh units and a linear last layer.

    h_0 = s,   h_l = tanh(W_l h_{l−1} + b_l),   a = W_L h_{L−1} + b_L

Parameters: W_1 row by row, b_1, W_2, b_2, …. The weights start at random, N(0, 1/fan-in) (LeCun et al.
1998, "Efficient BackProp"), the last layer a hundredth of that, so that the first actions are near zero;
zero itself would be a saddle at which every gradient through the hidden layers vanishes.

When to use it: where a linear policy is not enough; 16 units are enough for classic control.
When not: with budgets of a few hundred rollouts and gradient-free methods, if a linear policy or a controller
will do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, PolicyKernel
from policysearch.policies.linearised import Network


@dataclass(frozen=True)
class MLP(Network):
    """A map from observation to action through layers of tanh units."""

    obs_size: int
    action_size: int
    hidden: tuple[int, ...] = (16,)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Observations, hidden units, actions."""
        return (self.obs_size, *self.hidden, self.action_size)

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        return list(zip(self.layer_sizes[1:], self.layer_sizes[:-1], strict=True))

    @property
    def num_params(self) -> int:
        """Entries of all weights and biases."""
        return sum(rows * (columns + 1) for rows, columns in self._shapes)

    @property
    def state_size(self) -> int:
        """None: the policy is memoryless."""
        return 0

    @property
    def param_names(self) -> tuple[str, ...]:
        """`W1[i,j]`, `b1[i]`, `W2[i,j]`, …."""
        names: list[str] = []
        for layer, (rows, columns) in enumerate(self._shapes, start=1):
            names += [f"W{layer}[{i},{j}]" for i in range(rows) for j in range(columns)]
            names += [f"b{layer}[{i}]" for i in range(rows)]
        return tuple(names)

    def start(self, rng: np.random.Generator) -> Float[Array, "d"]:
        """Random weights, zero biases."""
        parts = []
        for layer, (rows, columns) in enumerate(self._shapes):
            gain = 1.0 if layer < len(self.hidden) else 0.01
            parts += [gain / np.sqrt(columns) * rng.standard_normal(rows * columns), np.zeros(rows)]
        return np.concatenate(parts)

    def _layers(
        self, params: Float[Array, "*m d"]
    ) -> Iterator[tuple[Float[Array, "*m r c"], Float[Array, "*m r"]]]:
        offset = 0
        for rows, columns in self._shapes:
            W = params[..., offset : offset + rows * columns]
            offset += rows * columns
            yield W.reshape(*params.shape[:-1], rows, columns), params[..., offset : offset + rows]
            offset += rows

    def act(
        self, params: Float[Array, "m d"], obs: Float[Array, "m o"], state: Float[Array, "m h"]
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The network's output, row by row."""
        h, z = obs, obs
        for W, b in self._layers(params):
            z = np.matmul(W, h[:, :, None])[:, :, 0] + b
            h = np.tanh(z)
        return z, state

    @property
    def kernel_revision(self) -> int:
        """Of the map; 3: with the sums of `policysearch.policies.products`."""
        return 3

    @property
    def in_lanes(self) -> bool:
        """No: the rows of one network are computed side by side."""
        return False

    @property
    def kernel(self) -> PolicyKernel:
        """The compiled form of `act`."""
        from policysearch.policies import kernels  # noqa: PLC0415 - imports Numba

        return kernels.map_kernel(self)

    def forward_kernel(self, reserved: int = 0) -> tuple[Any, int]:
        """The compiled map (params, obs, scratch, out), and the size of its scratch.

        The first `reserved` numbers of scratch are left to the caller.
        """
        from policysearch.jit import specialise  # noqa: PLC0415 - imports Numba
        from policysearch.policies import kernels  # noqa: PLC0415

        sizes = self.layer_sizes
        offsets = tuple(np.cumsum((reserved, *sizes)).tolist())  # of h_l in scratch
        return specialise(kernels.mlp, SIZES=sizes, OFFSETS=offsets), offsets[-1]

    def fold(
        self, params: Float[Array, "*n d"], mean: Float[Array, "o"], gain: Float[Array, "o"]
    ) -> Float[Array, "*n d"]:
        """Parameters that act on s as `params` act on gain·(s − mean)."""
        W, b = next(self._layers(params))
        W = W * gain
        first = np.concatenate([W.reshape(*params.shape[:-1], -1), b - W @ mean], axis=-1)
        return np.concatenate([first, params[..., first.shape[-1] :]], axis=-1)
