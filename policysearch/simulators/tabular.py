"""Any finite decision process with a horizon as a simulator; see `policysearch.models.mdp`.

The start, and one uniform number per step that selects the next state, are drawn beforehand; so is the noise of
the rewards. The observation is a number, which policies see as a one-hot vector. The horizon ends the
episode with `terminated`: it belongs to the problem.
"""

# mypy: disable-error-code="no-untyped-def"

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float, Int
from numba import njit

from policysearch.core import Array
from policysearch.models.mdp import MDP
from policysearch.simulators.problems import PROBLEMS
from policysearch.simulators.simulator import Simulator, SimulatorEnv


class World(NamedTuple):
    """The state now[0] at step now[1], what was drawn for each step, and the problem."""

    now: Int[Array, "2"]
    luck: Float[Array, "horizon 2"]  # uniform, and the noise of the reward
    cumulative: Float[Array, "s a s"]  # the distribution function of the next state
    r: Float[Array, "s a"]
    shown: Int[Array, "s"]
    ends: Int[Array, "s"]  # 1 for terminal states


@njit
def reset(world, noise):
    """The start, then the random numbers of every step."""
    world.now[0], world.now[1] = int(noise[0]), 0
    world.luck[:] = noise[1:].reshape(world.luck.shape)


@njit
def observe(world, obs):
    """What the state shows, one-hot."""
    obs[:] = 0.0
    obs[world.shown[world.now[0]]] = 1.0


@njit
def step(world, action):
    """The reward of state and action; the next state is where the uniform number falls."""
    s, t, a = world.now[0], world.now[1], int(action[0])
    uniform, noise = world.luck[t, 0], world.luck[t, 1]
    after = 0
    while uniform >= world.cumulative[s, a, after]:
        after += 1
    world.now[0], world.now[1] = after, t + 1
    return world.r[s, a] + noise, world.ends[after] == 1 or t + 1 == len(world.luck)


def _distribution_function(p: Float[Array, "*n s"]) -> Float[Array, "*n s"]:
    """Cumulative probabilities that reach exactly 1 at the last possible state."""
    sums = np.cumsum(p, axis=-1)
    return sums / sums[..., -1:]


@lru_cache
def make_simulator(problem: MDP) -> Simulator:
    """The problem as a simulator, the same one whenever it is asked for.

    Raises:
        ValueError: for a problem without a horizon, whose episodes would never end.
    """
    horizon, (observations, actions) = problem.horizon, problem.table
    if horizon is None:
        raise ValueError(
            "problem: expected one with a horizon, got None; cut it off with dataclasses.replace(problem, horizon=…)"
        )
    starts, cumulative = _distribution_function(problem.mu), _distribution_function(problem.P)
    terminal = np.zeros(len(starts)) if problem.terminal is None else problem.terminal

    def draw(rng: np.random.Generator) -> Float[Array, "z"]:
        luck = rng.random(horizon + 1)
        start = np.searchsorted(starts, luck[0], side="right")
        noise = rng.standard_normal(horizon) if problem.reward_std else np.zeros(horizon)
        return np.concatenate([[start], np.stack([luck[1:], problem.reward_std * noise], axis=1).ravel()])

    def make_world() -> World:
        return World(
            now=np.zeros(2, dtype=np.int64),
            luck=np.zeros((horizon, 2)),
            cumulative=cumulative,
            r=np.array(problem.r, dtype=float, order="C"),
            shown=np.array(problem.shown, dtype=np.int64),
            ends=np.array(terminal, dtype=np.int64),
        )

    return Simulator(
        observation_space=Discrete(observations),
        action_space=Discrete(actions),
        make_world=make_world,
        draw=draw,
        reset=reset,
        observe=observe,
        step=step,
    )


class TabularEnv(SimulatorEnv):
    """A finite decision process as an environment."""

    def __init__(self, problem: MDP) -> None:
        self.simulator = make_simulator(problem)
        super().__init__()


def make_env(problem: str, **options: Any) -> TabularEnv:
    """The environment of one of `PROBLEMS`; the options are those of its function."""
    return TabularEnv(PROBLEMS[problem](**options))
