"""The pages of `docs/`: what they are made from is complete, and what they list is what there is."""

import ast
import importlib
import itertools
import re
import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest
from test_mutants import functions
from test_package import BANNED

import policysearch
from policysearch import OPTIMIZERS
from policysearch.aibo.half_ellipse_gait import HalfEllipseGait
from policysearch.compare.tables import FRAMES
from policysearch.exoskeleton.torque_profile import TorqueProfile
from policysearch.tasks.names import TUNED
from policysearch.tasks.policies import tuned_controllers

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_method_says_where_it_is_from_why_its_defaults_and_when_to_use_it(name: str) -> None:
    doc = sys.modules[OPTIMIZERS[name].__module__].__doc__ or ""
    for words in ("\nDefaults: ", "\nInvariant to: ", "\nWhen to use it: ", "\nWhen not: "):
        assert words in doc, f"{name}: expected a paragraph {words.strip()} in the docstring of its module"
    assert any(f"{year}" in doc for year in range(1945, 2030)), f"{name}: expected a source with its year"


@pytest.fixture(autouse=True)
def _generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))


def test_every_policy_and_controller_says_when_to_use_it() -> None:
    assert tuned_controllers().keys() == set(TUNED)
    makers = [make.func.__self__ for make in tuned_controllers().values()]  # type: ignore[attr-defined]
    makers += [HalfEllipseGait, TorqueProfile]
    modules = {"linear", "mlp", "gaussian", "softmax"} | {make.__module__ for make in makers}
    assert len(modules) >= 11
    for name in modules:
        doc = importlib.import_module(name if "." in name else f"policysearch.policies.{name}").__doc__ or ""
        assert "\nWhen to use it: " in doc, name
        assert "\nWhen not: " in doc, name


DOCSTRING = """Steps along an estimate.

    θ ← θ + α ĝ
    α  the step

The estimate is unbiased.

>>> 1 + 1
2

Raises:
    ValueError: for a step that is
        not positive.
    TypeError: for a word.
"""
MARKDOWN = """Steps along an estimate.

```text
θ ← θ + α ĝ
α  the step
```

The estimate is unbiased.

```pycon
>>> 1 + 1
2
```

**Raises**

- `ValueError`: for a step that is
  not positive.
- `TypeError`: for a word."""


def test_formulas_examples_and_sections_of_a_docstring_are_blocks_and_lists() -> None:
    from generator.markdown import of_docstring

    assert of_docstring(DOCSTRING) == MARKDOWN


def test_what_help_prints_is_a_table_without_line_breaks() -> None:
    from generator.commands import pages

    text = pages()["compare.md"]
    assert "| `--rollouts N` | The budget of every search: episodes that it may spend. | 300 |" in text
    assert (
        "| `--tasks TASK …` | Gymnasium ids, also module:EnvId; names from --list; or module:TASK, a Task of"
        in text
    )
    assert "─" not in text
    assert "## policysearch hitl run" in pages()["hitl.md"]


def test_fields_have_their_comments_and_what_a_factory_makes() -> None:
    from generator.source import fields

    found = {field.name: field for field in fields([("policysearch.core", "Evaluation")])}
    assert (found["retried_rollouts"].default, found["retried_rollouts"].annotation) == ("0", "int")
    assert found["retried_rollouts"].meaning.startswith("run again because their process was lost")
    assert found["metrics"].default == "dict()"


def test_links_of_a_page_of_results_lead_to_the_same_files_from_the_site() -> None:
    from generator.results import PLACE, pages

    for name, text in pages().items():
        for link in re.findall(r"\]\(([^)#\s]+)", text):
            target = ((PLACE / name).parent / link).resolve()
            assert "://" in link or target.exists() or str(target.relative_to(PLACE)) in pages()


def test_every_public_name_is_on_one_page_of_the_reference() -> None:
    from generator.api import PAGES

    listed = [name for _, names in PAGES.values() for name in names.split()]
    assert sorted(listed) == sorted(policysearch.__all__)


@pytest.mark.parametrize(
    ("script", "folder"),
    [
        ("classic_control/table.py", "classic_control"),
        ("benchmarks/speed_table.py", "benchmarks"),
        ("benchmarks/lanes_table.py", "benchmarks"),
        ("benchmarks/commands_table.py", "benchmarks"),
        ("benchmarks/watching_table.py", "benchmarks"),
    ],
)
def test_a_table_of_results_is_the_one_that_its_command_prints(
    script: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ROOT / "experiments" / script
    monkeypatch.syspath_prepend(str(path.parent))
    page = (ROOT / "results" / folder / "README.md").read_text(encoding="utf-8")
    shown = re.findall(rf"<!-- {path.stem} -->\n(.*?)\n<!-- /{path.stem} -->", page, re.DOTALL)
    assert shown == [runpy.run_path(str(path))["table"](ROOT / "results" / folder)]


def test_the_overhead_of_the_ledger_is_the_one_that_was_measured() -> None:
    row = pd.read_csv(ROOT / "results/benchmarks/ledger_overhead.csv").iloc[0]
    page = (ROOT / "docs/explanation/replay.md").read_text(encoding="utf-8")
    assert f"[{row['percent_of_whole_command']:.1f} % of the wall time]" in page


def test_every_folder_of_results_is_in_the_list_of_results() -> None:
    page = (ROOT / "docs/results/index.md").read_text(encoding="utf-8")
    for folder in (ROOT / "results").iterdir():
        assert f"](studies/{folder.name}/" in page, f"docs/results/index.md does not name {folder.name}"


def test_words_of_the_pages_are_those_of_the_field() -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        if "studies" not in path.parts:
            lines = path.read_text(encoding="utf-8").splitlines()
            assert not [line for line in lines if BANNED.search(line)], path


def test_the_page_of_results_has_every_column() -> None:
    page = (ROOT / "docs/reference/results-format.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(\w+).csv`.*?\n(.*?)(?=^## )", page, re.DOTALL | re.MULTILINE))
    comparison = policysearch.compare(
        tasks=["CartPole-v1"], optimizers=["cma-es", "ars"], rollouts=20, runs=1, tune=1, progress=False
    )
    assert sorted(sections) == sorted([*FRAMES, "summary", "pairs", "overall"])
    for name, section in sections.items():
        named = set(re.findall(r"`([\w]+)`", section))
        missing = set(getattr(comparison, name).columns) - named
        assert not missing, f"{name}.csv: no word on {', '.join(missing)}"


@pytest.mark.parametrize(("page", "count"), [("faults.md", 45), ("lab-day-faults.md", 37)])
def test_every_fault_of_the_page_has_its_test(page: str, count: int) -> None:
    text = (ROOT / "docs/explanation" / page).read_text(encoding="utf-8")
    text = re.sub(r"<!-- output: .*?<!-- /output -->", "", text, flags=re.DOTALL)  # those are no faults
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| what"))
    ]
    named = [re.findall(r"`([\w/]+\.py)::(test_\w+)`( \*night\*)?", row) for row in rows]
    assert len(rows) >= count
    assert page != "lab-day-faults.md" or not [row for row in rows if "| |" in row]  # each has its figure
    assert all(named), rows[[bool(tests) for tests in named].index(False)]
    for file, name, night in itertools.chain(*named):
        known = functions(ROOT / "tests" / file)
        assert name in known, f"{file} has no {name}"
        marks = [ast.unparse(decorator) for decorator in known[name].decorator_list]
        assert ("pytest.mark.nightly" in marks) == bool(night), f"{file}::{name} is run at another time"


def test_the_gallery_has_every_picture_of_a_controller_and_every_study(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from generator import gallery

    text = gallery.pages()["index.md"]
    shown = re.findall(r"\]\(\.\./\.\./\.\./(results/[^)]+)\)", text)
    assert all((ROOT / picture).is_file() for picture in shown)
    pictures = {*(ROOT / "results").glob("controllers/*.png"), *(ROOT / "results").glob("*/*/curves.png")}
    pictures |= {*(ROOT / "results").glob("*/curves.png"), *(ROOT / "results").glob("lecture_claims/*.png")}
    without = {"controllers/default_method.png", "controllers/study/curves.png", "aibo_gait/noise/curves.png"}
    without |= {"aibo_gait/study/curves.png"}  # the page has the same as learning curves
    missing = {str(p.relative_to(ROOT / "results")) for p in pictures} - without
    assert not missing - {picture.removeprefix("results/") for picture in shown}
    assert "| start | -8.68 | 0 |" in text


def test_what_the_changelog_says_of_a_version_stays() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.index("## [Unreleased]") < text.index("## [0.1.0] - 2026-11-21")
    released = text.split("## [0.1.0]")[1]
    assert released.count("\n- ") == 18, "new lines belong to [Unreleased], above [0.1.0]"
