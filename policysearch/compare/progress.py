"""The progress of a comparison: a live table in a terminal, a line every few seconds elsewhere.

Where nothing finishes for a minute, it is said how a rollout that never ends can be ended.
"""

import sys
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from policysearch.compare.run import Job, Progress, Result
from policysearch.compare.session import FINAL, StudySession, Update
from policysearch.compare.statistics import iqm
from policysearch.compare.study import Study
from policysearch.compare.tuning import configurations, repeats
from policysearch.compare.workers import Died
from policysearch.reporting.console import Console
from policysearch.reporting.notebook import CellProgress, is_notebook
from policysearch.reporting.silence import Silence
from policysearch.reporting.tables import terminal

if TYPE_CHECKING:
    from rich.table import Table

SECONDS_TO_FIRST_LINE, SECONDS_BETWEEN_LINES = 2.0, 10.0
SECONDS_BETWEEN_TABLES = 0.25
#: Said after a long silence, where rollouts have no limit of time.
STUCK = (
    "note: no generation has finished for a minute. If an episode never ends: Ctrl-C, and the same command with "
    "--evaluator pool --rollout-timeout SECONDS; what was run is kept"
)
#: Rows that a live table shows; of more, those that have not finished come first.
MAX_ROWS = 24


def say(line: str) -> None:
    """Write a line to standard error."""
    Console(file=sys.stderr, highlight=False).print(line, soft_wrap=True, markup=False)


def announce_known(session: StudySession) -> None:
    """Say what is known of the runs, and what has changed since the study was begun."""
    past, journal = session.journal.past, session.journal
    if not past:
        return
    finished = sum(entry.result is not None for entry in past.values())
    begun = sum(entry.result is None and bool(entry.generations) for entry in past.values())
    say(f"continuing what is there: {finished} runs finished, {begun} begun")
    for line in journal.grown:
        say(f"  {line}")
    if journal.drift():
        say(f"  since it was begun: {journal.drift()}")


def announce(study: Study) -> None:
    """Say how the rollouts are run, after compiling what is compiled."""
    console = Console(file=sys.stderr, highlight=False)
    began, anew, by_kind = time.monotonic(), 0, dict[str, list[str]]()
    doing = "compiling the rollouts, unless their code is on disk from before …"
    if not console.is_terminal:
        console.print(doing)
    with console.status(doing):
        for task in study.tasks:
            for label in study.optimizers:
                with study.problem(task, label, run=0).evaluator as evaluator:
                    anew += evaluator.compile()
            by_kind.setdefault(evaluator.description, []).append(task)
    if anew:
        console.print(f"compiled {anew} loops in {time.monotonic() - began:.1f} s; the next start is faster")
    say("; ".join(f"{kind}: {', '.join(tasks)}" for kind, tasks in by_kind.items()))


@dataclass
class Row:
    """The runs of a method on a task."""

    total: int
    finals: list[float] = field(default_factory=list)
    current: dict[Job, float] = field(default_factory=dict)  # latest mean return of unfinished runs
    died: int = 0

    def cells(self) -> tuple[str, str, str]:
        """Runs, the interquartile mean of the final returns, and the returns of some runs now."""
        final = f"{float(iqm(np.array(self.finals))):.4g}" if self.finals else ""
        now = "  ".join(f"{value:.4g}" for value in [*self.current.values()][:4])
        died = f" ({self.died} died)" if self.died else ""
        return f"{len(self.finals)}/{self.total}{died}", final, now


class Board:
    """What has been done, and what is left."""

    def __init__(self, session: StudySession) -> None:
        study = session.study
        self.session, self.began = session, time.monotonic()
        mine = session.shard.part(study)
        self.rows = {
            (task, label): Row(sum(Job(task, label, run) in mine for run in range(study.runs)))
            for task in study.tasks
            for label in study.optimizers
        }
        pairs = sum(row.total > 0 for row in self.rows.values())
        self.tuning_total = pairs * configurations(study) * repeats(study) if study.tune else 0
        self.tuned = self.rollouts = 0
        self.spent: dict[tuple[str, Job], tuple[int, float]] = {}  # rollouts of a run, its part of the budget
        self.latest = ""

    def update(self, update: Update) -> None:
        """Take in what has happened."""
        match update.event:
            case Progress() as progress:
                self._searching(update.stage, progress)
            case Result() as result:
                self._finished(update.stage, result)
            case Died(job=job):
                self._spend(update.stage, job, self.spent.get((update.stage, job), (0, 0.0))[0], 1.0)
                if update.stage == FINAL:
                    self._row(job).current.pop(job, None)
                    self._row(job).died += 1

    def _searching(self, stage: str, progress: Progress) -> None:
        unit, limit = self._limit(progress.job)
        amount = progress.rollouts if unit == "rollouts" else progress.steps
        self._spend(stage, progress.job, progress.rollouts, amount / limit)
        if stage == FINAL:
            self._row(progress.job).current[progress.job] = progress.value

    def _finished(self, stage: str, result: Result) -> None:
        job, row = result.job, result.row
        self._spend(stage, job, row["rollouts"] + row["report_rollouts"], 1.0)
        if stage == FINAL:
            self._row(job).current.pop(job, None)
            self._row(job).finals.append(row["final_return"])
        else:
            self.tuned += 1
        self.latest = f"{job.optimizer} on {job.task}: {row['final_return']:.4g}"

    def _limit(self, job: Job) -> tuple[str, int]:
        unit, grid = self.session.study.grid(job.task)
        return unit, grid[-1]

    def _spend(self, stage: str, job: Job, rollouts: int, part: float) -> None:
        before = self.spent.get((stage, job), (0, 0.0))[0]
        self.rollouts += rollouts - before
        self.spent[stage, job] = rollouts, min(part, 1.0)

    def _row(self, job: Job) -> Row:
        row = self.rows[job.task, job.optimizer]
        row.total = max(row.total, job.run + 1 if self.session.study.settle else 0)
        return row

    @property
    def done(self) -> int:
        """Runs of the comparison that have a result."""
        return sum(len(row.finals) for row in self.rows.values())

    @property
    def total(self) -> int:
        """Runs of the comparison, as far as is known."""
        return sum(row.total for row in self.rows.values())

    def seconds_left(self) -> float:
        """By the part of all runs that is done, since the start; NaN while nothing is."""
        done, total = sum(part for _, part in self.spent.values()), self.total + self.tuning_total
        return (time.monotonic() - self.began) * (total - done) / done if done else float("nan")

    def line(self) -> str:
        """All in one line."""
        tuning = f"tuning {self.tuned}/{self.tuning_total}, " if self.tuning_total else ""
        left = _duration(self.seconds_left())
        parts = (
            f"{tuning}{self.done}/{self.total} runs, {self.rollouts:,} rollouts, {left} left",
            self.session.maker.words() if self.session.maker else "",
            self.latest,
        )
        return "; ".join(filter(None, parts))

    def table(self) -> "Table":
        """The runs of every method, how they do, and the time that is left."""
        unfinished = sorted(self.rows, key=lambda key: len(self.rows[key].finals) >= self.rows[key].total)
        first = set(unfinished[:MAX_ROWS])
        rows = [(*key, *row.cells()) for key, row in self.rows.items() if key in first]
        header = ("task", "method", "runs", "final return (IQM)", "return now")
        return terminal(header, rows, caption=self.line(), left=("task", "method"), wrap=False)


def _duration(seconds: float) -> str:
    if not np.isfinite(seconds):
        return "? s"
    for limit, unit in ((60, "s"), (3600, "min"), (86400, "h")):
        if seconds < limit:
            return f"{seconds * 60 / limit:.0f} {unit}" if unit != "h" else f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def watched(updates: Iterable[Update], session: StudySession) -> Generator[Update, None, None]:
    """The same updates, with progress written to standard error."""
    console = Console(file=sys.stderr, highlight=False)
    note = partial(console.print, soft_wrap=True, markup=False)
    # of a run elsewhere nothing is heard for the time of a slice
    watch = session.study.rollout_timeout is None and not (session.maker and session.maker.words())
    with Silence(note, STUCK if watch else None) as silence:
        for update in _shown(updates, Board(session), console):
            if update.event is not None:
                silence.heard()
            yield update


def _shown(updates: Iterable[Update], board: Board, console: Console) -> Generator[Update, None, None]:
    """The same updates, with a table or with lines."""
    if console.is_terminal:
        from rich.live import Live  # noqa: PLC0415 - slow to import, and a report needs none

        with Live(board.table(), console=console, auto_refresh=False, transient=True) as live:
            drawn = time.monotonic()
            for update in updates:
                board.update(update)
                if time.monotonic() - drawn > SECONDS_BETWEEN_TABLES:
                    live.update(board.table(), refresh=True)
                    drawn = time.monotonic()
                yield update
        say(board.line())
        return
    in_place = is_notebook()
    show = CellProgress() if in_place else say
    between = SECONDS_TO_FIRST_LINE if in_place else SECONDS_BETWEEN_LINES
    said = time.monotonic() - between + SECONDS_TO_FIRST_LINE
    for update in updates:
        board.update(update)
        if time.monotonic() - said > between:
            show(board.line())
            said = time.monotonic()
        yield update
    show(board.line())
