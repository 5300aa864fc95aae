"""Scores of the rows, and the comparisons that the protocol asks for.

    score = (value − start)/(best − start) of a task, between −1 and 1;   the share of targets reached, of a function

Start and best are the task's references (`policysearch.tasks`) where its trials are noisy and it has some; otherwise
the start is that of the run, and best − start is the gain of `references.csv`. A recommendation that fails in a
held-out episode has −1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from choice_problems import TARGETS, Problem, problems
from jaxtyping import Float
from scipy import stats

from policysearch.compare.statistics import iqm, stratified_interval
from policysearch.core import Array
from policysearch.tasks import find_task

REFERENCES = Path(__file__).with_name("references.csv")
#: A cell is not behind whose lower bound of the difference is above this.
MARGIN = -0.05
CELL = ["problem", "budget"]


def known(problem: Problem) -> tuple[float, float] | None:
    """The task's own references, where they hold."""
    return None if problem.function or problem.trials == "one" else find_task(problem.task).normalise


def scored(table: pd.DataFrame, references: Path = REFERENCES) -> pd.DataFrame:
    """The rows that were run, each with its family, split and score."""
    gains: dict[str, float] = {}
    if references.exists():
        known_gains = pd.read_csv(references)
        gains = dict(zip(known_gains["problem"], known_gains["gain"].astype(float), strict=True))
    run = table[(table["budget"] > 0) & table["problem"].isin(problems())].copy()
    run["family"] = [problems()[name].family for name in run["problem"]]
    run["split"] = [problems()[name].split for name in run["problem"]]
    run["score"] = [
        _score(problems()[name], value, start, gains)
        for name, value, start in zip(run["problem"], run["value"], run["start"], strict=True)
    ]
    return run


def _score(problem: Problem, value: float, start: float, gains: dict[str, float]) -> float:
    if problem.function:
        return float((-value <= TARGETS).mean()) if np.isfinite(value) else 0.0
    if not np.isfinite(value):
        return -1.0
    low, high = known(problem) or (start, start + gains[problem.name])
    return float(np.clip((value - low) / (high - low), -1.0, 1.0))


class Cell(NamedTuple):
    """A problem at a budget: a method next to the best peer there."""

    problem: str
    budget: int
    peer: str
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Not behind, behind, or undecided: too wide to say."""
        if self.low > MARGIN:
            return "not behind"
        return "behind" if self.high < MARGIN else "undecided"


def wide(run: pd.DataFrame, problem: str, budget: int) -> pd.DataFrame:
    """The scores of a cell: a row per seed, a column per method."""
    part = run[(run["problem"] == problem) & (run["budget"] == budget)]
    return part.pivot_table(index="seed", columns="method", values="score")


def half(run: pd.DataFrame) -> int:
    """Seeds below this choose the best peer; it is compared on the others."""
    return (int(run["seed"].max()) + 1) // 2


def cells(run: pd.DataFrame, method: str, peers: Sequence[str]) -> list[Cell]:
    """`method` next to the peer that is best on the first half of the seeds, on the second half, paired."""
    found, middle = list[Cell](), half(run)
    for problem, budget in sorted({*run[CELL].itertuples(index=False, name=None)}):
        scores = wide(run, problem, budget)
        there = [peer for peer in peers if peer in scores]
        first, second = scores[scores.index < middle], scores[scores.index >= middle]
        if method not in scores or not there or len(second[method].dropna()) < 2:
            continue
        means = first[there].mean()
        if means.isna().all():
            continue
        peer = str(means.idxmax())
        difference = (second[method] - second[peer]).dropna().to_numpy()
        if difference.size < 2:
            continue
        found.append(Cell(problem, int(budget), peer, float(difference.mean()), *interval(difference)))
    return found


def interval(x: Float[Array, "n"]) -> tuple[float, float]:
    """Student's 95 % interval of a mean."""
    half = float(stats.t.ppf(0.975, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size))
    return float(x.mean()) - half, float(x.mean()) + half


def ahead(run: pd.DataFrame, method: str, other: str) -> tuple[float, float, float, int]:
    """IQM over all cells of the paired differences of scores, its 95 % interval, and the number of cells.

    The interval resamples seeds within cells.
    """
    strata: list[Array] = []
    for problem, budget in sorted({*run[CELL].itertuples(index=False, name=None)}):
        scores = wide(run, problem, budget)
        if method in scores and other in scores and (both := scores[[method, other]].dropna()).size:
            strata.append((both[method] - both[other]).to_numpy())
    if not strata:
        return np.nan, np.nan, np.nan, 0

    def statistic(parts: Any) -> Any:
        return iqm(np.concatenate(parts, axis=-1))

    low, high = stratified_interval(strata, statistic, "choosing a method", method, other)
    return float(statistic(strata)), low, high, len(strata)


def gains(run: pd.DataFrame) -> pd.DataFrame:
    """For every configuration and budget: mean score over problems, and its difference to configuration 0.

    The interval is Student's over problems, whose seeds are averaged first.
    """
    run = run[run["method"].str.contains("#")]
    found = []
    for (name, budget), part in run.groupby(["method", "budget"]):
        plain = str(name).partition("#")[0]
        own = part.groupby("problem")["score"].mean()
        base = run[(run["method"] == f"{plain}#0") & (run["budget"] == budget)]
        difference = (own - base.groupby("problem")["score"].mean()).dropna().to_numpy()
        if difference.size < 2:
            continue
        low, high = interval(difference)
        found.append((plain, name, budget, own.mean(), difference.mean(), low, high, difference.size))
    columns = ["method", "configuration", "budget", "score", "gain", "low", "high", "problems"]
    return pd.DataFrame(found, columns=columns).sort_values(
        ["method", "budget", "score"], ascending=[True, True, False]
    )
