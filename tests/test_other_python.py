"""What one version of Python has begun another one continues, with the same numbers.

OTHER_PYTHON names an interpreter of another minor version that has what the package needs (`make otherpython`).
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from crash_matrix import compare, count, die_at, in_a_process, study, tables

import policysearch
from policysearch.compare.__main__ import main

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
found = policysearch.tune(cost, space, int(sys.argv[3]), "cma-es", out=Path(sys.argv[2]))
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


@pytest.mark.nightly
@pytest.mark.parametrize("method", ["cma-es", "nelder-mead", "off-policy-reinforce", "whitened:ars", "ppo"])
def test_a_comparison_killed_under_one_version_is_continued_by_another_to_the_same_tables(
    other: str, method: str, tmp_path: Path
) -> None:
    chosen = study(method)
    assert in_a_process(lambda: count(chosen, tmp_path / "calm")) == 0
    middle = int((tmp_path / "calm" / "points").read_text(encoding="utf-8")) // 2
    assert in_a_process(lambda: die_at(chosen, tmp_path / "out", middle)) == -signal.SIGKILL
    script = "import sys; from crash_matrix import *; compare(study(sys.argv[1]), Path(sys.argv[2]))"
    done = run(other, "-c", script, method, str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "out") == tables(tmp_path / "calm")
    done = run(other, "-c", script, method, str(tmp_path / "alone"))
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "alone") == tables(tmp_path / "calm")
    compare(chosen, tmp_path / "alone")  # and back


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
    names = ["CartPole-v1", "Acrobot-v1", "aibo-gait", "motor-pid"]
    small = ["--optimizers", "cma-es", "--rollouts", "20", "--runs", "1", "--workers", "1"]
    assert main(["--tasks", *names, *small, "--out", str(tmp_path)]) == 0
    for name in names:
        saved = str(tmp_path / "recommendations.npz" / name / "cma-es" / "0")
        done = run(other, "-m", "policysearch.compare", "replay", saved)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the same to the last digit" in done.stdout
