"""Which method `policysearch.tune` takes for one parameter: writes `findings.md`.

    python experiments/one_parameter/one_parameter.py                 20 seeds, about three minutes of one idle core
    python experiments/one_parameter/one_parameter.py --seeds 2       a first look

Each method searches each function as `tune` would. The recommendations after 30 and 100 rollouts are scored without
noise by their regret, 0 at the best value and 1 at the start, no more than 2 each.
"""

import argparse
from pathlib import Path

import numpy as np
from functions import PROBLEMS, Noisy, Problem
from not_taken import GoldenSection, TrustRegion

from policysearch.core import Array, Optimizer
from policysearch.optimizers import SNES, CrossEntropy, HillClimbing, NelderMead, RandomSearch
from policysearch.optimizers.local_regression import LocalRegression
from policysearch.search import Budget, generations

METHODS: dict[str, Optimizer] = {
    "local-regression": LocalRegression(),
    "hill-climbing (default until now)": HillClimbing(),
    "hill-climbing, 4 neighbours, adapt": HillClimbing(neighbours=4, sigma=0.3, adapt=True),
    "random-search": RandomSearch(),
    "nelder-mead": NelderMead(),
    "snes": SNES(),
    "cross-entropy, 10 candidates": CrossEntropy(population_size=10, elites=3, sigma=0.3),
    "golden section": GoldenSection(),
    "golden section, means of 5": GoldenSection(5),
    "trust region": TrustRegion(),
}
#: Standard deviations of the noise, as shares of the gain over the start.
NOISE = (0.0, 0.03, 0.1, 0.3)
BUDGETS = (30, 100)

PAGE = """# One parameter

Written by `python experiments/one_parameter/one_parameter.py`: the mean regret over {problems} functions and {seeds}
seeds after 30 / 100 rollouts (0: the best value, 1: the start). Noise is the standard deviation of a rollout, as a
share of the gain over the start.

{table}

Mean regret after 100 rollouts without noise / with a tenth, by function:

{functions}

`tune` takes `local-regression` for one parameter.
"""


def regrets(method: Optimizer, problem: Problem, noise: float, seed: int) -> list[float]:
    """The regret of what is recommended after each of the budgets."""
    found = dict.fromkeys(BUDGETS, problem.domain.start)
    for generation in generations(
        method, Noisy(problem, noise), problem.domain, budget=Budget(BUDGETS[-1]), seed=seed
    ):
        found |= {b: generation.recommendation for b in BUDGETS if generation.rollouts <= b}
    return [float(np.clip(problem.regret(x), 0.0, 2.0)) for x in found.values()]


def score(method: Optimizer, seeds: int) -> Array:
    """Mean regrets, by function, noise and budget."""
    return np.array(
        [
            [
                np.mean([regrets(method, problem, noise, seed) for seed in range(seeds)], axis=0)
                for noise in NOISE
            ]
            for problem in PROBLEMS
        ]
    )


def rows(head: list[str], body: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def main() -> None:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("findings.md"))
    arguments = parser.parse_args()
    found = {name: score(method, arguments.seeds) for name, method in METHODS.items()}
    means = {name: scores.mean(axis=0) for name, scores in found.items()}
    table = rows(
        ["method", *(f"noise {noise:g}" for noise in NOISE), "mean"],
        [
            [name, *(" / ".join(f"{x:.3f}" for x in level) for level in m), f"{m.mean():.3f}"]
            for name, m in means.items()
        ],
    )
    shown = list(METHODS)[:5]
    functions = rows(
        ["function", *shown],
        [
            [p.name, *(f"{found[name][i, 0, 1]:.2g} / {found[name][i, 2, 1]:.2g}" for name in shown)]
            for i, p in enumerate(PROBLEMS)
        ],
    )
    page = PAGE.format(problems=len(PROBLEMS), seeds=arguments.seeds, table=table, functions=functions)
    arguments.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
