"""An operator at work: bout after bout of a session, with what was measured typed in, or read from files.

What was walked and has no rate yet is in no log. Until it has, or is void, nothing is taken that could put another
bout in its place.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from jaxtyping import Float

from policysearch.asking.prompt import Answer, Asker, Command, Stopped, number
from policysearch.core import Array
from policysearch.exoskeleton.respirometry import LONG_BOUT, Breaths, read_breaths, sensitivity
from policysearch.exoskeleton.torque_profile import SPACE
from policysearch.hitl.breath_stream import BreathFile
from policysearch.hitl.session import Bout, Session
from policysearch.hitl.watch import Countdown

RATE = "a rate (W/kg, gross)"
ANSWER = f"{RATE}, a breath file, or a command (help lists them)"
NUMBER = "{number}"  # in the name of a breath file: that of the bout
SHORT = 0.75  # of a bout: breaths over less of it are doubtful (choice)
#: What can be typed at every prompt, what follows it, and what it does.
COMMANDS = {
    "void": ("REASON", "the bout does not count, and comes again"),
    "skip": ("REASON", "nobody will walk this bout"),
    "amend": ("N RATE REASON", "bout N had another rate (W/kg)"),
    "undo": ("REASON", "take back the last bout, skip, amend, retest or finish"),
    "retest": ("", "walk the reference law next"),
    "limit": ("TORQUE REASON", "lower the upper torque (N·m/kg), for good"),
    "note": ("WORDS", "for the report"),
    "finish": ("REASON", "no more laws; go on to the validation"),
    "pause": ("", "until Enter"),
    "stop": ("", "end for now; the same command goes on"),
    "table": ("", "all bouts so far"),
    "help": ("", "this list"),
}
#: What may put another bout in the place of the next one.
MOVING = ("skip", "amend", "undo", "retest", "limit", "finish")


class _Moved(Exception):  # noqa: N818
    """The bout that was asked about has to be announced again, or another one is next."""


class _Result(NamedTuple):
    rate: float  # W/kg, gross
    standard_error: float = math.nan  # W/kg
    breaths: Breaths | None = None

    def __str__(self) -> str:
        error = f" ± {self.standard_error:.2f}" if math.isfinite(self.standard_error) else ""
        return f"{self.rate:.2f}{error} W/kg"


class Desk:
    """Where the operator sits.

    Args:
        session: goes on.
        asker: asks the operator.
        countdown: makes the countdown of a bout; None if somebody else keeps the time.
        breaths: the file that breaths come from, if any; {number} in its name is that of the bout.
    """

    def __init__(
        self,
        session: Session,
        asker: Asker,
        countdown: Callable[[Bout, float, BreathFile | None], Countdown] | None = Countdown,
        breaths: str = "",
    ) -> None:
        self.session, self.asker, self.countdown, self.breaths = session, asker, countdown, breaths
        self._walked: float | None = None  # minutes of the next bout, which has no rate yet

    def work(self) -> None:
        """Do what is next until the session is over.

        Raises:
            Stopped: if the operator ends for now.
            EOFError: if nobody answers any more.
            KeyboardInterrupt: at a prompt.
        """
        while True:
            bout = self.session.next
            try:
                if bout is None:
                    return self._end()
                self._announce(bout)
                self._do(bout)
            except _Moved:
                pass
            except (Stopped, EOFError, KeyboardInterrupt):
                self._leave(bout)
                raise
            self._walked = None

    def _end(self) -> None:
        """Let the operator correct what is written, as long as they want."""
        self.asker.say("\nThe session is over.")
        with suppress(EOFError, Stopped):
            self._command(None, "  Enter ends it; amend, undo and the others still work", ("",))

    # --------------------------------------------------------------------------------------------- the next bout

    def _announce(self, bout: Bout) -> None:
        say, plan, entries = self.asker.say, self.session.plan, self.session.entries
        done = sum(e.purpose == "search" and e.status in ("measured", "amended", "skipped") for e in entries)
        say(
            f"\nbout {len(entries) + 1}: {bout.label}, {bout.minutes:g} min; "
            f"of the search {done} of {plan.bouts} bouts are done"
        )
        if bout.purpose == "rest":
            return
        for line in law_lines(bout.law, plan.mass):
            say(f"  {line}")
        path = self.session.path
        if len(path) > 1:
            say(f"  in {len(path)} small steps: {'; '.join(map(_short, path))}")

    def _do(self, bout: Bout) -> None:
        if new := self.session.entering:
            question = f"  it enters a new region ({', '.join(new)}); yes walks there"
            self._command(bout, question, ("yes",), "yes, or a command")
            self.session.confirm()
        if not bout.is_measured:
            self._command(bout, "  Enter starts it" if self.countdown else "  Enter when it is done", ("",))
            self._walk(bout)
            self.session.walked(of=bout)
            return
        result = self._started(bout) or self._measured(bout, *self._offered(bout, self._walk(bout)))
        self.session.measured(*result, of=bout)
        self.asker.say(f"  written: {result}{self._reduction(result.rate) if bout.law[0] > 0.0 else ''}")

    def _reduction(self, rate: float) -> str:
        reduction = self.session.reduction(rate)
        if not math.isfinite(reduction):
            return ""
        return f", {abs(reduction):.1f} % {'less' if reduction >= 0.0 else 'more'} net than without torque"

    def _started(self, bout: Bout) -> _Result | None:
        """None when the operator starts the bout; its result if they have it already."""
        while self.countdown:
            answer = self._answer(bout, "  Enter starts it", ("",), f"Enter, {ANSWER}")
            if isinstance(answer, Command):
                return None
            if result := self._result(bout, answer):
                return result
        return None

    def _walk(self, bout: Bout) -> Countdown | None:
        """The countdown of a bout, which is over."""
        if self.countdown is None:
            return None
        plan = self.session.plan
        averaged = plan.averaged if bout.purpose in ("baseline", "validation") else 0.0
        count = self.countdown(bout, averaged, BreathFile(self._file(), plan.mass) if self.breaths else None)
        while not count.over:
            try:
                count.show(self.asker.say)
            except KeyboardInterrupt:
                self._walked = count.minutes
                self._command(bout, "\n  void REASON, stop, or Enter at once to go on", ("",))
        self._walked = count.minutes
        self.asker.say(f"\a  {count.broken or 'the time is up'}")
        return count

    def _offered(
        self, bout: Bout, count: Countdown | None
    ) -> tuple[str, Callable[[], _Result | None] | None]:
        """What Enter does instead of a rate, in words, and how."""
        if count is not None and count.broken:
            return "Enter voids the bout", lambda: self._void(count.broken)
        if count is not None and self.breaths:
            return "Enter takes the breaths", lambda: self._estimated(bout, count.window.breaths())
        if count is None and NUMBER in self.breaths:
            path = self._file()
            return f"Enter reads {path}", lambda: self._estimated(bout, self._read(path))
        return "", None

    def _measured(self, bout: Bout, offer: str, offered: Callable[[], _Result | None] | None) -> _Result:
        """The result that the operator stands by."""
        words, prompt = (
            (("",), f"  {offer}, or {RATE} or file") if offered else ((), f"  {RATE} or breath file")
        )
        while True:
            answer = self._answer(bout, prompt, words, f"Enter, {ANSWER}" if offered else ANSWER)
            if result := self._result(bout, answer, offered):
                return result

    def _result(
        self, bout: Bout, answer: Answer, offered: Callable[[], _Result | None] | None = None
    ) -> _Result | None:
        """What an answer says; None, with the reason said, if that is not to be written."""
        try:
            if isinstance(answer, Path):
                return self._estimated(bout, self._read(answer))
            if isinstance(answer, Command):
                return offered() if offered else None
            return _Result(answer) if self._meant(answer) else None
        except (OSError, ValueError) as error:
            self.asker.say(f"  {error}")
            return None

    def _meant(self, rate: float) -> bool:
        """Whether a rate that was typed is plausible, or is typed again."""
        why = self.session.doubt(rate)
        return not why or self.asker.again(f"{why}; if it is right, type it again", self.asker.typed)

    def _estimated(self, bout: Bout, breaths: Breaths) -> _Result | None:
        """The estimate of breaths, if the operator takes it."""
        result = _Result(*self.session.estimate(breaths, bout.minutes, bout.purpose), breaths)
        seconds = float(breaths.time[-1] - breaths.time[0])
        self.asker.say(f"  {result} from {len(breaths.time)} breaths over {seconds:.0f} s")
        if bout.purpose not in ("baseline", "validation") and seconds < LONG_BOUT:
            found = sensitivity(breaths)
            if found.warn:
                rates = ", ".join(f"{r:.2f} at {t:g} s" for r, t in zip(found.rates, found.taus, strict=True))
                self.asker.say(f"  it depends on the time constant of breathing: {rates}")
        doubts = [self.session.doubt(result.rate)]
        if seconds < SHORT * 60.0 * bout.minutes:
            doubts.append(f"{seconds:.0f} s is short for a bout of {60 * bout.minutes:g} s")
        doubts += [
            f"bout {entry.number} has the same breaths"
            for entry in self.session.entries
            if entry.breaths is not None and np.array_equal(entry.breaths.rate, breaths.rate)
        ]
        if why := "; ".join(filter(None, doubts)):
            text = f"{result.rate:.2f}"
            taken = self.asker.again(f"{why}; if it is right, type {text}", text)
        else:
            taken = (
                self._command(bout, "  take it? yes or no", ("yes", "no"), "yes, no, or a command") == "yes"
            )
        return result if taken else None

    def _read(self, path: Path) -> Breaths:
        return read_breaths(path, self.session.plan.mass)

    def _file(self) -> Path:
        return Path(self.breaths.replace(NUMBER, str(len(self.session.entries) + 1)))

    def _leave(self, bout: Bout | None) -> None:
        """Write down what was walked and has no rate."""
        if self._walked is None or bout is None:
            return
        if self._walked < bout.minutes:
            if self._walked > 0.0:
                self.session.void("stopped while it was walked", self._walked)
        elif bout.is_measured:
            self.session.note(f"stopped after {bout.label} was walked, before its rate was written down")

    # ------------------------------------------------------------------------------------------------ commands

    def _command(
        self, bout: Bout | None, prompt: str, words: tuple[str, ...], expected: str = "Enter, or a command"
    ) -> str:
        """The one of `words` that is typed."""
        while True:
            answer = self._answer(bout, prompt, words, expected)
            if isinstance(answer, Command):
                return answer.name
            self.asker.say(f"  expected {expected}, got {self.asker.typed!r}")

    def _answer(self, bout: Bout | None, prompt: str, words: tuple[str, ...], expected: str) -> Answer:
        """What is typed, after all commands of `COMMANDS` are done.

        Raises:
            _Moved: if something else is next after them.
        """
        while True:
            answer = self.asker.answer(prompt, (*COMMANDS, *words), expected)
            if not (isinstance(answer, Command) and answer.name in COMMANDS):
                return answer
            try:
                self._obey(answer)
            except (RuntimeError, ValueError) as error:
                self.asker.say(f"  {error}")
            if not _same(self.session.next, bout):
                raise _Moved

    def _obey(self, command: Command) -> None:
        if command.name in MOVING and self._walked is not None:
            raise ValueError(
                f"{command.name}: this bout is walked and has no rate yet; type it, or void REASON, first"
            )
        session, say = self.session, self.asker.say
        does: dict[str, Callable[[str], object]] = {
            "void": self._void,
            "skip": session.skip,
            "amend": self._amend,
            "undo": lambda words: say(f"  taken back: the last {session.undo(words).partition(' ')[0]}"),
            "retest": lambda _: session.retest(),
            "limit": self._limit,
            "note": session.note,
            "finish": session.finish,
            "pause": self._pause,
            "stop": self._stop,
            "table": lambda _: say(table(session)),
            "help": lambda _: say(
                "\n".join(f"  {f'{n} {w}':20} {what}" for n, (w, what) in COMMANDS.items())
            ),
        }
        does[command.name](command.words)

    def _void(self, reason: str) -> NoReturn:
        if self.countdown and self._walked is None:
            raise ValueError("void: nothing of this bout is walked yet; skip REASON leaves it out")
        self.session.void(reason, self._walked)
        raise _Moved

    def _amend(self, words: str) -> None:
        (number, rate), reason = _numbers("amend", words, 2)
        if not number.is_integer():
            raise ValueError(f"bout: expected a whole number, got {number:g}")
        if self._meant(rate):
            self.session.amend(int(number), rate, reason)

    def _limit(self, words: str) -> None:
        (torque,), reason = _numbers("limit", words, 1)
        self.session.limit(torque, reason)

    def _pause(self, _: str) -> None:
        self.session.note("pause")
        self.asker.line("  Enter goes on")
        self.session.note("end of the pause")

    def _stop(self, _: str) -> NoReturn:
        raise Stopped


def _same(one: Bout | None, other: Bout | None) -> bool:
    return one is other if one is None or other is None else one.same_as(other)


def _numbers(name: str, words: str, count: int) -> tuple[list[float], str]:
    """The numbers that follow a command, and the words after them."""
    parts = words.split(None, count)
    numbers = [found for part in parts[:count] if (found := number(part)) is not None]
    if len(numbers) < count or len(parts) <= count:
        raise ValueError(f"expected {name} {COMMANDS[name][0]}, got {f'{name} {words}'.strip()!r}")
    return numbers, parts[count]


def law_lines(law: Float[Array, "4"], mass: float) -> list[str]:
    """A law with the names and units of its numbers; the torque also in N·m for this mass (kg)."""
    if law[0] == 0.0:
        return ["no torque"]
    values = zip(SPACE.parameters, law.tolist(), strict=True)
    lines = [f"{each.name:12} {value:6.2f} {each.unit}" for each, value in values]
    lines[0] = f"{SPACE.names[0]:12} {law[0]:6.3f} {SPACE.parameters[0].unit} = {law[0] * mass:.1f} N·m"
    return lines


def _short(law: Float[Array, "4"]) -> str:
    torque, *times = law.tolist()
    return f"{torque:.3f} N·m/kg {' '.join(f'{time:.2f}' for time in times)} %"


def table(session: Session) -> str:
    """All bouts so far."""
    lines = ["bout purpose    law                               W/kg   reduction  status"]
    for entry in session.entries:
        law = _short(entry.law) if entry.law[0] > 0.0 else "no torque"
        rate = f"{entry.rate:.2f}" if math.isfinite(entry.rate) else ""
        reduction = session.reduction(entry.rate)
        percent = f"{reduction:.1f} %" if math.isfinite(reduction) else ""
        lines.append(
            f"{entry.number:4} {entry.purpose:10} {law:33} {rate:>6} {percent:>9}  {entry.status} {entry.reason}"
        )
    return "\n".join(line.rstrip() for line in lines)
