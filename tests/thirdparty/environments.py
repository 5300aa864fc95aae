"""Environments of other packages, run by the command line; `make thirdparty` installs them in an environment of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

THIRD = "their_environments:"


def compare(out: Path, task: str) -> "subprocess.CompletedProcess[str]":
    """A comparison of two methods in short episodes; only what is for the user is returned."""
    study = out.parent / "study.toml"
    study.write_text(
        f'rollouts = 30\nruns = 1\nreport_episodes = 20\noptimizers = ["random-search", "cma-es"]\n'
        f'[tasks."{task}"]\nmax_episode_steps = 10\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "policysearch.compare", str(study), "--workers", "1", "--out", str(out)]
    return subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    "task",
    [
        "dm_control/cartpole-balance-v0",
        "dm_control/reacher-easy-v0",
        "parking-v0",
        "PointMaze_UMazeDense-v3",
        "Grid-v0",
        "Cart-v0",
        "Together-v0",
    ],
)
def test_two_methods_are_compared_and_the_tables_are_the_same_again(task: str, tmp_path: Path) -> None:
    tables = []
    for name in ("first", "second"):
        done = compare(tmp_path / name, THIRD + task)
        assert done.returncode == 0, done.stderr[-2000:]
        rows = (tmp_path / name / "runs.csv").read_text(encoding="utf-8").splitlines()
        places = [i for i, column in enumerate(rows[0].split(",")) if column != "wall_seconds"]
        tables.append([[row.split(",")[i] for i in places] for row in rows])
        curves = (tmp_path / name / "curves.csv").read_text(encoding="utf-8")
        tables[-1].append([curves])
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            "MiniGrid-Empty-5x5-v0",
            "keep the rest: gymnasium.wrappers.FilterObservation(env, ['direction', 'image'])",
        ),
        (
            "FetchReachDense-v4",
            "cannot build their_environments:FetchReachDense-v4: AssertionError",
        ),  # MuJoCo is too new
    ],
)
def test_what_cannot_be_run_is_refused_in_one_message(task: str, said: str, tmp_path: Path) -> None:
    done = compare(tmp_path / "out", THIRD + task)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in done.stderr
