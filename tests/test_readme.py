"""README.md is one screen that leads to the pages; editors accept the code of all pages."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from pages import PAGES, ROOT, blocks_of

from policysearch.__main__ import COMMANDS
from policysearch.compare.study import Study, quick
from policysearch.optimizers import OPTIMIZERS

#: Pages whose code is typed as editors want it; in others, Gymnasium's own types refuse what Gymnasium accepts.
TYPED = [
    page for page in PAGES if page.parent in (ROOT, ROOT / "docs/tutorials") or page.stem == "own-network"
]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short_and_begins_with_code() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150
    assert lines.index("```python") < 12


def test_the_readme_names_every_method_and_every_command() -> None:
    section = README.split("## Methods")[1].split("##")[0]
    assert [name for name in re.findall(r"`([a-z-]+)`", section) if name in OPTIMIZERS] == list(OPTIMIZERS)
    section = README.split("## Commands")[1].split("##")[0]
    assert re.findall(r"^\| `policysearch (\w+)`", section, re.MULTILINE) == list(COMMANDS)


def test_the_readme_says_how_many_methods_and_tasks_are_compared() -> None:
    assert f"runs {len(Study(**quick()).optimizers)} methods on two tasks" in README
    assert len(quick()["tasks"]) == 2
    study = tomllib.loads((ROOT / "results/classic_control/study.toml").read_text(encoding="utf-8"))
    assert (len(study["optimizers"]), len(study["tasks"]), study["runs"]) == (14, 5, 10)
    assert "shows 14 methods on five tasks, 10 runs each" in README


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) >= 15
    for link in links:
        assert (ROOT / link).is_file(), link


def test_editors_accept_the_examples_and_know_the_keywords(tmp_path: Path) -> None:
    for i, page in enumerate(TYPED):
        blocks = blocks_of(page.read_text(encoding="utf-8"))
        for block in blocks:
            if block.title is not None and block.language == "python":
                (tmp_path / Path(block.title).name).write_text(block.text, encoding="utf-8")
        texts = [
            block.text
            for block in blocks
            if block.language == "python" and block.runs and not skipped(block.text)
        ]
        if texts:
            name = f"example_{i}_{page.stem.replace('-', '_')}.py"
            (tmp_path / name).write_text("\n".join(texts), encoding="utf-8")
    wrong = "import policysearch\npolicysearch.tune('./run', rollout=3)\npolicysearch.compare({}, worker=2)\n"
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    found = pyright(tmp_path)
    assert [place for place, _ in found] == ["wrong.py", "wrong.py"], found
    assert [re.findall('"(rollout|worker)"', message) for _, message in found] == [["rollout"], ["worker"]]


def skipped(text: str) -> bool:
    """Whether a block needs what is not installed."""
    return "torch" in text and importlib.util.find_spec("torch") is None


def pyright(folder: Path) -> list[tuple[str, str]]:
    """The errors that pyright finds in a folder: files and messages."""
    settings = {"typeCheckingMode": "basic", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    diagnostics = json.loads(done.stdout)["generalDiagnostics"]
    return [(Path(d["file"]).name, d["message"]) for d in diagnostics if d["severity"] == "error"]
