"""The tutorials as notebooks: the pages are the source, `python tests/notebooks.py` writes docs/tutorials/notebooks.

A Python block is a cell, a block with a title a cell that writes the file, a command a cell with `!`. What a block prints
is left out: the cell prints it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pages import FENCE, ROOT, Block, blocks_of, commands_of

FOLDER = ROOT / "docs/tutorials/notebooks"
TUTORIALS = [
    page
    for page in sorted((ROOT / "docs/tutorials").rglob("*.md"))
    if page.stem not in ("index", "answers") and FOLDER not in page.parents
]
MARK = re.compile(r"^ *<!-- .*? -->\n", re.MULTILINE)
PICTURE = re.compile(r"^!\[.*\]\(.*\)\n", re.MULTILINE)


def notebook(page: Path) -> str:
    """The notebook of a page, as JSON; the same page gives the same bytes."""
    found = [cell(kind, text) for kind, text in cells(page) if text.strip()]
    for number, each in enumerate(found):
        each["id"] = f"cell-{number}"
    language = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": found, "metadata": {"kernelspec": language}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def cell(kind: str, text: str) -> dict[str, Any]:
    """A cell of a notebook."""
    lines = text.strip("\n").splitlines(keepends=True)
    more = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": lines, **more}


def cells(page: Path) -> Iterator[tuple[str, str]]:
    """Kind and text of every cell."""
    text = page.read_text(encoding="utf-8")
    blocks, before, source = blocks_of(text), 0, None
    for block, match in zip(blocks, FENCE.finditer(text), strict=True):
        yield "markdown", prose(text[before : match.start()], page)
        before = match.end()
        if source is not None and block.shows(source, text):
            continue
        yield code_of(block, page, match[0])
        source = block
    yield "markdown", prose(text[before:], page)


def prose(text: str, page: Path) -> str:
    """Text without marks and pictures, which the cells draw; links as seen from the folder of the notebooks."""
    up = "../" if page.parent == FOLDER.parent else f"../{page.parent.name}/"
    text = PICTURE.sub("", MARK.sub("", text))
    return re.sub(r"\]\((?![a-z]+:|#)", f"]({up}", text)


def code_of(block: Block, page: Path, fence: str) -> tuple[str, str]:
    """Kind and text of the cell for a block."""
    kept = block.title is not None and (page.parent / block.title).is_file()
    if block.title is not None and not kept:
        return "code", f"%%writefile {block.title}\n{block.text}"
    if block.language == "python" and (block.runs or kept):
        return "code", block.text
    if block.runs:  # a script that is next to the page has been run as a cell
        lines = [
            line
            for line in commands_of(block.text)
            if not (page.parent / line.removeprefix("python ")).is_file()
        ]
        return "code", "\n".join(f"!{line}" for line in lines)
    return "markdown", MARK.sub("", fence)


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for page in TUTORIALS:
        (FOLDER / f"{page.stem}.ipynb").write_text(notebook(page), encoding="utf-8")


if __name__ == "__main__":
    main()
