"""What the rule of `auto` was chosen from: other numbers and methods in its places, on the tuning problems.

    python experiments/choosing_a_method/auto_rule.py --out experiments/choosing_a_method/auto_rule.csv

A row per rule and budget: the mean score over the problems with noise, those without, and all. Seeds 42 to 49: the
study of configurations has those below 10, and the rules were first tried on others up to 41.
"""

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import choice_runs
import choice_scores
import numpy as np
import pandas as pd
from choice_problems import TUNING, problems
from choice_runs import Job, rows_of

from policysearch.core import Domain, Optimizer
from policysearch.files import write_text
from policysearch.optimizers import (
    CMAES,
    Auto,
    HillClimbing,
    MultiStart,
    NelderMead,
    OnePlusOneCMAES,
    QuadraticModel,
    SeparableCMAES,
)

SEEDS, MOST = range(42, 50), 300
QUADRATIC, SEP_CMAES = QuadraticModel(), SeparableCMAES(sigma=0.1)


@dataclass(frozen=True)
class Rule(Auto):
    """`auto` with other methods."""

    without_noise: Optimizer = QUADRATIC
    with_noise: Optimizer | None = None
    simplex: bool = True  # without bounds
    simplex_in_bounds: bool = False

    def _without_noise(self) -> Optimizer:
        return self.without_noise

    def _strategy(self) -> Optimizer:
        return self.with_noise or super()._strategy()

    def _simplex(self, domain: Domain) -> bool:
        return self.simplex_in_bounds if domain.enclosed else self.simplex


RULES: dict[str, Optimizer] = {
    "auto": Rule(),
    "a region of 0.1": Rule(without_noise=QuadraticModel(radius=0.1)),
    "a region of 0.3": Rule(without_noise=QuadraticModel(radius=0.3)),
    "multi-start without noise": Rule(without_noise=MultiStart(design=6, edge=0.36)),
    "a simplex without noise": Rule(without_noise=NelderMead(edge=0.15)),
    "(1+1)-cma-es without noise": Rule(without_noise=OnePlusOneCMAES()),
    "a simplex with noise and bounds too": Rule(simplex_in_bounds=True),
    "no simplex": Rule(simplex=False),
    "steps of 0.17 with noise": Rule(sigma=0.17),
    "cma-es of 0.1 with noise": Rule(with_noise=CMAES(sigma=0.1)),
    "hill climbing with noise": Rule(with_noise=HillClimbing(sigma=0.1)),
    "quadratic-model alone": QUADRATIC,
    "sep-cma-es alone": SEP_CMAES,
    "cma-es alone": CMAES(sigma=0.1),
}


def made(name: str, problem: str, seed: int) -> list[dict[str, Any]]:
    """The rows of one search. All rules have the same random numbers, so that equal choices give equal scores."""
    warnings.simplefilter("ignore")
    vars(choice_runs)["method"] = lambda *_: RULES[name]
    return [row | {"method": name} for row in rows_of(Job(problem, "rule", seed), MOST)]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("auto_rule.csv"))
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    names = [p.name for p in problems().values() if p.split == TUNING]
    jobs = [(rule, problem, seed) for seed in SEEDS for problem in names for rule in RULES]
    with ProcessPoolExecutor(asked.workers, get_context("spawn")) as pool:
        rows = [row for rows in pool.map(made, *zip(*jobs, strict=True), chunksize=4) for row in rows]
    scores = choice_scores.scored(pd.DataFrame(rows))
    exact = {p.name for p in problems().values() if 0 < p.function <= 100 or p.trials == "one"}
    scores["noise"] = np.where(scores["problem"].isin(exact), "without noise", "with noise")
    means = scores.groupby(["method", "budget", "noise", "problem"])["score"].mean()
    table = means.groupby(["method", "budget", "noise"]).mean().unstack()
    table["all"] = means.groupby(["method", "budget"]).mean()
    write_text(asked.out, table.loc[[*RULES]].round(3).to_csv())


if __name__ == "__main__":
    main()
