"""The fenced blocks of README.md and of the pages in docs/: run, compared with what is printed there, written again.

    python tests/pages.py            run every page in full, and write what its blocks print into it
    python tests/pages.py PAGE …     the same for some pages

A page is run from top to bottom in one temporary folder; its Python blocks share one namespace. docs/project/contributing.md has the
marks: ```python and ```sh are run, ```python fragment and ```console are not, title="NAME" makes a file, ```text
after a block is what it prints.
"""

import contextlib
import importlib
import importlib.util
import io
import linecache
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

ROOT = Path(__file__).parent.parent
#: Folders of pages that `make site` writes from the code and from results/.
GENERATED = (
    "reference/api",
    "reference/commands",
    "reference/methods",
    "reference/policies",
    "reference/tasks",
    "results/gallery",
    "results/studies",
)
PAGES = [ROOT / "README.md"] + [
    page
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if not any(page.is_relative_to(ROOT / "docs" / folder) for folder in GENERATED)
]
FENCE = re.compile(
    r"(?P<marks>(?:^ *<!-- [^\n]* -->\n)*)^(?P<indent> *)```(?P<language>[\w+-]+|\{[\w:-]+\})(?P<options>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
TABLE = re.compile(r"<!-- output: (?P<command>.*?) -->\n(?P<text>.*?)\n?<!-- /output -->", re.DOTALL)
#: What starts one of the commands of the package.
COMMAND = re.compile(r"policysearch|python -m policysearch(\.\w+)*")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    options: str
    text: str
    marks: tuple[str, ...] = ()  # such as "by day: --runs 2"
    line: int = 0
    span: tuple[int, int] = (0, 0)  # of its text in the page
    indent: str = ""

    @property
    def title(self) -> str | None:
        """The name of the file that it is."""
        found = re.search(r'title="([^"]+)"', self.options)
        return found[1] if found else None

    @property
    def runs(self) -> bool:
        """Whether it is executed."""
        return self.title is None and "fragment" not in self.options and self.language in ("python", "sh")

    def shows(self, block: "Block", text: str) -> bool:
        """Whether it is what the block before it prints: nothing stands between them."""
        between = text[block.span[1] : self.span[0]].replace("`", "").split()
        return self.language == "text" and between == ["text"]

    def mark(self, name: str) -> str | None:
        """What a mark before the block says."""
        return next(
            (mark.removeprefix(name).strip(": ") for mark in self.marks if mark.startswith(name)), None
        )


class Output(NamedTuple):
    """A block that was run and printed, and the block of the page that shows it, if any."""

    source: Block
    shown: Block | None
    printed: str


@dataclass
class Run:
    """A page that is run in a folder."""

    page: Path
    folder: Path
    text: str | None = None  # of the page, if not the one in its file
    full: bool = False  # also what is left to the night, without the arguments of the day
    names: dict[str, Any] = field(default_factory=dict)

    def outputs(self) -> Iterator[Output]:
        """What its blocks print, one after the other."""
        text = self.page.read_text(encoding="utf-8") if self.text is None else self.text
        blocks = blocks_of(text)
        for block, following in zip(blocks, [*blocks[1:], None], strict=False):
            if block.title is not None:
                self._place(block)
            elif block.runs and self._wanted(block):
                printed = self._printed(block)
                shown = following if following is not None and following.shows(block, text) else None
                if self.full or block.mark("by day") is None:
                    yield Output(block, shown, printed)

    def _wanted(self, block: Block) -> bool:
        if module := block.mark("needs"):
            return importlib.util.find_spec(module) is not None
        return self.full or block.mark("nightly") is None

    def _place(self, block: Block) -> None:
        """Write a file, or check that it is an excerpt of the one that is there."""
        name = str(block.title)
        for kept in (self.page.parent / name, ROOT / name):
            if kept.is_file():
                assert block.text in kept.read_text(encoding="utf-8"), (
                    f"{self.page}:{block.line} is not in {kept}"
                )
                if kept.parent == self.page.parent:
                    shutil.copy2(kept, self.folder / name)
                return
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(block.text, encoding="utf-8")
        if block.text.startswith("#!"):
            (self.folder / name).chmod(0o755)

    def _printed(self, block: Block) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if block.language == "python":
                self._execute(block)
            else:
                for line in commands_of(block.text):
                    self._command(line, block)
        return out.getvalue()

    def _execute(self, block: Block) -> None:
        name = f"<{self.page.name}, line {block.line}>"
        linecache.cache[name] = (len(block.text), None, block.text.splitlines(keepends=True), name)
        exec(compile(block.text, name, "exec"), self.names)  # noqa: S102 - our own pages

    def _command(self, line: str, block: Block) -> None:
        expected = int(block.mark("exit") or 0)
        more = "" if self.full else block.mark("by day") or ""
        if COMMAND.match(line) and "|" not in line and ">" not in line:
            code, err = command(f"{line} {more}")
        elif re.match(r"python \w[\w/]*\.py\b", line):
            code, err = script(line)
        else:
            done = subprocess.run(
                ["/bin/sh", "-c", line],
                env=os.environ | {"PATH": path()},
                capture_output=True,
                text=True,
                check=False,
            )
            code, err = done.returncode, done.stderr
            print(done.stdout, end="")
        assert code == expected, f"{self.page}:{block.line}: {line} ended with {code}\n{err}"


def path() -> str:
    """Where a shell looks for `python` and `policysearch`: this interpreter's folder first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def command(line: str) -> tuple[int, str]:
    """Exit code and standard error of a command of the package, in this process."""
    words = shlex.split(line, comments=True)
    if words[0] == "python":
        module, arguments = words[2], words[3:]
    else:
        module, arguments = "policysearch", words[1:]
        if module == "policysearch" and arguments and not arguments[0].startswith("-"):
            names = importlib.import_module("policysearch.__main__").COMMANDS
            module, arguments = names[arguments[0]][0], arguments[1:]
    err = io.StringIO()
    with contextlib.redirect_stderr(err), mock.patch.object(sys, "stdin", io.StringIO()):
        try:
            code = importlib.import_module(f"{module}.__main__").main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    return code, err.getvalue()


def script(line: str) -> tuple[int, str]:
    """The same of a Python file."""
    words = shlex.split(line, comments=True)[1:]
    path = [str(Path(words[0]).resolve().parent), *sys.path]  # as Python has it
    with mock.patch.object(sys, "argv", words), mock.patch.object(sys, "path", path):
        runpy.run_path(words[0], run_name="__main__")
    return 0, ""


def commands_of(text: str) -> list[str]:
    """The lines of a shell, without comments, with continued lines in one."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    found = []
    for match in FENCE.finditer(text):
        marks = re.findall(r"<!-- (.*?) -->", match["marks"])
        indent = match["indent"]
        content = re.sub(f"^{indent}", "", match["text"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start("text")) + 1
        options = match["options"].strip()
        found.append(
            Block(match["language"], options, content, tuple(marks), line, match.span("text"), indent)
        )
    return found


def tables_of(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """The tables of a page that a command writes, and what it prints now."""
    for match in TABLE.finditer(text):
        out = io.StringIO()
        with contextlib.chdir(ROOT), contextlib.redirect_stdout(out):
            script(match["command"])
        yield match, out.getvalue().rstrip("\n")


def agrees(shown: str, printed: str) -> bool:
    """Whether a page shows what is printed: `…` is anything in a line, and alone on its line any lines."""
    pattern = re.escape(shown.strip("\n")).replace("…", r"[^\n]*")
    pattern = re.sub(r"(?m)^\[\^\\n\]\*$", r"(?s:.*)", pattern.replace("\\\n", "\n"))
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    return re.fullmatch(pattern, "\n".join(lines)) is not None


def blank_png() -> bytes:
    """A picture of one pixel."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


@contextlib.contextmanager
def at_work(folder: Path, *, draw: bool = True) -> Iterator[None]:
    """In a folder whose modules can be imported, and are forgotten afterwards; no window is opened.

    Without `draw` every picture is empty: to draw those of a report takes longer than its comparison.
    """
    import matplotlib
    from matplotlib.figure import Figure

    def save(_: Figure, target: Any, **__: Any) -> None:
        if isinstance(target, (str, Path)):
            Path(target).write_bytes(b"")
        elif isinstance(target, io.TextIOBase):
            target.write("<svg></svg>")
        else:
            target.write(blank_png())

    matplotlib.use("agg")
    before = {*sys.modules}
    if not draw:
        with mock.patch.object(Figure, "savefig", save), at_work(folder):
            yield
        return
    with contextlib.chdir(folder), mock.patch.object(sys, "path", [str(folder), *sys.path]):
        try:
            yield
        finally:
            from matplotlib import pyplot

            pyplot.close("all")
            importlib.invalidate_caches()
            for name in {*sys.modules} - before:
                if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                    del sys.modules[name]


def written(page: Path) -> str:
    """The text of a page with the scripts next to it, and what its blocks print now."""
    text = page.read_text(encoding="utf-8")
    for block in reversed(blocks_of(text)):
        if block.title is not None and (kept := page.parent / block.title).is_file():
            text = _replaced(text, block, kept.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name, at_work(Path(name)):
        outputs = [*Run(page, Path(name), text, full=True).outputs()]
        for picture in Path(name).glob("*.png"):
            if f"]({picture.name})" in text:
                shutil.copy2(picture, page.parent / picture.name)
    for _, shown, printed in reversed(outputs):
        if shown is not None and not agrees(shown.text, printed):
            lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
            text = _replaced(text, shown, "\n".join(lines) + "\n")
    for match, printed in reversed([*tables_of(text)]):
        text = text[: match.start("text")] + printed + "\n" * (not match["text"]) + text[match.end("text") :]
    return text


def _replaced(text: str, block: Block, content: str) -> str:
    """A page with another content of a block, as far from the margin as the block."""
    first, last = block.span
    return text[:first] + textwrap.indent(content, block.indent) + text[last:]


def main() -> None:
    """Write what the blocks of pages print."""
    for page in [Path(name).resolve() for name in sys.argv[1:]] or PAGES:
        print(page.relative_to(ROOT), file=sys.stderr)
        text = written(page)
        if text != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print("  changed", file=sys.stderr)


if __name__ == "__main__":
    main()
