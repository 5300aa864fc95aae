"""The course of a session: which bout begins when, what follows it, and when torque is let through.

A `Course` is in one of these phases:

    confirm    the next law enters a new region; there is no torque until the operator confirms
    start      the next bout waits for its start
    walking    it is walked
    rate       it was walked, or its time is kept elsewhere, and its rate is wanted; or that of earlier ones is
    done       nothing is to be measured, and its time is kept elsewhere
    day        the day of the protocol is over; the action of this name begins the next one
    stopped    the guard let the torque go to zero, and is not armed; or the log cannot be written
    over       nothing is left

After the first start a bout follows the other by itself, as long as no new region is entered, the result is not
doubtful, and a client is there. Between bouts there is no torque. Where `Inlet.walk_on` says so, the next bout begins
when the time of one is up, and its result may follow; it then waits for a rate while the next one is walked.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policysearch.exoskeleton.breath_columns import Cart
from policysearch.exoskeleton.breath_file import BreathFile
from policysearch.hitl.agenda import AVERAGED, Bout
from policysearch.hitl.clocks import Clocks, clocks
from policysearch.hitl.countdown import Countdown
from policysearch.hitl.engine import NUMBER
from policysearch.hitl.engine.drive import Drive
from policysearch.hitl.engine.driven import DrivenSession
from policysearch.hitl.offers import Offer
from policysearch.hitl.session import Session


@dataclass(frozen=True)
class Inlet:
    """Where breaths come from, and whether the engine keeps the time."""

    breaths: str = ""  # a file; {number} in its name is that of the bout
    timed: bool = True
    now: Callable[[], Clocks] = clocks
    walk_on: bool = False  # whether a bout begins before the result of the one before is there
    delay: float = 0.0  # see `Cart`, as the others
    units: str = ""
    began: str = ""
    markers: str = (
        ""  # begins the source_id of streams that go out; see `policysearch.hitl.lsl`, as the others
    )
    stream: Any = None  # of breaths
    number: Any = None  # of the objective

    @property
    def cart(self) -> Cart:
        """What the files do not say of the cart."""
        return Cart(self.delay, self.units, self.began)


def source_of(inlet: Inlet, path: Path, mass: float) -> Any:
    """What follows the breaths of a bout that begins, a file or a stream; None without breaths.

    Raises:
        ValueError: for a file that cannot be read.
    """
    if inlet.stream is not None or not inlet.breaths:
        return inlet.stream
    source = BreathFile(path, mass, inlet.cart)
    try:
        source.new()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    return source


class Course(DrivenSession):
    """The course of a session that runs; see `DrivenSession` for more attributes.

    Args:
        session: is continued.
        inlet: of its breaths.
        drive: the guard, if there is a device.

    Attributes:
        attended: whether a client is there.
        going: whether the next bout follows by itself.
        count: the bout that is walked, or was and has no rate yet.
        offered: the estimate that waits to be taken.
    """

    def __init__(self, session: Session, inlet: Inlet, drive: Drive | None = None) -> None:
        super().__init__(session, drive)
        self.inlet, self.attended, self.going = inlet, True, False
        self.count: Countdown | None = None
        self.offered: Offer | None = None
        self.file: dict[str, Any] | None = None  # of the offer
        self._steps = self._gaps = 0  # of the count that were noted

    @property
    def phase(self) -> str:
        """What the session waits for."""
        bout = self.session.next
        if bout is None:
            return "rate" if self.session.waiting else "over"
        if self.failed:
            return "stopped"
        if self.count is not None and not self.count.over:
            return "walking"
        if self.walked is not None and bout.is_measured:
            return "rate"
        return self._before(bout)

    def _before(self, bout: Bout) -> str:
        """What the session waits for before a bout."""
        held = "day" if self.session.day_is_over else "stopped" if self.halted else ""
        if held or self.session.entering:
            return held or "confirm"
        if self.inlet.timed:
            return "start"
        return "rate" if bout.is_measured else "done"

    @property
    def walked(self) -> float | None:
        """The minutes for which the next bout is walked, while it has no result; None before its start."""
        return self.session.minutes_walked if self.count is None else self.count.minutes

    @property
    def path(self) -> Path:
        """The file of the breaths of the next bout."""
        return Path(self.inlet.breaths.replace(NUMBER, str(len(self.session.entries) + 1)))

    def bout(self) -> Bout:
        """The next bout.

        Raises:
            RuntimeError: if the session is over.
        """
        if self.session.next is None:
            raise RuntimeError("the session is over")
        return self.session.next

    def start(self) -> None:
        """Begin the next bout.

        Raises:
            ValueError: in another phase, for a breath file that cannot be read, or a law that the guard refuses.
        """
        if self.phase != "start":
            raise ValueError(f"start: expected a bout that waits for its start, got the phase {self.phase!r}")
        bout, plan = self.bout(), self.session.plan
        source = source_of(self.inlet, self.path, plan.mass)
        self.follow_law(bout.law if plan.laws.assists(bout.law) else None)
        self.session.started(of=bout)
        averaged = plan.averaged if bout.purpose in AVERAGED else 0.0
        inlet = self.inlet
        self.count = Countdown(bout, averaged, source, now=inlet.now, tau=plan.tau, delay=inlet.delay)
        self._steps, self._gaps, self.going = 0, 0, True

    def tick(self) -> None:
        """Look at guard, clocks and breaths, and do what is due.

        Raises:
            LedgerError: if the log cannot be written; see `fail`.
        """
        self.look_at_guard()
        if self.count is None or self.phase != "walking":
            return
        self.count.look()
        window = self.count.window
        for step in window.clock_steps[self._steps :]:
            self.session.note(step)
        for gap in window.gaps[self._gaps :]:
            self.session.tell("gap", seconds=gap, item=self.bout().item)
        self._steps, self._gaps = len(window.clock_steps), len(window.gaps)
        if self.count.over:
            self._end(self.count)

    def stop(self, who: str, why: str) -> None:
        """Let the torque go to zero now; a bout that is walked is void."""
        self.halt(why, who)
        self.going = False
        self.session.tell("estop", who=who, why=why)
        self.say(f"STOP by {who}: {why}")
        if self.phase == "walking":
            self.void(why)

    def close(self) -> None:
        """Stop what is walked, and end the guard; the session is left open."""
        try:
            if self.phase == "walking":
                self.stop("the program", "stopped while it was walked")
            elif self.walked is not None and self.session.next is not None and not self.failed:
                label = self.session.next.label
                self.session.note(f"stopped after {label} was walked, before its rate was written down")
        finally:
            if self.drive is not None:
                self.drive.close()

    def limit(self, torque: float, reason: str) -> None:
        """Lower the upper torque (N·m/kg), for good; the guard has it first. A bout with more is void.

        Raises:
            ValueError: for one that is not lower, or without a reason, or while a bout with more has no rate yet.
        """
        self.session.check_limit(torque, reason)
        above = self.walked is not None and self.session.plan.laws.torque(self.bout().law) > torque
        if above and self.phase != "walking":
            raise ValueError(
                "limit: this bout was walked with more torque; type its rate, or void REASON, first"
            )
        if self.drive is not None:
            self.drive.lower(torque)
        if above:
            self.void(f"the torque was limited to {torque:g} N·m/kg: {reason}")
        self.session.limit(torque, reason)

    def void(self, reason: str) -> None:
        """The next bout does not count; it comes again.

        Raises:
            ValueError: if it was not begun, or without a reason.
        """
        if self.inlet.timed and self.walked is None:
            raise ValueError("void: nothing of this bout is walked yet; skip REASON leaves it out")
        minutes = self.walked
        if self.count is not None and not self.count.over:
            self.session.ended(reason)
        self.session.void(reason, minutes)
        self.going = False
        self.follow()

    def follow(self) -> None:
        """What follows a bout that has its result: the next one, or no torque."""
        self.count = self.offered = self.file = None
        if self.going and self.attended and self.phase == "start":
            try:
                self.start()
                return
            except (RuntimeError, ValueError) as error:
                self.say(str(error))
        if self.phase != "confirm":
            self.going = self.going and self.phase == "rate"
        self.follow_law(None)

    def _end(self, count: Countdown) -> None:
        """The time of a bout is up, or it was broken off."""
        self.session.ended(count.broken or "the time is up")
        self.say(count.broken or "the time is up")
        self.say_counts()
        if not self.bout().is_measured:
            self.session.walked(of=self.bout())
            self.follow()
            return
        self.follow_law(None)
        if count.broken:
            return
        if self.inlet.breaths or self.inlet.number:
            self.take_breaths(count)
        if self.count is count and self.inlet.walk_on:
            self.walk_on()

    @abstractmethod
    def take_breaths(self, count: Countdown) -> None:
        """Make the result of a bout of its breaths, and write it down if there is no doubt."""

    @abstractmethod
    def walk_on(self) -> None:
        """The result of the bout that was walked follows, and the next bout begins."""
