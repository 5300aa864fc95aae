"""Ctrl-C in every phase of a comparison leaves a report of what there is, or one line; the same command continues."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent.parent
ONE_LINE = "error: interrupted before a run of the comparison had finished; what was run is kept. To continue: python "
REPORT = "error: interrupted; what was run is kept. To continue: python "
#: How the last line begins in each phase, what is shown on standard output, and files that are left.
PHASES: dict[str, tuple[str, str, set[str]]] = {
    "tuning": (ONE_LINE, "tuning cma-es on lqr: 2 of 2 runs; best so far sigma=", {"tuning.csv"}),
    "known compiling": (REPORT, "lqr, 40 rollouts", {"report.html", "result.json", "runs.csv"}),
    "reading": ("error: interrupted; the same command continues where it stopped", "", set()),
    "compiling": (ONE_LINE, "", set()),
    "running, tuned": (REPORT, "cma-es is the only method here", {"report.html", "result.json", "tuning.csv"}),
    "trying": (ONE_LINE, "", set()),
    "running": (REPORT, "cma-es is the only method here", {"report.html", "result.json"}),
    "running, in groups": (REPORT, "lqr, 40 rollouts", {"report.html", "result.json", "pairs.csv"}),
    "writing": (REPORT, "lqr, 40 rollouts", {"report.html", "result.json", "pairs.csv"}),
}  # fmt: skip
BY_DAY = [*PHASES][:2]


def check(phases: list[str], folder: Path) -> None:
    finished = subprocess.run(
        [sys.executable, str(TESTS / "interrupted_study.py"), str(folder), *phases],
        capture_output=True, text=True, check=False, timeout=500,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2000:]
    found: dict[str, Any] = {}
    for line in finished.stdout.splitlines():
        found |= json.loads(line)
    assert [*found] == phases
    for phase, made in found.items():
        said, shown, files = PHASES[phase]
        last = made["errors"].splitlines()[-1]
        assert (made["code"], last[: len(said)]) == (130, said), phase
        assert "Traceback" not in made["errors"], phase
        assert shown in made["out"], phase
        assert bool(made["out"]) == bool(shown), phase
        assert files <= {*made["left"]}, phase
        assert made["same"], phase


def test_ctrl_c_leaves_a_report_of_what_there_is_and_the_same_command_continues(tmp_path: Path) -> None:
    check(BY_DAY, tmp_path)


@pytest.mark.nightly
def test_ctrl_c_in_any_other_phase_does_so_too(tmp_path: Path) -> None:
    check([phase for phase in PHASES if phase not in BY_DAY], tmp_path)
