"""Networks and policies linearised around one parameter vector, for many steps at once.

What is computed once, in compiled form, is kept: the activations of a network (a `Tape`), and of a policy the
log-probabilities of actions and their derivatives by the network's outputs (`Linearised`). Products with the
Jacobian, of which natural gradients need many at the same parameters, then take a pass in one direction only.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from policysearch.core import Array


@cache
def compiled(name: str) -> Any:
    """A template of `tiles` or `distributions`, compiled."""
    from policysearch.jit import specialise  # noqa: PLC0415 - imports Numba
    from policysearch.policies import distributions, tiles  # noqa: PLC0415

    return specialise(getattr(tiles, name, None) or getattr(distributions, name))


@cache
def tile_steps() -> int:
    """Steps of a tile."""
    from policysearch.policies.tiles import STEPS  # noqa: PLC0415 - as above

    return STEPS


class Tape:
    """The activations of a network for T steps, and products with its Jacobian.

    Args:
        sizes: numbers of a layer's units, from the observations to the outputs.
        bias: whether layers have biases.
        params: those of the layers, then parameters that are outputs themselves, the same in every step.
        obs: those of the steps.
    """

    def __init__(
        self, sizes: tuple[int, ...], bias: bool, params: Float[Array, "d"], obs: Float[Array, "T o"]
    ) -> None:
        self.params, self.steps = _plain(params), len(obs)
        self.layers, self.rows, self.output = layout(sizes, bias, params.size)
        tiles = -(-self.steps // tile_steps())
        self.tiles = np.zeros((tiles, self.rows * tile_steps()))
        compiled("forward")(self.params, self.layers, _plain(obs), self.tiles)

    def outputs(self) -> Float[Array, "T y"]:
        """The outputs y_t."""
        y = self.tiles.reshape(len(self.tiles), self.rows, tile_steps())[:, self.output :]
        return y.transpose(0, 2, 1).reshape(-1, y.shape[1])[: self.steps]

    def tiled(self, values: Float[Array, "T y"]) -> Float[Array, "_ _"]:
        """Numbers for every step and output in the arrangement of the tiles."""
        padded = np.zeros((len(self.tiles) * tile_steps(), values.shape[1]))
        padded[: self.steps] = values
        tiles = padded.reshape(len(self.tiles), tile_steps(), values.shape[1])
        return tiles.transpose(0, 2, 1).reshape(len(tiles), -1)

    def ones(self) -> Float[Array, "_ _"]:
        """1 for every step and output, in the arrangement of the tiles."""
        return np.ones((len(self.tiles), (self.rows - self.output) * tile_steps()))

    def empty_bars(self) -> Float[Array, "_ _"]:
        """Room for a number for every step and output, in the arrangement of the tiles."""
        return np.empty((len(self.tiles), (self.rows - self.output) * tile_steps()))

    def pull(self, y_bar: Float[Array, "_ _"], weights: Float[Array, "T"]) -> Float[Array, "d"]:
        """Σ_t w_t ȳ_tᵀ ∂y_t/∂θ, with ȳ in the arrangement of the tiles."""
        gradient = np.zeros(self.params.size)
        compiled("backward")(self.params, self.layers, self.tiles, y_bar, _plain(weights), gradient)
        return gradient

    def push(self, y_bar: Float[Array, "_ _"], direction: Float[Array, "d"]) -> Float[Array, "T"]:
        """ȳ_t · ∂y_t/∂θ · direction for every step, with ȳ in the arrangement of the tiles."""
        along = np.empty(self.steps)
        compiled("tangents")(self.params, _plain(direction), self.layers, self.tiles, y_bar, along)
        return along


class Network(ABC):
    """A map through layers that differentiates itself."""

    @property
    @abstractmethod
    def layer_sizes(self) -> tuple[int, ...]:
        """Numbers of a layer's units, from the observations to the outputs."""

    def tape(self, params: Float[Array, "d"], obs: Float[Array, "T o"]) -> Tape:
        """The activations for many observations under one parameter vector."""
        return Tape(self.layer_sizes, getattr(self, "bias", True), params, obs)

    def layout(self, num_params: int) -> tuple[Int[Array, "l 5"], int, int]:
        """How the tapes of the network, and of a head with further parameters, are laid out; see `layout`."""
        return layout(self.layer_sizes, getattr(self, "bias", True), num_params)

    def forward(self, params: Float[Array, "d"], obs: Float[Array, "T o"]) -> Float[Array, "T a"]:
        """The actions for many observations under one parameter vector."""
        return self.tape(params, obs).outputs()

    def vjp(
        self, params: Float[Array, "d"], obs: Float[Array, "T o"], cotangents: Float[Array, "T a"]
    ) -> Float[Array, "d"]:
        """Σ_t cotangents_tᵀ ∂a_t/∂θ."""
        tape = self.tape(params, obs)
        return tape.pull(tape.tiled(cotangents), np.ones(len(obs)))

    def jvp(
        self, params: Float[Array, "d"], obs: Float[Array, "T o"], direction: Float[Array, "d"]
    ) -> Float[Array, "T a"]:
        """∂a_t/∂θ · direction for every step."""
        tape = self.tape(params, obs)
        units = np.eye(self.layer_sizes[-1])
        columns = [tape.push(tape.tiled(np.tile(unit, (len(obs), 1))), direction) for unit in units]
        return np.stack(columns, axis=1)


@dataclass(frozen=True, eq=False)
class Linearised:
    """log π(a_t|s_t; θ) of T steps, and products with its derivative by θ."""

    log_prob: Float[Array, "T"]
    tape: Tape
    y_bar: Float[Array, "_ _"]  # by the network's outputs, in the arrangement of the tiles

    def score(self, weights: Float[Array, "T"]) -> Float[Array, "d"]:
        """Σ_t weights_t ∇ log π(a_t | s_t; θ)."""
        return self.tape.pull(self.y_bar, weights)

    def score_along(self, direction: Float[Array, "d"]) -> Float[Array, "T"]:
        """∇ log π(a_t | s_t; θ) · direction for every step."""
        return self.tape.push(self.y_bar, direction)


@dataclass(frozen=True)
class Distribution:
    """A distribution over actions: the name of its templates in `distributions`, and what these are given."""

    name: str
    choices: tuple[int, ...] = ()
    temperature: float = 1.0

    def linearised(self, tape: Tape, actions: Float[Array, "T a"]) -> Linearised:
        """The log-probabilities of the actions, and their derivatives."""
        log_prob, y_bar = np.zeros(tape.steps), tape.empty_bars()
        options = tape.output, _array(self.choices), self.temperature
        compiled(self.name)(tape.tiles, *options, _plain(actions), log_prob, y_bar)
        return Linearised(log_prob, tape, y_bar)

    def divergence(self, old: Tape, new: Tape) -> Float[Array, "T"]:
        """KL(π ‖ π') of every step."""
        divergence = np.zeros(old.steps)
        options = old.output, _array(self.choices), self.temperature
        compiled(f"{self.name}_divergence")(old.tiles, new.tiles, *options, divergence)
        return divergence


@lru_cache(64)
def layout(sizes: tuple[int, ...], bias: bool, num_params: int) -> tuple[Int[Array, "l 5"], int, int]:
    """The table of layers that `tiles` describes, the rows of a tile, and the first row of the outputs."""
    rows, row, index = [], 0, 0
    for inputs, outputs in pairwise(sizes):
        weights, index = index, index + inputs * outputs
        rows.append((row, inputs, outputs, weights, index if bias else -1))
        row, index = row + inputs, index + outputs * bias
    return np.array(rows), sum(sizes) + num_params - index, sum(sizes[:-1])


@lru_cache(64)
def _array(numbers: Sequence[int]) -> Int[Array, "n"]:
    return np.array(numbers, dtype=np.int64)


def _plain(values: Array) -> Array:
    """The array as compiled code takes it: contiguous floats; a copy of one that cannot be written."""
    values = np.ascontiguousarray(values, dtype=float)
    return values if values.flags.writeable else values.copy()
