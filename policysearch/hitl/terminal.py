"""The operator's terminal: a client of the engine, which prints what it is told and asks for the next action."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.live import Live
from rich.text import Text

from policysearch.asking.prompt import Command, Prompt
from policysearch.hitl.commands import COMMANDS, Commands, Connection
from policysearch.reporting.console import Console

SECONDS_BETWEEN_LOOKS, LOOKS_BETWEEN_LINES = 0.2, 30


class Terminal(Commands):
    """A session that an operator runs.

    Args:
        engine: is asked, and told.
        prompt: asks the operator.
        typed: a line that was typed while nothing was asked; None for none.
    """

    def __init__(
        self, engine: Connection, prompt: Prompt, typed: Callable[[], str | None] = lambda: None
    ) -> None:
        super().__init__(engine, prompt)
        self._typed, self._heard, self._announced = typed, 0, ""

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

    def _announce(self) -> bool:
        """Say what is next; whether that was new."""
        bout = self._engine.state["bout"]
        if bout is None or (told := f"{bout['number']} {bout['item']} {bout['law']}") == self._announced:
            return False
        self._announced = told
        self._say(f"\nbout {bout['number']}: {bout['label']}, {bout['minutes']:g} min; {bout['done']}")
        for line in bout["law"]:
            self._say(f"  {line}")
        if len(bout["path"]) > 1:
            self._say(f"  in {len(bout['path'])} small steps: {'; '.join(bout['path'])}")
        return True

    def _watch(self) -> None:
        """Show the bout that is walked, and obey what is typed meanwhile."""
        console, looks = Console(highlight=False), 0
        try:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                while self._engine.state["phase"] == "walking":
                    self._engine.wait(SECONDS_BETWEEN_LOOKS)
                    self._listen()
                    if self._announce():  # the next bout has begun by itself
                        self._say("\a")
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
        if not (typed := line.strip()):
            return
        waits = "the rate of a bout that was walked, or " if self._engine.state["waiting"] else ""
        try:
            reply = self._prompt.typed_now(typed, COMMANDS, f"{waits}a command while the bout is walked")
        except ValueError as error:
            self._say(f"  {error}")
            return
        if isinstance(reply, Command):
            self._obey(reply)
        else:
            self._answer(reply)

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
        enter = state["enter"]
        prompt, words, expected = question(state)
        reply = self._prompt.answer(prompt, (*COMMANDS, words), expected)
        if isinstance(reply, Command):
            actions = {"confirm": "confirm", "start": "start", "done": "done", "stopped": "recover"}
            action = actions.get(phase)
            if reply.name in COMMANDS:
                self._obey(reply)
            elif phase == "rate":
                self._act(**{name: value for name, value in enter.items() if name != "words"})
            elif action:
                self._act(action)
        elif not state["waiting"] and phase != "rate":
            self._say(f"  expected {expected}, got {self._prompt.typed!r}")
        else:
            self._answer(reply)

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


def question(state: dict[str, Any]) -> tuple[str, str, str]:
    """What is asked, the word that answers it besides commands, and what is expected."""
    bout, enter = state["bout"], state["enter"]
    rate = wanted(**state["objective"])
    answer = f"{rate}, a breath file, or a command (help lists them)"
    result = f"Enter, {answer}"
    offered = f"  {enter['words']}, or {rate} or file" if enter else f"  {rate} or breath file"
    new = ", ".join(bout["entering"])
    questions = {
        "confirm": (f"  it enters a new region ({new}); yes walks there", "yes", "yes, or a command"),
        "start": ("  Enter starts it", "", result if state["waiting"] else "Enter, or a command"),
        "done": ("  Enter when it is done", "", "Enter, or a command"),
        "rate": (offered, "" if enter else "help", result if enter else answer),
        "day": ("  the day is over; day begins the next one, stop ends for now", "help", "a command"),
        "stopped": (f"  no torque ({state['halted']}); arm REASON lets it through", "help", "a command"),
        "failed": ("  Enter tries to write the log again", "", "Enter, or a command"),
    }
    return questions["failed" if state["failed"] else state["phase"]]


def wanted(name: str, unit: str) -> str:
    """What is typed of a bout."""
    if unit == "W/kg":
        return "a rate (W/kg, gross)"
    return f"the {name} ({unit})" if unit else f"the {name}"
