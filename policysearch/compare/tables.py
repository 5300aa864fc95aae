"""The tables of a study: every run, what it spent, where its search stood, what failed.

    runs       a row per run                           curves   a row per point of a run's anytime curve
    spent      rollouts and steps by purpose           failures examples of failed episodes
    tuning     a row per tuning run                    sessions versions, machine and command of every start

`read` gives what `policysearch.compare.comparison.Comparison.write` has written, to the last digit; `merge` joins
parts that were run on different machines or at different times.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.compare.reported import FAILED, with_counts
from policysearch.compare.rows import SAVED
from policysearch.compare.run import Result
from policysearch.compare.saved import FAILURES_FILE
from policysearch.compare.session import StudySession
from policysearch.compare.study import Study
from policysearch.compare.tuning import TUNING_COLUMNS, tuning_table
from policysearch.configuration import read_json, read_toml
from policysearch.core import Array
from policysearch.deploy.files import Name
from policysearch.files import MAX_TABLE_BYTES, open_text
from policysearch.visible import original

FRAMES = ("runs", "curves", "spent", "failures", "tuning")
PURPOSES = (
    "task", "optimizer", "run", "stage", "purpose", "rollouts", "steps", "failed_rollouts", "retried_rollouts",
)  # fmt: skip
FAILURES = (
    "task", "optimizer", "run", "purpose", "candidate", "episode", "seed", "reason", "traceback", "file",
)  # fmt: skip
#: Columns without which a table is not one of ours.
RUNS = (
    "task", "optimizer", "run", "d", "rollouts", "steps", "report_rollouts", "wall_seconds", "failed_rollouts",
    "clipped_steps", "start_return", "claimed_return", "final_return", "remarks",
)  # fmt: skip
CURVES = ("task", "optimizer", "run", "rollouts", "steps", "return_mean")
#: Columns that are read as text.
TEXTS = {
    "task", "optimizer", "policy", "stage", "purpose", "remarks", "reason", "traceback", "file", "hyperparameters",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a study, and the runs in them by task and method."""

    study: Study  # with the hyperparameters that tuning chose
    runs: pd.DataFrame
    curves: pd.DataFrame
    spent: pd.DataFrame
    failures: pd.DataFrame
    tuning: pd.DataFrame
    sessions: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, session: StudySession) -> Self:
        """The tables of a session's results so far, in the order of the study."""
        study, results = session.tuned, session.results
        place = {
            (task, label): (i, j)
            for i, task in enumerate(study.tasks)
            for j, label in enumerate(study.optimizers)
        }
        died = [died.result(study) for died in session.died if session.results]
        ordered = sorted(
            (*results.values(), *died), key=lambda r: (*place[r.job.task, r.job.optimizer], r.job.run)
        )
        spent = [row for result in ordered for row in _spent("final", result)]
        spent += [row for result in session.tuning.values() for row in _spent("tuning", result)]
        failures = [row for result in ordered for row in _failures(result)]
        return cls(
            study,
            with_counts(
                pd.DataFrame([result.row | {"remarks": "; ".join(result.remarks)} for result in ordered])
            ),
            pd.DataFrame([row for result in ordered for row in result.curve]),
            pd.DataFrame(spent, columns=list(PURPOSES)),
            pd.DataFrame(failures, columns=list(FAILURES)),
            tuning_table(session.drawn, session.tuning),
            session.journal.sessions,
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `Comparison.write` has written.

        Raises:
            ValueError: if the folder does not hold the tables of a comparison.
        """
        try:
            study = Study.model_validate(read_toml(folder / "study.toml"), context=SAVED)
            frames = {name: _read_table(folder / f"{name}.csv", name) for name in FRAMES}
            sessions = read_json(folder / "environment.json")
            if not isinstance(sessions, list) or not all(isinstance(entry, dict) for entry in sessions):
                raise ValueError("environment.json: expected a list of sessions")
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{folder}: expected the results of a comparison: {error}") from error
        place = folder.absolute()  # an absolute name stays as it is
        frames["failures"]["file"] = [str(place / str(name)) for name in frames["failures"]["file"]]
        return cls(study, **frames, sessions=sessions)

    @classmethod
    def merge(cls, parts: "Sequence[Tables]") -> Self:
        """One comparison of all parts: shards, or studies that differ in tasks, methods or runs only.

        Raises:
            ValueError: if parts differ in anything else, or hold the same run with different results.
        """
        study = _merged([part.study for part in parts])
        tables = {
            name: pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in FRAMES
        }
        runs = with_counts(tables["runs"])
        key = ["task", "optimizer", "run"]
        facts = runs.drop(columns=["wall_seconds"]).drop_duplicates()
        twice = facts[facts.duplicated(key, keep=False)]
        if len(twice):
            one = twice.iloc[0]
            raise ValueError(
                f"{one['optimizer']} on {one['task']}, run {one['run']}: the parts hold different results; "
                "merge parts of one study, made with the same versions"
            )
        tables["runs"] = runs.drop_duplicates(key)
        tables = {
            name: frame if name == "runs" else frame.drop_duplicates() for name, frame in tables.items()
        }
        sessions = [session for part in parts for session in part.sessions]
        return cls(study, **tables, sessions=sessions)

    @property
    def tasks(self) -> list[str]:
        """The tasks that have runs."""
        present = set(self.runs["task"])
        return [task for task in self.study.tasks if task in present]

    @property
    def labels(self) -> list[str]:
        """The methods that have runs."""
        present = set(self.runs["optimizer"])
        return [label for label in self.study.optimizers if label in present]

    @cached_property
    def _final(self) -> dict[tuple[str, str], "pd.Series[float]"]:
        groups = self.runs.groupby(["task", "optimizer"], sort=False)
        return {key: group.set_index("run")["final_return"].sort_index() for key, group in groups}  # type: ignore[misc]

    @property
    def nothing_usable(self) -> bool:
        """Whether no recommendation finished a report episode: all failed, or the run has no result."""
        usable = self.runs["final_return"].notna()
        if FAILED in self.runs:
            usable &= self.runs[FAILED] < self.study.report_episodes
        return not usable.any()

    def has(self, task: str, label: str) -> bool:
        """Whether a method has runs on a task."""
        return (task, label) in self._final

    def final(self, task: str, label: str) -> Float[Array, "runs"]:
        """The final returns of a method on a task, by run."""
        return self._final[task, label].to_numpy(dtype=float)

    def paired(self, task: str, x: str, y: str) -> tuple[Float[Array, "runs"], Float[Array, "runs"]]:
        """The final returns of two methods in the runs that both have made."""
        if not (self.has(task, x) and self.has(task, y)):
            return np.empty(0), np.empty(0)
        one, other, _ = self._paired(task, x, y)
        return one, other

    def _paired(self, task: str, x: str, y: str) -> tuple[Array, Array, "pd.Index[Any]"]:
        """As `paired`, with the numbers of the runs."""
        one, other = self._final[task, x], self._final[task, y]
        if one.index.equals(other.index):
            return one.to_numpy(dtype=float), other.to_numpy(dtype=float), one.index
        both = one.index.intersection(other.index)
        return one[both].to_numpy(dtype=float), other[both].to_numpy(dtype=float), both

    def curve(
        self, task: str, label: str, axis: str
    ) -> tuple[Float[Array, "points"], Float[Array, "points runs"]]:
        """Returns of the recommendations of every run, against what was spent in rollouts or steps.

        A run keeps its value until its next point, so runs can be compared at equal amounts.
        """
        if (task, label, axis) not in self._known_curves:
            self._known_curves[task, label, axis] = self._curve(task, label, axis)
        return self._known_curves[task, label, axis]

    @cached_property
    def _known_curves(self) -> "dict[tuple[str, str, str], tuple[Array, Array]]":
        return {}

    @cached_property
    def _points(self) -> "dict[tuple[str, str], pd.DataFrame]":
        return dict(iter(self.curves.groupby(["task", "optimizer"], sort=False)))  # type: ignore[arg-type]

    def _curve(self, task: str, label: str, axis: str) -> tuple[Array, Array]:
        points = self._points[task, label]
        runs, spent = points["run"].to_numpy(), points[axis].to_numpy(float)
        order = np.lexsort((spent, runs))
        ends = np.flatnonzero(np.diff(runs[order])) + 1
        values = points["return_mean"].to_numpy(float)
        return on_one_grid([(spent[run], values[run]) for run in np.split(order, ends)])


def on_one_grid(
    runs: Sequence[tuple[Float[Array, "_"], Float[Array, "_"]]],
) -> tuple[Float[Array, "points"], Float[Array, "points runs"]]:
    """What runs had spent and their values then, at amounts that they have in common; see `Tables.curve`."""
    grid = np.unique(np.concatenate([spent for spent, _ in runs]))
    if len(grid) > 12:
        grid = np.linspace(grid[0], grid[-1], 41)
    values = [value[np.searchsorted(spent, grid, side="right") - 1] for spent, value in runs]
    return grid, np.array(values).T


def _spent(stage: str, result: Result) -> Iterable[dict[str, Any]]:
    job = result.job
    for entry in result.spent:
        yield {"task": job.task, "optimizer": job.optimizer, "run": job.run, "stage": stage} | vars(entry)


def _failures(result: Result) -> Iterable[dict[str, Any]]:
    job = result.job
    for number, example in enumerate(result.examples):
        failure = example.failure
        yield {
            "task": job.task,
            "optimizer": job.optimizer,
            "run": job.run,
            "purpose": example.purpose,
            "candidate": failure.candidate,
            "episode": failure.episode,
            "seed": failure.seed,
            "reason": failure.reason,
            "traceback": failure.traceback,
            "file": f"{FAILURES_FILE}/{Name(job.task, job.optimizer, job.run, number)}",
        }


def _read_table(path: Path, name: str) -> pd.DataFrame:
    empty = {"spent": PURPOSES, "failures": FAILURES, "tuning": TUNING_COLUMNS}
    if name in empty and not path.exists():
        return pd.DataFrame(columns=list(empty[name]))
    needed = {"runs": RUNS, "curves": CURVES}.get(name) or empty[name]
    try:
        with open_text(path, MAX_TABLE_BYTES) as file:
            table = pd.DataFrame(list(csv.DictReader(file)))
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    if None in table.columns or table.isna().any(axis=None):
        raise ValueError(f"{path.name}: a row has more or fewer entries than the table has columns")
    table = table.map(original).rename(columns=original)
    missing = [column for column in needed if column not in table]
    if missing:
        raise ValueError(f"{path.name}: no column {', '.join(missing)}")
    return table.apply(lambda column: column if column.name in TEXTS else _typed(column))


def _typed(column: "pd.Series[str]") -> "pd.Series[Any]":
    """The text of a table's column as numbers, to the last bit, or truths."""
    values = column.tolist()
    if set(values) <= {"True", "False"}:
        return pd.Series([value == "True" for value in values], index=column.index)
    if all(re.fullmatch(r"-?\d+", value) for value in values):
        return pd.Series([int(value) for value in values], index=column.index)
    return pd.Series([float(value or "nan") for value in values], index=column.index)


def _merged(studies: Sequence[Study]) -> Study:
    """The study of which all others are parts.

    Raises:
        ValueError: if they differ in more than tasks, methods, runs, and what was tuned where.
    """
    first, *others = studies
    changed: list[str] = []
    for other in others:
        different = {"tasks", "optimizers"} | (set() if first.settle or other.settle else {"runs"})
        one, two = (study.model_dump(exclude=different) for study in (first, other))
        changed += [f"{name}: {one[name]!r} and {two[name]!r}" for name in one if one[name] != two[name]]
        methods = first.optimizers.keys() & other.optimizers.keys()
        changed += [f"optimizers.{m} differs" for m in methods if first.optimizers[m] != other.optimizers[m]]
        tasks = {**first.tasks, **other.tasks}
        for name in first.tasks.keys() & other.tasks.keys():
            mine, theirs = first.tasks[name], other.tasks[name]
            options = {**theirs.options, **mine.options}
            if mine.model_copy(update={"options": theirs.options}) != theirs or any(
                options[label] != given for label, given in theirs.options.items()
            ):
                changed.append(f"tasks.{name} differs")
            tasks[name] = mine.model_copy(update={"options": options})
        optimizers = {**first.optimizers, **other.optimizers}
        runs = max(first.runs, other.runs)
        first = first.model_copy(update={"tasks": tasks, "optimizers": optimizers, "runs": runs})
    if changed:
        raise ValueError(f"the studies cannot be merged: {'; '.join(changed)}")
    return first
