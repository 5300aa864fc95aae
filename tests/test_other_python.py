"""What one version of Python has begun another one continues, with the same numbers.

OTHER_PYTHON names an interpreter of another minor version that has what the package needs (`make otherpython`).
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from crash_matrix import count, die_at, in_a_process, study, tables

import policysearch
from policysearch.compare.__main__ import main
from policysearch.compare.journal import NAME
from policysearch.ledger import read

#: A plant with the syntax of which trees differ between versions of Python.
PLANT = '''
"""A plant of the user's."""
import sys
from dataclasses import dataclass

GAINS = {"a": 1.0, "b": -2.0}
NAME = f"{'plant'!r:>8}" "of" f"{len(GAINS)} gains {GAINS['a']:.1f}"


@dataclass
class Motor:
    turns: int = 3

    def cost(self, params, seed):
        match params:
            case {"a": a, "b": b}:
                return sum((a - 1.0) ** 2 + (b + 2.0) ** 2 for _ in range(self.turns)) + 0.1 * (seed % 7)


def cost(params, seed):
    assert len(NAME) > 10
    return (lambda motor: motor.cost(params, seed))(Motor())
'''
TUNE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from plant import cost
import policysearch
space = policysearch.Space((policysearch.Parameter("a", 0.0, -4.0, 4.0), policysearch.Parameter("b", 0.0, -4.0, 4.0)))
found = policysearch.tune(cost, space, int(sys.argv[3]), "snes", out=Path(sys.argv[2]))
print(found.history.to_csv())
"""


@pytest.fixture(scope="module")
def other() -> str:
    interpreter = os.environ.get("OTHER_PYTHON", "")
    if not interpreter:
        pytest.skip("OTHER_PYTHON names no other version of Python")
    version = "import sys; print(sys.version_info[:2])"
    found = subprocess.run([interpreter, "-c", version], capture_output=True, text=True, check=True).stdout
    assert found != f"{sys.version_info[:2]}\n"
    return interpreter


def run(interpreter: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    root = Path(policysearch.__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
    command = [interpreter, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def killed(method: str, folder: Path) -> None:
    """A whole comparison in `calm`, and one that was killed after three generations."""
    chosen = study(method)
    assert in_a_process(lambda: count(chosen, folder / "calm")) == 0
    assert in_a_process(lambda: die_at(chosen, folder / "out", 15)) == -signal.SIGKILL
    assert [event.kind for event in read(folder / "out" / NAME)][3:] == ["generation"] * 3


COMPARE = "import sys; from crash_matrix import *; compare(study(sys.argv[1]), Path(sys.argv[2]))"


@pytest.mark.nightly
@pytest.mark.parametrize("method", ["nelder-mead", "snes", "off-policy-reinforce", "whitened:ars", "ppo"])
def test_a_comparison_killed_under_one_version_is_continued_by_another_to_the_same_tables(
    other: str, method: str, tmp_path: Path
) -> None:
    killed(method, tmp_path)
    for out in ("out", "alone"):
        done = run(other, "-c", COMPARE, method, str(tmp_path / out))
        assert done.returncode == 0, done.stderr
        assert tables(tmp_path / out) == tables(tmp_path / "calm")


@pytest.mark.nightly
def test_where_python_sums_otherwise_cma_es_stops_at_the_first_difference(other: str, tmp_path: Path) -> None:
    """From Python 3.12 on `sum` rounds otherwise, which pycma uses for its weights."""
    killed("cma-es", tmp_path)
    known = read(tmp_path / "out" / NAME)
    done = run(other, "-c", COMPARE, "cma-es", str(tmp_path / "out"))
    if "1.0" == run(other, "-c", "print(sum([0.1] * 10))").stdout.strip() != str(sum([0.1] * 10)):
        assert "ReplayDiffers" in done.stderr
        assert re.search(
            r"generation 1 asks for other parameters .*; .* python was 3\.11.*, is 3\.", done.stderr
        )
        assert read(tmp_path / "out" / NAME)[: len(known)] == known
    else:
        assert done.returncode == 0, done.stderr
        assert tables(tmp_path / "out") == tables(tmp_path / "calm")


@pytest.mark.nightly
def test_a_tuning_of_a_users_own_plant_is_continued_by_another_version(other: str, tmp_path: Path) -> None:
    (tmp_path / "plant.py").write_text(PLANT, encoding="utf-8")

    def tuned(interpreter: str, out: str, rollouts: str) -> str:
        done = run(interpreter, "-c", TUNE, str(tmp_path), str(tmp_path / out), rollouts)
        assert done.returncode == 0, done.stderr
        return done.stdout

    calm = tuned(sys.executable, "calm", "40")
    for first, second in ((sys.executable, other), (other, sys.executable)):
        tuned(first, f"by {Path(first).parent.parent.name}", "20")
        assert tuned(second, f"by {Path(first).parent.parent.name}", "40") == calm


@pytest.mark.nightly
def test_a_recommendation_is_replayed_by_another_version_to_the_last_digit(
    other: str, tmp_path: Path
) -> None:
    names = ["CartPole-v1", "Acrobot-v1", "quadrotor-cascade", "motor-pid"]
    small = ["--optimizers", "cma-es", "--rollouts", "20", "--runs", "1", "--workers", "1"]
    assert main(["--tasks", *names, *small, "--out", str(tmp_path)]) == 0
    for name in names:
        saved = str(tmp_path / "recommendations.npz" / name / "cma-es" / "0")
        done = run(other, "-m", "policysearch.compare", "replay", saved)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the same to the last digit" in done.stdout
