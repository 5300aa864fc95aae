"""A pole on a cart under a continuous force, with a quadratic cost: where the best gain of the linear plant is known.

The equations are those of `cart_pole` (Barto, Sutton & Anderson 1983) for any pole, by Runge–Kutta, with the force
held for a step. The state is (x, ẋ, θ, θ̇) in m and rad, 0 is the goal and upright; it is observed. The cost is

    Σ (10 x² + 100 θ² + 0.1 F²) DT        x, θ before the step, F in N

(choice). Nothing ends an episode: a pole that has fallen continues to cost. Episodes differ in the start, in
the pole's mass and its length.
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
from policysearch.models.lqr import LQR
from policysearch.simulators.cart_pole import CART, DT, GRAVITY, HALF_LENGTH, POLE
from policysearch.simulators.integration import discretised, runge_kutta
from policysearch.simulators.simulator import Simulator, SimulatorEnv

MAX_FORCE = 20.0  # N, either way (choice)
START = np.array([1.0, 0.2, 0.1, 0.1])  # m, m/s, rad, rad/s: largest of the start, either way (choice)
SPREAD = (
    0.2  # by which the pole's mass and length differ from the nominal ones, either way, as a share (choice)
)
X_COST, THETA_COST, FORCE_COST = 10.0, 100.0, 0.1  # 1/(m²·s), 1/(rad²·s), 1/(N²·s)
STEPS = 400  # (choice)


class CartPole(NamedTuple):
    """x, ẋ, θ and θ̇; the mass of the pole (kg) and half of its length (m); and working memory."""

    x: Float[Array, "4"]
    pole: Float[Array, "2"]
    work: Float[Array, "3 4"]


@njit(error_model="numpy")
def derivative(x, u, pole, rate):
    """The rates of change of the state."""
    mass, half = pole[0], pole[1]
    total, c, s = CART + mass, cos(x[2]), sin(x[2])
    push = (u[0] + mass * half * x[3] * x[3] * s) / total
    turn = (GRAVITY * s - c * push) / (half * (4.0 / 3.0 - mass * c * c / total))
    rate[0], rate[1] = x[1], push - mass * half * turn * c / total
    rate[2], rate[3] = x[3], turn


move = specialise(runge_kutta, derivative=derivative)


def linear_model() -> tuple[Float[Array, "4 4"], Float[Array, "4 1"]]:
    """A and B of a step of the nominal plant near the goal."""
    total = CART + POLE
    inertia = HALF_LENGTH * (4.0 / 3.0 - POLE / total)
    share = POLE * HALF_LENGTH / total
    A, B = np.zeros((4, 4)), np.zeros((4, 1))
    A[0, 1] = A[2, 3] = 1.0
    A[3, 2], B[3, 0] = GRAVITY / inertia, -1.0 / (total * inertia)
    A[1, 2], B[1, 0] = -share * A[3, 2], 1.0 / total - share * B[3, 0]
    return discretised(A, B, DT)


def linear_problem() -> LQR:
    """Start, cost and linear model as a problem whose optimum is known."""
    A, B = linear_model()
    Q, nothing = DT * np.diag([X_COST, 0.0, THETA_COST, 0.0]), np.zeros((4, 4))
    return LQR(
        A=A, B=B, Q=Q, R=np.array([[DT * FORCE_COST]]), Q_f=nothing, W=nothing,
        mu_0=np.zeros(4), S_0=np.diag(START**2 / 3.0), horizon=STEPS,
    )  # fmt: skip


def draw(rng: np.random.Generator) -> Float[Array, "6"]:
    """Start and pole."""
    spread = rng.uniform(1.0 - SPREAD, 1.0 + SPREAD, 2)
    return np.concatenate([rng.uniform(-START, START), spread * (POLE, HALF_LENGTH)])


@njit(error_model="numpy")
def reset(world, noise):
    """The start, and the pole."""
    world.x[:] = noise[:4]
    world.pole[:] = noise[4:]


@njit(error_model="numpy")
def observe(world, obs):
    """The state."""
    obs[:] = world.x


@njit(error_model="numpy")
def step(world, action):
    """One step; minus the cost of it."""
    x = world.x
    cost = X_COST * x[0] * x[0] + THETA_COST * x[2] * x[2] + FORCE_COST * action[0] * action[0]
    move(x, action, world.pole, DT, world.work)
    return -DT * cost, 0


class CartPoleForceEnv(SimulatorEnv):
    """The simulator of this file."""

    simulator = Simulator(
        observation_space=Box(-np.inf, np.inf, (4,), np.float64),
        action_space=Box(-MAX_FORCE, MAX_FORCE, (1,), np.float64),
        make_world=lambda: CartPole(np.zeros(4), np.zeros(2), np.zeros((3, 4))),
        draw=draw,
        reset=reset,
        observe=observe,
        step=step,
        revision=2,  # 2: sine and cosine of `policysearch.elementary`
    )
