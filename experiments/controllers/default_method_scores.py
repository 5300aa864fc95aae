"""The scores of the searches from which the default method is chosen: regrets, and their statistics over tasks.

`default_method.py` says what they mean.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from best_known import near
from default_method_searches import BEST, BUDGETS, DEFAULT, KINDS, METHODS, ONE, PROBLEMS, START
from jaxtyping import Float, Int
from scipy.stats import rankdata

from policysearch.compare.statistics import iqm, stratified_interval
from policysearch.core import Array

WORST = 2.0  # regret of a failure


def regret(returns: Float[Array, "*n"], start: float, best: float) -> Float[Array, "*n"]:
    """(best − return)/(best − start) in [0, 2]; 2 where there is no return."""
    return np.clip(np.where(np.isnan(returns), WORST, (best - returns) / (best - start)), 0.0, WORST)


def references(table: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """Start and best known of each kind of trials and task."""
    found = {}
    for trials, task in itertools.product(KINDS, PROBLEMS):
        part = table[(table["trials"] == trials) & (table["task"] == task)]
        known = part[part["method"] == BEST]
        highest = part["seen"].max() if trials == ONE else known["return"].max()
        found[trials, task] = float(part.loc[part["method"] == START, "return"].iloc[0]), float(highest)
    return found


class Results(NamedTuple):
    """Regrets, and whether they are near the best; NaN where there was no run."""

    regrets: Float[Array, "tasks methods budgets seeds"]
    near: Float[Array, "tasks methods budgets seeds"]

    @classmethod
    def of(cls, table: pd.DataFrame, trials: str, tasks: Sequence[str], seeds: int) -> "Results":
        """The results in the rows of these trials and tasks."""
        known, names = references(table), list(METHODS)
        regrets, close = np.full((2, len(tasks), len(names), len(BUDGETS), seeds), np.nan)
        part = table[(table["trials"] == trials) & table["task"].isin(tasks) & table["method"].isin(names)]
        for row in part[part["rollouts"].isin(BUDGETS)].to_dict("records"):
            start, best = known[trials, row["task"]]
            t, m, b = tasks.index(row["task"]), names.index(row["method"]), BUDGETS.index(row["rollouts"])
            value = np.array(row["return"])
            regrets[t, m, b, row["seed"]] = regret(value, start, best)
            close[t, m, b, row["seed"]] = near(value, best)
        return cls(regrets, close)

    def __add__(self, other: Any) -> "Results":
        """The tasks of both."""
        return Results(np.concatenate([self.regrets, other.regrets]), np.concatenate([self.near, other.near]))

    def complete(self, method: int, budget: int) -> Int[Array, "s"]:
        """The seeds of a method that ran with a budget on every task."""
        return np.flatnonzero(~np.isnan(self.regrets[:, method, budget]).any(axis=0))


def over_tasks(regrets: Float[Array, "tasks seeds"]) -> Callable[[Any], Float[Array, "*m"]]:
    """The score over tasks as a statistic of (one stratum of) seeds."""
    return lambda strata: iqm(regrets[:, strata[0].astype(int)]).mean(axis=0)


class Score(NamedTuple):
    """A method at a budget, over tasks."""

    regret: float
    interval: tuple[float, float]
    gap: float  # regret less that of the default, on the seeds of both
    gap_interval: tuple[float, float]
    rank: float  # of the tasks' interquartile means, in the mean over tasks
    near: float  # part of the runs
    worse: float  # than the start
    seeds: int


def score(results: Results, method: int, budget: int) -> Score | None:
    """None for a method that could not run on every task."""
    seeds = results.complete(method, budget)
    if seeds.size == 0:
        return None
    regrets = results.regrets[:, :, budget]
    all_ranks = np.array([rankdata(middle) for middle in _middles(regrets)])
    one, other = regrets[:, method, seeds], regrets[:, list(METHODS).index(DEFAULT), seeds]
    index, key = np.arange(seeds.size, dtype=float), ("default method", "bootstrap")

    def gap(strata: Any) -> Float[Array, "*m"]:
        return over_tasks(one)(strata) - over_tasks(other)(strata)

    return Score(
        float(over_tasks(one)([index])),
        stratified_interval([index], over_tasks(one), *key),
        float(gap([index])),
        stratified_interval([index], gap, *key),
        float(all_ranks[:, method].mean()),
        float(results.near[:, method, budget][:, seeds].mean()),
        float((one > 1.0).mean()),
        seeds.size,
    )


def _middles(regrets: Float[Array, "tasks methods seeds"]) -> list[list[float]]:
    """Interquartile mean of each task and method; ∞ where there is none, which ranks last."""
    return [
        [float(iqm(kept)) if (kept := seeds[~np.isnan(seeds)]).size else np.inf for seeds in methods]
        for methods in regrets
    ]


def scores_of(results: Results) -> dict[str, list[Score | None]]:
    """The scores of all methods at every budget, the best at 100 rollouts first."""
    found = {name: [score(results, m, b) for b in range(len(BUDGETS))] for m, name in enumerate(METHODS)}
    order = {name: [s.regret if s else np.inf for s in (row[1], row[0])] for name, row in found.items()}
    return {name: found[name] for name in sorted(found, key=lambda name: order[name])}
