"""The linear-quadratic regulator as a Gymnasium environment, and the instance used in comparisons.

The dynamics matrices are the benchmark of Dean, Mania, Matni, Recht & Tu 2017 that the ARS paper uses: a
marginally unstable chain of three coupled states (spectral radius about 1.024) with one input per state,
Q = 10⁻³ I and R = I. Horizon, start and noise are ours: 100 steps from N(0, I) with W = 10⁻² I. Doing nothing
costs 3.5 and the best controller 0.24, while most gains of size 0.3 are unstable. Exact returns, gradients
and the optimum are in `policysearch.models.lqr`.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import gymnasium as gym
import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.models.lqr import LQR
from policysearch.simulators.simulator import Simulator, SimulatorEnv


def chain() -> LQR:
    """The instance of this module: three states, three inputs, 100 steps."""
    eye = np.eye(3)
    A = 1.01 * eye + 0.01 * (np.eye(3, k=1) + np.eye(3, k=-1))
    return LQR(
        A=A, B=eye, Q=1e-3 * eye, R=eye, Q_f=1e-3 * eye, W=1e-2 * eye,
        mu_0=np.zeros(3), S_0=eye, horizon=100,
    )  # fmt: skip


def _root(covariance: Float[Array, "x x"]) -> Float[Array, "x x"]:
    """A matrix S with S Sᵀ = covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


class World(NamedTuple):
    """The state x at step t[0], the noise of all steps, and the matrices of the problem."""

    x: Float[Array, "x"]
    t: Array
    noise: Float[Array, "horizon x"]
    A: Float[Array, "x x"]
    B: Float[Array, "x u"]
    Q: Float[Array, "x x"]
    R: Float[Array, "u u"]
    Q_f: Float[Array, "x x"]


@njit
def reset(world, noise):
    """The start, then the noise of every step."""
    size = world.x.size
    world.x[:] = noise[:size]
    world.noise[:] = noise[size:].reshape(world.noise.shape)
    world.t[0] = 0


@njit
def observe(world, obs):
    """The state."""
    for i in range(obs.size):
        obs[i] = world.x[i]


@njit
def quadratic(M, v):
    """vᵀ M v."""
    total = 0.0
    for i in range(v.size):
        for j in range(v.size):
            total += v[i] * M[i, j] * v[j]
    return total


@njit
def step(world, action):
    """x' = A x + B u + w, rewarded by −(xᵀQx + uᵀRu); the last step also pays −xᵀQ_f x."""
    x, A, B = world.x, world.A, world.B
    cost = quadratic(world.Q, x) + quadratic(world.R, action)
    w = world.noise[world.t[0]]
    for i in range(x.size):  # w becomes the next state
        for j in range(x.size):
            w[i] += A[i, j] * x[j]
        for j in range(action.size):
            w[i] += B[i, j] * action[j]
    x[:] = w
    world.t[0] += 1
    last = world.t[0] == len(world.noise)
    if last:
        cost += quadratic(world.Q_f, x)
    return -cost, last


def make_simulator(problem: LQR) -> Simulator:
    """The problem as a simulator; actions are not bounded."""
    size, inputs = problem.B.shape
    start_root, noise_root = _root(problem.S_0), _root(problem.W)

    def draw(rng: np.random.Generator) -> Float[Array, "z"]:
        start = problem.mu_0 + start_root @ rng.standard_normal(size)
        noise = rng.standard_normal((problem.horizon, size)) @ noise_root.T
        return np.concatenate([start, noise.ravel()])

    def make_world() -> World:
        noise, t = np.zeros((problem.horizon, size)), np.zeros(1, dtype=np.int64)
        matrices = (problem.A, problem.B, problem.Q, problem.R, problem.Q_f)
        return World(np.zeros(size), t, noise, *(np.array(M, dtype=float, order="C") for M in matrices))

    return Simulator(
        observation_space=gym.spaces.Box(-np.inf, np.inf, (size,), np.float64),
        action_space=gym.spaces.Box(-np.inf, np.inf, (inputs,), np.float64),
        make_world=make_world,
        draw=draw,
        reset=reset,
        observe=observe,
        step=step,
    )


class LQREnv(SimulatorEnv):
    """The regulator as an environment; `chain()` unless another problem is given.

    The horizon ends the episode with `terminated`: it belongs to the problem.
    """

    simulator = make_simulator(chain())

    def __init__(self, problem: LQR | None = None) -> None:
        if problem is not None:
            self.simulator = make_simulator(problem)
        super().__init__()
