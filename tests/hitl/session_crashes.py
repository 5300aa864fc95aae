"""Kills a session at many points and continues it; prints the table of each as JSON.

Everything happens in forked children of this process, so that a point costs milliseconds: `python session_crashes.py
FOLDER POINTS`. A point is a moment before or after the log takes an event, or makes it durable.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from policysearch.hitl.log import has_begun
from policysearch.hitl.people import SimulatedPerson, walk_next
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.ledger import Ledger

PLAN = SessionPlan(bouts=16, warm_up=2.0, rest=1.0, retest=1, validation=3.0, baseline=3.0, seed=5)
KEY = (5, "person", 1)


def go_on(path: Path) -> list[dict[str, object]]:
    """The whole session, or what is left of it; returns its table."""
    with Session.resume(path) if has_begun(path) else Session.begin(PLAN, path) as session:
        person = SimulatedPerson("zhang2017", KEY, session.history)
        while session.next is not None:
            operate(session, person)
            walk_next(session, person)
        table = session.table()
    return list(json.loads(table.to_json(orient="records", double_precision=15)))


def operate(session: Session, person: SimulatedPerson) -> None:
    """What an operator does other than measuring, decided by the state alone."""
    kinds = [kind for kind, _ in session.events]
    measured = [entry for entry in session.entries if entry.status == "measured"]
    if len(measured) == 6 and "skip" not in kinds:
        session.skip("the strap")
    if len(measured) == 9 and "amend" not in kinds:
        session.amend(measured[4].number, measured[4].rate + 0.9, "read the wrong line")
    if len(measured) == 11 and "undo" not in kinds:
        session.undo("the mask was loose")
    if len(measured) == 12 and "void" not in kinds and session.next is not None and not session.entering:
        person.walk(replace(session.next, minutes=1.0))
        session.void("stumbled", minutes=1.0)


def in_child(work: Callable[[], None]) -> int:
    """The status with which a child process ends that does the work."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # said on standard error
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def killed_at(point: int) -> None:
    """From now on, die at that moment."""
    passed = 0

    def passing() -> None:
        nonlocal passed
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    def watched(inner: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object) -> None:
            passing()
            inner(*args)
            passing()

        return call

    Ledger.append = watched(Ledger.append)  # type: ignore[method-assign]
    Ledger.commit = watched(Ledger.commit)  # type: ignore[method-assign]


def main(folder: Path, points: list[int]) -> None:
    """Print {"calm": table, point: [how the first process ended, table]}."""

    def write(path: Path, to: Path) -> None:
        to.write_text(json.dumps(go_on(path)), encoding="utf-8")

    walk_next(Session.begin(PLAN), SimulatedPerson("zhang2017", KEY))  # loads what children would load each
    calm = folder / "calm.json"
    in_child(lambda: write(folder / "calm.sqlite", calm))
    results: dict[str, object] = {"calm": json.loads(calm.read_text(encoding="utf-8"))}
    for point in points:
        path, table = folder / f"{point}.sqlite", folder / f"{point}.json"

        def first(path: Path = path, table: Path = table, point: int = point) -> None:
            killed_at(point)
            write(path, table)

        status = in_child(first)
        in_child(lambda path=path, table=table: write(path, table))  # type: ignore[misc]
        results[str(point)] = [status, json.loads(table.read_text(encoding="utf-8"))]
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(point) for point in sys.argv[2].split(",")])
