"""What controllers share: policies of a few named parameters with units and bounds.

A controller is a frozen dataclass with a `space`. Its parameters, as a search sees them, are the coordinates of that
space, so that a search starts and stays where the space says. Its control law is a template for `specialise`,

    law(values, obs, state, scratch, action)

that gets the values in their own units, within their bounds, and updates the state.
A parameter that is NaN stays NaN.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.core import Array, PolicyKernel
from policysearch.elementary import exp
from policysearch.jit import specialise
from policysearch.policies.kernels import policy_kernel
from policysearch.space import Space


@njit(error_model="numpy")
def act(params, obs, state, noise, scratch, action):
    """The control law for the values of the parameters, which are the first numbers of `scratch`."""
    values = scratch[: len(ORIGIN)]
    for i in range(len(ORIGIN)):
        value = ORIGIN[i] + UNIT[i] * params[i]
        if LOGARITHMIC[i]:
            value = exp(value)
        values[i] = value if math.isnan(value) else min(max(value, LOWER[i]), UPPER[i])
    law(values, obs, state, scratch[len(ORIGIN) :], action)


class Controller(ABC):
    """A policy whose parameters are the coordinates of `space`."""

    space: Space  # the parameters with their units, bounds and start

    @property
    def num_params(self) -> int:
        """As many as the space has."""
        return len(self.space.parameters)

    @property
    def state_size(self) -> int:
        """None, unless the controller remembers something."""
        return 0

    @property
    def param_names(self) -> tuple[str, ...]:
        """The names in the space."""
        return self.space.names

    def start(self, rng: np.random.Generator) -> Float[Array, "d"]:
        """The start of the space."""
        return self.space.domain.start


class CompiledController(Controller):
    """A controller with a law that Numba can compile; a dataclass, whose fields are the law's free names.

    A field `dt` is called DT in the law.
    """

    law: ClassVar[Callable[..., None]]

    @property
    @abstractmethod
    def action_size(self) -> int:
        """How many numbers an action has."""

    @property
    def scratch_size(self) -> int:
        """How many numbers the law needs for itself: none, unless a controller says otherwise."""
        return 0

    @property
    def kernel(self) -> PolicyKernel:
        """The compiled form."""
        names = {field.name.upper(): getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return _kernel(self.law, self.space, self.scratch_size, **names)

    def act(
        self, params: Float[Array, "m d"], obs: Float[Array, "m o"], state: Float[Array, "m h"]
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """What the kernel does, row by row."""
        actions, scratch = np.empty((len(obs), self.action_size)), np.empty(self.kernel.scratch_size)
        noise, after = np.empty((len(obs), 0)), state.copy() if self.state_size else state
        self.kernel.act_on_rows(np.ascontiguousarray(params), obs, after, noise, scratch, actions)
        return actions, after


@lru_cache
def _kernel(law: Callable[..., None], space: Space, scratch_size: int, **names: Any) -> PolicyKernel:
    if space.searched != space.parameters:
        raise ValueError(f"controller: expected no held parameters, got some of {', '.join(space.names)}")
    origin, unit = space.origin_and_unit
    lower, upper = space.bounds
    return policy_kernel(
        act,
        scratch_size=len(origin) + scratch_size,
        law=specialise(law, **names),
        ORIGIN=origin,
        UNIT=unit,
        LOWER=lower,
        UPPER=upper,
        LOGARITHMIC=tuple(parameter.scale == "log" for parameter in space.parameters),
    )


def check_actions(policy: str, interface: Any, size: int, expected: str) -> None:
    """Raise ValueError unless the actions of an environment (`Interface`) are `size` continuous numbers."""
    if interface.choices or interface.action_size != size:
        raise ValueError(
            f"policy {policy!r}: expected {expected}, "
            f"got {type(interface.action_space).__name__} of {interface.action_size}"
        )


def check_observations(policy: str, interface: Any, size: int, expected: str) -> None:
    """Raise ValueError unless the observations of an environment (`Interface`) are `size` numbers."""
    if interface.one_hot or interface.obs_size != size:
        raise ValueError(f"policy {policy!r}: expected {expected}, got {interface.observation_space}")
