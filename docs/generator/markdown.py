"""Docstrings and tables as Markdown."""

import inspect
import re
from collections.abc import Callable, Iterable, Sequence

#: Sections of Google's convention.
SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):$")
ENTRY = re.compile(r"([\w*.]+):\s+(.*)")


def of_docstring(text: str | None) -> str:
    """A docstring as Markdown: formulas are text blocks, and sections such as `Raises:` are lists."""
    out: list[str] = []
    lines = inspect.cleandoc(text or "").splitlines()
    while lines:
        line = lines.pop(0)
        if SECTION.match(line):
            body = _taken(lines, lambda text: not text or text.startswith(" "))
            out += ["", *_section(line, body), ""]
        elif line.startswith(">>>"):
            out += ["```pycon", line, *_taken(lines, bool), "```", ""]
        elif line.startswith(" ") and (not out or not out[-1]):
            block = [line, *_taken(lines, lambda text: not text or text.startswith(" "))]
            out += ["```text", *inspect.cleandoc("\n" + "\n".join(block)).splitlines(), "```", ""]
        else:
            out.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def marked(text: str) -> str:
    """A text with the words in bold that begin the same part of every method and policy."""
    words = "Source|Defaults|Invariant to|When to use it|When not"
    return re.sub(rf"^({words}):", r"\n**\1:**", text, flags=re.MULTILINE)


def _taken(lines: list[str], wanted: Callable[[str], bool]) -> list[str]:
    taken = []
    while lines and wanted(lines[0]):
        taken.append(lines.pop(0))
    return taken


def _section(title: str, body: list[str]) -> list[str]:
    """A section: an entry per line that names something, or a paragraph."""
    body = inspect.cleandoc("\n" + "\n".join(body)).splitlines()
    out = [f"**{title.rstrip(':')}**", ""]
    for line in body:
        entry = ENTRY.match(line)
        if entry:
            out.append(f"- `{entry[1]}`: {entry[2]}")
        elif line.strip():
            out.append(f"  {line.strip()}" if out[-1] else line.strip())
    return out


def table(header: Sequence[str], rows: Iterable[Sequence[object]], align: str = "") -> str:
    """A table; `align` has a letter per column, l or r."""
    marks = {"l": "---", "r": "---:"}
    aligned = [marks[letter] for letter in align.ljust(len(header), "l")]
    lines = [header, aligned, *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ").strip()


def code(value: object) -> str:
    """A value as code; nothing for nothing."""
    return f"`{value}`" if str(value) else ""


def toctree(*entries: str, hidden: bool = True) -> str:
    """The list of pages below this one."""
    options = ["```{toctree}", *([":hidden:"] if hidden else []), ":maxdepth: 1", ""]
    return "\n".join([*options, *entries, "```"])
