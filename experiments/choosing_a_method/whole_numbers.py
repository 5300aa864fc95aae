"""Whole numbers in CMA-ES: rounded by `Space`, or by the handling of `cma` itself (`integer_variables`).

    python experiments/choosing_a_method/whole_numbers.py

Two real parameters in [0, 10] and three whole ones from 0 to k, a sum of squares around an optimum that is drawn for
each seed, every range counted as 10; 300 evaluations. Printed are the median of the recommendation's cost, and how
many of the recommendations cost less than 0.01, for which all whole numbers have to be right.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from policysearch.core import Array, Evaluation, Proposal
from policysearch.optimizers import CMAES
from policysearch.search import Budget, generations
from policysearch.seeding import Key, stream
from policysearch.space import Parameter, Space

BUDGET, SEEDS, REAL, WHOLE = 300, 15, 2, 3


@dataclass(frozen=True, eq=False)
class Squares:
    """The problem; an evaluator of the coordinates of its space."""

    k: int
    optimum: Array

    @classmethod
    def drawn(cls, k: int, seed: int) -> "Squares":
        """The problem of a seed."""
        rng = stream("whole numbers", k, seed)
        return cls(k, np.append(rng.uniform(2, 8, REAL), rng.integers(1, k, WHOLE).astype(float)))

    @property
    def space(self) -> Space:
        """Its parameters, which start in the middle."""
        real = [Parameter(f"x{i}", 5.0, 0.0, 10.0) for i in range(REAL)]
        whole = [Parameter(f"n{i}", self.k // 2, 0.0, self.k, integer=True) for i in range(WHOLE)]
        return Space((*real, *whole))

    def cost(self, values: Array) -> float:
        """The cost of values in their own units."""
        ranges = np.append(np.full(REAL, 10.0), np.full(WHOLE, float(self.k)))
        return float((((values - self.optimum) / ranges * 10.0) ** 2).sum())

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The costs with their sign changed."""
        returns = np.array([[-self.cost(values)] for values in self.space.decode(proposal.params)])
        return Evaluation(proposal.params, returns, np.ones(returns.shape, dtype=int))


def ours(problem: Squares, seed: int, sigma: float) -> float:
    """What `cma-es` recommends, which is given coordinates that `Space` rounds."""
    found = problem.space.domain.start
    for made in generations(CMAES(sigma), problem, problem.space.domain, budget=Budget(BUDGET), seed=seed):
        found = made.recommendation
    return problem.cost(problem.space.decode(found))


def handled(problem: Squares, seed: int, sigma: float) -> float:
    """What `cma` recommends, which is told which variables are whole."""
    import cma  # noqa: PLC0415 - takes over a second

    ends = np.append(np.full(REAL, 10.0), np.full(WHOLE, float(problem.k)))
    options: dict[str, Any] = {"seed": seed + 1, "verbose": -9, "verb_log": 0, "bounds": [0.0 * ends, ends]}
    options |= {"CMA_stds": ends, "integer_variables": list(range(REAL, REAL + WHOLE))}
    es, spent = (
        cma.CMAEvolutionStrategy(
            np.append(np.full(REAL, 5.0), np.full(WHOLE, problem.k // 2)), sigma, options
        ),
        0,
    )

    def rounded(x: Array) -> Array:
        return np.append(x[:REAL], np.round(x[REAL:]))

    while spent + es.popsize <= BUDGET and not es.stop():
        points = es.ask()
        es.tell(points, [problem.cost(rounded(x)) for x in points])
        spent += len(points)
    return problem.cost(rounded(np.asarray(es.result.xfavorite)))


def main() -> None:
    """Print a line for every method and number of values."""
    warnings.filterwarnings("ignore")
    for k in (4, 8, 20, 100):
        for name, search in (("rounded by Space", ours), ("integer_variables", handled)):
            for sigma in (0.1, 0.3):
                costs = [search(Squares.drawn(k, seed), seed, sigma) for seed in range(SEEDS)]
                right = sum(cost < 0.01 for cost in costs)
                print(
                    f"0 to {k:3}, {name:18} sigma {sigma}: {np.median(costs):.1e}, right {right} of {SEEDS}"
                )


if __name__ == "__main__":
    main()
