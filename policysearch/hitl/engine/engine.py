"""The engine: the course of a session, and the results of its bouts."""

import hashlib
import math
from pathlib import Path

from policysearch.exoskeleton.breath_file import read_breaths
from policysearch.exoskeleton.respirometry import Breaths, Estimate
from policysearch.hitl.countdown import Countdown
from policysearch.hitl.engine.course import Course
from policysearch.hitl.offers import offer
from policysearch.hitl.view import in_words


class Doubtful(ValueError):  # noqa: N818 - it is a question
    """What was told is doubtful, and is done when it is told again with `sure`."""


class Engine(Course):
    """A session that runs; see `Course` for its arguments."""

    def take_breaths(self, count: Countdown) -> None:
        """Make the result of a bout of its breaths, and write it down if there is no doubt."""
        try:
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
        found = offer(self.session, breaths, bout.minutes, bout.purpose, times=self.session.times_walked)
        self.offered, self.file = found, signature(path)
        for line in found.said:
            self.say(line)

    def read(self, path: Path) -> Breaths:
        """The breaths of a file.

        Raises:
            OSError, ValueError: if they cannot be read.
        """
        return read_breaths(path, self.session.plan.mass, gaps=True)

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
        if self.phase not in ("rate", "start"):
            raise ValueError(f"rate: expected a bout that wants one, got the phase {self.phase!r}")
        if not self.bout().is_measured:
            raise ValueError(f"{self.bout().label}: nothing is to be measured")
        if (doubt := self.session.doubt(rate)) and not sure:
            raise Doubtful(doubt)
        self._write(Estimate(rate), None)

    def _write(self, estimate: Estimate, breaths: Breaths | None) -> None:
        bout, broken = self.bout(), self.count.broken if self.count else ""
        reason = f"{broken}; its rate was given all the same" if broken else ""
        self.session.measured(*estimate, breaths, of=bout, reason=reason)
        words, reduction = f"written: {estimate} W/kg", self.session.reduction(estimate.rate)
        hidden = self.session.is_blind and bout.purpose == "validation"
        if bout.law[0] > 0.0 and math.isfinite(reduction) and not hidden:
            words += f", {in_words(reduction)} net than without torque"
        self.say(words)
        self.follow()


def signature(path: Path) -> dict[str, str]:
    """Name and SHA-256 of a file."""
    return {"name": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
