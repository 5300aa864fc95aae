"""From one law to the next: the laws in between, so that a person meets no jump."""

import math

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.hitl.guard import bounded_step

MOST_STEPS = 1000  # more are a mistake in the limits
_ROUNDING = 1e-12  # of a limit


def steps(
    previous_law: Float[Array, "d"], next_law: Float[Array, "d"], limits: Float[Array, "d"]
) -> Float[Array, "n d"]:
    """The laws to walk through, the last of them the next law: equal steps in a straight line, as few as possible.

    In a step no parameter changes by more than its limit, but for rounding. Where the feasible laws are a convex
    set, as those of a torque profile, the laws between two of them are feasible, but for rounding.

    Raises:
        ValueError: where `bounded_step` does, and for limits that make more than `MOST_STEPS` steps.
    """
    bounded_step(previous_law, next_law, limits)  # refuses what no step can be made of
    change = next_law - previous_law
    with np.errstate(over="ignore"):
        needed = float(np.max(np.abs(change) / limits, initial=0.0)) * (1.0 - _ROUNDING)
    if needed > MOST_STEPS:
        raise ValueError(
            f"limits: expected at most {MOST_STEPS} steps from {previous_law} to {next_law}, got {needed:.4g} "
            f"of {limits}"
        )
    count = max(1, math.ceil(needed))
    laws = previous_law + np.arange(1, count + 1)[:, None] / count * change
    laws[-1] = next_law
    return np.clip(laws, np.minimum(previous_law, next_law), np.maximum(previous_law, next_law))
