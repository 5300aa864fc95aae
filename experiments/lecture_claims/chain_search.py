"""Searches on the chain at several horizons and sizes: rollouts to a target, and the signal-to-noise of estimates.

What d_horizon.py and e_parameters.py share. A run counts rollouts until J of its recommendation, exactly, is 90 % of
the way from the start θ = 0, where J = T/2, to the optimum T. Rollouts are without common random numbers: on this
chain these would cancel the noise of the rewards from every comparison of two candidates.

Each method is tuned at each place among its eight settings, by the mean of six runs; it then does twenty fresh
ones, whose geometric mean counts: some settings fail now and then, and a run that is given up would rule a mean.
The signal-to-noise ratio of an estimate g of ∇J at θ = 0 is E[g·u]/√(tr Cov g), per √rollout, with u = ∇J/‖∇J‖.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from claim import Measured, bootstrap_interval, mean_interval
from jaxtyping import Float
from matplotlib.ticker import LogLocator

from policysearch.core import Array, Domain, Optimizer, Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.gradients import baselines, parameter_space, score_function
from policysearch.models.mdp import MDP
from policysearch.optimizers import ARS, EvolutionStrategy, Reinforce
from policysearch.policies import Linear, Softmax
from policysearch.reporting.figures import COLOURS
from policysearch.search import Budget, generations
from policysearch.seeding import stream
from policysearch.simulators.problems import chain
from policysearch.simulators.tabular import make_simulator

TARGET = 0.95  # of the optimum, which is twice the start
LIMIT = 4000  # rollouts at which a run is given up, and counted as if it had arrived
TUNING_RUNS, RUNS = 6, 20
ESTIMATES, SIGMA = 1000, 1.0  # of gradients at the start; the size of the perturbations in them
POINT, SHORT = "REINFORCE", "REINFORCE, γ = 0.5"  # the other methods are compared with the first
DISCOUNTS = {POINT: 1.0, SHORT: 0.5}  # on this chain no action has consequences, and no discount a bias
RIVALS = ("ES, actions drawn", "ARS, by the mode")


@dataclass(frozen=True)
class Method:
    """How its policies act, and the settings among which it is tuned."""

    deploy: Literal["mode", "sample"]
    settings: tuple[Optimizer, ...]


METHODS: dict[str, Method] = {
    name: Method("sample", tuple(
        Reinforce(episodes=n, learning_rate=rate, discount=discount)  # reward-to-go, a baseline for every step
        for n in (4, 16) for rate in (0.1, 0.2, 0.4, 0.8)
    ))
    for name, discount in DISCOUNTS.items()
} | {
    RIVALS[0]: Method("sample", tuple(
        EvolutionStrategy(population_size=n, sigma=sigma, learning_rate=rate, weight_decay=0.0)
        for n in (10, 40) for sigma in (0.5, 1.5) for rate in (0.3, 0.9)
    )),
    RIVALS[1]: Method("mode", tuple(  # whose start is 0 and whose mode has no scale: σ = 1 is no loss
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
        for generation in generations(optimizer, self.evaluator, start, budget=Budget(int(limit)), seed=seed):
            if self.expected_return(generation.recommendation) >= target:
                return generation.rollouts
        return limit

    def tuned(self, settings: Sequence[Optimizer]) -> Optimizer:
        """The setting whose tuning runs take the fewest rollouts; one that has spent more already is dropped."""
        best, least = settings[0], np.inf
        for setting in settings:
            spent = 0.0
            for run in range(TUNING_RUNS):
                spent += self.rollouts_to_target(setting, -1 - run, min(LIMIT, least - spent))
                if spent >= least:
                    break
            if spent < least:
                best, least = setting, spent
        return best

    def estimates(self) -> tuple[Float[Array, "n d"], int]:
        """Gradients at θ = 0 and the rollouts that each takes, by the means of the methods above."""
        theta, z = np.zeros(2 * self.cells), stream(0, "z").standard_normal((ESTIMATES, 2 * self.cells))
        ask = Proposal(theta + SIGMA * parameter_space.mirrored(z), theta)
        plus, minus = self.evaluator.evaluate(ask, (0, "signal")).fitness.reshape(2, ESTIMATES)
        return (plus - minus)[:, None] * z / (2 * SIGMA), 2

    def score_estimates(self, discount: float) -> tuple[Float[Array, "n d"], int]:
        """The same by the score function."""
        theta = np.zeros(2 * self.cells)
        ask = Proposal(theta[None], theta, ESTIMATES, sample=True, record=True)
        records = self.evaluator.evaluate(ask, (0, "signal")).rollouts[0]
        return score_function.episode_gradients(records, baselines.weights(records, discount=discount)), 1

    def signal_and_noise(self, name: str) -> Float[Array, "n 2"]:
        """g·u and ‖g − E g‖² of every estimate, scaled to what one rollout gives."""
        g, cost = self.score_estimates(DISCOUNTS[name]) if name in DISCOUNTS else self.estimates()
        u = self.problem.gradient(np.zeros((self.cells, 2))).T.ravel()
        noise = cost * ((g - g.mean(axis=0)) ** 2).sum(axis=1)
        return np.stack([g @ u / np.linalg.norm(u), noise], axis=1)


def ratio(signal_and_noise: Float[Array, "n *places 2"]) -> Any:
    """The signal-to-noise ratio."""
    signal, noise = np.moveaxis(signal_and_noise.mean(axis=0), -1, 0)
    return signal / np.sqrt(noise)


def typical(rollouts: Float[Array, "runs *places"]) -> Any:
    """The geometric mean over runs."""
    return np.exp(np.log(rollouts).mean(axis=0))


@dataclass(frozen=True, eq=False)
class Sweep:
    """What came of every method at every place (horizon, cells), against x."""

    x: Float[Array, "places"]
    rollouts: dict[str, Float[Array, "runs places"]]
    estimates: dict[str, Float[Array, "n places 2"]]
    table: pd.DataFrame

    def slope(self, y: Float[Array, "places"]) -> float:
        """Of log y against log x."""
        return float(np.polyfit(np.log(self.x), np.log(y), 1)[0])

    def exponent(self, name: str) -> tuple[float, float, float]:
        """p in rollouts ∝ x^p, with its interval over runs."""
        return bootstrap_interval(self.rollouts[name], lambda runs: self.slope(typical(runs)))

    def excess(self, name: str, point: str = POINT) -> tuple[float, float, float]:
        """How much larger p is than that of a policy gradient."""
        both = np.stack([self.rollouts[name], self.rollouts[point]], axis=1)
        return bootstrap_interval(
            both, lambda runs: self.slope(typical(runs[:, 0])) - self.slope(typical(runs[:, 1]))
        )

    def holds_for(self) -> list[str]:
        """The methods whose exponent is larger, the interval of the difference above 0."""
        return [name for name in RIVALS if self.excess(name)[1] > 0]

    def given_up(self) -> str:
        """How many runs did not arrive."""
        counts = {name: int((runs >= LIMIT).sum()) for name, runs in self.rollouts.items()}
        return ", ".join(f"{count} of {self.rollouts[name].size} of {name}" for name, count in counts.items())

    def beside_short(self) -> str:
        """The exponents of the other methods, and those of a policy gradient that looks one or two steps ahead."""
        parts = []
        for name in RIVALS:
            value, low, high = self.excess(name, SHORT)
            parts.append(f"{value:+.2f} ({low:.2f} … {high:.2f}) for {name}")
        return ", ".join(parts)

    def cheapest(self) -> str:
        """The method that needs the fewest rollouts at each place."""
        costs = {name: typical(runs) for name, runs in self.rollouts.items()}
        winners = [min(costs, key=lambda name: costs[name][i]) for i in range(len(self.x))]
        return ", ".join(f"{x:g}: {winner}" for x, winner in zip(self.x, winners, strict=True))

    def measured(self, symbol: str, theory: dict[str, str]) -> list[Measured]:
        """Exponents of rollouts and of signal-to-noise."""
        out = []
        for name in METHODS:
            out.append(Measured(f"{name}: p of rollouts ∝ {symbol}", *self.exponent(name)))
            if name in RIVALS:
                out.append(
                    Measured(
                        f"{name}: its p less that of {POINT}", *self.excess(name), "> 0 if the claim holds"
                    )
                )
            noise = bootstrap_interval(self.estimates[name], lambda rows: self.slope(ratio(rows)), 500)
            out.append(Measured(f"{name}: q of signal-to-noise ∝ {symbol}", *noise, theory[name]))
        return out

    def draw(self, left: Any, right: Any, *, xlabel: str) -> None:
        """Rollouts to the target, and signal-to-noise ratios."""
        for name, colour in zip(METHODS, COLOURS, strict=False):
            logs = np.log(self.rollouts[name]).T
            mean, low, high = np.exp(np.transpose([mean_interval(column) for column in logs]))
            left.errorbar(self.x, mean, [mean - low, high - mean], color=colour, marker="o", ms=4, capsize=2,
                          label=f"{name}, p = {self.slope(mean):.2f}")  # fmt: skip
            y = ratio(self.estimates[name])
            right.plot(
                self.x,
                y,
                color=colour,
                marker="o",
                ms=4,
                label=f"{name}, q = {round(self.slope(y), 2) + 0.0:.2f}",
            )
        for axis in (left, right):
            axis.set(xscale="log", yscale="log", xlabel=xlabel)
            axis.set_xticks(self.x, [f"{x:g}" for x in self.x])
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
            axis.legend(
                frameon=False, fontsize=7, loc="upper right", ncols=2, handlelength=1.2, columnspacing=1.0
            )
            axis.set_ylim(axis.get_ylim()[0], 4 * axis.get_ylim()[1])  # room for the legend
        left.set_ylabel(f"rollouts to {TARGET:.0%} of the optimum")
        right.set_ylabel("signal / noise of one rollout")


def sweep(places: Sequence[tuple[int, int]], x: Sequence[float]) -> Sweep:
    """Tune every method at every place (horizon, cells), then run it anew."""
    rollouts, estimates, rows = {}, {}, []
    for name, method in METHODS.items():
        columns, signals = [], []
        for horizon, cells in places:
            there = Chain(horizon, cells, method.deploy)
            setting = there.tuned(method.settings)
            spent = np.array([there.rollouts_to_target(setting, run) for run in range(RUNS)])
            signal = there.signal_and_noise(name)
            mean, low, high = np.exp(mean_interval(np.log(spent)))
            rows.append({
                "method": name, "horizon": horizon, "cells": cells, "parameters": 2 * cells,
                "mean_rollouts": mean, "low": low, "high": high, "given_up": int((spent >= LIMIT).sum()),
                "signal_to_noise": float(ratio(signal)), "setting": str(setting),
                "rollouts": " ".join(f"{n:.0f}" for n in spent),
            })  # fmt: skip
            columns.append(spent)
            signals.append(signal)
        rollouts[name], estimates[name] = np.stack(columns, axis=1), np.stack(signals, axis=1)
    return Sweep(np.array(x, dtype=float), rollouts, estimates, pd.DataFrame(rows))
