"""A quadrotor in a vertical plane that flies to a target and hovers there, in wind.

    m ẍ = −(u₁ + u₂) sin θ + m w,   m z̈ = (u₁ + u₂) cos θ − m g,   I θ̈ = r (u₁ − u₂)

by Runge–Kutta, with the thrusts u₁ (right) and u₂ (left rotor), both in N, held for a step. θ (rad) is positive to
the left; w (m/s²) is a steady wind. The cost is

    Σ (x² + z² + 0.1 θ² + 0.01 |u − m g / 2|²) DT        m: the nominal mass; x, z, θ before the step

(choice). Observed: x, z (m, of the target's), θ, and their speeds. Episodes differ in the start, in mass, inertia and
wind. There is no ground.

m, I and r are those of the planar quadrotor in Tedrake, Underactuated Robotics, as recalled, not verified.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.elementary import cos, sin
from policysearch.jit import specialise
from policysearch.simulators.integration import runge_kutta
from policysearch.simulators.simulator import Simulator, SimulatorEnv

MASS = 0.486  # m, kg
INERTIA = 0.00383  # I, kg·m²
ARM = 0.25  # r, m
GRAVITY = 9.81  # g, m/s²
MAX_THRUST = 5.0  # N of each rotor, about twice what hovering needs (choice)
START = 2.0  # m, largest distance from the target in x and in z (choice)
WIND = 0.5  # m/s², largest, either way (choice)
SPREAD = 0.2  # by which mass and inertia differ from the nominal ones, either way, as a share (choice)
THETA_COST, THRUST_COST = 0.1, 0.01  # m²/rad², m²/N² (choice)
DT = 0.02  # s (choice)
STEPS = 300  # (choice)


class Quadrotor(NamedTuple):
    """x, z, θ and their speeds; the mass, the inertia and the wind; and working memory."""

    x: Float[Array, "6"]
    plant: Float[Array, "3"]
    work: Float[Array, "3 6"]


@njit(error_model="numpy")
def derivative(x, u, plant, rate):
    """The rates of change of the state."""
    mass, inertia, wind = plant[0], plant[1], plant[2]
    lift = (u[0] + u[1]) / mass
    rate[0], rate[1], rate[2] = x[3], x[4], x[5]
    rate[3] = -lift * sin(x[2]) + wind
    rate[4] = lift * cos(x[2]) - GRAVITY
    rate[5] = ARM * (u[0] - u[1]) / inertia


move = specialise(runge_kutta, derivative=derivative)


def draw(rng: np.random.Generator) -> Float[Array, "5"]:
    """Where it starts, mass, inertia and wind."""
    start, spread = rng.uniform(-START, START, 2), rng.uniform(1.0 - SPREAD, 1.0 + SPREAD, 2)
    return np.array([*start, *(spread * (MASS, INERTIA)), rng.uniform(-WIND, WIND)])


@njit(error_model="numpy")
def reset(world, noise):
    """At rest, upright."""
    world.x[:] = 0.0
    world.x[:2] = noise[:2]
    world.plant[:] = noise[2:]


@njit(error_model="numpy")
def observe(world, obs):
    """The state."""
    obs[:] = world.x


@njit(error_model="numpy")
def step(world, action):
    """One step; minus the cost of it."""
    x, half = world.x, 0.5 * MASS * GRAVITY
    effort = (action[0] - half) ** 2 + (action[1] - half) ** 2
    cost = x[0] * x[0] + x[1] * x[1] + THETA_COST * x[2] * x[2] + THRUST_COST * effort
    move(x, action, world.plant, DT, world.work)
    return -DT * cost, 0


class QuadrotorEnv(SimulatorEnv):
    """The simulator of this file."""

    simulator = Simulator(
        observation_space=Box(-np.inf, np.inf, (6,), np.float64),
        action_space=Box(0.0, MAX_THRUST, (2,), np.float64),
        make_world=lambda: Quadrotor(np.zeros(6), np.zeros(3), np.zeros((3, 6))),
        draw=draw,
        reset=reset,
        observe=observe,
        step=step,
        revision=2,  # 2: sine and cosine of `policysearch.elementary`
    )
