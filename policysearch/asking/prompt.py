"""Questions in a terminal, a line each: for numbers, files and commands."""

import difflib
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from policysearch.visible import visible

NEAR = 0.6  # similarity from which on a command is suggested for a word (choice)


class Stopped(Exception):  # noqa: N818 - it is no error
    """The person ends for now."""


class Finished(Exception):  # noqa: N818 - it is no error
    """The person has ended the search."""


class Command(NamedTuple):
    """A word that was expected, and the rest of its line; the word is empty for an empty line."""

    name: str
    words: str = ""


Reply = float | Path | Command


class Prompt:
    """Asks a person, line by line.

    Args:
        read: shows a prompt and returns the next line; EOFError when there is none.
        say: shows a line.
    """

    def __init__(self, read: Callable[[str], str] = input, say: Callable[[str], None] = print) -> None:
        self._read, self.say = read, say
        self.typed = ""  # the last line, as it was typed

    def line(self, prompt: str) -> str:
        """The next line, without the white space around it."""
        self.typed = self._read(f"{visible(prompt)} > ").strip()
        return self.typed

    def answer(self, prompt: str, commands: Collection[str], expected: str) -> Reply:
        """A number, the path of a file, or one of the commands; asks until it gets one."""
        while True:
            try:
                return parsed(self.line(prompt), commands, expected)
            except ValueError as error:
                self.say(f"  {error}")

    def typed_now(self, line: str, commands: Collection[str], expected: str) -> Reply:
        """What a line is that was typed while nothing was asked.

        Raises:
            ValueError: if it is none of what `answer` takes.
        """
        self.typed = line
        return parsed(line, commands, expected)

    def is_meant(self, doubt: str, text: str) -> bool:
        """Whether there is no doubt, or the person types this text again in spite of it."""
        if not doubt:
            return True
        self.say(f"  {doubt}; if it is right, type {text}")
        if self.line("  again") == text:
            return True
        self.say(f"  not {text!r}: nothing is written")
        return False


def stop(_: str = "") -> NoReturn:
    """The command that ends for now."""
    raise Stopped


def described(commands: Mapping[str, tuple[str, str]]) -> str:
    """A line per command: what follows it, and what it does."""
    typed = {f"{name} {words}".rstrip(): what for name, (words, what) in commands.items()}
    width = max(map(len, typed))
    return "\n".join(f"  {line:{width}}  {what}" for line, what in typed.items())


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table: right-aligned columns, but for the last one."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join([*map(str.rjust, row[:-1], widths), row[-1]]) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def parsed(line: str, commands: Collection[str], expected: str) -> Reply:
    """What a line is: a command if its first word is one, a number, or a file that exists.

    Raises:
        ValueError: if it is none of them.
    """
    name, _, words = line.partition(" ")
    if name.lower() in commands:
        return Command(name.lower(), words.strip())
    value = number(line)
    if value is not None:
        return value
    path = os.path.expanduser(line)
    if line and os.path.isfile(path):
        return Path(path)
    if near := difflib.get_close_matches(name.lower(), [c for c in commands if c], n=1, cutoff=NEAR):
        raise ValueError(f"expected {expected}, got {line!r}; did you mean {near[0]}?")
    raise refused(line, expected)


def refused(text: str, expected: str) -> ValueError:
    """The error for this text where something else was expected."""
    if "," in text and number(text.replace(",", "")) is not None:
        return ValueError(
            f"expected {expected}, got {text!r}; the decimal sign is a point, and thousands are not separated"
        )
    return ValueError(f"expected {expected}, got {text!r}" if text else f"expected {expected}, got nothing")


def number(text: str) -> float | None:
    """The number in a text as people write it: not infinite, and without underscores as in 4_2."""
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
