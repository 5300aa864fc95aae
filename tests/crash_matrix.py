"""Kills a comparison at chosen points, goes on with it, and compares the tables with those of a calm run.

`python crash_matrix.py POINTS FOLDER OPTIMIZER …` prints a line of JSON for each: the points whose tables differ.
Every comparison is a forked process, so that the imports are paid once; a point is a call of the functions by
which a study asks, tells, writes and commits, before and after it.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cma  # noqa: F401 - here, and not in every process
import scipy.stats  # noqa: F401

from policysearch.compare import journal
from policysearch.compare.comparison import Comparison
from policysearch.compare.journal import StudyJournal
from policysearch.compare.session import StudySession
from policysearch.compare.study import Study
from policysearch.ledger import Ledger
from policysearch.search import AskTell

POINTS = [(AskTell, "ask"), (AskTell, "tell"), (Ledger, "append"), (Ledger, "commit")]


def study(optimizer: str) -> Study:
    return Study.resolve({"tasks": ["lqr"], "optimizers": [optimizer], "rollouts": 60, "runs": 2})


def compare(chosen: Study, out: Path) -> None:
    """What the command does, less the pictures."""
    out.mkdir(exist_ok=True)
    with StudyJournal(out, chosen) as opened:
        session = StudySession(chosen, opened)
        for _ in session.run(workers=1):
            pass
    Comparison.of(session).write(out)


def in_a_process(work: Callable[[], Any]) -> int:
    """How a forked process ended that did this work."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def watch(reached: Callable[[int], None]) -> list[int]:
    """Call `reached(k)` at the k-th point from now on; returns the counter."""
    counter = [0]

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            for after in (False, True):
                counter[0] += 1
                reached(counter[0])
                if not after:
                    result = function(*arguments, **options)
            return result

        return call

    for owner, name in POINTS:
        setattr(owner, name, wrapped(getattr(owner, name)))
    return counter


def count(chosen: Study, out: Path) -> None:
    journal.SECONDS_BETWEEN_COMMITS = 0.0  # most points, and a number that does not depend on the time
    counter = watch(lambda _: None)
    compare(chosen, out)
    (out / "points").write_text(str(counter[0]), encoding="utf-8")


def die_at(chosen: Study, out: Path, point: int) -> None:
    journal.SECONDS_BETWEEN_COMMITS = 0.0 if point % 2 else 60.0  # everything is durable, or nothing is

    def reached(k: int) -> None:
        if k == point:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(reached)
    compare(chosen, out)


def tables(out: Path) -> list[str]:
    """runs.csv without the wall time, and curves.csv."""
    lines = (out / "runs.csv").read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("wall_seconds")
    return [",".join(cell for i, cell in enumerate(line.split(",")) if i != column) for line in lines] + [
        (out / "curves.csv").read_text(encoding="utf-8")
    ]


def differing(optimizer: str, wanted: int, folder: Path) -> list[Any]:
    """The points after which the tables are not those of the calm run, with both exit codes."""
    folder.mkdir()
    chosen = study(optimizer)
    assert in_a_process(lambda: count(chosen, folder / "calm")) == 0
    calm, total = tables(folder / "calm"), int((folder / "calm" / "points").read_text(encoding="utf-8"))
    wrong = []
    for point in sorted({1 + round(i * (total - 1) / (wanted - 1)) for i in range(wanted)}):
        out = folder / str(point)
        killed = in_a_process(lambda out=out, point=point: die_at(chosen, out, point))  # type: ignore[misc]
        went_on = in_a_process(lambda out=out: compare(chosen, out))  # type: ignore[misc]
        ends = (
            (-signal.SIGKILL,) if point % 2 else (-signal.SIGKILL, 0)
        )  # fewer points where nothing is durable
        if killed not in ends or went_on != 0 or tables(out) != calm:
            wrong.append([point, killed, went_on])
    return wrong


if __name__ == "__main__":
    number, where = int(sys.argv[1]), Path(sys.argv[2])
    for label in sys.argv[3:]:
        print(json.dumps({label: differing(label, number, where / label.replace(":", "-"))}), flush=True)
