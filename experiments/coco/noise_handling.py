"""Noise handling of CMA-ES next to none, and to the handler of `cma` itself, at equal rollouts.

python experiments/coco/noise_handling.py [--dimension 5] [--budget 100] [--instances 2]

The functions are the 30 noisy ones of Hansen, Finck, Ros & Auger 2009, "Real-parameter black-box optimization
benchmarking 2009: noisy functions definitions", as `cma.bbobbenchmarks` has them: Gaussian, uniform and Cauchy noise,
moderate (F101 to F106) and severe. Every method has the same start and the same number of rollouts, repetitions among
them. The number is log10 of the noise-free loss of the recommendation, in units of that of the start; the interval is
that of the mean difference to no noise handling.
"""

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from peers import SIGMA, Spent

from policysearch.core import Array, Domain, Evaluation, Optimizer, Proposal
from policysearch.optimizers import CMAES
from policysearch.search import Budget, generations
from policysearch.seeding import Key, stream

Search = Callable[[Any, Array, int, int], Array]


def ours(optimizer: Optimizer) -> Search:
    """The recommendation of a method of this package."""

    class Noisy:
        def __init__(self, function: Any) -> None:
            self.function = function

        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            returns = np.array(
                [[-float(self.function(x)) for _ in range(proposal.episodes)] for x in proposal.params]
            )
            return Evaluation(proposal.params, returns, np.ones(returns.shape, dtype=int))

    def search(function: Any, start: Array, seed: int, budget: int) -> Array:
        domain = Domain.unbounded(start)
        for made in generations(optimizer, Noisy(function), domain, budget=Budget(budget), seed=seed):
            start = made.recommendation
        return start

    return search


def pycma(max_episodes: int) -> Search:
    """The mean of `cma` with its own handler."""

    def search(function: Any, start: Array, seed: int, budget: int) -> Array:
        import cma  # noqa: PLC0415

        left, mean = budget, start
        es = cma.CMAEvolutionStrategy(start, SIGMA, {"seed": seed + 1, "verbose": -9, "verb_log": 0})
        handler = cma.NoiseHandler(start.size, maxevals=max_episodes)

        def value(x: Array) -> float:
            nonlocal left
            if left < 1:
                raise Spent
            left -= 1
            return float(function(x))

        try:
            while not es.stop():
                points, fitness = es.ask_and_eval(value, evaluations=handler.evaluations)
                es.sigma *= handler(points, fitness, value, es.ask)
                es.tell(points, fitness)
                mean = es.mean.copy()
        except Spent:
            pass
        return mean

    return search


METHODS: dict[str, Search] = {
    "none": ours(CMAES(sigma=SIGMA)),
    "noise_handling, 30 episodes": ours(CMAES(sigma=SIGMA, noise_handling=True)),
    "noise_handling, 5 episodes": ours(CMAES(sigma=SIGMA, noise_handling=True, max_episodes=5)),
    "noise_handling, 1 episode": ours(CMAES(sigma=SIGMA, noise_handling=True, max_episodes=1)),
    "cma's handler, 30 episodes": pycma(30),
    "cma's handler, 1 episode": pycma(1),
    "none, population of 32": ours(CMAES(sigma=SIGMA, population_size=32)),
}


def losses(number: int, instance: int, d: int, budget: int) -> list[float]:
    """log10 of the loss of every method's recommendation over that of the start."""
    from cma import bbobbenchmarks  # noqa: PLC0415 - warns when it is imported

    function, optimum = bbobbenchmarks.instantiate(number, instance)
    start, seed = stream("start", number, instance, d).uniform(-4.0, 4.0, d), 1000 * number + instance
    function(start)  # which makes the function's constants

    def loss(x: Array) -> float:
        return max(float(np.ravel(function._evalfull(x[None])[1])[0]) - optimum, 1e-9)

    found = []
    for search in METHODS.values():
        np.random.seed(seed)  # noqa: NPY002 - of which the noise is drawn
        found.append(float(np.log10(loss(search(function, start, seed, budget * d)) / loss(start))))
    return found


def main() -> None:
    """Print a line for every method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--dimension", type=int, default=5)
    parser.add_argument("--budget", type=int, default=100, help="rollouts per dimension")
    parser.add_argument("--instances", type=int, default=2)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    d, budget = arguments.dimension, arguments.budget
    table = np.array(
        [losses(n, i, d, budget) for n in range(101, 131) for i in range(1, arguments.instances + 1)]
    )
    for name, column in zip(METHODS, table.T, strict=True):
        difference = column - table[:, 0]
        half = 1.96 * difference.std(ddof=1) / np.sqrt(difference.size)
        print(f"{name:28} {column.mean():+.2f}, less none {difference.mean():+.2f} ± {half:.2f}")


if __name__ == "__main__":
    main()
