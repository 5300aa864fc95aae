"""The mutation sheet: every bug planted in `mutants.md` must be killed by the test named beside it."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = re.compile(
    r"^\| `(?P<file>[^`]+)` \| `(?P<original>[^`]+)` \| `(?P<mutant>[^`]+)` \| `(?P<test>[^`]+)` \|$"
)
SHEET = (ROOT / "tests" / "mutants.md").read_text(encoding="utf-8")
MUTANTS = [match.groupdict() for line in SHEET.splitlines() if (match := ROW.match(line))]


def killed_in(mutant: dict[str, str]) -> str:
    return mutant["test"].partition("::")[0]


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """The test functions of a file, those of classes as Class::function."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        for function in [node, *inner]:
            if isinstance(function, ast.FunctionDef):
                prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
                found[prefix + function.name] = function
    return found


def test_every_planted_bug_still_has_its_line() -> None:
    assert len(MUTANTS) >= 349
    rows = [line for line in SHEET.splitlines() if line.startswith("| `")]
    assert len(MUTANTS) == len(rows)  # none is lost to a typing error
    for mutant in MUTANTS:
        source = (ROOT / mutant["file"]).read_text(encoding="utf-8")
        assert source.count(mutant["original"]) == 1, mutant
        assert mutant["mutant"] != mutant["original"]


def test_every_planted_bug_is_killed_by_day() -> None:
    for path, killers in itertools.groupby(sorted(MUTANTS, key=killed_in), key=killed_in):
        known = functions(ROOT / path)
        for mutant in killers:
            name = mutant["test"].partition("::")[2].partition("[")[0]
            assert name in known, mutant
            marks = [ast.unparse(decorator) for decorator in known[name].decorator_list]
            assert "pytest.mark.nightly" not in marks, mutant


def test_every_part_of_the_tests_is_run_by_the_gate_and_all_others_by_make_test() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    parts = {
        name: found.split()
        for name, found in re.findall(r"^([A-Z]+) := ((?:tests/\S+\s*)+)$", text, re.MULTILINE)
    }
    assert {*parts} == {"TUNE", "LAB", "CONSOLE", "ENGINE", "TORCH", "DOCS"}
    ignored = re.search(r"^tests: .*\n.* tests \$\(addprefix --ignore=,(.*)\)$", text, re.MULTILINE)
    assert ignored is not None
    assert ignored[1].split() == [f"$({name})" for name in parts]
    gate = re.search(r"^check: .*\n.*for part in (.*?);", text, re.MULTILINE)
    assert gate is not None
    assert {*gate[1].split()} == {"test", *map(str.lower, parts)}
    for name, places in parts.items():
        assert re.search(rf"^{name.lower()}: .*\n.*\$\(PYTEST\) \$\({name}\)", text, re.MULTILINE), name
        assert all((ROOT / place).exists() for place in places), name


def run(tree: Path, *tests: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}  # else a bug could stay in a cached file
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of everything, in which the killers of all bugs that are planted now pass."""
    tree = tmp_path_factory.mktemp("mutants")
    for folder in ("policysearch", "tests", "experiments", "docs"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy2(ROOT / file, tree / file)
    (tree / "results").symlink_to(ROOT / "results")
    planted = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    healthy = run(tree, *sorted({call.params["mutant"]["test"] for call in planted if call is not None}))
    assert healthy.returncode == 0, healthy.stdout[-2000:]
    return tree


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant['file']}: {mutant['mutant']}")
def test_the_planted_bug_is_killed(mutant: dict[str, str], tree: Path) -> None:
    target = tree / mutant["file"]
    source = target.read_text(encoding="utf-8")
    target.write_text(source.replace(mutant["original"], mutant["mutant"]), encoding="utf-8")
    try:
        sick = run(tree, mutant["test"])
    finally:
        shutil.copy2(ROOT / mutant["file"], target)  # with its time, so that what is compiled stays good
    assert sick.returncode == 1, sick.stdout[-2000:]
