"""A heated body: a first-order lag with dead time, and a noisy thermometer.

    τ T'(t) = −(T(t) − ambient) + K u(t − θ)

with the temperature T (°C) and the heater's power u (% of full power), held for a step; the exact solution over a
step is used. The dead time is rounded to whole steps. The cost is ITAE, ∫ t |r − T| dt in °C·min², of a step from
ambient to the set point r.

Episodes differ in r, K, τ, θ and in the thermometer's noise. Observed: r and the thermometer's reading, in °C.

K, τ and θ are a fit to the Temperature Control Lab of Hedengren (apmonitor.com), as recalled, not verified.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.simulators.integration import discretised
from policysearch.simulators.simulator import Simulator, SimulatorEnv

GAIN = 0.9  # K, °C/%
LAG = 175.0  # τ, s
DEAD_TIME = 15.0  # θ, s
AMBIENT = 23.0  # °C (choice)
SET_POINTS = (35.0, 60.0)  # °C (choice)
SPREAD = 0.2  # by which K, τ and θ differ from the nominal ones, either way, as a share (choice)
NOISE = 0.1  # °C, standard deviation of the thermometer (choice)
DT = 2.0  # s (choice)
STEPS = 300  # (choice)
MAX_DELAY = round(DEAD_TIME * (1.0 + SPREAD) / DT)  # steps of dead time


class Thermal(NamedTuple):
    """The temperature, past inputs, the noise of all steps, and numbers of the episode."""

    above: Float[Array, "1"]  # °C above ambient
    inputs: Float[Array, "s"]  # % in the last steps, as a ring buffer
    noise: Float[Array, "t"]  # °C
    episode: Float[Array, "5"]  # see below


#: Places in `Thermal.episode`: set point in °C; the factor by which the temperature decays in a step, and the gain of
#: the input (°C/%); steps of dead time, and steps so far.
SET_POINT, DECAY, INPUT_GAIN, DELAY, STEP = range(5)


def reaction() -> tuple[float, float]:
    """The steepest slope of the nominal plant's response to a step of 1 % (°C/s per %), and its lag (s)."""
    return GAIN / LAG, DEAD_TIME


def draw(rng: np.random.Generator) -> Float[Array, "z"]:
    """Set point, plant, and the noise of every step."""
    set_point = rng.uniform(*SET_POINTS)
    K, lag, dead = (GAIN, LAG, DEAD_TIME) * rng.uniform(1.0 - SPREAD, 1.0 + SPREAD, 3)
    A, B = discretised(np.array([[-1.0 / lag]]), np.array([[K / lag]]), DT)
    plant = [set_point, A[0, 0], B[0, 0], np.rint(dead / DT)]
    return np.concatenate([plant, NOISE * rng.standard_normal(STEPS + 1)])


@njit(error_model="numpy")
def reset(thermal, noise):
    """At ambient temperature, with a heater that has been off."""
    thermal.above[0] = 0.0
    thermal.inputs[:] = 0.0
    for i in range(4):
        thermal.episode[i] = noise[i]
    thermal.episode[STEP] = 0.0
    thermal.noise[:] = noise[4:]


@njit(error_model="numpy")
def observe(thermal, obs):
    """The set point, and the thermometer's reading."""
    now = min(int(thermal.episode[STEP]), STEPS)
    obs[0], obs[1] = thermal.episode[SET_POINT], AMBIENT + thermal.above[0] + thermal.noise[now]


@njit(error_model="numpy")
def step(thermal, action):
    """One step; minus the cost of it, with the temperature before it."""
    episode, inputs, now = thermal.episode, thermal.inputs, int(thermal.episode[STEP])
    cost = now * (DT / 60.0) ** 2 * abs(episode[SET_POINT] - AMBIENT - thermal.above[0])
    inputs[now % inputs.size] = action[0]
    arriving = inputs[(now - int(episode[DELAY])) % inputs.size]
    thermal.above[0] = episode[DECAY] * thermal.above[0] + episode[INPUT_GAIN] * arriving
    episode[STEP] += 1.0
    return -cost, 0


class ThermalEnv(SimulatorEnv):
    """The simulator of this file."""

    simulator = Simulator(
        observation_space=Box(-np.inf, np.inf, (2,), np.float64),
        action_space=Box(0.0, 100.0, (1,), np.float64),
        make_world=lambda: Thermal(np.zeros(1), np.zeros(MAX_DELAY + 1), np.zeros(STEPS + 1), np.zeros(5)),
        draw=draw,
        reset=reset,
        observe=observe,
        step=step,
    )
