"""Commands and input files with placeholders, which are filled for every run of a program.

    {kp} {ki:.3f}   a parameter, written as `format` does; a truth value as true or false
    {seed}          the seed of the episode
    {cutoff}        the return beyond which the program may stop early
    {json}          path of a file with all parameters and the seed
    {dir}           path of a fresh folder of this run, removed after it
    {worker}        0, 1, … below the number of workers: no two programs that run at a time have the same
    {here}          path of the present folder, from which this process was started
    {{ and }}       braces

A parameter that is called like one of the last five takes its place, except for `json`.
"""

import math
import shlex
import shutil
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policysearch.evaluators.calls import CUTOFF_NAMES
from policysearch.files import read_bytes
from policysearch.space import Space

RESERVED = ("seed", "hopeless", "json")  # what no parameter may be called
PLACEHOLDERS = ("seed", "cutoff", "json", "dir", "worker", "here")  # besides the parameters

_MARK = "\ue000"  # a character that has no meaning

Text = list[tuple[str, str | None, str]]  # parts: text, then the name and the format of a placeholder


@dataclass(frozen=True)
class Command:
    """A program with its arguments, the files that are written for it, and the folder in which it runs."""

    arguments: list[Text]
    templates: dict[str, Text]  # by the names that they get in {dir}
    directory: Text | None

    @property
    def used(self) -> set[str]:
        """Names of all placeholders."""
        texts = [*self.arguments, *self.templates.values(), self.directory or []]
        return {name for text in texts for _, name, _ in text if name is not None}

    @classmethod
    def read(
        cls, command: str, space: Space, template: str | Sequence[str] = (), directory: str | None = None
    ) -> "Command":
        """A command line for the parameters of a space.

        Args:
            command: the program and its arguments, split as a shell does.
            space: the parameters.
            template: files that are copied into {dir} with their placeholders filled, without a last `.in` of
                their names.
            directory: the folder in which the program runs; the present one if None.

        Raises:
            ValueError: for a program, file or folder that is not there, a placeholder without a parameter or a
                parameter without a placeholder.
        """
        if reserved := set(RESERVED) & set(space.names):
            expected, got = ", ".join(RESERVED), ", ".join(sorted(reserved))
            raise ValueError(f"space: expected other names than {expected}, got {got}")
        templates = [template] if isinstance(template, str) else list(template)
        texts = {Path(name).name.removesuffix(".in"): _template(name, space) for name in templates}
        if len(texts) < len(templates):
            raise ValueError(f"template: expected files of different names, got {', '.join(templates)}")
        found = cls(_arguments(command, space, directory), texts, _directory(directory, space))
        if texts and "dir" not in found.used:
            raise ValueError(
                "template: expected {dir} in the command or as directory, where the files are written"
            )
        missing = [name for name in space.names if name not in found.used]
        if missing and "json" not in found.used:
            raise ValueError(
                f"command: expected every parameter, or {{json}}, got none of {', '.join(missing)}"
            )
        return found


def filled(text: Text, given: Mapping[str, Any]) -> str:
    """A text with its placeholders filled."""
    return "".join(
        before + ("" if name is None else _written(given[name], spec)) for before, name, spec in text
    )


def _written(value: Any, spec: str) -> str:
    return str(value).lower() if isinstance(value, bool) and not spec else format(value, spec)


def _arguments(command: str, space: Space, directory: str | None) -> list[Text]:
    quoted = command
    for i, name in enumerate(space.names):  # one with a space or a quotation mark is no end of an argument
        quoted = quoted.replace(f"{{{name}", f"{{{_MARK}{i}{_MARK}")
    try:
        words = shlex.split(quoted)
    except ValueError as error:
        raise ValueError(f"command: {error}, in {command!r}") from error
    for i, name in enumerate(space.names):
        words = [word.replace(f"{_MARK}{i}{_MARK}", name) for word in words]
    arguments = [_text(word, space, "command", f", in {command!r}") for word in words]
    program = words[0] if words else ""
    if not program or shutil.which(program) is None:
        raise ValueError(
            f"command: expected a program that can be run, got {program!r}; is it there, and executable?"
        )
    if directory is not None and "/" in program:  # it is named from the present folder
        arguments[0] = [(str(Path(program).absolute()), None, "")]
    return arguments


def _template(name: str, space: Space) -> Text:
    try:
        lines = read_bytes(Path(name)).decode(errors="surrogateescape").splitlines(keepends=True)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"template: expected a file, got {name!r}: {why}") from error
    parts = (_text(line, space, f"template: {name}, line {i}") for i, line in enumerate(lines, 1))
    return [part for text in parts for part in text]


def _directory(name: str | None, space: Space) -> Text | None:
    """The folder in which a program runs."""
    if name is None:
        return None
    text = _text(name, space, "directory")
    if others := {of for _, of, _ in text} - {"dir", "worker", "here", None}:
        raise ValueError(f"directory: expected placeholders among dir, worker, here, got {_braces(others)}")
    if len(text) == 1 and text[0][1] is None and not Path(name).is_dir():
        raise ValueError(f"directory: expected a folder, got {name!r}; is it there?")
    return text


def _text(text: str, space: Space, where: str, end: str = "") -> Text:
    """The parts of a text, whose placeholders are known and can be written as they say."""
    known = tuple(dict.fromkeys((*space.names, *PLACEHOLDERS)))
    start = {**dict.fromkeys(PLACEHOLDERS, ""), **dict.fromkeys(("seed", "worker"), 0)}
    start |= {**dict.fromkeys(CUTOFF_NAMES, math.inf), **space.named(space.domain.start)}
    try:
        parts = [(before, name, spec or "") for before, name, spec, _ in string.Formatter().parse(text)]
        if not (unknown := {name for _, name, _ in parts if name is not None} - {*known, *RESERVED}):
            filled(parts, start)
    except ValueError as error:
        raise ValueError(f"{where}: {error}{end}; write {{{{ and }}}} for braces") from error
    if unknown:
        raise ValueError(f"{where}: expected placeholders among {', '.join(known)}, got {_braces(unknown)}")
    return parts


def _braces(names: Iterable[str | None]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(map(str, names)))
