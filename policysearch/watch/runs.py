"""The runs of a comparison as its ledger has them so far.

Of a run that is over, its result says what is shown; its generations are read when they are asked for.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policysearch.compare.study import Study
from policysearch.ledger import Event, Stored
from policysearch.limits import TIME_IS_UP


@dataclass
class Generations:
    """A few numbers of every generation of a run."""

    rollouts: list[int] = field(default_factory=list)  # spent after each
    steps: list[int] = field(default_factory=list)
    means: list[float] = field(default_factory=list)  # return of each generation's rollouts
    bests: list[float] = field(default_factory=list)  # of its candidates
    failed: list[str] = field(default_factory=list)  # the reason of the first failure of each, or nothing

    def add(self, record: dict[str, Any]) -> None:
        """Take in a generation; they are few numbers each, for which NumPy takes longer."""
        returns = [[float(value) for value in row] for row in record["returns"]]
        found = [value for row in returns for value in row if math.isfinite(value)]
        means = [mean for row in returns if math.isfinite(mean := sum(row) / len(row))]
        failures = record.get("failures") or [[0, 0, 0, "", ""]]
        self.rollouts.append((self.rollouts or [0])[-1] + sum(map(len, returns)))
        self.steps.append((self.steps or [0])[-1] + sum(map(sum, record["steps"])))
        self.means.append(sum(found) / len(found) if found else math.nan)
        self.bests.append(max(means, default=math.nan))
        self.failed.append(str(failures[0][3]))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The numbers of one after the other."""
        return zip(*vars(self).values(), strict=True)

    def cut(self, generations: int) -> None:
        """Forget all but the first generations."""
        for listed in vars(self).values():
            del listed[generations:]


class Run:
    """What is known of a run.

    Args:
        path: of the ledger.

    Attributes:
        result: of a run that is over.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._generations = path, Generations()
        # of which nothing was asked yet: those that are in the ledger, and the latest
        self._stored, self._left = Stored(path, []), list[Event]()
        self.result: dict[str, Any] | None = None

    def add(self, event: Event) -> None:
        """Take in a generation."""
        self._left.append(event)

    def over(self, result: dict[str, Any]) -> None:
        """Take in the result."""
        self.result = result
        self._stored, self._left = Stored(self._path, [event.number for event in self._left]), []

    @property
    def generations(self) -> Generations:
        """All of them."""
        for event in (*self._stored, *self._left):
            self._generations.add(event.body)
        self._stored, self._left = Stored(self._path, []), []
        return self._generations

    @property
    def rollouts(self) -> int:
        """How many were spent."""
        return int(self.result["row"]["rollouts"]) if self.result else (self.generations.rollouts or [0])[-1]

    @property
    def has_failed(self) -> bool:
        """Whether any rollout has."""
        return bool(self.result["examples"]) if self.result else any(self.generations.failed)

    def retry(self, *, time_only: bool) -> None:
        """Take back what is made again: a result that a time limit has ended, or all from the first failure on."""
        known = self.generations
        if time_only and self.result is not None:
            if any(said.startswith(TIME_IS_UP) for said in self.result["remarks"]):
                self.result = None
        elif not time_only and self.has_failed:  # in the search, or else in the report behind it
            known.cut(next((i for i, reason in enumerate(known.failed) if reason), len(known.failed)))
            self.result = None

    def part(self, unit: str, budget: int) -> float:
        """The part of it that is done."""
        if self.result is not None:
            return 1.0
        spent = self.generations.rollouts if unit == "rollouts" else self.generations.steps
        return min(1.0, spent[-1] / budget) if spent and budget else 0.0


Key = tuple[str, str, str]  # stage, task, method


class Runs:
    """All runs, by stage, task and method, and by number.

    Args:
        path: of the ledger.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._known = path, dict[Key, dict[int, Run]]()

    def at(self, stage: str, task: str, label: str, number: int) -> Run:
        """A run, which is a new one if nothing was known of it."""
        runs = self._known.setdefault((stage, task, label), {})
        if number not in runs:
            runs[number] = Run(self._path)
        return runs[number]

    def of(self, stage: str, task: str, label: str) -> dict[int, Run]:
        """The runs of a method on a task, by number."""
        return dict(sorted(self._known.get((stage, task, label), {}).items()))

    def finished(self, stage: str, task: str, label: str) -> dict[int, dict[str, Any]]:
        """The results of a method on a task, by number of the run."""
        return {n: run.result for n, run in self.of(stage, task, label).items() if run.result is not None}

    def __iter__(self) -> Iterator[tuple[Key, int, Run]]:
        return ((key, number, run) for key, runs in self._known.items() for number, run in runs.items())

    def done(self, study: Study) -> float:
        """How many are done, those that are running in part."""
        budgets = {task: (unit, grid[-1]) for task in study.tasks for unit, grid in [study.grid(task)]}
        return sum(run.part(*budgets[task]) for (_, task, _), _, run in self)

    def count(self, stage: str) -> int:
        """How many have a result."""
        return sum(run.result is not None for key, _, run in self if key[0] == stage)
