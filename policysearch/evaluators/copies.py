"""The copies of an environment in which episodes run."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.evaluators.interface import COMPLEX, Interface


class Copies:
    """Copies of the environment that `make` builds, each in a slot, and the translation of their spaces."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self._envs: list[Any] = [make()]
        self.interface = Interface(self._envs[0].observation_space, self._envs[0].action_space)
        self.observe, self.to_env = self.interface.observer(), self.interface.actor()
        self.row_to_env = self.interface.row_actor()

    def begin(self, slot: int, seed: int) -> Float[Array, "o"]:
        """Reset the environment copy of a slot; returns its first observation."""
        seen = self.copy(slot).reset(seed=seed)[0]
        seen = seen if self.observe is None else self.observe(seen)
        return of_shape(np.array(seen, dtype=float), (self.interface.obs_size,))

    def copy(self, slot: int) -> Any:
        """The environment copy of a slot, built when needed."""
        self._envs += [None] * (slot + 1 - len(self._envs))
        if self._envs[slot] is None:
            self._envs[slot] = self.make()
        return self._envs[slot]

    def discard(self, slot: int) -> None:
        """Close a copy, for example one that raised: its state cannot be trusted."""
        env = self._envs[slot] if slot < len(self._envs) else None
        if env is not None:
            self._envs[slot] = None
            with contextlib.suppress(Exception):
                env.close()

    def close(self) -> None:
        """Close all copies."""
        for slot in range(len(self._envs)):
            self.discard(slot)


def real_number(reward: Any) -> float:
    """The reward as a number.

    Raises:
        TypeError: for what is not a real number.
    """
    if isinstance(reward, (*COMPLEX, str)):
        raise TypeError(f"expected a real number as reward, got {reward!r}")
    return float(reward)


def of_shape(seen: Any, shape: tuple[int, ...]) -> Array:
    """The observation as an array of this shape.

    Raises:
        ValueError: for one of another shape.
    """
    seen = np.asarray(seen)
    if seen.shape != shape:
        raise ValueError(f"expected an observation of shape {shape}, got {seen.shape}")
    return seen
