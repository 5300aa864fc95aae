"""The operator's prompt: the commands that can be typed at every point of a session."""

from collections.abc import Callable
from typing import NoReturn

from policysearch.asking.prompt import Command, Prompt, Reply, aligned, described, number, stop
from policysearch.hitl.agenda import Bout
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView, cells

#: The commands, what follows each, and what it does.
COMMANDS = {
    "void": ("REASON", "the bout does not count, and comes again"),
    "skip": ("REASON", "this bout is left out"),
    "amend": ("N RATE REASON", "bout N had another rate (W/kg)"),
    "undo": ("REASON", "take back the last bout, skip, amend, retest or finish"),
    "retest": ("", "walk the reference law next"),
    "limit": ("TORQUE REASON", "lower the upper torque (N·m/kg), for good"),
    "note": ("WORDS", "for the report"),
    "finish": ("REASON", "no more laws; the validation is next"),
    "pause": ("", "until Enter"),
    "stop": ("", "end for now; the same command continues"),
    "table": ("", "all bouts so far"),
    "help": ("", "this list"),
}
#: The commands that may put another bout in the place of the next one.
MOVING = ("skip", "amend", "undo", "retest", "limit", "finish")
#: Columns of the table.
TABLE = ("bout", "purpose", "N·m/kg", "peak", "rise", "fall", "W/kg", "reduction", "status", "reason")


class Moved(Exception):  # noqa: N818 - it states what happened
    """Another bout is next, or the same one has to be announced again."""


class Operator:
    """An operator at a prompt.

    Args:
        session: what the commands act on.
        prompt: asks the operator.
        timed: whether the program keeps the time of the bouts.

    Attributes:
        walked: minutes of the next bout that are walked, while it has no rate; None before.
    """

    def __init__(self, session: Session, prompt: Prompt, *, timed: bool) -> None:
        self.session, self.prompt, self.timed = session, prompt, timed
        self.walked: float | None = None

    def answer(self, bout: Bout | None, prompt: str, words: tuple[str, ...], expected: str) -> Reply:
        """The next reply that is none of `COMMANDS`; those before it are carried out.

        Raises:
            Moved: if the next bout is another one after a command.
        """
        while True:
            reply = self.prompt.answer(prompt, (*COMMANDS, *words), expected)
            if not (isinstance(reply, Command) and reply.name in COMMANDS):
                return reply
            try:
                self._obey(reply)
            except (RuntimeError, ValueError) as error:
                self.prompt.say(f"  {error}")
            if not _same(self.session.next, bout):
                raise Moved

    def word(
        self, bout: Bout | None, prompt: str, words: tuple[str, ...], expected: str = "Enter, or a command"
    ) -> str:
        """The one of `words` that is typed."""
        while True:
            reply = self.answer(bout, prompt, words, expected)
            if isinstance(reply, Command):
                return reply.name
            self.prompt.say(f"  expected {expected}, got {self.prompt.typed!r}")

    def means(self, rate: float) -> bool:
        """Whether a rate that was typed is plausible, or is typed again."""
        return self.prompt.is_meant(self.session.doubt(rate), self.prompt.typed)

    def void(self, reason: str) -> NoReturn:
        """The next bout does not count."""
        if self.timed and self.walked is None:
            raise ValueError("void: nothing of this bout is walked yet; skip REASON leaves it out")
        self.session.void(reason, self.walked)
        raise Moved

    def _obey(self, command: Command) -> None:
        if command.name in MOVING and self.walked is not None:
            raise ValueError(
                f"{command.name}: this bout is walked and has no rate yet; type it, or void REASON, first"
            )
        session, say = self.session, self.prompt.say
        does: dict[str, Callable[[str], object]] = {
            "void": self.void,
            "skip": session.skip,
            "amend": self._amend,
            "undo": lambda words: say(f"  taken back: the last {session.undo(words).partition(' ')[0]}"),
            "retest": lambda _: session.retest(),
            "limit": self._limit,
            "note": session.note,
            "finish": session.finish,
            "pause": self._pause,
            "stop": stop,
            "table": lambda _: say(table(session)),
            "help": lambda _: say(described(COMMANDS)),
        }
        does[command.name](command.words)

    def _amend(self, words: str) -> None:
        (bout, rate), reason = _numbers("amend", words, 2)
        if not bout.is_integer():
            raise ValueError(f"bout: expected a whole number, got {bout:g}")
        if self.means(rate):
            self.session.amend(int(bout), rate, reason)

    def _limit(self, words: str) -> None:
        (torque,), reason = _numbers("limit", words, 1)
        self.session.limit(torque, reason)

    def _pause(self, _: str) -> None:
        self.session.note("pause")
        self.prompt.line("  Enter continues")
        self.session.note("end of the pause")


def _same(one: Bout | None, other: Bout | None) -> bool:
    return one is other if one is None or other is None else one.same_as(other)


def _numbers(name: str, words: str, count: int) -> tuple[list[float], str]:
    """The numbers that follow a command, and the words after them."""
    parts = words.split(None, count)
    numbers = [found for part in parts[:count] if (found := number(part)) is not None]
    if len(numbers) < count or len(parts) <= count:
        raise ValueError(f"expected {name} {COMMANDS[name][0]}, got {f'{name} {words}'.strip()!r}")
    return numbers, parts[count]


def table(session: SessionView) -> str:
    """All bouts so far."""
    shown = cells(session)[list(TABLE)]
    return aligned([TABLE, *shown.itertuples(index=False)])
