"""The position of a DC motor: a voltage that saturates, Coulomb friction, and an encoder.

    θ' = ω,   J ω' = K i − b ω − T,   L i' = V − R i − K ω

with the angle θ (rad), the speed ω (rad/s), the current i (A) and the voltage V (V), held for a step. The friction
torque T is the one that stops the shaft within the step, but at most COULOMB_FRICTION. The linear part is exact.
The cost is ITAE, ∫ t |r − θ| dt in rad·s², of a step from rest at 0 to the set point r.

Episodes differ in r and its sign, in J, R, K and in the friction. Observed: r, and θ as
the encoder measures it, in rad.

J, b, K, R and L are those of Messner & Tilbury, Control Tutorials for MATLAB and Simulink, "DC motor speed", as
recalled, not verified.
"""

# mypy: disable-error-code="no-untyped-def"

import math
from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.simulators.integration import discretised
from policysearch.simulators.simulator import Simulator, SimulatorEnv

INERTIA = 0.01  # J, kg·m²
DAMPING = 0.1  # b, N·m·s
TORQUE_CONSTANT = 0.01  # K, N·m/A and V·s
RESISTANCE = 1.0  # R, Ω
INDUCTANCE = 0.5  # L, H
COULOMB_FRICTION = 0.02  # N·m, as much as 2 V make when the motor stands (choice)
MAX_VOLTAGE = 24.0  # V (choice)
ENCODER_RESOLUTION = 2.0 * math.pi / 4096  # rad (choice)
SET_POINTS = (0.5, 1.5)  # rad, either way (choice)
SPREAD = 0.2  # by which J, R and K differ from the nominal ones, either way, as a share (choice)
FRICTION_SPREAD = 0.5  # the same of COULOMB_FRICTION (choice)
DT = 0.02  # s (choice)
STEPS = 400  # (choice)


class Motor(NamedTuple):
    """θ, ω and i, the matrices of a step, and numbers of the episode."""

    x: Float[Array, "3"]
    A: Float[Array, "3 3"]
    B: Float[Array, "3 2"]  # of voltage and friction torque
    episode: Float[Array, "3"]  # see below


#: Places in `Motor.episode`: set point in rad, Coulomb friction in N·m, time in s.
SET_POINT, FRICTION, TIME = range(3)


def matrices(J: float, R: float, K: float) -> tuple[Float[Array, "3 3"], Float[Array, "3 2"]]:
    """A and B of x' = A x + B (V, T)."""
    A = np.array([[0.0, 1.0, 0.0], [0.0, -DAMPING / J, K / J], [0.0, -K / INDUCTANCE, -R / INDUCTANCE]])
    B = np.array([[0.0, 0.0], [0.0, -1.0 / J], [1.0 / INDUCTANCE, 0.0]])
    return A, B


def ultimate() -> tuple[float, float]:
    """The gain (V/rad) with which proportional control oscillates steadily, and the period (s) of it.

    For the nominal motor without friction: from V to θ it is K / (s (a₂ s² + a₁ s + a₀)). With the gain k the closed
    loop a₂ s³ + a₁ s² + a₀ s + kK has the roots ±jω for ω² = a₀/a₂ and k = a₁ a₀ / (a₂ K). Sampling is left out.
    """
    a_2 = INERTIA * INDUCTANCE
    a_1 = INERTIA * RESISTANCE + DAMPING * INDUCTANCE
    a_0 = DAMPING * RESISTANCE + TORQUE_CONSTANT**2
    return a_1 * a_0 / (a_2 * TORQUE_CONSTANT), 2.0 * math.pi / math.sqrt(a_0 / a_2)


def draw(rng: np.random.Generator) -> Float[Array, "17"]:
    """Set point, friction, and the matrices of a step."""
    set_point = rng.choice((-1.0, 1.0)) * rng.uniform(*SET_POINTS)
    J, R, K = (INERTIA, RESISTANCE, TORQUE_CONSTANT) * rng.uniform(1.0 - SPREAD, 1.0 + SPREAD, 3)
    friction = COULOMB_FRICTION * rng.uniform(1.0 - FRICTION_SPREAD, 1.0 + FRICTION_SPREAD)
    A, B = discretised(*matrices(J, R, K), DT)
    return np.concatenate([[set_point, friction], A.ravel(), B.ravel()])


@njit(error_model="numpy")
def reset(motor, noise):
    """At rest."""
    motor.x[:] = 0.0
    motor.episode[SET_POINT], motor.episode[FRICTION], motor.episode[TIME] = noise[0], noise[1], 0.0
    motor.A[:] = noise[2:11].reshape((3, 3))
    motor.B[:] = noise[11:17].reshape((3, 2))


@njit(error_model="numpy")
def observe(motor, obs):
    """The set point, and the angle rounded to the encoder's resolution."""
    obs[0], obs[1] = motor.episode[SET_POINT], ENCODER_RESOLUTION * np.rint(motor.x[0] / ENCODER_RESOLUTION)


@njit(error_model="numpy")
def step(motor, action):
    """One step; minus the cost of it, with the angle before it."""
    x, A, B, episode = motor.x, motor.A, motor.B, motor.episode
    cost = episode[TIME] * abs(episode[SET_POINT] - x[0]) * DT
    x_0, x_1, x_2 = x[0], x[1], x[2]
    for i in range(3):
        x[i] = A[i, 0] * x_0 + A[i, 1] * x_1 + A[i, 2] * x_2 + B[i, 0] * action[0]
    torque = min(max(-x[1] / B[1, 1], -episode[FRICTION]), episode[FRICTION])
    for i in range(3):
        x[i] += B[i, 1] * torque
    episode[TIME] += DT
    return -cost, 0


class MotorEnv(SimulatorEnv):
    """The simulator of this file."""

    simulator = Simulator(
        observation_space=Box(-np.inf, np.inf, (2,), np.float64),
        action_space=Box(-MAX_VOLTAGE, MAX_VOLTAGE, (1,), np.float64),
        make_world=lambda: Motor(np.zeros(3), np.zeros((3, 3)), np.zeros((3, 2)), np.zeros(3)),
        draw=draw,
        reset=reset,
        observe=observe,
        step=step,
    )
