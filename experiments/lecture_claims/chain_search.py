"""Searches on the chain at several horizons and sizes: rollouts to a target, and the signal-to-noise of estimates.

What d_horizon.py and e_parameters.py share. A run counts rollouts until J of its recommendation, exactly, is 90 % of
the way from the start θ = 0, where J = T/2, to the optimum T. Rollouts are without common random numbers: on this
chain these would cancel the noise of the rewards from every comparison of two candidates.

Each method is tuned at each place among its eight settings, by the mean of three runs; it then does twenty fresh ones.
The signal-to-noise ratio of an estimate g of ∇J at θ = 0 is E[g·u]/√(tr Cov g), per √rollout, with u = ∇J/‖∇J‖.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from claim import Measured, bootstrap_interval, mean_interval
from jaxtyping import Float

from policysearch.compare.plots import COLOURS
from policysearch.core import Array, Domain, Optimizer, Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.gradients import baselines, parameter_space, score_function
from policysearch.gradients.tabular import MDP
from policysearch.optimizers import ARS, EvolutionStrategy, Reinforce
from policysearch.policies import Linear, Softmax
from policysearch.search import Budget, generations
from policysearch.seeding import stream
from policysearch.simulators.problems import chain
from policysearch.simulators.tabular import make_simulator

TARGET = 0.95  # of the optimum, which is twice the start
LIMIT = 5000  # rollouts at which a run is given up, and counted as if it had arrived
TUNING_RUNS, RUNS = 3, 20
ESTIMATES, SIGMA = 1000, 1.0  # of gradients at the start; the size of the perturbations in them
POINT = "REINFORCE"  # what the others are compared with


@dataclass(frozen=True)
class Method:
    """How its policies act, and the settings among which it is tuned."""

    deploy: Literal["mode", "sample"]
    settings: tuple[Optimizer, ...]


METHODS = {
    POINT: Method("sample", tuple(
        Reinforce(episodes=n, learning_rate=rate, discount=1.0)  # with reward-to-go and a baseline for every step
        for n in (4, 16) for rate in (0.1, 0.2, 0.4, 0.8)
    )),
    "ES, actions drawn": Method("sample", tuple(
        EvolutionStrategy(population_size=n, sigma=sigma, learning_rate=rate, weight_decay=0.0)
        for n in (10, 40) for sigma in (0.5, 1.5) for rate in (0.3, 0.9)
    )),
    "ARS, by the mode": Method("mode", tuple(  # whose start is 0 and whose mode has no scale: σ = 1 is no loss
        ARS(directions=n, step_size=rate, sigma=1.0) for n in (5, 20) for rate in (0.1, 0.3, 1.0, 3.0)
    )),
}  # fmt: skip


class Chain:
    """The chain under a tabular policy."""

    def __init__(self, horizon: int, cells: int, deploy: Literal["mode", "sample"]) -> None:
        self.problem: MDP = chain(horizon, cells, reward_std=1.0)
        self.cells, self.deploy = cells, deploy
        self.evaluator = CompiledEvaluator(
            make_simulator(self.problem), Softmax(Linear(cells, 2, bias=False), (2,)),
            max_episode_steps=horizon + 1, deploy=deploy, common_random_numbers=False, threads=1,
        )  # fmt: skip

    def expected_return(self, params: Float[Array, "d"]) -> float:
        """J(θ), or that of its mode."""
        theta = params.reshape(2, self.cells).T
        if self.deploy == "mode":
            theta = np.where(np.arange(2) == theta.argmax(axis=1)[:, None], 0.0, -np.inf)
        return self.problem.expected_return(theta)

    def rollouts_to_target(self, optimizer: Optimizer, seed: int, limit: float = LIMIT) -> float:
        """Of one run; `limit` if it takes longer."""
        target = TARGET * self.problem.optimal_return()
        start = Domain.unbounded(np.zeros(2 * self.cells))
        for turn in generations(optimizer, self.evaluator, start, budget=Budget(int(limit)), seed=seed):
            if self.expected_return(turn.recommendation) >= target:
                return turn.rollouts
        return limit

    def tuned(self, settings: Sequence[Optimizer]) -> Optimizer:
        """The setting of least mean; a run of three times the least so far cannot belong to it."""
        best, least = settings[0], np.inf
        for setting in settings:
            limit = min(LIMIT, TUNING_RUNS * least)
            mean = np.mean([self.rollouts_to_target(setting, -1 - run, limit) for run in range(TUNING_RUNS)])
            if mean < least:
                best, least = setting, float(mean)
        return best

    def estimates(self) -> tuple[Float[Array, "n d"], int]:
        """Gradients at θ = 0, and the rollouts that each takes: of reward-to-go, or by mirrored perturbations."""
        theta, rng = np.zeros(2 * self.cells), stream(0, "perturbations")
        if self.deploy == "sample*":
            raise AssertionError
        z = rng.standard_normal((ESTIMATES, theta.size))
        ask = Proposal(theta + SIGMA * parameter_space.mirrored(z), theta)
        plus, minus = self.evaluator.evaluate(ask, (0, "signal")).fitness.reshape(2, ESTIMATES)
        return (plus - minus)[:, None] * z / (2 * SIGMA), 2

    def score_estimates(self) -> tuple[Float[Array, "n d"], int]:
        theta = np.zeros(2 * self.cells)
        ask = Proposal(theta[None], theta, ESTIMATES, sample=True, record=True)
        records = self.evaluator.evaluate(ask, (0, "signal")).rollouts[0]
        return score_function.episode_gradients(records, baselines.weights(records, discount=1.0)), 1
