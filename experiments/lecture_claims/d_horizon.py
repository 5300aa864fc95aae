"""Gradient-free search ignores the temporal structure of an episode: what does a long horizon cost it?

On the chain, whose horizon T and number of cells are set separately, once with five cells whatever the horizon, and
once with a cell for every step: then the policy is one of time, with 2 T parameters. What is counted are rollouts
until J(θ), exactly, is 90 % of the way from the start θ = 0, T/2, to the optimum T.

Expected, per rollout at θ = 0: the signal ‖∇J‖ grows with T where cells are shared, and as √T where they are not.
The noise of a reward-to-go is that of about T rewards, before each of T scores, so it grows with T in both cases;
what a gradient-free method sees is the sum of the rewards, whose noise grows with √T (Salimans et al. 2017, section
3, make this argument), and its own perturbations of all parameters.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from claim import Claim, Measured, bootstrap_interval, mean_interval
from jaxtyping import Float

from policysearch.compare.plots import COLOURS, figure_of
from policysearch.core import Array, Domain, Optimizer, Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.gradients import baselines, parameter_space, score_function
from policysearch.gradients.tabular import MDP
from policysearch.optimizers import CMAES, EvolutionStrategy, Reinforce
from policysearch.policies import Linear, Softmax
from policysearch.search import Budget, generations
from policysearch.seeding import stream
from policysearch.simulators.problems import chain
from policysearch.simulators.tabular import make_simulator

TARGET, LIMIT = 0.95, 6000  # of the optimum, which is twice the start; rollouts after which a run is given up
TUNING_RUNS, RUNS = 3, 20


@dataclass(frozen=True)
class Method:
    """How its policies act, and the eight settings among which it is tuned."""

    deploy: Literal["mode", "sample"]
    settings: tuple[Optimizer, ...]


_ES = tuple(
    EvolutionStrategy(population_size=n, sigma=sigma, learning_rate=rate, weight_decay=0.0)
    for n in (10, 40) for sigma in (0.5, 1.5) for rate in (0.2, 0.6)
)  # fmt: skip
METHODS: dict[str, Method] = {
    "REINFORCE": Method("sample", tuple(
        Reinforce(episodes=n, learning_rate=rate, discount=1.0)
        for n in (4, 16) for rate in (0.1, 0.2, 0.4, 0.8)
    )),
    "ES, same J(θ)": Method("sample", _ES),
    "ES, by its mode": Method("mode", _ES),
    "CMA-ES, by its mode": Method("mode", tuple(
        CMAES(sigma=sigma, population_size=n) for n in (8, 16, 32, 64) for sigma in (0.5, 2.0)
    )),
}  # fmt: skip


class Chain:
    """The chain with a tabular policy, its rollouts without common random numbers: a lucky return stays lucky."""

    def __init__(self, horizon: int, cells: int, deploy: Literal["mode", "sample"]) -> None:
        self.problem: MDP = chain(horizon, cells, reward_std=1.0)
        self.cells, self.deploy = cells, deploy
        self.evaluator = CompiledEvaluator(
            make_simulator(self.problem), Softmax(Linear(cells, 2, bias=False), (2,)),
            max_episode_steps=horizon + 1, deploy=deploy, common_random_numbers=False, threads=1,
        )  # fmt: skip

    def value(self, params: Float[Array, "d"]) -> float:
        """J(θ), or J of the mode."""
        theta = params.reshape(2, self.cells).T
        if self.deploy == "mode":
            theta = np.where(np.arange(2) == theta.argmax(axis=1)[:, None], 0.0, -np.inf)
        return self.problem.expected_return(theta)

    def rollouts_to_target(self, optimizer: Optimizer, seed: int) -> int:
        """Until the recommendation is good enough; LIMIT if it never is."""
        target = TARGET * self.problem.optimal_return()
        start = Domain.unbounded(np.zeros(2 * self.cells))
        for turn in generations(optimizer, self.evaluator, start, budget=Budget(LIMIT), seed=seed):
            if self.value(turn.recommendation) >= target:
                return turn.rollouts
        return LIMIT

    def signal_to_noise(self, rollouts: int = 2000) -> tuple[float, float, float]:
        """E[g·u]/√(tr Cov g) of the estimate g from one rollout at θ = 0, u being the direction of ∇J."""
        u = self.problem.gradient(np.zeros((self.cells, 2))).T.ravel()
        theta, rng, n = np.zeros(u.size), stream(0, "perturbations"), rollouts // 2
        if self.deploy == "sample":
            ask = Proposal(theta[None], theta, rollouts, sample=True, record=True)
            records = self.evaluator.evaluate(ask, (0, "signal")).rollouts[0]
            g = score_function.episode_gradients(records, baselines.weights(records, discount=1.0))
            cost = 1
        return 0.0, 0.0, 0.0
