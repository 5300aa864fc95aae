"""The pages of `results/`, with links that lead to files of the repository."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from generator import markdown

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "results"
#: Where the pages are written.
PLACE = ROOT / "docs" / "results" / "studies"
LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)(#[^)]*)?\)")


def pages() -> Mapping[str, str]:
    """Every Markdown page of `results/`, under the name of its folder."""
    files = [
        file for file in sorted(RESULTS.rglob("*.md")) if _text(file).startswith("# ")
    ]  # others are parts
    written = {_name(file): _page(file) for file in files}
    for folder in sorted({file.parent for file in files if file.parent.parent == RESULTS}):
        below = sorted(
            n for n in written if n.startswith(f"{folder.name}/") and n != f"{folder.name}/index.md"
        )
        if f"{folder.name}/index.md" in written and below:
            entries = [name.removeprefix(f"{folder.name}/").removesuffix(".md") for name in below]
            written[f"{folder.name}/index.md"] += "\n" + markdown.toctree(*entries) + "\n"
    return written


def _text(file: Path) -> str:
    """A page; the title of a study's summary gets the name of its folder."""
    text = file.read_text(encoding="utf-8")
    return text.replace("# Comparison\n", f"# Comparison: {file.parent.relative_to(RESULTS)}\n", 1)


def _name(file: Path) -> str:
    return str(file.relative_to(RESULTS)).replace("README.md", "index.md")


def _page(file: Path) -> str:
    """A page, with its links as seen from where it is written."""
    here = (PLACE / _name(file)).parent

    def moved(match: re.Match[str]) -> str:
        target = (file.parent / match[2]).resolve()
        if target == ROOT / "README.md":
            target = ROOT / "docs" / "index.md"
        if target.is_dir():  # a site has files only
            return match[1]
        if target.suffix == ".md" and target.is_relative_to(RESULTS):
            target = PLACE / _name(target)
        return f"[{match[1]}]({os.path.relpath(target, here)}{match[3] or ''})"

    return LINK.sub(moved, _text(file))
