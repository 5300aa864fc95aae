"""A session and the guard of its device: when torque passes, what the device follows, and a log that fails."""

from abc import ABC, abstractmethod
from collections import Counter, deque

from jaxtyping import Float

from policysearch.core import Array
from policysearch.hitl.engine.drive import Drive
from policysearch.hitl.session import Session, reopened

MAX_SAID = 200  # lines that are kept for clients


class DrivenSession(ABC):
    """A session, and the guard of its device if there is one.

    Args:
        session: is continued.
        drive: the guard.

    Attributes:
        halted: why no torque may pass; empty while it may.
        failed: why the log cannot be written; empty while it can.
        said: numbered lines for clients.
    """

    def __init__(self, session: Session, drive: Drive | None) -> None:
        self.session, self.drive = session, drive
        self.halted, self.failed = "not armed yet" if drive else "", ""
        self.said: deque[tuple[int, str]] = deque(maxlen=MAX_SAID)
        self._number = 0
        self._in_force: list[float] | None = None  # as it was logged last
        self._counted: Counter[str] = Counter()  # by the guard, as it was said last

    def say(self, line: str) -> None:
        """Tell all clients a line."""
        self._number += 1
        self.said.append((self._number, line))

    @abstractmethod
    def stop(self, who: str, why: str) -> None:
        """Let the torque go to zero now; a bout that is walked is void."""

    def arm(self, reason: str) -> None:
        """Let torque through again.

        Raises:
            ValueError: without a device, or if the guard refuses it.
        """
        if self.drive is None:
            raise ValueError("arm: there is no device; see --device")
        session = self.session
        device = self.drive.arm(reason, session.upper_torque, session.plan.mass)
        self._counted = self.drive.counts
        session.tell("device", **device)
        self.halted = ""

    def correct(self, name: str, value: str, reason: str) -> None:
        """Correct what was told of the person; a guard that has another mass ends, and has to be armed again.

        Raises:
            ValueError: see `CorrectableSession.correct`.
        """
        mass = self.session.plan.mass
        self.session.correct(name, value, reason)
        if self.drive is not None and self.session.plan.mass != mass:
            self.drive.close()
            self.halted = "the mass was corrected"

    def fail(self, why: str) -> None:
        """Let the torque go to zero, and walk nothing, until the log can be written again."""
        self.halt("the log could not be written")
        if not self.failed:
            self.say(why)
        self.failed = why

    def recover(self) -> None:
        """Continue with the log, after it could not be written.

        Raises:
            LedgerError: if it still cannot be.
        """
        self.session = reopened(self.session)
        self.failed = ""
        self.say("the log can be written again, and nothing in it is lost")

    def halt(self, why: str, who: str = "the engine") -> None:
        """Let the torque go to zero, until the guard is armed again."""
        if self.drive is not None:
            self.drive.stop(f"{who}: {why}")
            self.halted = why

    def look_at_guard(self) -> None:
        """Ask the guard for its state: log what the device follows, and stop if there is no torque any more."""
        if self.drive is None:
            return
        self.drive.alive()
        why = self.drive.look()
        if self.failed:
            return
        if self.drive.in_force != self._in_force:
            self._in_force = self.drive.in_force
            self.session.tell("law in force", law=self._in_force)
        if why and not self.halted:
            self.stop("the guard", why)

    def follow_law(self, law: Float[Array, "d"] | None) -> None:
        """Tell the guard a law, or none; what the device follows is logged when it says so.

        Raises:
            ValueError: for one that the guard refuses, or if it has ended.
        """
        if self.drive is None or self.halted:
            return
        try:
            self.drive.law(law)
        except RuntimeError as error:
            self.stop("the guard", str(error))
            raise ValueError(f"the guard: {error}") from error

    def say_counts(self) -> None:
        """Say what the guard has counted since this was said last."""
        if self.drive is not None:
            new, self._counted = self.drive.counts - self._counted, self.drive.counts
            if new:
                self.say("the guard counted " + ", ".join(f"{n} × {kind}" for kind, n in sorted(new.items())))
