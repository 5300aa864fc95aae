"""The CSV log of a running comparison: a row per rollout of its searches, in the order of the ledger."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from policysearch.compare.run import Job
from policysearch.compare.study import StudyError
from policysearch.core import Failure
from policysearch.errors import MACHINE_TROUBLE, CommandError
from policysearch.evaluators.recorded import Record
from policysearch.reporting.log import CsvLog

#: Of the log.
COLUMNS = (
    "stage", "task", "optimizer", "run", "generation", "candidate", "episode", "purpose", "return", "steps",
    "failure",
)  # fmt: skip
#: Rows that are kept before they are written.
MAX_ROWS = 10_000


class LogFailed(CommandError, OSError):  # noqa: N818 - it states what was found
    """The log cannot be written; the runs are safe in the ledger."""

    exit_code = MACHINE_TROUBLE


class RunLog:
    """The log of all searches of a study.

    Raises:
        StudyError: if the file holds something else.
        LogFailed: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._log = CsvLog(path.absolute(), COLUMNS[:-1], "a comparison")
        except ValueError as error:
            raise StudyError([str(error)]) from error
        except OSError as error:
            raise LogFailed(f"{path}: cannot read: {error.strerror}; --log names another file") from error
        self._rows = list[dict[str, Any]]()
        self._generations = Counter[tuple[str, Job]]()

    def add(self, stage: str, job: Job, record: Record) -> None:
        """The next generation of a search.

        Raises:
            LogFailed: if the log cannot be written.
        """
        generation = self._generations[stage, job]
        self._generations[stage, job] += 1
        names = {"stage": stage, **vars(job), "generation": generation}
        self._rows += [names | row for row in _rollouts(record)]
        if len(self._rows) > MAX_ROWS:
            self.write()

    def begin(self, known: Iterable[tuple[str, Job, Record]]) -> None:
        """Write what is known from before, in the order in which it was written down."""
        for stage, job, record in known:
            self.add(stage, job, record)
        self.write()

    def write(self) -> None:
        """Write the rows that were added.

        Raises:
            LogFailed: if they cannot be written.
        """
        rows, self._rows = self._rows, []
        try:
            if rows:
                self._log.append(rows)
        except OSError as error:
            hint = "the runs are safe in the ledger: make room, or leave out --log, and run the same command again"
            raise LogFailed(f"{self._log.path}: cannot write the log: {error.strerror}; {hint}") from error


def _rollouts(record: Record) -> Iterator[dict[str, Any]]:
    """The columns of every rollout that was measured."""
    failures = [Failure(*entry) for entry in record.get("failures", ())]
    reasons = {(failure.candidate, failure.episode): failure.reason for failure in failures}
    unmeasured = record.get("unmeasured", ())
    for i, (returns, steps) in enumerate(zip(record["returns"], record["steps"], strict=True)):
        for j, (value, count) in enumerate(zip(returns, steps, strict=True)):
            if i not in unmeasured:
                place = {"candidate": i, "episode": j, "purpose": record["purpose"]}
                yield place | {"return": float(value), "steps": count, "failure": reasons.get((i, j), "")}
