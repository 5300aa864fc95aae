"""Interrupts a comparison in one of its phases by a real Ctrl-C, and continues it.

`python interrupted_study.py FOLDER PHASE …` prints a line of JSON for each phase: the exit code, what was said, the
files that were left, and whether the tables of the continued comparison are those of a calm one. Every comparison runs
in a forked process, so that the imports are paid once; in its phase it waits for the signal.
"""

import contextlib
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cma  # noqa: F401 - here, and not in every process
import matplotlib.figure  # noqa: F401
from conftest import without_pictures
from crash_matrix import in_a_process, tables

from policysearch.compare import driver, progress, report
from policysearch.compare.__main__ import main
from policysearch.compare.journal import StudyJournal

STUDY = [
    "--tasks",
    "lqr",
    "--rollouts",
    "40",
    "--runs",
    "2",
    "--workers",
    "1",
    "--optimizers",
    "cma-es",
    "ars",
]
#: The function at which each phase waits, at which of its calls, and flags.
PHASES: dict[str, tuple[Any, str, int, list[str]]] = {
    "reading": (driver, "what_is_run", 1, []),
    "compiling": (progress, "announce", 1, []),
    "trying": (driver, "check_all", 1, []),
    "tuning": (StudyJournal, "finished", 3, ["--tune", "2"]),
    "running": (StudyJournal, "finished", 2, []),
    "running, tuned": (StudyJournal, "finished", 4 + 2, ["--tune", "2"]),
    "running, in groups": (StudyJournal, "finished", 5, ["--settle", "2"]),
    "writing": (report, "write", 1, []),
}


def run(out: Path, flags: list[str]) -> int:
    with without_pictures():
        return main([*STUDY, *flags, "--out", str(out)])


def quietly(out: Path, flags: list[str]) -> int:
    """The exit code of a comparison in a process of its own."""

    def work() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert run(out, flags) == 0

    return in_a_process(work)


def waits(owner: Any, name: str, calls: int, reached: Path) -> None:
    """Let the function wait for the signal at the end of a call of it."""
    function: Callable[..., Any] = getattr(owner, name)
    count = [0]

    def waiting(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        count[0] += 1
        if count[0] == calls:
            reached.touch()
            time.sleep(0.5 if owner is report else 30.0)  # files are written to their end
        return result

    setattr(owner, name, waiting)


def interrupted(out: Path, phase: str, flags: list[str]) -> tuple[int, str, str]:
    """Exit code, and both outputs, of a comparison that is interrupted."""
    owner, name, calls, _ = PHASES[phase]
    reached, said = out.with_suffix(".reached"), out.with_suffix(".said")
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        waits(owner, name, calls, reached)
        outputs = io.StringIO(), io.StringIO()
        code = 99
        try:
            with contextlib.redirect_stdout(outputs[0]), contextlib.redirect_stderr(outputs[1]):
                code = run(out, flags)
        finally:
            said.write_text(json.dumps([text.getvalue() for text in outputs]), encoding="utf-8")
            os._exit(code)
    while not reached.exists():
        time.sleep(0.01)
    time.sleep(0.05)
    os.killpg(pid, signal.SIGINT)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    reached.unlink()
    out_text, err_text = json.loads(said.read_text(encoding="utf-8"))
    return code, out_text, err_text


def found(phase: str, folder: Path) -> dict[str, Any]:
    """What came of a phase; also of the same one where two runs have finished before."""
    flags = PHASES[phase][3]
    calm, out = folder / f"calm {phase}", folder / phase
    assert quietly(calm, flags) == 0
    code, words, errors = interrupted(out, phase, flags)
    left = sorted(path.name for path in out.iterdir()) if out.exists() else []
    assert quietly(out, flags) == 0
    same = tables(out) == tables(calm)
    return {"code": code, "out": words, "errors": errors, "left": left, "same": same}


def known(phase: str, folder: Path) -> dict[str, Any]:
    """What came of a phase of a comparison of which two runs have finished before."""
    out = folder / f"known {phase}"
    interrupted(out, "running", [])
    for path in out.iterdir():
        if not path.name.startswith("ledger"):
            path.unlink()
    code, words, errors = interrupted(out, phase, [])
    left = sorted(path.name for path in out.iterdir())
    return {"code": code, "out": words, "errors": errors, "left": left, "same": True}


if __name__ == "__main__":
    where = Path(sys.argv[1])
    for each in sys.argv[2:]:
        made = known(each.removeprefix("known "), where) if each.startswith("known ") else found(each, where)
        print(json.dumps({each: made}), flush=True)
