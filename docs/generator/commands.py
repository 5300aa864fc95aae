"""The pages of the command lines, from what `--help` prints."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from unittest import mock

from generator import markdown
from policysearch.__main__ import COMMANDS

#: Commands below a command.
SUBCOMMANDS = {
    "compare": ("report", "replay", "export"),
    "tune": (),
    "gradients": (),
    "hitl": ("run", "plan", "rehearse", "console", "simulate", "report", "group", "device-check"),
    "watch": (),
}
#: So wide that no line of a box is broken.
WIDTH = "4000"


def pages() -> Mapping[str, str]:
    """A page for every command, with its subcommands, and the list of them."""
    written = {f"{name}.md": _page(name) for name in COMMANDS}
    rows = [(f"[`policysearch {name}`]({name}.md)", what) for name, (_, what) in COMMANDS.items()]
    text = f"""# Commands

Every command is also a module: `policysearch compare` is `python -m policysearch.compare`. All of them end with one
of the [exit codes](../exit-codes.md). `--version` prints the version, of the package and of every command.

{markdown.table(("command", "what it does"), rows)}

{markdown.toctree(*COMMANDS)}
"""
    return {"index.md": text, **written}


def _page(name: str) -> str:
    module = import_module(f"{COMMANDS[name][0]}.__main__")
    parts = [f"# policysearch {name}", _described(_help(module.main, ["--help"]))]
    for below in SUBCOMMANDS[name]:
        parts += [f"## policysearch {name} {below}", _described(_help(module.main, [below, "--help"]))]
    return "\n\n".join(parts) + "\n"


def _help(main: "Callable[[list[str]], int]", argv: list[str]) -> str:
    """What a command prints with these arguments, without colours and line breaks."""
    printed = io.TextIOWrapper(
        io.BytesIO(), encoding="utf-8"
    )  # an encoding, so that boxes are drawn as always
    plain = {"COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    ended = contextlib.suppress(SystemExit)
    with mock.patch.dict(os.environ, plain), contextlib.redirect_stdout(printed), ended:
        main(argv)
    printed.seek(0)
    return printed.read()


def _described(text: str) -> str:
    """The text of `--help` as Markdown: prose, examples, and a table for every box."""
    prose, _, boxes = text.partition("╭")
    usage, *paragraphs = re.split(r"\n\s*\n", prose.strip())
    out = [f"```text\n{usage}\n```"]
    for paragraph in paragraphs:
        if paragraph.startswith("  "):
            out.append(f"```text\n{_dedented(paragraph)}\n```")
        else:
            out.append(" ".join(line.strip() for line in paragraph.splitlines()))
    for box in boxes.split("╭"):
        if rows := _rows(box):
            title = box.strip("─ ").split(" ─")[0]
            heading = ("argument" if "positional" in title else "flag", "meaning", "default")
            out.append(markdown.table(heading, rows))
    return "\n\n".join(out)


def _dedented(paragraph: str) -> str:
    lines = paragraph.rstrip().splitlines()
    return "\n".join(line.removeprefix("  ").rstrip() for line in lines)


def _rows(box: str) -> list[tuple[str, str, str]]:
    """Name, meaning and default of what a box of `--help` lists."""
    entries: list[list[str]] = []
    for line in re.findall(r"^│ (.*?)│$", box, re.MULTILINE):
        if not line.startswith(" "):
            name, _, meaning = line.strip().partition("  ")
            entries.append([name, meaning.strip()])
        elif entries:
            entries[-1][1] = f"{entries[-1][1]} {line.strip()}".strip()
    return [_row(name, meaning) for name, meaning in entries]


def _row(name: str, meaning: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"(.*?)\s*\((?:default: (.*?)|(required))\)", meaning)
    text, default = (found[1], found[2] or found[3] or "") if found else (meaning, "")
    return markdown.code(name), text, "" if default in ("False", "None") else default
