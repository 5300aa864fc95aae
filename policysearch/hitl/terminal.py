"""The operator's terminal: a client of the engine, which prints what it is told and asks for the next action."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from rich.live import Live
from rich.text import Text

from policysearch.asking.prompt import Command, Prompt, Reply, described, number, stop
from policysearch.reporting.console import Console

RATE = "a rate (W/kg, gross)"
ANSWER = f"{RATE}, a breath file, or a command (help lists them)"
SECONDS_BETWEEN_LOOKS, LOOKS_BETWEEN_LINES = 0.2, 30
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


class Terminal:
    """A session that an operator runs.

    Args:
        engine: is asked, and told.
        prompt: asks the operator.
        typed: a line that was typed while nothing was asked; None for none.
    """

    def __init__(
        self, engine: Connection, prompt: Prompt, typed: Callable[[], str | None] = lambda: None
    ) -> None:
        self._engine, self._prompt, self._typed, self._say = engine, prompt, typed, prompt.say
        self._heard, self._announced = 0, ""

    def run(self) -> None:
        """Do what is next until the session is over.

        Raises:
            Stopped: if the operator ends for now.
            EOFError: if no further line comes.
            KeyboardInterrupt: at a prompt.
        """
        while True:
            self._listen()
            self._announce()
            phase = self._engine.state["phase"]
            if phase == "over":
                with suppress(EOFError):
                    if not self._ask_at_the_end():
                        continue
                return
            if phase == "walking":
                self._watch()
            else:
                self._ask(phase)

    def _listen(self) -> None:
        """Say what the engine has said."""
        for count, line in self._engine.state["said"]:
            if count > self._heard:
                self._heard = count
                self._say(f"  {line}")

    def _announce(self) -> None:
        bout = self._engine.state["bout"]
        if bout is None or (told := f"{bout['number']} {bout['item']} {bout['law']}") == self._announced:
            return
        self._announced = told
        self._say(f"\nbout {bout['number']}: {bout['label']}, {bout['minutes']:g} min; {bout['done']}")
        for line in bout["law"]:
            self._say(f"  {line}")
        if len(bout["path"]) > 1:
            self._say(f"  in {len(bout['path'])} small steps: {'; '.join(bout['path'])}")

    def _watch(self) -> None:
        """Show the bout that is walked, and obey what is typed meanwhile."""
        console, looks = Console(highlight=False), 0
        try:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                while self._engine.state["phase"] == "walking":
                    self._engine.wait(SECONDS_BETWEEN_LOOKS)
                    line, looks = self._engine.state["line"], looks + 1
                    if console.is_terminal:
                        live.update(Text(line), refresh=True)
                    elif looks % LOOKS_BETWEEN_LINES == 0 and line:
                        self._say(f"  {line}")
                    if (typed := self._typed()) is not None:
                        self._interject(typed)
        except KeyboardInterrupt:
            words = "\n  void REASON, stop, or Enter to continue"
            reply = self._prompt.answer(words, (*COMMANDS, ""), "Enter, or a command")
            self._obey(reply)
            return
        self._say("\a")

    def _interject(self, line: str) -> None:
        name, _, rest = line.strip().partition(" ")
        if name in COMMANDS:
            self._obey(Command(name, rest.strip()))
        elif name:
            self._say(f"  expected a command while the bout is walked, got {line.strip()!r}")

    def _ask_at_the_end(self) -> bool:
        """Whether the operator has nothing more to correct."""
        if self._announced != "over":
            self._announced = "over"
            self._say("\nThe session is over.")
        words = "  Enter ends it; amend, undo and the others still work"
        reply = self._prompt.answer(words, (*COMMANDS, ""), "Enter, or a command")
        if isinstance(reply, Command) and not reply.name:
            return True
        self._obey(reply)
        return False

    def _ask(self, phase: str) -> None:
        """Ask for what the engine waits for, and do what is answered."""
        state, offer = self._engine.state, self._engine.state["offer"]
        if offer is not None:
            self._ask_about(offer)
            return
        bout, enter = state["bout"], state["enter"]
        result = f"Enter, {ANSWER}" if bout["measured"] else "Enter, or a command"
        offered = f"  {enter['words']}, or {RATE} or file" if enter else f"  {RATE} or breath file"
        new = ", ".join(bout["entering"])
        prompt, words, expected = {
            "confirm": (f"  it enters a new region ({new}); yes walks there", "yes", "yes, or a command"),
            "start": ("  Enter starts it", "", result),
            "done": ("  Enter when it is done", "", result),
            "rate": (offered, "" if enter else "help", result if enter else ANSWER),
            "stopped": (f"  no torque ({state['halted']}); arm REASON lets it through", "help", "a command"),
        }[phase]
        reply = self._prompt.answer(prompt, (*COMMANDS, words), expected)
        if isinstance(reply, Command):
            action = {"confirm": "confirm", "start": "start", "done": "done"}.get(phase)
            if reply.name in COMMANDS:
                self._obey(reply)
            elif phase == "rate":
                self._act(**{name: value for name, value in enter.items() if name != "words"})
            elif action:
                self._act(action)
        elif phase in ("confirm", "done", "stopped") or not bout["measured"]:
            self._say(f"  expected {expected}, got {self._prompt.typed!r}")
        elif isinstance(reply, Path):
            self._act("file", path=str(reply.absolute()))
        else:
            self._surely("rate", rate=reply)

    def _ask_about(self, offer: dict[str, Any]) -> None:
        if offer["doubt"]:
            meant = self._prompt.is_meant(offer["doubt"], f"{offer['rate']:.2f}")
            self._act("take", sure=True) if meant else self._act("drop")
            return
        expected = "yes, no, or a command"
        reply = self._prompt.answer("  take it? yes or no", (*COMMANDS, "yes", "no"), expected)
        if not isinstance(reply, Command):
            self._say(f"  expected {expected}, got {self._prompt.typed!r}")
        elif reply.name in COMMANDS:
            self._obey(reply)
        else:
            self._act("take" if reply.name == "yes" else "drop")

    # ------------------------------------------------------------------------------------------------- commands

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
