"""Asking a person in a terminal, or whoever writes the lines instead: for numbers, files and commands."""

import difflib
import math
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

NEAR = 0.6  # how alike a word and a command are when the command is suggested (choice)


class Stopped(Exception):  # noqa: N818 - it is no error
    """Whoever is asked ends for now."""


class Command(NamedTuple):
    """A word that was expected, and all that followed it; the word is empty for an empty line."""

    name: str
    words: str = ""


Answer = float | Path | Command


class Asker:
    """Questions and answers, a line each.

    Args:
        read: shows a prompt and returns the next line; EOFError when there is none.
        say: shows a line.
    """

    def __init__(self, read: Callable[[str], str] = input, say: Callable[[str], None] = print) -> None:
        self._read, self.say = read, say
        self.typed = ""  # the last line, as it was typed

    def line(self, prompt: str) -> str:
        """The next line, without the white space around it."""
        self.typed = self._read(f"{prompt} > ").strip()
        return self.typed

    def answer(self, prompt: str, commands: Collection[str], expected: str) -> Answer:
        """A number, the path of a file, or one of the commands; asks until it is given one."""
        while True:
            try:
                return parsed(self.line(prompt), commands, expected)
            except ValueError as error:
                self.say(f"  {error}")

    def again(self, why: str, text: str) -> bool:
        """Whether, having been told why it is doubtful, somebody types this text."""
        self.say(f"  {why}")
        if self.line("  again") == text:
            return True
        self.say(f"  not {text!r}: nothing is written")
        return False


def parsed(line: str, commands: Collection[str], expected: str) -> Answer:
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
    """What to raise where something else was expected than this text."""
    if "," in text and number(text.replace(",", "")) is not None:
        return ValueError(
            f"expected {expected}, got {text!r}; decimals follow a point, and nothing stands between thousands"
        )
    return ValueError(f"expected {expected}, got {text!r}" if text else f"expected {expected}, got nothing")


def number(text: str) -> float | None:
    """The number that a text is, as people write it: no infinity, and no underscores as in 4_2."""
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
