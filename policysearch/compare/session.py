"""All runs of a study: first the tuning, then the comparison, group by group where it is sequential.

Every method makes its first run, then every method its second one, and so on: what ends a session early leaves all of
them with about as many runs.
"""

import contextlib
import itertools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from policysearch.compare import tuning
from policysearch.compare.here import Here
from policysearch.compare.journal import StudyJournal
from policysearch.compare.run import Job, Progress, Result, jobs
from policysearch.compare.sequential import Decisions, decide
from policysearch.compare.statistics import differences
from policysearch.compare.study import Study
from policysearch.compare.timing import TimeLimit
from policysearch.compare.workers import Died, Maker, Work
from policysearch.core import Array
from policysearch.evaluators.recorded import ReplayDiffers

T = TypeVar("T")

TUNING, FINAL = "tuning", "final"


def dealt(items: Sequence[T], parts: int) -> list[list[T]]:
    """The items in so many parts, as cards are dealt."""
    return [list(items[i::parts]) for i in range(parts)]


@dataclass(frozen=True)
class Shard:
    """The part of a study that is run here: every n-th run, or, where methods are tuned, method."""

    number: int = 1  # from 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(f"shard: expected i/n with 1 <= i <= n, got {self.number}/{self.of}")

    def part(self, study: Study) -> set[Job]:
        """The runs of the comparison that belong to it."""
        listed = jobs(study)
        if not study.tune:
            return set(dealt(listed, self.of)[self.number - 1])
        methods = dealt([*dict.fromkeys((job.task, job.optimizer) for job in listed)], self.of)[
            self.number - 1
        ]
        return {job for job in listed if (job.task, job.optimizer) in methods}


@dataclass(frozen=True, eq=False)
class Update:
    """What has happened to a run: progress of its search, its result, its end without one; or nothing."""

    stage: str
    event: Progress | Result | Died | None


@dataclass(eq=False)
class StudySession:
    """A study being run, or continued from its journal.

    Attributes:
        tuned: the study with the hyperparameters that tuning chose; the study itself without tuning.
        results: of the comparison's runs that have finished.
        maker: makes the runs; None: processes of this machine.
        drawn: the tuning as a study; the study itself without tuning.
        tuning: of the tuning runs.
        died: runs that have no result.
        unfinished: runs for which there was no time any more.
        decisions: by task, what sequential testing has found, for the pairs that `pairs` lists.
    """

    study: Study
    journal: StudyJournal
    shard: Shard = field(default_factory=Shard)
    maker: Maker | None = None

    def __post_init__(self) -> None:
        self.tuned = self.study
        self.drawn = tuning.tuning_study(self.study) if self.study.tune else self.study
        self.results: dict[Job, Result] = {}
        self.tuning: dict[Job, Result] = {}
        self.died: list[Died] = []
        self.unfinished: list[Job] = []
        self._begun = {job for (_, job), past in self.journal.past.items() if past.generations}
        self.decisions: dict[str, Decisions] = {}

    def run(self, workers: int) -> Generator[Update, None, None]:
        """Make all runs that have not been made, by `maker` or in so many processes; says what happens meanwhile.

        Raises:
            ReplayDiffers: if a search does not continue as it is recorded.
            LedgerError: if the journal cannot be written.
        """
        mine = self.shard.part(self.study)
        ours = self._of_tuning(mine)
        stages = [len(ours), *[len(mine)] * max(self.study.settle, 1)]
        self.maker = self.maker or Here(workers)
        self._limit = TimeLimit.of(self.study, stages, self.maker.at_a_time, self.journal.past.values())
        try:
            if self.study.tune:
                yield from self._stage(TUNING, self.drawn, jobs(self.drawn), ours)
                if self.died or self.unfinished:  # without all of its runs tuning might choose something else
                    return
                self.tuned = tuning.tuned(self.study, self.drawn, self.tuning)
            if not self.study.settle:
                yield from self._stage(FINAL, self.tuned, jobs(self.study), mine)
                return
            for group in range(self.study.settle):
                listed = self._next_group(group)
                if not listed:
                    break
                yield from self._stage(FINAL, self.tuned, listed, set(listed))
                if self.died or self.unfinished:
                    return
                self.decisions = {task: self._decide(task) for task in self.study.tasks}
        finally:
            self.journal.say("time", self._limit.words(self.unfinished, self._begun))
            self.journal.say("engine", self.maker.machines())

    def recall(self) -> None:
        """Take all results that the journal has, also those to which a session that has ended early did not come."""
        for (stage, job), past in self.journal.past.items():
            if past.result is not None:
                self._results(stage).setdefault(job, past.result)
        if self.study.tune and self.tuned is self.study and self.tuning:
            self.tuned = tuning.tuned(self.study, self.drawn, self.tuning)

    def _of_tuning(self, mine: set[Job]) -> set[Job]:
        """The tuning runs that belong to these runs of the comparison."""
        if not self.study.tune:
            return set()
        methods = {(job.task, job.optimizer) for job in mine}
        return {job for job in jobs(self.drawn) if (job.task, tuning.row_of(job.optimizer)) in methods}

    def _results(self, stage: str) -> dict[Job, Result]:
        return self.tuning if stage == TUNING else self.results

    def _stage(self, stage: str, study: Study, listed: list[Job], mine: set[Job]) -> Iterator[Update]:
        """Take what is in the journal of the listed runs, and make the rest of those that are mine."""
        results = self._results(stage)
        timed = self._limit.shared(study)
        work = []
        for job in listed:
            past = self.journal.past.get((stage, job))
            if past is not None and past.result is not None:
                results[job] = past.result
                yield Update(stage, past.result)
            elif job in mine:
                work.append(Work(timed, job, past.records if past is not None else ()))
        work.sort(key=lambda item: item.job.run)
        try:
            yield from self._made(stage, work)
            self.journal.commit()
            for job in listed:  # not in the order in which they ended
                if job in results:
                    results[job] = results.pop(job)
        except ReplayDiffers as differs:
            drift = self.journal.drift()
            why = f"since it was begun, {drift}" if drift else "the program or the processor has changed"
            raise ReplayDiffers(
                f"the search cannot be continued: {differs}; {why}. Install what it was begun with, or pass "
                "--fresh to start over (the old ledger is kept next to it)"
            ) from differs

    def _made(self, stage: str, work: list[Work]) -> Iterator[Update]:
        """Make runs, as long as there is time."""
        missing = {item.job: None for item in work}
        maker = self.maker or Here(1)
        with contextlib.closing(maker.make(work if not self._limit.over else [])) as events:
            for event in events:
                yield self._noted(stage, event)
                self.journal.tick()
                if isinstance(event, Result | Died):
                    del missing[event.job]
                if self._limit.over:
                    break
        self.unfinished += missing

    def _noted(self, stage: str, event: "list[Progress] | Result | Died | None") -> Update:
        """Write down what happened."""
        if isinstance(event, Result):
            result = self._results(stage)[event.job] = self.journal.finished(stage, event)
            return Update(stage, result)
        if isinstance(event, Died):
            self.died.append(event)
            return Update(stage, event)
        for progress in event or ():
            self._begun.add(progress.job)
            if progress.record is not None:
                self.journal.evaluated(stage, progress.job, progress.record)
        return Update(stage, event[-1] if event else None)

    def _next_group(self, group: int) -> list[Job]:
        """The runs that come next: of the methods of which some pair is not decided yet."""
        runs = range(group * self.study.runs, (group + 1) * self.study.runs)
        listed = []
        for task in self.study.tasks:
            labels = list(self.study.optimizers)
            if group:
                different = self.decisions[task].different
                open_pairs = [pair for pair, done in zip(pairs(labels), different, strict=True) if not done]
                labels = [label for label in labels if any(label in pair for pair in open_pairs)]
            listed += [Job(task, label, run) for label in labels for run in runs]
        return listed

    def _decide(self, task: str) -> Decisions:
        final = {
            (job.optimizer, job.run): r.row["final_return"]
            for job, r in self.results.items()
            if job.task == task
        }
        return decisions_of(self.study, task, final)


def pairs(labels: list[str]) -> list[tuple[str, str]]:
    """All pairs of methods, in the order of the tables."""
    return list(itertools.combinations(labels, 2))


def decisions_of(study: Study, task: str, final: dict[tuple[str, int], float]) -> Decisions:
    """What sequential testing finds in the final returns, by (method, run), of a task."""
    runs = range(study.max_runs)
    made = max((run for _, run in final), default=-1) + 1

    def returns(label: str) -> Float[Array, "runs"]:
        return np.array([final.get((label, run), np.nan) for run in runs[:made]])

    def gap(x: str, y: str) -> Float[Array, "runs"]:
        both = np.array([(x, run) in final and (y, run) in final for run in runs[:made]])
        return np.where(both, differences(returns(x), returns(y)), np.nan)

    columns = [gap(x, y) for x, y in pairs(list(study.optimizers))]
    gaps = np.array(columns).reshape(len(columns), made).T
    return decide(gaps, study.runs, study.settle, study.seed, "sequential", task)
