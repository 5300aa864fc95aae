"""The engine: the course of a session, and the results of its bouts."""

import hashlib
import math
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float

from policysearch.core import Array
from policysearch.exoskeleton.breath_columns import Cart
from policysearch.exoskeleton.breath_file import Times, read_breaths
from policysearch.exoskeleton.respirometry import Breaths, Estimate
from policysearch.hitl.agenda import AVERAGED
from policysearch.hitl.countdown import Countdown
from policysearch.hitl.engine.course import Course, Inlet
from policysearch.hitl.engine.drive import Drive
from policysearch.hitl.log import Entry
from policysearch.hitl.offers import Offer, offer
from policysearch.hitl.options import LSL
from policysearch.hitl.session import Session
from policysearch.hitl.view import in_words


class Doubtful(ValueError):  # noqa: N818 - it is a question
    """What was told is doubtful, and is done when it is told again with `sure`."""


class LateOffer(NamedTuple):
    """What the breaths of a bout offer whose result follows."""

    offer: Offer
    file: dict[str, Any]


class Engine(Course):
    """A session that runs; see `Course` for its arguments.

    Attributes:
        late: what is offered for bouts whose results follow, by their numbers.
        following: those of them whose last breaths are still to come, each with its file.
    """

    def __init__(self, session: Session, inlet: Inlet, drive: Drive | None = None) -> None:
        super().__init__(session, inlet, drive)
        self.late: dict[int, LateOffer] = {}
        self.following: dict[int, tuple[Countdown, Path]] = {}

    def tick(self) -> None:
        """Look at guard, clocks and breaths, also at those that come by the cart's delay after a bout."""
        super().tick()
        count = self.count
        if count is not None and self.phase == "rate" and not count.complete:
            count.look()
            if count.complete and not count.broken:
                self.take_breaths(count)
        for number, (after, path) in [*self.following.items()]:
            after.look()
            if after.complete:
                del self.following[number]
                self._offer_late(number, after, path)

    @property
    def asks_for(self) -> Entry | None:
        """The bout to which a rate belongs that is given now; None if that is the next one."""
        waiting = self.session.waiting
        of_the_next = self.phase == "rate" and self.session.next is not None
        return waiting[0] if waiting and not of_the_next else None

    def take_breaths(self, count: Countdown) -> None:
        """Make the result of a bout of its breaths, and write it down if there is no doubt."""
        if not count.complete:
            self.say(f"its last breaths come within {self.inlet.delay:g} s")
            return
        bout, number = self.bout(), self.inlet.number
        try:
            if number is not None:
                minutes = self.session.plan.averaged if bout.purpose in AVERAGED else 0.5 * bout.minutes
                self._write(number.mean(60.0 * minutes), None)
                return
            self.propose(count.breaths(), self.path)
        except (OSError, ValueError) as error:
            self.say(str(error))
            return
        if self.offered and not self.offered.doubt:
            self.take()

    def propose(self, breaths: Breaths, path: Path) -> None:
        """Offer the estimate of these breaths.

        Raises:
            ValueError: if no bout waits for its rate, or these are not its breaths.
        """
        bout = self.bout()
        found = offer(self.session, breaths, bout.minutes, bout.purpose)
        self.offered, self.file = found, signature(path, self.inlet.cart)
        for line in found.said:
            self.say(line)

    def read(self, path: Path, bout: Times) -> Breaths:
        """The breaths of a file that belong to a bout, which began and ended at these times.

        Raises:
            OSError, ValueError: if they cannot be read.
        """
        return read_breaths(path, self.session.plan.mass, gaps=True, cart=self.inlet.cart, bout=bout)

    def take(self, *, sure: bool = False) -> None:
        """Write down what is offered.

        Raises:
            Doubtful: if it is doubtful, and not `sure`.
            ValueError: if nothing is offered.
        """
        if self.offered is None:
            raise ValueError("take: nothing is offered; give a rate, or a file")
        if self.offered.doubt and not sure:
            raise Doubtful(self.offered.doubt)
        if self.file is not None:
            self.session.tell("file", **self.file, item=self.bout().item)
        self._write(self.offered.estimate, self.offered.breaths)

    def rate(self, rate: float, *, sure: bool = False) -> None:
        """Write down a rate that was typed.

        Raises:
            Doubtful: if it is doubtful, and not `sure`.
            ValueError: for one that is none, or if none is wanted.
        """
        self.check_walked("rate")
        if (doubt := self.session.doubt(rate, self.bout().purpose)) and not sure:
            raise Doubtful(doubt)
        self._write(Estimate(rate), None)

    def check_walked(self, what: str) -> None:
        """Whether a bout was walked, or is timed elsewhere, and wants a rate.

        Raises:
            ValueError: if none does.
        """
        if self.phase != "rate":
            expected = "a bout that was walked and wants a rate"
            raise ValueError(f"{what}: expected {expected}, got the phase {self.phase!r}")

    def recover(self) -> None:
        """Continue with the log, after it could not be written; a bout that has no end in it is void.

        Raises:
            LedgerError: if it still cannot be.
        """
        super().recover()
        self.going = False
        if self.session.minutes_walked is None:
            self.count = self.offered = self.file = None

    def walk_on(self) -> None:
        """The result of the bout that was walked follows, and the next bout begins."""
        number = len(self.session.entries) + 1
        doubt = f": {self.offered.doubt}" if self.offered else ""
        if self.offered and self.file:
            self.late[number] = LateOffer(self.offered, self.file)
        elif self.count is not None and not self.count.complete:
            self.following[number] = self.count, self.path
        self.session.follows(of=self.bout())
        self.say(f"bout {number} waits for its rate{doubt}")
        self.follow()

    def result(
        self, number: int, rate: float | None = None, path: Path | None = None, *, sure: bool = False
    ) -> None:
        """Write down the result of a bout that follows: a rate, a file of breaths, or what is offered.

        Raises:
            Doubtful: if it is doubtful, and not `sure`.
            ValueError: if the bout does not wait for a result, or nothing is offered.
        """
        entry = self.session.waits(number)
        if path is not None:
            read = self.read(path, (entry.started, entry.ended))
            found = offer(self.session, read, entry.minutes, entry.purpose)
            self.late[number] = LateOffer(found, signature(path, self.inlet.cart))
        estimate, doubt, breaths = Estimate(math.nan), "", None
        if rate is not None:
            estimate, doubt = Estimate(rate), self.session.doubt(rate, entry.purpose)
        elif number in self.late:
            found = self.late[number].offer
            estimate, doubt, breaths = found.estimate, found.doubt, found.breaths
        else:
            raise ValueError(f"bout {number}: nothing is offered; give its rate, or a file")
        if doubt and not sure:
            raise Doubtful(doubt)
        if rate is None:
            self.session.tell("file", **self.late[number].file, item=entry.item)
        self.session.result(number, *estimate, breaths)
        self.late.pop(number, None)
        self.say(f"bout {number} {self._in_words(estimate, entry.law, entry.purpose)}")
        if self.count is None:
            self.follow()

    def _offer_late(self, number: int, count: Countdown, path: Path) -> None:
        """Offer the breaths of a bout whose result follows, and write them down if there is no doubt."""
        try:
            entry = self.session.waits(number)  # or its rate was typed meanwhile
            found = offer(self.session, count.breaths(), entry.minutes, entry.purpose)
            self.late[number] = LateOffer(found, signature(path, self.inlet.cart))
            self.result(number)
        except (OSError, ValueError) as error:
            self.say(f"bout {number}: {error}")

    def _write(self, estimate: Estimate, breaths: Breaths | None) -> None:
        bout, broken = self.bout(), self.count.broken if self.count else ""
        reason = f"{broken}; its rate was given all the same" if broken else ""
        self.session.measured(*estimate, breaths, of=bout, reason=reason)
        self.say(self._in_words(estimate, bout.law, bout.purpose))
        self.follow()

    def _in_words(self, estimate: Estimate, law: Float[Array, "d"], purpose: str) -> str:
        plan, reduction = self.session.plan, self.session.reduction(estimate.rate)
        words = f"written: {estimate} {plan.measured.unit}".rstrip()
        hidden = self.session.is_blind and purpose == "validation"
        if plan.laws.assists(law) and math.isfinite(reduction) and not hidden:
            metabolic = plan.objective == "metabolic"
            by = f"{in_words(reduction)} net" if metabolic else in_words(reduction, plan.measured.unit)
            words += f", {by} than without torque"
        return words


def signature(path: Path, cart: Cart) -> dict[str, Any]:
    """Name and SHA-256 of a file, and what was said of its cart; of a stream, the name only."""
    if str(path).startswith(LSL):
        return {"name": str(path), "sha256": ""}
    said = {name: value for name, value in vars(cart).items() if value}
    return {"name": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} | said
