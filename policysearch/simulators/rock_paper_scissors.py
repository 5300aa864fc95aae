"""Rock–paper–scissors against fictitious play (Brown 1951), which exploits a predictable player.

The opponent plays a best response to the counts c of our moves so far in the episode, the first time and among
equals at random. Moves: 0 rock, 1 paper, 2 scissors; m beats m − 1 (mod 3), so the reply j is worth
c_{j−1} − c_{j+1} to it. A round pays +1, 0 or −1. The observation says nothing: a memoryless policy is one mixed
strategy p, and with N ~ Multinomial(t, p) the counts before round t,

    J(p) = Σ_{t<rounds} Σ_n P(N = n) mean of p_{j+1} − p_{j−1} over the best responses j to n

The uniform strategy gets 0, the equilibrium of the game, and no strategy of this kind gets more. A
deterministic one gets 0 in the first round and loses all others.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float, Int
from numba import njit

from policysearch.core import Array
from policysearch.simulators.simulator import Simulator, SimulatorEnv

ROUNDS = 20


class World(NamedTuple):
    """How often we played each move in the rounds so far, and the luck of every round."""

    counts: Int[Array, "3"]
    luck: Float[Array, "rounds"]


@njit
def reset(world, noise):
    """No move yet."""
    world.counts[:] = 0
    world.luck[:] = noise


@njit
def observe(world, obs):
    """Nothing: the only observation there is."""
    obs[0] = 1.0


@njit
def best_response(counts, luck):
    """The reply worth most against these counts; `luck`, uniform, decides among equals."""
    most = max(counts[2] - counts[1], counts[0] - counts[2], counts[1] - counts[0])
    equals = 0
    for j in range(3):
        equals += counts[j - 1] - counts[(j + 1) % 3] == most
    chosen = int(luck * equals)
    for j in range(3):
        if counts[j - 1] - counts[(j + 1) % 3] == most:
            if chosen == 0:
                return j
            chosen -= 1
    return -1


@njit
def step(world, action):
    """One round."""
    ours, t = int(action[0]), world.counts.sum()
    theirs = best_response(world.counts, world.luck[t])
    world.counts[ours] += 1
    return float((ours - theirs + 1) % 3 - 1), t + 1 == len(world.luck)


class RockPaperScissorsEnv(SimulatorEnv):
    """Twenty rounds; the last one ends the episode with `terminated`."""

    simulator = Simulator(
        observation_space=Discrete(1),
        action_space=Discrete(3),
        make_world=lambda: World(np.zeros(3, dtype=np.int64), np.zeros(ROUNDS)),
        draw=lambda rng: rng.random(ROUNDS),
        reset=reset,
        observe=observe,
        step=step,
    )


def expected_return(p: Float[Array, "3"], rounds: int = ROUNDS) -> float:
    """J(p), exactly: the distribution of the counts is carried from round to round."""
    chances, total = {(0, 0, 0): 1.0}, 0.0
    for _ in range(rounds):
        after: dict[tuple[int, int, int], float] = {}
        for (rock, paper, scissors), chance in chances.items():
            worth = np.array([scissors - paper, rock - scissors, paper - rock])
            replies = np.flatnonzero(worth == worth.max())
            total += chance * float((p[(replies + 1) % 3] - p[replies - 1]).mean())
            moved = ((rock + 1, paper, scissors), (rock, paper + 1, scissors), (rock, paper, scissors + 1))
            for counts, probability in zip(moved, p.tolist(), strict=True):
                if probability > 0:
                    after[counts] = after.get(counts, 0.0) + chance * probability
        chances = after
    return total
