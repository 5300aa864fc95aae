"""Whatever a participant is called and an operator types: it is text in every file and line, and never names a file."""

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import in_process
import pytest

from policysearch.hitl.__main__ import main
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.visible import visible

pytestmark = pytest.mark.usefixtures("blank_pictures")

#: Names and reasons that mean something to a browser, a template, a terminal, a spreadsheet or a file system.
HOSTILE = {
    "markup": "</title></script><script>alert(1)</script>",
    "attribute": "\" onmouseover='alert(1)' x=",
    "template": "{{ 7 * 7 }}{% raw %}",
    "terminal": "\x1b]0;owned\x1b\\\x1b[2J\x9b1A",
    "formula": "=cmd|' /C calc'!A0",
    "other formula": "@SUM(1)\t+1",
    "folder above": "../../owned",
    "absolute path": "/owned/by/a/name",
    "direction": "\u202egpj.7",
    "no character": "7\udcff",
}
COMMANDS = re.compile("[\x00-\x06\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_name_is_text_and_names_no_file(kind: str, tmp_path: Path) -> None:
    name, out = HOSTILE[kind], tmp_path / "a" / "b" / "out"
    out.mkdir(parents=True)
    with Session.begin(
        SessionPlan(participant=name, bouts=8, baseline=3.0), out / "session.sqlite"
    ) as session:
        session.void(f"{name} fell", 1.0)
        session.measured(4.4)
        session.confirm()
        session.skip(name)
        session.note(name)
    made = in_process.run(main, "report", str(out))
    assert made.returncode == 0, made.stderr
    files = {path: path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert not [f for f in files.values() if not re.fullmatch(r"a/b/out/[\w.-]{6,20}", f)]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files if ".sqlite" not in path.name}
    assert {"report.html", "bouts.csv"} <= {*texts}
    for text in (made.stdout, made.stderr, *texts.values()):
        assert not COMMANDS.search(text)
    page = Page(texts["report.html"])
    assert page.text.count(visible(name)) >= 5  # title, heading, two bouts and the note
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "form"}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    for file, text in texts.items():
        if file.endswith((".csv", ".tsv")):
            for row in csv.reader(text.splitlines(), delimiter="," if file.endswith(".csv") else "\t"):
                assert not [cell for cell in row if re.match(r"[=+@\t]|-(?!\d)", cell)], file
