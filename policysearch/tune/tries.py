"""The answers of a person to the questions of a tuning, as they were typed."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policysearch.asking.answers import EventLog, LoggedEvent, Write, in_memory
from policysearch.asking.prompt import aligned, number, refused
from policysearch.evaluators.functions import Answer
from policysearch.ledger import LedgerRefused
from policysearch.space import Space
from policysearch.tune.words import formatted, labelled

#: The events that answer a question, and the status that each gives.
TRIES = {"answer": "measured", "failed": "failed", "skip": "skipped"}
UNDOABLE = (*TRIES, "amend", "finish")
#: All kinds of events.
KINDS = (*UNDOABLE, "undo", "note")
#: From `MIN_KNOWN` measured values on, one that is `LARGER` times larger than all of them is doubted (choice).
MIN_KNOWN, LARGER = 5, 10.0


@dataclass(frozen=True)
class Try:
    """The answer to a question."""

    number: int  # for people, from 1
    values: Mapping[str, Any]  # of the parameters by name
    numbers: Mapping[str, float] = field(default_factory=dict)  # `return` and the others that were typed
    status: str = "measured"  # or "failed", "skipped", "amended"
    reason: str = ""

    @property
    def value(self) -> float:
        """The return; NaN where there is none."""
        return self.numbers.get("return", math.nan)

    def __str__(self) -> str:
        more = [f"{name}={x:.5g}" for name, x in self.numbers.items() if name != "return"]
        return " ".join([f"{self.value:.5g}", *more]) if self.numbers else self.status


class Answers(EventLog):
    """The log of a tuning, and the answers in force.

    Args:
        events: what was written before.
        write: makes an event durable.

    Attributes:
        tries: every question that was ever answered, with its number and its parameters.
        held: the answers in force, by question.
    """

    def __init__(self, events: Sequence[LoggedEvent] = (), write: Write = in_memory) -> None:
        self.tries: dict[str, Try] = {}
        self.held: dict[str, Try] = {}
        super().__init__(UNDOABLE, events, write)

    def table(self, space: Space, asked: Collection[str]) -> str:
        """All tries so far; those in force of other questions than the asked ones are set aside."""
        rows = [["try", *map(labelled, space.parameters), "value", "status"]]
        for question, first in self.tries.items():
            tried = self.held.get(question, replace(first, status="taken back"))
            status = "set aside" if question in self.held and question not in asked else tried.status
            values = [formatted(tried.values[p.name]) for p in space.parameters]
            value = str(tried) if tried.numbers else ""
            rows.append([str(tried.number), *values, value, f"{status} {tried.reason}"])
        return aligned(rows)

    @property
    def finished(self) -> set[str]:
        """The phases that the person has ended: "search", "report"."""
        return {body["phase"] for _, kind, body in self.in_force if kind == "finish"}

    def _keep(self, kind: str, body: Mapping[str, Any]) -> None:
        super()._keep(kind, body)
        if kind in TRIES:
            self.tries.setdefault(body["question"], Try(len(self.tries) + 1, body["values"]))
        self.held = self._folded()

    def _folded(self) -> dict[str, Try]:
        held: dict[str, Try] = {}
        for _, kind, body in self.in_force:
            if kind == "finish":
                continue
            question, numbers = body["question"], body.get("numbers", {})
            before = held.get(question) or self.tries.get(question)
            if before is None:
                raise LedgerRefused(f"the ledger is damaged: {kind} is of {question}, which has no answer")
            held[question] = replace(
                before,
                numbers={**before.numbers, **numbers},
                status=TRIES.get(kind, "amended"),
                reason=body["reason"],
            )
        return held


def read(line: str) -> tuple[dict[str, float], str]:
    """The `return` that begins a line, the other numbers by name that follow, and the rest.

    Raises:
        ValueError: for what is no number, a name that comes twice, or numbers that make no `Answer`.
    """
    first, *words = line.split()
    if (value := number(first)) is None:
        raise refused(first, "a number")
    numbers = {"return": value}
    while words and "=" in words[0]:
        name, _, text = words.pop(0).partition("=")
        if not name or name in numbers:
            raise ValueError(f"expected another NAME=NUMBER, got {name}={text}")
        if (given := number(text)) is None:
            raise refused(text, f"a number after {name}=")
        numbers[name] = given
    Answer.read(numbers)
    return numbers, " ".join(words)


def doubt(value: float, known: Sequence[float]) -> str:
    """Why a value should be typed again, given the measured ones; empty if it is plausible."""
    if len(known) < MIN_KNOWN:
        return ""
    if abs(value) > LARGER * max(map(abs, known)):
        return f"{value:g} is more than {LARGER:g} times larger than any before"
    if all(value * x < 0.0 for x in known):
        return f"{value:g} has another sign than all before"
    return ""
