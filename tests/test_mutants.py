"""The mutation sheet: every bug planted in `mutants.md` must be killed by the test named beside it."""

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
MUTANTS = [
    match.groupdict()
    for line in (ROOT / "tests" / "mutants.md").read_text(encoding="utf-8").splitlines()
    if (match := ROW.match(line))
]


def test_every_planted_bug_still_has_its_line_and_its_test() -> None:
    assert len(MUTANTS) >= 20
    for mutant in MUTANTS:
        source = (ROOT / mutant["file"]).read_text(encoding="utf-8")
        assert source.count(mutant["original"]) == 1, mutant
        assert mutant["mutant"] != mutant["original"]
        path, _, name = mutant["test"].partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8"), mutant


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant['file']}: {mutant['mutant']}")
def test_the_planted_bug_is_killed(mutant: dict[str, str], tmp_path: Path) -> None:
    for folder in ("policysearch", "tests", "experiments"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "results").symlink_to(ROOT / "results")
    target = tmp_path / mutant["file"]
    source = target.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", mutant["test"]]
    healthy = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert healthy.returncode == 0, healthy.stdout[-2000:]
    target.write_text(source.replace(mutant["original"], mutant["mutant"]), encoding="utf-8")
    sick = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert sick.returncode == 1, sick.stdout[-2000:]
