"""Three controlled plants, compiled: a servo, a heater with dead time, and two tanks, under PID control.

A rollout is a step response. It draws its set point, a load and the noise of its sensor from its seed. `size` scales
the inertia of the servo, the heat capacity of the heater and the areas of the tanks.

    cost        mean absolute error, in shares of the set point, plus a hundredth of the mean square of the input
    overshoot   the largest excess over the set point, as a share of it
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from policysearch.core import Array
from policysearch.space import Parameter, Space

#: Names of the plants, and the sampling time of each in seconds.
PLANTS = {"servo": 0.01, "heater": 1.0, "tanks": 2.0}
STEPS = 250
SPACE = Space(
    (
        Parameter("kp", 1.0, 0.05, 50.0, scale="log"),
        Parameter("ki", 0.1, 0.001, 20.0, scale="log"),
        Parameter("kd", 0.01, 0.0005, 5.0, scale="log"),
    )
)


@njit(cache=True)
def rollout(  # noqa: PLR0917 - compiled
    plant: int, kp: float, ki: float, kd: float, size: float, set_point: float, load: float, noise: Array
) -> tuple[float, float]:
    """Cost and overshoot of one step response."""
    dt = 0.01 if plant == 0 else 1.0 if plant == 1 else 2.0
    unit = 1.0 if plant == 0 else 20.0 if plant == 1 else 30.0  # s: the controller's own unit of time
    x, v, integral, before = 0.0, 0.0, 0.0, 0.0
    waiting = np.zeros(6)
    error_sum, input_sum, peak = 0.0, 0.0, 0.0
    for t in range(STEPS):
        y = x + noise[t]
        error = set_point - y
        slope = (y - before) / dt * unit if t else 0.0
        before = y
        wanted = kp * error + integral - kd * slope
        u = min(max(wanted, -3.0), 3.0) if plant == 0 else min(max(wanted, 0.0), 3.0)
        if wanted == u:
            integral += ki * error * dt / unit
        if plant == 0:  # size · x'' = 25 u − 4 x' − load
            v += dt * (25.0 * u - 4.0 * v - 4.0 * load) / size
            x += dt * v
        elif plant == 1:  # 20 · size · x' = u − x − load, the input six samples late
            late = waiting[t % 6]
            waiting[t % 6] = u
            x += dt * (late - x - 0.3 * load) / (20.0 * size)
        else:  # levels v and x of two tanks, outflows as roots of the levels
            through = 0.05 * np.sqrt(max(v, 0.0))
            v = max(v + dt * (0.05 * u - through) / size, 0.0)
            x = max(x + dt * (through - 0.05 * np.sqrt(max(x, 0.0)) - 0.005 * load) / size, 0.0)
        error_sum += abs(set_point - x) / set_point
        input_sum += u * u
        peak = max(peak, x)
    return error_sum / STEPS + 0.01 * input_sum / STEPS, max(peak / set_point - 1.0, 0.0)


def outcome(plant: str, values: Mapping[str, Any], seed: int) -> dict[str, float]:
    """What a rollout reports."""
    rng = np.random.default_rng(seed)
    set_point, load = rng.uniform(0.6, 1.4), rng.uniform(0.0, 1.0)
    noise = 0.005 * rng.standard_normal(STEPS)
    gains = (values["kp"], values["ki"], values["kd"], values.get("size", 1.0))
    cost, overshoot = rollout(list(PLANTS).index(plant), *gains, set_point, load, noise)
    return {"return": cost, "overshoot": overshoot}
