"""The closed loop, compiled for a simulator and a policy: for one episode after the other, and for many at once."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from gymnasium import spaces
from numba.core.registry import CPUDispatcher

from policysearch.core import Policy, kernel_of
from policysearch.evaluators import lanes, loop
from policysearch.evaluators.interface import Interface
from policysearch.jit import merged, specialise
from policysearch.simulators import Simulator, compiled_functions

#: Names of functions in `math` and NumPy that call the C library.
C_FUNCTIONS = re.compile(
    r"(arc|a)?(sin|cos|tan)h?|(arc|a)tan2|exp(2|m1)?|log(2|10|1p)?|pow(er)?|hypot|cbrt|erfc?"
)


def may_run_in_lanes(simulator: Simulator, policy: Policy) -> bool:
    """Whether many episodes at once are worth trying: worlds of plain numbers, and a short policy without memory."""
    kernel, world = kernel_of(policy), simulator.make_world()
    numbers = isinstance(world, np.ndarray) and world.ndim == 1 and world.dtype == np.float64
    return kernel is not None and kernel.in_lanes and policy.state_size == 0 and numbers


@lru_cache
def compiled_loop(simulator: Simulator, policy: Any) -> Any:
    """`loop.run_episodes` for this simulator and this policy."""
    reset, _, step = compiled_functions(simulator)
    return specialise(
        loop.run_episodes,
        reset=reset,
        step=step,
        look=_look(simulator),
        act=policy.kernel.act,
        to_environment=_to_environment(simulator),
        STATE=policy.state_size,
        SCRATCH=policy.kernel.scratch_size,
        **_sizes(simulator),
    )


@lru_cache
def compiled_lanes(simulator: Simulator, policy: Any, count: int) -> Any:
    """`lanes.run_lanes` for this simulator and this policy, and for up to `count` episodes at once."""
    kernel, sizes, world = policy.kernel, _sizes(simulator), int(simulator.make_world().size)
    row = lanes.rows_of(world=world, obs=sizes["OBS"], actions=sizes["ACTIONS"], params=policy.num_params)
    reset, _, step = compiled_functions(simulator)
    plant: dict[Any, Any] = {}  # all functions of a step
    merged_step, look = merged(step, plant), merged(_look(simulator), plant)
    names: dict[str, Any] = {
        "LANES": -(-count // lanes.WIDTH) * lanes.WIDTH,
        "WIDTH": 1 if _calls_c(plant) else lanes.WIDTH,
        "ROW": row,
        "WORLD": world,
        "CLIPS": isinstance(simulator.action_space, spaces.Box),
        "PARAMS": policy.num_params,
        "SCRATCH": kernel.scratch_size,
        "reset": reset,
        "step": merged_step,
        "look": look,
        "act": merged(kernel.act),
        "to_environment": merged(_to_environment(simulator)),
        "all_finite": merged(loop.all_finite),
        "count_in": merged(loop.count_in),
        **sizes,
    }
    for inner in lanes.MERGED:
        names[inner.__name__] = merged(specialise(inner, **names))
    for part in lanes.PARTS:
        names[part.__name__] = specialise(part, **names)
    return specialise(lanes.run_lanes, **names)


def _calls_c(functions: Iterable[Any]) -> bool:
    """Whether one of these calls the C library: its loop over lanes does not become vector instructions."""
    return any(
        C_FUNCTIONS.fullmatch(name) and not isinstance(function.__globals__.get(name), CPUDispatcher)
        for function in functions
        for name in function.__code__.co_names
    )


def _sizes(simulator: Simulator) -> dict[str, int]:
    interface = Interface(simulator.observation_space, simulator.action_space)
    return {"OBS": interface.obs_size, "ACTIONS": interface.action_size}


def _look(simulator: Simulator) -> Any:
    single = simulator.observation_space.dtype == np.float32
    return specialise(
        loop.look, observe=compiled_functions(simulator)[1], SINGLE_OBS=single, **_sizes(simulator)
    )


def _to_environment(simulator: Simulator) -> Any:
    space, sizes = simulator.action_space, _sizes(simulator)
    if isinstance(space, spaces.Box):
        whole, single = np.issubdtype(space.dtype, np.integer), space.dtype == np.float32
        return specialise(loop.continuous_action, WHOLE=whole, SINGLE_ACTION=single, **sizes)
    first = tuple(np.ravel(space.start).tolist())
    return specialise(loop.discrete_action, FIRST_CHOICE=first, **sizes)
