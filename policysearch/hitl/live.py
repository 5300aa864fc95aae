"""The protocol on one simulated person, live: the breaths as they come, the bouts so far, the true reductions."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Group
from rich.live import Live
from rich.text import Text

from policysearch.exoskeleton.respirometry import Estimate, running
from policysearch.hitl.agenda import Bout
from policysearch.hitl.log import Entry
from policysearch.hitl.people import SimulatedPerson, walk_to_the_end
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView, cells
from policysearch.reporting.console import Console
from policysearch.reporting.tables import terminal

SECONDS_BETWEEN_TABLES = 0.1
MAX_ROWS = 14  # bouts that the table shows
LAW = ("N·m/kg", "peak", "rise", "fall")
COLUMNS = ("bout", "purpose", *LAW, "W/kg", "reduction")


class PersonName(NamedTuple):
    """A simulated person: the same one as person `number` of `policysearch.hitl.simulate.take_part`."""

    people: str
    number: int
    seed: int

    def person(self, history: Iterable[Entry] = ()) -> SimulatedPerson:
        """The person after the bouts of `history`."""
        return SimulatedPerson(self.people, (self.seed, "person", self.number), history)

    @property
    def note(self) -> str:
        """The note in the log that names the person."""
        return f"simulated person {self.number} of {self.people}"

    @classmethod
    def of(cls, session: SessionView) -> "PersonName | None":
        """The person of a session; None if the person is not a simulated one."""
        notes = [body["text"] for kind, body in session.events if kind == "note"]
        found = re.fullmatch(r"simulated person (\d+) of ([\w-]+)", notes[0]) if notes else None
        return cls(found[2], int(found[1]), session.plan.seed) if found else None


class TrueReductions(NamedTuple):
    """True reductions (%), with the adaptation that the person has at the end of the search."""

    optimized: float
    reference: float
    best: float  # of all laws


def truth(session: SessionView, name: PersonName) -> TrueReductions:
    """The true reductions under the laws of a session, which no study can see."""
    history = session.history
    last = max((i for i, entry in enumerate(history) if entry.purpose == "search"), default=-1)
    walker = name.person(history[: last + 1]).walker
    laws = (session.recommendation, session.plan.reference, walker.best_law())
    return TrueReductions(*(100.0 * walker.true_reduction(law) for law in laws))


def walk(
    session: Session,
    person: SimulatedPerson,
    speed: float,
    console: Console,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Let the person walk to the end of the session at `speed` times real time, or as fast as possible (0).

    A terminal shows a table of the bouts so far; elsewhere every bout is a line.
    """
    if not console.is_terminal:
        for _, entry in walk_to_the_end(session, person):
            sleep(60.0 * entry.minutes / speed if speed else 0.0)
            console.print(f"bout {_line(session, COLUMNS)}", markup=False, soft_wrap=True)
        return
    with Live(console=console, auto_refresh=False) as live:
        for bout, entry in walk_to_the_end(session, person):
            for seconds in _moments(60.0 * entry.minutes, speed * SECONDS_BETWEEN_TABLES):
                live.update(_view(session, bout, entry, seconds), refresh=True)
                sleep(SECONDS_BETWEEN_TABLES if speed else 0.0)


def _line(session: SessionView, columns: Sequence[str]) -> str:
    """Some cells of the last bout."""
    return "  ".join(filter(None, cells(session)[list(columns)].iloc[-1]))


def _moments(seconds: float, step: float) -> list[float]:
    """The moments (s) of a bout at which the table is drawn, its end at least."""
    return [*np.arange(step, seconds, step).tolist(), seconds] if step else [seconds]


def _view(session: SessionView, bout: Bout, entry: Entry, seconds: float) -> Group:
    """The bouts so far, and the one that is being walked."""
    over = seconds >= 60.0 * entry.minutes
    walked = cells(session)[: None if over else -1]
    shown = walked[list(COLUMNS)].tail(MAX_ROWS).itertuples(index=False)
    table = terminal(COLUMNS, shown, left=("purpose",), wrap=False)
    plan, done = session.plan, int((walked["purpose"] == "search").sum())
    budget = (
        f"search: {done} of {plan.bouts} bouts, {done * plan.minutes:g} of {plan.bouts * plan.minutes:g} min"
    )
    law = _line(session, LAW) if entry.law[0] > 0.0 else "no torque"
    now = f"bout {entry.number}: {bout.label}: {law}"
    return Group(table, Text(now), Text(_progress(session, entry, seconds)), Text(budget))


def _progress(session: SessionView, entry: Entry, seconds: float) -> str:
    """The time of a bout so far, and the estimate from its breaths."""
    words = f"{int(seconds // 60)}:{int(seconds % 60):02d} of {entry.minutes:g} min"
    if entry.breaths is None:
        return words
    count = int(np.searchsorted(entry.breaths.time, seconds, side="right"))
    rates, errors = running(entry.breaths, session.plan.tau)
    words += f", {count} breaths"
    if count < 3:
        return words
    return words + f", so far {Estimate(rates[count - 1], errors[count - 1])} W/kg"
