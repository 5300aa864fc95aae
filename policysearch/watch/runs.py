"""The runs of a comparison as its ledger has them so far."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from policysearch.compare.study import Study
from policysearch.limits import TIME_IS_UP


@dataclass
class Run:
    """What is known of a run."""

    rollouts: list[int] = field(default_factory=list)  # spent after each generation
    steps: list[int] = field(default_factory=list)
    means: list[float] = field(default_factory=list)  # return of each generation's rollouts
    bests: list[float] = field(default_factory=list)  # of its candidates
    failed: list[str] = field(default_factory=list)  # the reason of the first failure of each, or nothing
    result: dict[str, Any] | None = None

    def add(self, record: dict[str, Any]) -> None:
        """Take in a generation; a few numbers each, for which NumPy takes longer."""
        returns = [[float(value) for value in row] for row in record["returns"]]
        found = [value for row in returns for value in row if math.isfinite(value)]
        means = [mean for row in returns if math.isfinite(mean := sum(row) / len(row))]
        failures = record.get("failures") or [[0, 0, 0, "", ""]]
        self.rollouts.append((self.rollouts or [0])[-1] + sum(map(len, returns)))
        self.steps.append((self.steps or [0])[-1] + sum(map(sum, record["steps"])))
        self.means.append(sum(found) / len(found) if found else math.nan)
        self.bests.append(max(means, default=math.nan))
        self.failed.append(str(failures[0][3]))

    def cut(self, generations: int) -> None:
        """Forget all but the first generations, and the result."""
        for listed in (self.rollouts, self.steps, self.means, self.bests, self.failed):
            del listed[generations:]
        self.result = None

    def retry(self, *, time_only: bool) -> None:
        """Take back what is made again: a result that a time limit has ended, or all from the first failure on."""
        if time_only and self.result is not None:
            if any(said.startswith(TIME_IS_UP) for said in self.result["remarks"]):
                self.result = None
        elif not time_only and (first := self.first_failure) is not None:
            self.cut(first)

    @property
    def first_failure(self) -> int | None:
        """The index of the first generation with a failure; of the report, that behind the last one."""
        reported = len(self.failed) if self.result is not None and self.result["examples"] else None
        return next((i for i, reason in enumerate(self.failed) if reason), reported)

    def part(self, study: Study, task: str) -> float:
        """The part of it that is done."""
        if self.result is not None:
            return 1.0
        unit, grid = study.grid(task)
        spent = self.rollouts if unit == "rollouts" else self.steps
        return min(1.0, spent[-1] / grid[-1]) if spent and grid[-1] else 0.0


Key = tuple[str, str, str]  # stage, task, method


class Runs:
    """All runs, by stage, task and method, and by number."""

    def __init__(self) -> None:
        self._known: dict[Key, dict[int, Run]] = {}

    def at(self, stage: str, task: str, label: str, number: int) -> Run:
        """A run, which is a new one if nothing was known of it."""
        return self._known.setdefault((stage, task, label), {}).setdefault(number, Run())

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
        return sum(run.part(study, task) for (_, task, _), _, run in self)

    def count(self, stage: str) -> int:
        """How many have a result."""
        return sum(run.result is not None for key, _, run in self if key[0] == stage)
