"""The level of the lower of two tanks: a pump fills the upper one, which empties into the lower.

    S h₁' = k V − a √(2 g h₁),   S h₂' = a √(2 g h₁) − a √(2 g h₂)

with the levels h (cm) and the pump's voltage V (V), held for a step; the outflow follows Torricelli's law. What
rises above the rim is lost. The cost is ∫ (r − h₂)² dt + WEAR Σ ΔV² in cm²·s, of filling both tanks from empty to the
set point r; ΔV is the change of the voltage from one step to the next, at first from 0 V.

Episodes differ in r, k and both outlets. Observed: r and h₂, in cm.

The sizes are those of Quanser's coupled tanks, as recalled, not verified.
"""

# mypy: disable-error-code="no-untyped-def"

import math
from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.jit import specialise
from policysearch.simulators.integration import runge_kutta
from policysearch.simulators.simulator import Simulator, SimulatorEnv

SECTION = 15.518  # S, cm²
OUTLET = 0.178  # a, cm²
PUMP = 3.3  # k, cm³/s per V
RIM = 30.0  # cm
GRAVITY = 981.0  # g, cm/s²
MAX_VOLTAGE = 15.0  # V (choice)
SET_POINTS = (8.0, 18.0)  # cm (choice)
SPREAD = 0.1  # by which k and outlets differ from the nominal ones, either way, as a share (choice)
WEAR = 0.1  # cm²·s/V² (choice)
DT = 0.5  # s (choice)
STEPS = 240  # (choice)
NOMINAL_LEVEL = 15.0  # cm, where the plant is linearised (Quanser's)


class Tanks(NamedTuple):
    """The levels, the plant (k/S, and √(2g)·a/S of each outlet), numbers of the episode, and working memory."""

    levels: Float[Array, "2"]
    plant: Float[Array, "3"]
    episode: Float[Array, "2"]  # see below
    work: Float[Array, "3 2"]


#: Places in `Tanks.episode`: set point in cm, and the voltage of the last step in V.
SET_POINT, LAST_VOLTAGE = range(2)


def reaction() -> tuple[float, float]:
    """The steepest slope of the response to a step of 1 V (cm/s per V), and its lag (s), at the nominal level.

    There both tanks are lags of τ = S √(2h/g) / a, and the level rises by G (1 − (1 + t/τ) exp(−t/τ)) with
    G = k √(2h/g) / a. Its tangent where it is steepest, at t = τ, has the slope G / (e τ) and leaves 0 at (3 − e) τ.
    """
    fill = math.sqrt(2.0 * NOMINAL_LEVEL / GRAVITY) / OUTLET
    tau, G = SECTION * fill, PUMP * fill
    return G / (math.e * tau), (3.0 - math.e) * tau


def draw(rng: np.random.Generator) -> Float[Array, "4"]:
    """Set point and plant."""
    set_point, spread = rng.uniform(*SET_POINTS), rng.uniform(1.0 - SPREAD, 1.0 + SPREAD, 3)
    outflow = math.sqrt(2.0 * GRAVITY) * OUTLET
    return np.array([set_point, *(spread * (PUMP, outflow, outflow) / SECTION)])


@njit(error_model="numpy")
def derivative(levels, u, plant, rate):
    """How fast the levels rise, in cm/s."""
    between = plant[1] * math.sqrt(max(levels[0], 0.0))
    rate[0] = plant[0] * u[0] - between
    rate[1] = between - plant[2] * math.sqrt(max(levels[1], 0.0))


move = specialise(runge_kutta, derivative=derivative)


@njit(error_model="numpy")
def reset(tanks, noise):
    """Empty."""
    tanks.levels[:] = 0.0
    tanks.plant[:] = noise[1:]
    tanks.episode[SET_POINT], tanks.episode[LAST_VOLTAGE] = noise[0], 0.0


@njit(error_model="numpy")
def observe(tanks, obs):
    """The set point and the level of the lower tank."""
    obs[0], obs[1] = tanks.episode[SET_POINT], tanks.levels[1]


@njit(error_model="numpy")
def step(tanks, action):
    """One step; minus the cost of it, with the level before it."""
    levels, episode = tanks.levels, tanks.episode
    error, change = episode[SET_POINT] - levels[1], action[0] - episode[LAST_VOLTAGE]
    episode[LAST_VOLTAGE] = action[0]
    move(levels, action, tanks.plant, DT, tanks.work)
    for i in range(2):
        levels[i] = min(max(levels[i], 0.0), RIM)
    return -(DT * error * error + WEAR * change * change), 0


class TanksEnv(SimulatorEnv):
    """The simulator of this file."""

    simulator = Simulator(
        observation_space=Box(-np.inf, np.inf, (2,), np.float64),
        action_space=Box(0.0, MAX_VOLTAGE, (1,), np.float64),
        make_world=lambda: Tanks(np.zeros(2), np.zeros(3), np.zeros(2), np.zeros((3, 2))),
        draw=draw,
        reset=reset,
        observe=observe,
        step=step,
    )
