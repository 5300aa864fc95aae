"""MuJoCo inside compiled rollouts: the C library called through its function addresses.

A world is one `mjData` seen as arrays (they share its memory), with the addresses of what is to be called.
Python is not involved in a step, so threads step their worlds in parallel at the speed of `mj_step`.
"""

# mypy: disable-error-code="no-untyped-def, call-arg"

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.jit import call_c
from policysearch.simulators.mujoco_log import divert_warnings

#: Positions and velocities at the start of an episode.
Start = tuple[Float[Array, "nq"], Float[Array, "nv"]]


class World(NamedTuple):
    """Addresses of C functions and of MuJoCo's structures, and views of their arrays."""

    mj_step: int
    mj_forward: int
    mj_resetData: int
    mj_rnePostConstraint: int
    model: int
    data: int
    frame_skip: int
    dt: float  # s, of a control step
    body_mass: Array
    qpos: Array
    qvel: Array
    ctrl: Array
    xpos: Array
    xipos: Array
    site_xpos: Array
    cinert: Array
    cvel: Array
    cfrc_ext: Array
    qfrc_actuator: Array
    qfrc_constraint: Array
    warnings: Array  # how often each has been raised in this episode


#: What MuJoCo can warn of, in the order of `World.warnings`.
WARNINGS = tuple(
    f"MuJoCo: {name.removeprefix('mjWARN_')}"
    for name in mujoco.mjtWarning.__members__
    if name != "mjNWARNING"
)


@lru_cache
def _addresses() -> dict[str, int]:
    """Where the C functions are, in the library that the Python package has loaded."""
    folder = Path(mujoco.__file__).parent
    names = ("libmujoco.so*", "libmujoco*.dylib", "mujoco.dll")
    path = next(path for name in names for path in sorted(folder.glob(name)))
    library = ctypes.CDLL(str(path))
    functions = ("mj_step", "mj_forward", "mj_resetData", "mj_rnePostConstraint")
    return {name: int(ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0) for name in functions}


def make_world(model: Any, frame_skip: int) -> World:
    """A new world of this model, which is shared and not changed."""
    divert_warnings()
    data = mujoco.MjData(model)
    views = {
        name: getattr(data, name)
        for name in World._fields
        if name not in ("body_mass", "warnings", "model", "data") and hasattr(data, name)
    }
    return World(
        **_addresses(),  # type: ignore[arg-type] # whole numbers
        **views,
        model=model._address,
        data=data._address,
        frame_skip=frame_skip,
        dt=float(model.opt.timestep * frame_skip),
        body_mass=model.body_mass,
        warnings=data.warning.number,
    )


@njit
def reset(world, noise):
    """Start from the positions and velocities in `noise`."""
    call_c(world.mj_resetData, world.model, world.data)
    nq = world.qpos.size
    for i in range(nq):
        world.qpos[i] = noise[i]
    for i in range(world.qvel.size):
        world.qvel[i] = noise[nq + i]
    call_c(world.mj_forward, world.model, world.data)


@njit
def advance(world, action):
    """One control step; 0, or −i if MuJoCo has raised the i-th of `WARNINGS` in this episode."""
    for i in range(world.ctrl.size):
        world.ctrl[i] = action[i]
    for _ in range(world.frame_skip):
        call_c(world.mj_step, world.model, world.data)
    for i in range(world.warnings.size):
        if world.warnings[i]:
            return -(i + 1)
    return 0


@njit
def advance_with_forces(world, action):
    """`advance`, then the forces between bodies (`cfrc_ext`), which `mj_step` leaves alone."""
    status = advance(world, action)
    call_c(world.mj_rnePostConstraint, world.model, world.data)
    return status


@njit
def sum_of_squares(numbers):
    """Σ numbers², rounded as NumPy rounds it: one running sum below 8 numbers, else 8 parallel ones."""
    n = numbers.size
    flat = numbers.ravel()
    if n < 8:
        total = flat[0] * flat[0]
        for i in range(1, n):
            total += flat[i] * flat[i]
        return total
    sums = flat[:8] * flat[:8]
    whole = n - n % 8
    for i in range(8, whole):
        sums[i % 8] += flat[i] * flat[i]
    total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
    for i in range(whole, n):
        total += flat[i] * flat[i]
    return total


@njit
def control_cost(weight, action):
    """weight · Σ action², in single precision, as Gymnasium has it with actions of its own space."""
    return np.float32(weight) * sum_of_squares(action.astype(np.float32))
