"""From one law to the next: the laws between, in bounded steps, and laws in a region not visited before."""

import math

import numpy as np
from jaxtyping import Bool, Float

from policysearch.core import Array

MAX_STEPS = 1000  # more are a mistake in the limits
_ROUNDING = 1e-12  # of a limit


def unvisited(
    law: Float[Array, "d"], visited: Float[Array, "n d"], margin: Float[Array, "d"]
) -> Bool[Array, "d"]:
    """Which parameters are outside the range of the laws visited so far by more than a margin.

    If there is one, the law enters a new region, and an operator should confirm the first visit. Before the
    first law every parameter is new; one that is not a number always is.
    """
    lowest = np.min(visited, axis=0, initial=np.inf) - margin
    highest = np.max(visited, axis=0, initial=-np.inf) + margin
    return np.asarray(~((lowest <= law) & (law <= highest)))


def steps(
    previous_law: Float[Array, "d"], next_law: Float[Array, "d"], limits: Float[Array, "d"]
) -> Float[Array, "n d"]:
    """The laws to walk through, the last of them the next law: equal steps in a straight line, as few as possible.

    In a step no parameter changes by more than its limit, but for rounding. Where the feasible laws are a convex
    set, as those of a torque profile, the laws between two of them are feasible, but for rounding.

    Raises:
        ValueError: for laws that are not finite or not a finite distance apart, or limits that are not positive or
            make more than `MAX_STEPS` steps.
    """
    for name, values in (("previous_law", previous_law), ("next_law", next_law)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: expected finite numbers, got {values}")
    if not (limits > 0.0).all():
        raise ValueError(f"limits: expected positive numbers, got {limits}")
    with np.errstate(over="ignore"):
        change = next_law - previous_law
        if not np.isfinite(change).all():
            raise ValueError(f"next_law: expected a finite distance from {previous_law}, got {next_law}")
        needed = float(np.max(np.abs(change) / limits, initial=0.0)) * (1.0 - _ROUNDING)
    if needed > MAX_STEPS:
        raise ValueError(
            f"limits: expected at most {MAX_STEPS} steps from {previous_law} to {next_law}, got {needed:.4g} "
            f"of {limits}"
        )
    count = max(1, math.ceil(needed))
    laws = previous_law + np.arange(1, count + 1)[:, None] / count * change
    laws[-1] = next_law
    return np.clip(laws, np.minimum(previous_law, next_law), np.maximum(previous_law, next_law))
