"""What the rule of `auto` was chosen from: its two stages with other numbers and methods, on the tuning problems.

    python experiments/choosing_a_method/auto_rule.py --out experiments/choosing_a_method/auto_rule.csv

A row per rule and budget: the mean score over the problems with noise, those without, and all. Seeds 10 to 14, which
the study of configurations does not use.
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
from policysearch.optimizers import CMAES, HillClimbing, MultiStart, SeparableCMAES
from policysearch.optimizers.auto import DESIGN, Auto

SEEDS, MOST = range(10, 15), 300
SEP_CMAES, MULTI_START = SeparableCMAES(sigma=0.17), MultiStart(design=DESIGN, edge=0.36)


@dataclass(frozen=True)
class Rule(Auto):
    """`auto` with other methods for the second stage."""

    noisy: Optimizer = SEP_CMAES
    exact: Optimizer = MULTI_START

    def _chosen(self, domain: Domain, *, noise: bool) -> Optimizer:
        return self.noisy if noise else self.exact


RULES: dict[str, Optimizer] = {
    "auto": Rule(),
    "a simplex of 40": Rule(polish=40),
    "of 60": Rule(polish=60),
    "cma-es with noise": Rule(noisy=CMAES(sigma=0.17)),
    "hill climbing with noise": Rule(noisy=HillClimbing()),
    "no second method without noise": Rule(exact=SEP_CMAES),
    "wider designs without noise": Rule(exact=MultiStart(design=28, edge=0.7)),
    "smaller simplices without noise": Rule(exact=MultiStart(design=6, edge=0.13)),
    "no first stage, sep-cma-es": SEP_CMAES,
    "no first stage, cma-es": CMAES(sigma=0.1),
}


def made(name: str, problem: str, seed: int) -> list[dict[str, Any]]:
    """The rows of one search."""
    warnings.simplefilter("ignore")
    vars(choice_runs)["method"] = lambda *_: RULES[name]
    return rows_of(Job(problem, name, seed), MOST)


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
