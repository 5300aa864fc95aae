"""A comparison from Python: `policysearch.compare(study)`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from policysearch.compare import plots, recommendation, report
from policysearch.compare.comparison import Comparison
from policysearch.compare.journal import Journal
from policysearch.compare.progress import shown
from policysearch.compare.readable import readable_table
from policysearch.compare.session import Session
from policysearch.compare.study import Study
from policysearch.compare.verdict import verdict
from policysearch.reporting.tables import markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CompareResult(Comparison):
    """A comparison with a picture and words; a notebook shows its summary."""

    def plot(self) -> "Figure":
        """The anytime curves and final returns of all tasks."""
        return plots.overview(self)

    def verdict(self) -> str:
        """What the numbers support, in words."""
        return verdict(self)

    def _repr_markdown_(self) -> str:
        return markdown(readable_table(self))


def compare(
    study: "Study | dict[str, Any]", *, out: Path | str | None = None, workers: int = 1, progress: bool = True
) -> CompareResult:
    """Run a study, or go on with it, and return its tables.

    Args:
        study: a `Study`, or what a study file holds: `{"tasks": ["CartPole-v1"], "optimizers": ["cma-es", "ars"]}`.
        out: a folder that keeps everything, as the command line's `--out`; a study that was interrupted goes on
            where it stopped. None keeps nothing.
        workers: processes. With more than one, a script needs `if __name__ == "__main__":` around the call.
        progress: whether to show it on standard error.

    Raises:
        StudyError: listing everything that is wrong with the study.
        LedgerError: if the folder holds another study, is in use, damaged or cannot be written.
        RuntimeError: if a run has no result, with the reason.
    """
    resolved = Study.resolve(study) if isinstance(study, dict) else study
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with Journal(folder, resolved) as journal:
        session = Session(resolved, journal)
        updates = session.run(workers)
        for _ in shown(updates, session) if progress else updates:
            pass
    if session.died:
        raise RuntimeError("\n".join(f"{died.job}: {died.reason}" for died in session.died))
    comparison = CompareResult.of(session)
    if folder is not None:
        write(session, comparison, folder)
    return comparison


def write(session: Session, comparison: Comparison, out: Path, *, latex: bool = False) -> None:
    """Write the report, the recommendations and the examples of failed episodes.

    Raises:
        OSError: if a file cannot be written.
    """
    recommendation.save(out, session.tuned, session.results.values())
    recommendation.save_failures(out, session.tuned, session.results.values())
    report.write(comparison, out, latex=latex)
