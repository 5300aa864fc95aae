"""A comparison of methods: statistics of the tables of a study, for the report, the pictures and a notebook.

    summary    a row per task and method     pairs     a row per task and pair of methods
    overall    a row per method, all tasks together

They are computed from the tables (`policysearch.compare.tables`) when they are first used.
"""

import json
from collections.abc import Callable
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w
from jaxtyping import Float

from policysearch.compare import power, statistics
from policysearch.compare.saved import relative
from policysearch.compare.session import decisions_of, pairs
from policysearch.compare.tables import FRAMES, Tables
from policysearch.core import Array
from policysearch.files import write_text
from policysearch.reporting.tables import csv

#: Normalised returns at which rollouts-to-target are counted, and the fewest tasks that are pooled.
TARGETS, MIN_TASKS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0), 3


PAIRS = (
    "task", "x", "y", "runs", "p_improvement", "ci_low", "ci_high", "difference", "effect", "runs_needed",
    "runs_needed_unpaired", "variance_removed",
)  # fmt: skip


def _quietly(method: "Callable[[Comparison], pd.DataFrame]") -> "Callable[[Comparison], pd.DataFrame]":
    """A method without warnings where returns of −1e200 overflow; the results are infinite or NaN."""

    @wraps(method)
    def computed(self: "Comparison") -> pd.DataFrame:
        with np.errstate(over="ignore", invalid="ignore"):
            return method(self)

    return computed


class Comparison(Tables):
    """The tables of a study, and what follows from them."""

    @cached_property
    @_quietly
    def summary(self) -> pd.DataFrame:
        """A row per task and method: final returns with the interval of their IQM, and what it took."""
        rows = []
        for (task, label), group in self.runs.groupby(["task", "optimizer"], sort=False):
            final = self.final(str(task), str(label))  # by run, in whatever order parts were merged
            low, high = statistics.bootstrap_interval(
                final, self.study.seed, "bootstrap", str(task), str(label)
            )
            spent = group["rollouts"].sum()
            rows.append(
                {
                    "task": task,
                    "optimizer": label,
                    "runs": final.size,
                    "iqm": float(statistics.iqm(final)),
                    "ci_low": low,
                    "ci_high": high,
                    "median": float(np.median(final)),
                    "mean": float(final.mean()),
                    "std": float(final.std(ddof=1)) if final.size > 1 else float("nan"),
                    "anytime": self._anytime(str(task), str(label)),
                    "failure_rate": float(group["failed_rollouts"].sum() / max(spent, 1)),
                }
            )
        return pd.DataFrame(rows)

    def _anytime(self, task: str, label: str) -> float:
        """IQM over the runs of the mean return over the budget."""
        unit, _ = self.study.grid(task)
        grid, values = self.curve(task, label, unit)
        return float(statistics.iqm(np.array([statistics.area_under_curve(grid, run) for run in values.T])))

    @cached_property
    @_quietly
    def pairs(self) -> pd.DataFrame:
        """A row per task and pair of methods: how often x beats y, and whether that may be chance."""
        return pd.concat([self._pairs(task) for task in self.tasks], ignore_index=True)

    def _pairs(self, task: str) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        for x, y in pairs(self.labels):
            one, other = self.paired(task, x, y)
            if not one.size:
                continue
            gap = statistics.differences(one, other)
            low, high = statistics.improvement_interval(one, other)
            rows.append(
                {
                    "task": task,
                    "x": x,
                    "y": y,
                    "runs": gap.size,
                    "p_improvement": statistics.probability_of_improvement(one, other),
                    "ci_low": low,
                    "ci_high": high,
                    "difference": float(gap.mean()),
                    "effect": power.effect_size(gap),
                    "variance_removed": power.variance_removed_by_pairing(one, other),
                }
            )
        table = pd.DataFrame(rows, columns=list(PAIRS))
        listed = [(row["x"], row["y"]) for row in rows]
        tests = self._tests(task, listed) if listed else {"p": [], "p_holm": [], "p_joint": [], "better": []}
        return table.assign(**self._needed(task, listed), **tests)

    def _needed(self, task: str, listed: list[tuple[str, str]]) -> dict[str, Any]:
        """Runs that each pair needs, paired as they are and if they were not."""
        finals, key = [self.paired(task, x, y) for x, y in listed], (self.study.seed, "power", task)
        made = np.array([one.size for one, _ in finals], dtype=int)
        apart = [power.unpaired(*both) for both in finals]
        others = np.full((max([gaps.size for gaps in apart], default=0), len(apart)), np.nan)
        for column, gaps in zip(others.T, apart, strict=True):
            column[: gaps.size] = gaps
        return {
            "runs_needed": power.runs_needed(self._gaps(task, listed), made, *key),
            "runs_needed_unpaired": power.runs_needed(others, made, *key),
        }

    def _decided(self, task: str) -> dict[tuple[str, str], float]:
        """What sequential testing has found: the sign of every pair that is decided, else 0."""
        final = {
            (label, int(run)): value
            for label in self.labels
            if self.has(task, label)
            for run, value in zip(self._final[task, label].index, self.final(task, label), strict=True)
        }
        found = decisions_of(self.study, task, final)
        return dict(zip(pairs(list(self.study.optimizers)), found.direction.tolist(), strict=True))

    def _tests(self, task: str, listed: list[tuple[str, str]]) -> dict[str, Any]:
        """p values, and which of two methods is better significantly."""
        if self.study.settle:  # after several looks only the sequential test keeps its promise
            decided = self._decided(task)
            better = _better(listed, [decided[pair] for pair in listed])
            return {"p": np.nan, "p_holm": np.nan, "p_joint": np.nan, "better": better}
        gaps = self._gaps(task, listed)
        tests = statistics.paired_tests(gaps, self.study.seed, "tests", task)
        signs = np.where(tests.joint <= statistics.ALPHA, tests.direction, 0.0).tolist()
        return {"p": tests.p, "p_holm": tests.holm, "p_joint": tests.joint, "better": _better(listed, signs)}

    def _gaps(self, task: str, listed: list[tuple[str, str]]) -> Float[Array, "runs pairs"]:
        """Paired differences by run; NaN where a pair has no such run."""
        found = [self._paired(task, x, y) for x, y in listed]
        runs = np.unique(np.concatenate([runs for *_, runs in found])) if found else np.empty(0)
        gaps = np.full((len(runs), len(found)), np.nan)
        for column, (one, other, mine) in zip(gaps.T, found, strict=True):
            column[np.searchsorted(runs, mine)] = statistics.differences(one, other)
        return gaps

    @property
    def normalised_tasks(self) -> list[str]:
        """The tasks that declare the returns which count as 0 and 1."""
        return [task for task in self.tasks if self.study.references(task) is not None]

    def normalised(self, task: str, values: Float[Array, "*m"]) -> Float[Array, "*m"]:
        """Returns on the scale of the task's references; a missing one is −∞."""
        low, high = self.study.references(task) or (0.0, 1.0)
        values = np.where(np.isnan(values), -np.inf, values)
        return statistics.normalise(values, low, high)

    @cached_property
    @_quietly
    def overall(self) -> pd.DataFrame:
        """A row per method: IQM of the normalised returns of all tasks that declare references, if enough do."""
        rows = []
        tasks = self.normalised_tasks
        for label in self.labels if len(tasks) >= MIN_TASKS else []:
            if not all(self.has(task, label) for task in tasks):
                continue
            strata = [self.normalised(task, self.final(task, label)) for task in tasks]
            key = (self.study.seed, "overall", label)
            low, high = statistics.stratified_interval(strata, statistics.aggregate_iqm, *key)
            iqm = float(statistics.aggregate_iqm(strata))
            rows.append({"optimizer": label, "tasks": len(tasks), "iqm": iqm, "ci_low": low, "ci_high": high})
        return pd.DataFrame(rows, columns=["optimizer", "tasks", "iqm", "ci_low", "ci_high"])

    def improvement_matrix(self, task: str | None = None) -> pd.DataFrame:
        """P(row beats column), on a task or on the mean over the tasks."""
        place = {label: i for i, label in enumerate(self.labels)}
        mine = self.pairs if task is None else self.pairs[self.pairs["task"] == task]
        found: dict[tuple[str, str], list[float]] = {}
        for x, y, value in zip(mine["x"], mine["y"], mine["p_improvement"], strict=True):
            found.setdefault((x, y), []).append(value)
        table = np.full((len(place), len(place)), np.nan)
        for (x, y), values in found.items():
            table[place[x], place[y]] = np.mean(values)
            table[place[y], place[x]] = 1.0 - np.mean(values)
        return pd.DataFrame(table, index=self.labels, columns=self.labels)

    def hits(self, label: str) -> Float[Array, "m"]:
        """What part of the budget a method had spent when it reached each target, over runs, tasks and targets."""
        found = []
        for task in self.normalised_tasks:
            if not self.has(task, label):
                continue
            unit, _ = self.study.grid(task)
            grid, values = self.curve(task, label, unit)
            scores = self.normalised(task, values)
            found += [statistics.first_hit(grid / grid[-1], run, np.array(TARGETS)) for run in scores.T]
        return np.concatenate(found) if found else np.empty(0)

    def write(self, folder: Path) -> None:
        """Write the tables and the study, each file atomically.

        Raises:
            OSError: if a file cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "study.toml", tomli_w.dumps(self.study.document()))
        write_text(folder / "environment.json", json.dumps(self.sessions, indent=1) + "\n")
        for name in (*FRAMES, "summary", "pairs", "overall"):
            frame: pd.DataFrame = getattr(self, name)
            if name == "failures":
                frame = frame.assign(file=[relative(str(file), folder) for file in frame["file"]])
            if len(frame) or name in ("runs", "curves", "summary"):
                write_text(folder / f"{name}.csv", csv(frame))
            else:
                (folder / f"{name}.csv").unlink(missing_ok=True)


def _better(listed: list[tuple[str, str]], signs: list[float]) -> list[str]:
    """The method that a sign speaks for, or nothing."""
    return [(x if sign > 0 else y) if sign else "" for (x, y), sign in zip(listed, signs, strict=True)]
