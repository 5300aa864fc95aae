"""A comparison from Python: `policysearch.compare(study, rollouts=1000, …)`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from policysearch.compare import request
from policysearch.compare.driver import Shown, run_study
from policysearch.compare.journal import NAME
from policysearch.compare.options import CompareOptions
from policysearch.compare.progress import say
from policysearch.compare.result import CompareResult
from policysearch.compare.study import Study
from policysearch.configuration import check_keywords
from policysearch.interrupts import Interrupted
from policysearch.ledger import set_aside
from policysearch.reuse import Reuse


def compare(
    study: Study | Mapping[str, Any] | str | Path | None = None,
    *,
    out: Path | str | None = None,
    workers: int = 1,
    engine: Any = None,
    progress: bool = True,
    log: Path | str | None = None,
    **options: Unpack[CompareOptions],
) -> CompareResult:
    """Run a study, or continue it, and return its tables.

    Args:
        study: a `Study`, a study file, or what such a file holds, as in
            `{"tasks": ["CartPole-v1"], "optimizers": ["cma-es", "ars"]}`; None is the quick study.
        out: a folder that keeps everything, as the command line's `--out`; a study that was interrupted continues
            where it stopped. None keeps nothing.
        workers: processes.
        engine: makes the runs on other machines: an executor of `concurrent.futures`, or a text as `--engine` has it.
        progress: whether to show it on standard error.
        log: a CSV file to which the rollouts of the searches are appended while they run, a row each.
        options: tasks, methods and settings (`policysearch.compare.options.StudySettings`) in place of the study's,
            and what becomes of results that are there (`policysearch.reuse.Reuse`).

    Raises:
        TypeError: for an option that does not exist.
        StudyError: listing everything that is wrong with the study.
        LedgerError: if the folder holds another study, is in use, damaged or cannot be written.
        RuntimeError: if a run has no result, with the reason, or the time limit was over before one had.
        NoEngine: for a text that names no engine.
        EngineLost: if the engine takes no tasks any more; what was run is kept in `out`.
        Interrupted: by Ctrl-C; its `result` has the runs that have finished, None if there is none.
    """
    reuse = Reuse.taken(options)
    resolved = _resolved(study, options, progress=progress)
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        if reuse.fresh and (kept := set_aside(folder / NAME)) and progress:
            say(f"the ledger that was there is kept as {kept}")
    shown = Shown(watch=progress, log=None if log is None else Path(log))
    outcome = run_study(resolved, folder, workers, shown=shown, reuse=reuse, engine=engine)
    if outcome.interrupted:
        raise Interrupted(outcome.result, "interrupted; `result` has the runs that have finished")
    if outcome.died or outcome.result is None:
        late = [f"hours: {outcome.unfinished}: not finished in time"] if outcome.unfinished else []
        raise RuntimeError("\n".join([*(f"{died.job}: {died.reason}" for died in outcome.died), *late]))
    return outcome.result


def _resolved(
    study: Study | Mapping[str, Any] | str | Path | None, options: CompareOptions, *, progress: bool
) -> Study:
    check_keywords("compare", options, CompareOptions.__annotations__)
    if isinstance(study, Study):
        if not options:
            return study
        study = study.document()
    data = request.read(Path(study)) if isinstance(study, str | Path) else study
    given = {name: value for name, value in options.items() if value is not None}
    resolved, lines = request.resolved(data, given)
    for line in lines if progress else ():
        say(line)
    return resolved
