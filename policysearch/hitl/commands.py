"""What an operator types at any time of a session, and what it asks of the engine."""

from pathlib import Path
from typing import Any, Protocol

from policysearch.asking.prompt import Command, Prompt, Reply, described, number, stop

#: The commands, what follows each, and what it does.
COMMANDS = {
    "stop": ("", "torque to zero, and end for now; the same command continues"),
    "void": ("REASON", "the bout does not count, and comes again"),
    "skip": ("REASON", "this bout is left out"),
    "amend": ("N RATE REASON", "bout N had another rate (W/kg), or instead of RATE the file of its breaths"),
    "exclude": ("N REASON", "bout N counts no longer, as if it had never been measured"),
    "undo": ("REASON", "take back the last bout, skip, amend, exclude, retest, finish or end"),
    "retest": ("", "walk the reference law next"),
    "limit": ("TORQUE REASON", "lower the upper torque (N·m/kg), for good"),
    "correct": ("FIELD VALUE REASON", "another participant, mass (kg) or standing_rate (W/kg)"),
    "take": ("", "what the breaths of the bout without a rate offer, though it is doubtful"),
    "note": ("WORDS", "for the report"),
    "adverse": ("WORDS", "an adverse event, for the report"),
    "finish": ("REASON", "no more laws; the validation is next"),
    "end": ("REASON", "nothing more is walked"),
    "day": ("", "another day: warm-up and baseline come again"),
    "unblind": ("REASON", "the conditions that are letters get their names"),
    "arm": ("REASON", "let torque through"),
    "pause": ("", "until Enter"),
    "table": ("", "all bouts so far"),
    "help": ("", "this list"),
}


class Connection(Protocol):
    """A connection to an engine."""

    @property
    def state(self) -> dict[str, Any]:
        """The state as it was told last; see `policysearch.hitl.engine.actions`."""

    def act(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer to an action."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""


class Commands:
    """An operator's commands.

    Args:
        engine: is told them.
        prompt: has read them, and shows what is answered.
    """

    def __init__(self, engine: Connection, prompt: Prompt) -> None:
        self._engine, self._prompt, self._say = engine, prompt, prompt.say

    def _answer(self, reply: float | Path) -> None:
        """Tell the engine a rate, or a file of breaths."""
        if isinstance(reply, Path):
            self._surely("file", path=str(reply.absolute()))
        else:
            self._surely("rate", rate=reply)

    def _obey(self, reply: Reply) -> None:
        if not isinstance(reply, Command) or reply.name not in COMMANDS:
            if not isinstance(reply, Command):
                self._say(f"  expected Enter, or a command, got {self._prompt.typed!r}")
            return
        name, words = reply
        try:
            match name:
                case "stop":
                    self._leave()
                case "help":
                    self._say(described(COMMANDS))
                case "pause":
                    self._act("note", text="pause")
                    self._prompt.line("  Enter continues")
                    self._act("note", text="end of the pause")
                case "note" | "adverse":
                    self._act(name, text=words)
                case "amend":
                    self._amend(words)
                case "take":
                    self._act("take", sure=True)
                case _:
                    self._act(name, **arguments(name, words))
        except ValueError as error:
            self._say(f"  {error}")

    def _leave(self) -> None:
        if self._engine.state["phase"] == "walking":
            self._act("stop", who="the terminal", reason="stopped while it was walked")
        stop()

    def _amend(self, words: str) -> None:
        parts = words.split(None, 2)
        if len(parts) == 3 and number(parts[0]) is not None and Path(parts[1]).expanduser().is_file():
            path = str(Path(parts[1]).expanduser().absolute())
            self._surely("amend", bout=number(parts[0]), path=path, reason=parts[2])
            return
        (bout, rate), reason = numbers("amend", words, 2)
        self._surely("amend", bout=bout, rate=rate, reason=reason)

    def _surely(self, do: str, **arguments: Any) -> None:
        """Do what may be doubtful; then the line has to be typed again."""
        typed, answer = self._prompt.typed, self._engine.act(do, **arguments)
        if (doubt := answer.get("doubt")) is None:
            self._hear(answer)
        elif self._prompt.is_meant(doubt, typed):
            self._act(do, **arguments, sure=True)

    def _act(self, do: str, **arguments: Any) -> None:
        self._hear(self._engine.act(do, **arguments))

    def _hear(self, answer: dict[str, Any]) -> None:
        for line in filter(None, (answer.get("error"), answer.get("doubt"))):
            self._say(f"  {line}")
        if text := answer.get("text"):
            self._say(text)


def arguments(name: str, words: str) -> dict[str, Any]:
    """What follows a command, as the engine takes it.

    Raises:
        ValueError: if it is not what has to follow.
    """
    if name in ("exclude", "limit"):
        (value,), reason = numbers(name, words, 1)
        return {"reason": reason, "bout" if name == "exclude" else "torque": value}
    if name == "correct":
        field, given, reason = (*words.split(None, 2), "", "", "")[:3]
        return {"field": field, "value": given, "reason": reason}
    return {"reason": words}


def numbers(name: str, words: str, count: int) -> tuple[list[float], str]:
    """The numbers that follow a command, and the words after them."""
    parts = words.split(None, count)
    found = [value for part in parts[:count] if (value := number(part)) is not None]
    if len(found) < count or len(parts) <= count:
        raise ValueError(f"expected {name} {COMMANDS[name][0]}, got {f'{name} {words}'.strip()!r}")
    return found, parts[count]
