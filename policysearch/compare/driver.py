"""A study run from beginning to end: what is known is continued, what has finished is written."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policysearch.compare import progress, recommendation
from policysearch.compare.checks import check_all, what_is_run
from policysearch.compare.journal import StudyJournal
from policysearch.compare.log import RunLog
from policysearch.compare.session import Shard, StudySession
from policysearch.compare.study import Study
from policysearch.compare.timing import in_short
from policysearch.compare.tuning import so_far, tuning_table
from policysearch.compare.workers import Died
from policysearch.errors import MACHINE_TROUBLE, CommandError
from policysearch.files import write_text
from policysearch.interrupts import held_back
from policysearch.registry import imported
from policysearch.reporting.tables import csv
from policysearch.reuse import Reuse

if TYPE_CHECKING:
    from policysearch.compare.result import CompareResult


#: What makes runs on an engine: a wing, which is imported when an engine is named.
MAKING = "policysearch.engines.runs:making"


class CannotWrite(CommandError, OSError):  # noqa: N818 - it states what was found
    """The results cannot be written; the runs are safe in the ledger."""

    exit_code = MACHINE_TROUBLE


@dataclass(frozen=True)
class Shown:
    """What a run of a study shows and writes next to its tables.

    Attributes:
        watch: whether the progress is shown on standard error.
        log: a CSV file for the rollouts of the searches, written while they run.
        latex: whether there is a LaTeX table too.
    """

    watch: bool = True
    log: Path | None = None
    latex: bool = False

    @property
    def tell(self) -> Callable[[str], None]:
        """What shows a line."""
        return progress.say if self.watch else lambda line: None


@dataclass(frozen=True)
class StudyOutcome:
    """How a study ended."""

    result: "CompareResult | None"  # of the runs that have finished; None before the first
    died: Sequence[Died]
    interrupted: bool
    tuning: tuple[str, ...] = ()  # lines on what it has found so far, where there is no result yet
    unfinished: str = ""  # the runs for which there was no time any more


def run_study(
    study: Study,
    folder: Path | None,
    workers: int,
    *,
    shard: Shard | None = None,
    command: str = "",
    shown: Shown = Shown(),
    reuse: Reuse = Reuse(),
    engine: Any = None,
) -> StudyOutcome:
    """Run a study, or continue the one in `folder`, and write the results there.

    Ctrl-C ends the study early, while it compiles, tries its tasks, tunes or runs; the results of the runs that have
    finished are written. While they are being written, it ends the study when they are.

    Args:
        study: says what is run.
        folder: keeps everything; None keeps nothing.
        workers: processes.
        shard: the part of the runs to make; None: all.
        command: what a reader can type to run the study again.
        shown: what is shown and written next to the tables.
        reuse: what becomes of the results that are there.
        engine: makes the runs on other machines: an executor, or a text as `policysearch.engines` has it.

    Raises:
        StudyError: if what is run does not repeat itself, or depends on a file that is not there.
        LedgerError: if the folder holds something else, is in use, damaged or cannot be written.
        ReplayDiffers: if a search does not continue as it is recorded.
        CannotWrite: if the results cannot be written.
        NoEngine, EngineLost, WorkerDiffers, WorkerFailed: as `policysearch.engines` says; what was run is kept.
    """
    log = None if shown.log is None else RunLog(shown.log)
    with ExitStack() as stack:
        maker = None if engine is None else stack.enter_context(imported(MAKING)(engine, shown.tell))
        journal = stack.enter_context(StudyJournal(folder, study, command, reuse, what_is_run(study), log))
        session = StudySession(study, journal, shard or Shard(), maker)
        interrupted = _interrupted(session, workers, reuse, watch=shown.watch)
        with held_back() as pressed:
            result = _result(session) if session.results else None
            if folder is not None and (session.results or session.died or session.tuning):
                _write(session, result, folder, latex=shown.latex)
    return StudyOutcome(
        result,
        session.died,
        interrupted or bool(pressed),
        () if result is not None else so_far(session.drawn, session.tuning),
        in_short(session.unfinished),
    )


def _interrupted(session: StudySession, workers: int, reuse: Reuse, *, watch: bool) -> bool:
    """Compile, try the tasks and make all runs; whether Ctrl-C has ended that early."""
    updates = session.run(workers)
    watched = progress.watched(updates, session) if watch else updates
    try:
        if watch:
            progress.announce_known(session)
            progress.announce(session.study)
        check_all(session.study, session.journal, workers, reuse)
        for _ in watched:
            pass
    except KeyboardInterrupt:
        watched.close()  # restores the terminal
        updates.close()  # ends the workers
        session.recall()
        return True
    return False


def _result(session: StudySession) -> "CompareResult":
    from policysearch.compare.result import CompareResult  # noqa: PLC0415 - pandas, which runs do not need

    return CompareResult.of(session)


def _write(session: StudySession, result: "CompareResult | None", folder: Path, *, latex: bool) -> None:
    """Write the report, the recommendations and the examples of failed episodes."""
    from policysearch.compare import report  # noqa: PLC0415 - pandas, which runs do not need

    try:
        labels = {died.job.optimizer for died in session.died}
        study = (
            session.tuned if labels <= session.tuned.optimizers.keys() else session.drawn
        )  # while it was tuned
        died = [died.result(study) for died in session.died]
        recommendation.save_failures(folder, study, [*session.results.values(), *died])
        if result is None and session.tuning:
            write_text(folder / "tuning.csv", csv(tuning_table(session.drawn, session.tuning)))
        if result is not None:
            recommendation.save(folder, session.tuned, session.results.values())
            report.write(result, folder, latex=latex)
    except OSError as error:
        raise CannotWrite(
            f"{error.filename or folder}: cannot write: {error.strerror or error}; the runs are safe in the ledger: "
            "make room and run the same command again"
        ) from error
