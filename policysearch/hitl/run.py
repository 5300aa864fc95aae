"""A session with an operator: bout after bout, with rates that are typed, or estimated from files of breaths.

A bout that was walked and has no rate yet is in no log. Until it has a rate, or is void, no command is accepted that
could put another bout in its place.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jaxtyping import Float

from policysearch.asking.prompt import Command, Prompt, Reply, Stopped
from policysearch.core import Array
from policysearch.exoskeleton.breath_file import BreathFile, read_breaths
from policysearch.exoskeleton.respirometry import Breaths, Estimate
from policysearch.exoskeleton.torque_profile import SPACE
from policysearch.hitl.agenda import AVERAGED, Bout
from policysearch.hitl.countdown import Countdown
from policysearch.hitl.offers import offer
from policysearch.hitl.operator import Moved, Operator
from policysearch.hitl.session import Session
from policysearch.hitl.view import in_words

RATE = "a rate (W/kg, gross)"
ANSWER = f"{RATE}, a breath file, or a command (help lists them)"
NUMBER = "{number}"  # in the name of a breath file: that of the bout
_Result = tuple[Estimate, Breaths | None]


class OperatedSession:
    """A session that an operator runs.

    Args:
        session: is continued.
        prompt: asks the operator.
        countdown: makes the countdown of a bout; None if the time is kept elsewhere.
        breaths: the file of the breaths, if any; {number} in its name is that of the bout.
    """

    def __init__(
        self,
        session: Session,
        prompt: Prompt,
        countdown: Callable[[Bout, float, BreathFile | None], Countdown] | None = Countdown,
        breaths: str = "",
    ) -> None:
        self.session, self.countdown, self.breaths = session, countdown, breaths
        self.operator = Operator(session, prompt, timed=countdown is not None)
        self._say = prompt.say

    def run(self) -> None:
        """Do what is next until the session is over.

        Raises:
            Stopped: if the operator ends for now.
            EOFError: if no further line comes.
            KeyboardInterrupt: at a prompt.
        """
        while True:
            bout = self.session.next
            try:
                if bout is None:
                    return self._end()
                self._announce(bout)
                self._do(bout)
            except Moved:
                pass
            except (Stopped, EOFError, KeyboardInterrupt):
                self._leave(bout)
                raise
            self.operator.walked = None

    def _end(self) -> None:
        """Let the operator correct what is written, as long as they want."""
        self._say("\nThe session is over.")
        with suppress(EOFError, Stopped):
            self.operator.word(None, "  Enter ends it; amend, undo and the others still work", ("",))

    def _announce(self, bout: Bout) -> None:
        plan, entries = self.session.plan, self.session.entries
        done = sum(e.purpose == "search" and e.status in ("measured", "amended", "skipped") for e in entries)
        self._say(
            f"\nbout {len(entries) + 1}: {bout.label}, {bout.minutes:g} min; "
            f"of the search {done} of {plan.bouts} bouts are done"
        )
        if bout.purpose == "rest":
            return
        for line in law_lines(bout.law, plan.mass):
            self._say(f"  {line}")
        path = self.session.path
        if len(path) > 1:
            self._say(f"  in {len(path)} small steps: {'; '.join(map(law_in_short, path))}")

    def _do(self, bout: Bout) -> None:
        if new := self.session.entering:
            question = f"  it enters a new region ({', '.join(new)}); yes walks there"
            self.operator.word(bout, question, ("yes",), "yes, or a command")
            self.session.confirm()
        if not bout.is_measured:
            self.operator.word(
                bout, "  Enter starts it" if self.countdown else "  Enter when it is done", ("",)
            )
            self._walk(bout)
            self.session.walked(of=bout)
            return
        estimate, breaths = self._started(bout) or self._measured(
            bout, *self._offered(bout, self._walk(bout))
        )
        self.session.measured(*estimate, breaths, of=bout)
        reduction = self.session.reduction(estimate.rate)
        words = f"  written: {estimate} W/kg"
        if bout.law[0] > 0.0 and math.isfinite(reduction):
            words += f", {in_words(reduction)} net than without torque"
        self._say(words)

    def _started(self, bout: Bout) -> _Result | None:
        """None when the operator starts the bout; its result if they have it already."""
        while self.countdown:
            reply = self.operator.answer(bout, "  Enter starts it", ("",), f"Enter, {ANSWER}")
            if isinstance(reply, Command):
                return None
            if result := self._result(bout, reply):
                return result
        return None

    def _walk(self, bout: Bout) -> Countdown | None:
        """The countdown of a bout, which is over."""
        if self.countdown is None:
            return None
        plan = self.session.plan
        averaged = plan.averaged if bout.purpose in AVERAGED else 0.0
        count = self.countdown(bout, averaged, BreathFile(self._file(), plan.mass) if self.breaths else None)
        while not count.over:
            try:
                count.show(self._say)
            except KeyboardInterrupt:
                self.operator.walked = count.minutes
                self.operator.word(bout, "\n  void REASON, stop, or Enter at once to continue", ("",))
        self.operator.walked = count.minutes
        self._say(f"\a  {count.broken or 'the time is up'}")
        return count

    # ------------------------------------------------------------------------------------------------- its rate

    def _offered(
        self, bout: Bout, count: Countdown | None
    ) -> tuple[str, Callable[[], _Result | None] | None]:
        """What Enter does instead of a rate, in words, and how."""
        if count is not None and count.broken:
            return "Enter voids the bout", lambda: self.operator.void(count.broken)
        if count is not None and self.breaths:
            return "Enter takes the breaths", lambda: self._estimated(bout, count.breaths())
        if count is None and NUMBER in self.breaths:
            path = self._file()
            return f"Enter reads {path}", lambda: self._estimated(bout, self._read(path))
        return "", None

    def _measured(self, bout: Bout, offer: str, offered: Callable[[], _Result | None] | None) -> _Result:
        """The result that the operator accepts."""
        words, prompt = (
            (("",), f"  {offer}, or {RATE} or file") if offered else ((), f"  {RATE} or breath file")
        )
        while True:
            reply = self.operator.answer(bout, prompt, words, f"Enter, {ANSWER}" if offered else ANSWER)
            if result := self._result(bout, reply, offered):
                return result

    def _result(
        self, bout: Bout, reply: Reply, offered: Callable[[], _Result | None] | None = None
    ) -> _Result | None:
        """The result in a reply; None, with the reason said, if it is not to be written."""
        try:
            if isinstance(reply, Path):
                return self._estimated(bout, self._read(reply))
            if isinstance(reply, Command):
                return offered() if offered else None
            return (Estimate(reply), None) if self.operator.means(reply) else None
        except (OSError, ValueError) as error:
            self._say(f"  {error}")
            return None

    def _estimated(self, bout: Bout, breaths: Breaths) -> _Result | None:
        """The estimate of breaths, if the operator takes it."""
        found = offer(self.session, breaths, bout.minutes, bout.purpose, times=self.session.times_walked)
        for line in found.said:
            self._say(f"  {line}")
        if found.doubt:
            taken = self.operator.prompt.is_meant(found.doubt, f"{found.estimate.rate:.2f}")
        else:
            word = self.operator.word(bout, "  take it? yes or no", ("yes", "no"), "yes, no, or a command")
            taken = word == "yes"
        return (found.estimate, found.breaths) if taken else None

    def _read(self, path: Path) -> Breaths:
        return read_breaths(path, self.session.plan.mass, gaps=True)

    def _file(self) -> Path:
        return Path(self.breaths.replace(NUMBER, str(len(self.session.entries) + 1)))

    def _leave(self, bout: Bout | None) -> None:
        """Write down what was walked and has no rate."""
        walked = self.operator.walked
        if walked is None or bout is None:
            return
        if walked < bout.minutes:
            if walked > 0.0:
                self.session.void("stopped while it was walked", walked)
        elif bout.is_measured:
            self.session.note(f"stopped after {bout.label} was walked, before its rate was written down")


def law_lines(law: Float[Array, "4"], mass: float) -> list[str]:
    """A law with the names and units of its numbers; the torque also in N·m for this mass (kg)."""
    if law[0] == 0.0:
        return ["no torque"]
    values = zip(SPACE.parameters, law.tolist(), strict=True)
    lines = [f"{each.name:12} {value:6.2f} {each.unit}" for each, value in values]
    lines[0] = f"{SPACE.names[0]:12} {law[0]:6.3f} {SPACE.parameters[0].unit} = {law[0] * mass:.1f} N·m"
    return lines


def law_in_short(law: Float[Array, "4"]) -> str:
    """A law in one line."""
    torque, *times = law.tolist()
    return f"{torque:.3f} N·m/kg {' '.join(f'{time:.2f}' for time in times)} %"
