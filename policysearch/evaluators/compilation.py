"""The closed loop, compiled for a simulator and a policy: for one episode after the other, and for many at once."""

from functools import lru_cache
from typing import Any

import numpy as np
from gymnasium import spaces

from policysearch.core import Policy, kernel_of
from policysearch.evaluators import lanes, loop
from policysearch.evaluators.interface import Interface
from policysearch.jit import merged, specialise
from policysearch.simulators import Simulator, compiled_functions


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
    row = lanes.rows_of(
        world=world,
        obs=sizes["OBS"],
        actions=sizes["ACTIONS"],
        params=policy.num_params,
        scratch=kernel.scratch_size,
    )
    reset, _, step = compiled_functions(simulator)
    names: dict[str, Any] = {
        "LANES": count,
        "ROW": row,
        "WORLD": world,
        "PARAMS": policy.num_params,
        "SCRATCH": kernel.scratch_size,
        "reset": reset,
        "step": merged(step),
        "look": merged(_look(simulator)),
        "act": merged(kernel.act),
        "to_environment": merged(_to_environment(simulator)),
        "all_finite": merged(loop.all_finite),
        "count_in": merged(loop.count_in),
        **sizes,
    }
    parts = {part.__name__: specialise(part, **names) for part in lanes.PARTS}
    parts["finish"] = specialise(lanes.finish, **names)
    parts["refill"] = specialise(lanes.refill, **names, **parts)
    return specialise(lanes.run_lanes, **names, **parts)


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
