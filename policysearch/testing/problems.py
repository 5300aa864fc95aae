"""Small problems with known answers: a function of four parameters, and episodes of five steps."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Evaluation, Proposal
from policysearch.evaluators import EpisodeEvaluator
from policysearch.policies import Gaussian, Linear
from policysearch.seeding import Key, stream

#: d, the number of parameters of all problems here.
D = 4
FREE, BOX = Domain.unbounded(np.zeros(D)), Domain(np.zeros(D), np.full(D, -2.0), np.full(D, 3.0))


def sphere(params: Float[Array, "n d"]) -> Float[Array, "n"]:
    """−‖x − 1‖², a row per candidate: the optimum is at one."""
    return -np.sum((params - 1.0) ** 2, axis=1)


class Values:
    """An evaluator of a function of the candidates, with noise of that standard deviation and a share of failures.

    Attributes:
        episodes: how many have been run.
    """

    def __init__(
        self, function: Callable[[Array], Array] = sphere, noise: float = 0.0, failing: float = 0.0
    ) -> None:
        self.function, self.noise, self.failing = function, noise, failing
        self.episodes = 0

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The value of every candidate, with noise."""
        rng = stream(*key)
        shape = (len(proposal.params), proposal.episodes)
        self.episodes += shape[0] * shape[1]
        returns = self.function(proposal.params)[:, None] + self.noise * rng.standard_normal(shape)
        returns[rng.random(shape) < self.failing] = np.nan
        return Evaluation(proposal.params, returns, np.ones(shape, dtype=int))


class Walk(gym.Env[Any, Any]):
    """Five steps of x' = x + u + noise, rewarded by −x² − u²/10, and a bonus on the last step.

    Observed are x and 5 + 2x, in the given units; rewards except the bonus are multiplied by `factor`.
    """

    def __init__(self, bonus: float = 0.0, factor: float = 1.0, units: Array | None = None) -> None:
        self.bonus, self.factor = bonus, factor
        self.units = np.ones(2) if units is None else units
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """A start from N(0, 1)."""
        super().reset(seed=seed)
        self.x, self.t = float(self.np_random.standard_normal()), 0
        return self.units * np.array([self.x, 5.0 + 2.0 * self.x]), {}

    def step(self, action: Array) -> Any:
        """One step of the walk."""
        reward = -(self.x**2) - 0.1 * float(action[0]) ** 2
        self.x += float(action[0]) + 0.1 * float(self.np_random.standard_normal())
        self.t += 1
        last = self.t == 5
        obs = self.units * np.array([self.x, 5.0 + 2.0 * self.x])
        return obs, self.factor * reward + self.bonus * last, last, False, {}


WALKER = Gaussian(Linear(2, 1))


def walk(bonus: float = 0.0, factor: float = 1.0, units: Array | None = None) -> EpisodeEvaluator:
    """Episodes of `Walk` under a linear-Gaussian policy with four parameters."""
    return EpisodeEvaluator(lambda: Walk(bonus, factor, units), WALKER)
