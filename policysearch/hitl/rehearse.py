"""A rehearsal: the engine, prompts and guard of a lab day, with a simulated person and a clock that runs faster.

The clock stands still while the operator is asked. The cart writes each breath when it is due, in the layout of a
real one, and the guard drives an emulated device in real time. Without a device a rehearsal is repeatable: the same
protocol, person and answers give the same laws.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.command_line import Refusal
from policysearch.core import Array
from policysearch.exoskeleton.human import Walker
from policysearch.hitl.carts import Cart
from policysearch.hitl.clocks import Clocks
from policysearch.hitl.engine.actions import act, state
from policysearch.hitl.engine.device import starter
from policysearch.hitl.engine.drive import Drive
from policysearch.hitl.engine.engine import Engine
from policysearch.hitl.laws import Laws
from policysearch.hitl.live import PersonName
from policysearch.hitl.log import has_begun
from policysearch.hitl.people import SimulatedPerson
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.protocol import dry_run
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView
from policysearch.provenance import changes
from policysearch.seeding import Key, stream

MINUTES = 5.0  # that walking takes in a rehearsal, unless a speed is given
LOOK = 1.0  # s between two looks of the engine, by the clock of the rehearsal
WIDTH = 0.35  # of a range: how flat a stand-in's landscape is (choice)
PATIENCE = 5  # times that the same is asked, before an operator that answers by itself gives up
#: What an operator types that answers by itself, by phase.
ANSWERS = {"confirm": "yes", "start": "", "done": "", "day": "day", "stopped": "arm the straps are checked"}
DEVICE = "policysearch.hitl.guard.adapters:Serial"
FIRMWARE = '{"slope": 4000.0, "highest": 120.0}'  # N·m/s and N·m: every law of every person
SLOPE = 40.0  # N·m/kg per s, of the guard


class Clock:
    """A clock that is set by the rehearsal: s since its start, and the time of day."""

    def __init__(self, start: float) -> None:
        self.start, self.seconds = start, 0.0

    def wall(self) -> float:
        """The time of day (s)."""
        return self.start + self.seconds

    def now(self) -> Clocks:
        """Both clocks; they agree."""
        return self.wall(), self.wall()


def size(plan: SessionPlan) -> tuple[float, int]:
    """The minutes and the bouts of a session in which nothing goes wrong."""
    planned = dry_run(plan)
    return sum(each.bout.minutes for each in planned), len(planned)


def stand_in(laws: Laws, key: Key) -> Callable[[Array, Walker], tuple[Array, float]] | None:
    """How a simulated person takes laws of other parameters; None for an ankle's.

    They are this person's best law, which helps the less the further they are from an optimum of theirs.
    """
    if laws.is_ankle:
        return None
    lower, upper = laws.space.bounds
    optimum = lower + (upper - lower) * stream(*key, "optimum").uniform(0.3, 0.8, len(lower))

    def taken(law: Float[Array, "d"], walker: Walker) -> tuple[Array, float]:
        best = walker.best_law()
        if not laws.assists(law):
            return np.array([0.0, *best[1:]]), 1.0
        off = (law - optimum) / (WIDTH * (upper - lower))
        return best, float(np.exp(-0.5 * off @ off))

    return taken


class Rehearsal:
    """An engine in this process, with a person who walks; a client of it as `policysearch.hitl.terminal` needs one.

    Args:
        engine: of the session; its inlet has the clock.
        clock: of the rehearsal.
        cart: writes the file of the inlet.
        name: of the person.
        speed: as a multiple of real time; 0: as fast as possible.
        sleep: lets real time pass (s).
    """

    def __init__(
        self, engine: Engine, clock: Clock, cart: Cart, name: PersonName, *,
        speed: float = 0.0, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self.engine, self._clock, self._cart, self._name, self._speed = engine, clock, cart, name, speed
        self._sleep, self._count, self._state = sleep, engine.count, dict[str, Any]()
        self.value = np.nan  # of the objective, if it is typed
        self._minutes, self._bouts = size(engine.session.plan)

    @property
    def state(self) -> dict[str, Any]:
        """The state of the engine; of what is done, also the part of the rehearsal."""
        if not self._state:
            self._state = state(self.engine)
            done = [
                e.minutes
                for e in self.engine.session.entries
                if e.status in ("measured", "walked", "amended")
            ]
            words = f"of all {len(done)} of {self._bouts}, {sum(done):g} of {self._minutes:g} min"
            if self._state["bout"] is not None:
                self._state["bout"]["done"] += f"; {words}"
        return self._state

    def act(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer to an action."""
        self._state = {}
        return act(self.engine, {"do": do} | arguments)

    def wait(self, seconds: float) -> None:
        """Let time pass, and the person walk."""
        left = seconds * self._speed if self._speed else np.inf
        count = self.engine.count
        while left > 0.0 and self.engine.phase == "walking" and self.engine.count is count:
            if self.engine.count is not self._count:
                self._begin()
            self._clock.seconds += min(left, LOOK)
            left -= LOOK
            self._cart.write(self._clock.seconds)
            self.engine.tick()
        self._state = {}
        if self._speed:
            self._sleep(seconds)

    def _begin(self) -> None:
        """A bout was begun; the person is rebuilt from what was walked, as a session that was killed would do."""
        session, bout = self.engine.session, self.engine.bout()
        self._count = self.engine.count
        key = (self._name.seed, "person", self._name.number)
        person = SimulatedPerson(
            self._name.people, key, session.history, read_as=stand_in(session.plan.laws, key)
        )
        self._cart.measure(person.walk(bout), self._clock.seconds)
        noise = float(stream(*key, "typed", len(session.history)).standard_normal())
        self.value = session.plan.measured.sign * (100.0 * person.reduction(bout.law) + 2.0 * noise)


class Operator:
    """An operator that answers by itself; what it types is shown.

    Args:
        rehearsal: is asked for its phase.
        show: shows a line.
    """

    def __init__(self, rehearsal: Rehearsal, show: Callable[[str], None]) -> None:
        self._rehearsal, self._show, self._last, self._again = rehearsal, show, "", 0
        self.said = ""

    def say(self, line: str) -> None:
        """Show a line, and remember it."""
        self.said = line
        self._show(line)

    def read(self, prompt: str) -> str:
        """The answer to a prompt."""
        answer = self._answer(prompt)
        self._show(f"{prompt}{answer}")
        return answer

    def _answer(self, prompt: str) -> str:
        shown = self._rehearsal.state
        asked = f"{shown['phase']} {shown['bout'] and shown['bout']['number']} {prompt}"
        self._again = self._again + 1 if asked == self._last else 0
        self._last = asked
        if self._again > PATIENCE:
            raise Refusal([f"the rehearsal does not get further: {self.said.strip()}"])
        if prompt.startswith("  again"):
            return self.said.rpartition("type ")[2]
        session = self._rehearsal.engine.session
        match shown["phase"]:
            case "over":
                return "unblind the rehearsal is over" if session.is_blind else ""
            case "start" if self._again:
                return "skip it cannot be begun"
            case "rate" if not session.plan.is_breathed:
                return f"{self._rehearsal.value:.2f}"
            case "rate":
                return "" if shown["enter"] else "yes" if shown["offer"] else "void there are no breaths"
        return ANSWERS[shown["phase"]]


@contextmanager
def emulated() -> Iterator[dict[str, Any]]:
    """An emulated device, and what the engine has to know of it."""
    command = [sys.executable, "-m", "policysearch.hitl.guard.emulated", FIRMWARE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        try:
            line = process.stdout.readline().strip() if process.stdout else ""
            yield {"device": DEVICE, "slope": SLOPE, "stop_time": 0.3, "options": {"path": line}}
        finally:
            process.kill()


@contextmanager
def driven(records: Path, *, device: bool) -> Iterator[Drive | None]:
    """The guard with an emulated device, or none. Its heart beats on while an operator is asked."""
    if not device:
        yield None
        return
    over = threading.Event()

    def beat(drive: Drive) -> None:
        while not over.wait(0.2):
            drive.alive()

    with emulated() as told:
        drive = Drive(starter(**told, records=str(records)))
        threading.Thread(target=beat, args=(drive,), daemon=True).start()
        try:
            yield drive
        finally:
            over.set()


def begun_or_continued(plan: SessionPlan, path: Path, name: PersonName) -> tuple[Session, Clock]:
    """The session of a rehearsal with its clock, which starts now, or after the last event of the log.

    Raises:
        Refusal: if the session at `path` is another one.
    """
    if not has_begun(path):
        clock = Clock(time.time())
        session = Session.begin(plan, path, clock.wall, clock.wall)
        session.note(name.note)
        return session, clock
    old = SessionView.of(path)
    known = PersonName.of(old)
    wrong = changes(
        [("plan", old.plan.document(), plan.document()), ("person", known and known.note, name.note)]
    )
    if wrong:
        raise Refusal([*wrong, f"{path.parent} has another session: choose another folder, or pass --fresh"])
    clock = Clock(max(time.time(), *(float(body["at"]) + 1.0 for _, body in old.events if "at" in body)))
    return Session.resume(path, clock.wall, elapsed=clock.wall), clock
