"""What a simulator is: a few compiled functions, which are a Gymnasium environment too.

    reset(world, noise)            puts a world at the start of an episode
    observe(world, obs)            writes the observation
    step(world, action)            moves the world on; returns (reward, status)

They are plain `@njit` functions; `specialise` compiles and caches them. A world is whatever an episode lives
in: an array of numbers, or a named tuple of arrays. All randomness of an episode is drawn beforehand by
`draw`, as one vector, so that an episode is a function of its noise and its actions. `status` is 0 (or False)
to continue, 1 (or True) for a terminal state, and −i where the simulator gives up for the i-th reason of
`failures`; the episode has then failed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.jit import specialise


@dataclass(frozen=True, eq=False)
class Simulator:
    """A plant with its reward and its end, as functions that Numba can compile.

    `action` reaches `step` as the environment would get it: clipped to the action space, in its precision,
    a discrete one as its number. `obs` is rounded to the precision of the observation space afterwards. Where
    the observation is Discrete, `observe` writes it as a one-hot vector.
    """

    observation_space: gym.spaces.Box | gym.spaces.Discrete
    action_space: gym.spaces.Box | gym.spaces.Discrete | gym.spaces.MultiDiscrete
    make_world: Callable[[], Any]
    draw: Callable[[np.random.Generator], Float[Array, "z"]]  # all the randomness of one episode
    reset: Callable[..., None]
    observe: Callable[..., None]
    step: Callable[..., tuple[float, int]]
    failures: tuple[str, ...] = ()
    revision: int = 1  # raised when the same start and actions give other numbers


@njit
def reset_to_noise(world: Any, noise: Any) -> None:
    """A `reset` for worlds whose start is the noise."""
    for i in range(world.size):
        world[i] = noise[i]


@lru_cache
def compiled_functions(simulator: Simulator) -> tuple[Any, Any, Any]:
    """Its `reset`, `observe` and `step`, compiled the same way for every use."""
    return specialise(simulator.reset), specialise(simulator.observe), specialise(simulator.step)


class SimulatorEnv(gym.Env[Any, Any]):
    """A simulator as a Gymnasium environment; subclasses name theirs as the class attribute `simulator`."""

    simulator: Simulator
    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own attribute

    def __init__(self) -> None:
        self.observation_space = self.simulator.observation_space
        self.action_space = self.simulator.action_space
        self._world = self.simulator.make_world()
        self._reset_world, self._look, self._move = compiled_functions(self.simulator)
        self._obs = np.empty(gym.spaces.flatdim(self.observation_space))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[Array, "o"] | int, dict[str, Any]]:
        """The first observation of an episode."""
        super().reset(seed=seed)
        self._reset_world(self._world, self.simulator.draw(self.np_random))
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Float[Array, "o"] | int, float, bool, bool, dict[str, Any]]:
        """One step; raises RuntimeError where the simulator gives up."""
        numbers = np.array(action, dtype=float).reshape(-1)
        reward, status = self._move(self._world, numbers)
        if status < 0:
            raise RuntimeError(self.simulator.failures[-status - 1])
        return self._observe(), float(reward), bool(status), False, {}

    def _observe(self) -> Float[Array, "o"] | int:
        self._look(self._world, self._obs)
        if isinstance(self.observation_space, gym.spaces.Discrete):
            return int(self.observation_space.start) + int(self._obs.argmax())
        return self._obs.astype(self.observation_space.dtype)
