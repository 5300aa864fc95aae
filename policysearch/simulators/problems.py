"""Finite decision processes to search in, whose truth is known in closed form.

`PROBLEMS` names those that are environments too. Each call with the same arguments returns the same object.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.models.mdp import MDP

#: The expected rewards of the bandit's arms: one draw of ten N(0, 1), rounded.
ARMS = (0.13, -0.13, 0.64, 0.1, -0.54, 0.36, 1.3, 0.95, -0.7, -1.27)


@cache
def bandit() -> MDP:
    """The ten-armed testbed of Sutton & Barto 2018, section 2.3, with fixed arms: one step, noise N(0, 1)."""
    arms = len(ARMS)
    return MDP(P=np.ones((1, arms, 1)), r=np.array([ARMS]), mu=np.ones(1), horizon=1, reward_std=1.0)


@cache
def chain(horizon: int = 20, cells: int = 5, reward_std: float = 1.0) -> MDP:
    """A way through cells 0, 1, …, `cells` − 1, 0, … whatever is done, with a right action in each.

    The right action of cell c is c mod 2: it pays 1 and the other nothing, plus noise. The horizon and the
    number of parameters, 2 · `cells`, are set separately, so that their effects on a search can be distinguished.

    Raises:
        ValueError: for fewer than one cell.
    """
    if cells < 1:
        raise ValueError(f"cells: expected at least 1, got {cells}")
    place, rewards = np.arange(cells), np.zeros((cells, 2))
    rewards[place, place % 2] = 1.0
    P = np.repeat(np.roll(np.eye(cells), 1, axis=1)[:, None], 2, axis=1)
    return MDP(P=P, r=rewards, mu=np.eye(cells)[0], horizon=horizon, reward_std=reward_std)


#: What a step in the gridworld costs.
STEP_COST = 0.05


@cache
def aliased_gridworld(horizon: int = 20) -> MDP:
    """The aliased gridworld of D. Silver's lectures on reinforcement learning (2015, lecture 7).

        0  1  2  3  4        five cells; 1 and 3 look alike
        5     6     5        south of 0 and 4 is a skull, south of 2 the treasure

    Actions: 0 north, 1 east, 2 south, 3 west; walls stay. The agent starts in any of the five cells. A step
    costs 0.05, the treasure pays 1, a skull −1, and both end the episode; otherwise it ends after 20 steps.

    Seeing the cell, 3, 2, 1, 2, 3 steps lead to the treasure: 1 − 0.05 · 11/5 = 0.89. A deterministic policy
    that sees only how a cell looks goes the same way from 1 and 3, to and fro at one end until the horizon:
    (3 − 0.05 (3 + 2 + 1 + 20 + 20))/5 = 0.14. Tossing a coin there gets 0.81. Remembering the cell before,
    a deterministic one is wrong only about a start in 1 or 3: 1 − 0.05 (3 + 2 + 1 + 4 + 3)/5 = 0.87.
    """
    P, rewards = np.zeros((7, 4, 7)), np.full((7, 4), -STEP_COST)
    for cell in range(5):
        south = {0: 5, 2: 6, 4: 5}.get(cell, cell)
        P[cell, range(4), [cell, min(cell + 1, 4), south, max(cell - 1, 0)]] = 1.0
    P[[5, 6], :, [5, 6]] = 1.0
    rewards[[0, 4], 2] -= 1.0
    rewards[2, 2] += 1.0
    rewards[5:] = 0.0
    return MDP(
        P=P,
        r=rewards,
        mu=np.array([1, 1, 1, 1, 1, 0, 0]) / 5,
        horizon=horizon,
        observations=np.array([0, 1, 2, 1, 3, 0, 2]),  # what the end shows does not matter
        terminal=np.arange(7) >= 5,
    )


def coin_policy() -> Float[Array, "4 4"]:
    """θ of the gridworld's best memoryless policy: to the middle and south, by a coin where cells look alike."""
    chances = np.array([[0, 1, 0, 0], [0, 0.5, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])
    return np.log(chances, out=np.full((4, 4), -np.inf), where=chances > 0)


def random_mdp(
    rng: np.random.Generator,
    states: int = 5,
    actions: int = 3,
    *,
    horizon: int | None = None,
    discount: float = 0.9,
    branching: int = 3,
    observations: int | None = None,
) -> MDP:
    """A random process as in Archibald, McKinnon & Thomas 1995 (GARNET).

    Every state and action leads to `branching` states, or to all if there are fewer, with probabilities cut
    from the unit interval by uniform points; rewards are N(0, 1). State s shows s mod `observations`.
    """
    branching = min(branching, states)
    P = np.zeros((states, actions, states))
    for row in P.reshape(-1, states):
        row[rng.permutation(states)[:branching]] = _cut(rng, branching)
    return MDP(
        P=P,
        r=rng.standard_normal((states, actions)),
        mu=_cut(rng, states),
        horizon=horizon,
        discount=discount,
        observations=None if observations is None else np.arange(states) % observations,
    )


def _cut(rng: np.random.Generator, pieces: int) -> Float[Array, "pieces"]:
    """The unit interval cut at uniform points."""
    return np.diff(np.sort(rng.random(pieces - 1)), prepend=0.0, append=1.0)


#: The problems that are environments, by name.
PROBLEMS: dict[str, Callable[..., MDP]] = {
    "bandit": bandit,
    "chain": chain,
    "aliased_gridworld": aliased_gridworld,
}
