"""Every environment that is built is closed, and nothing that an environment leaves keeps a command."""

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import counted_env
import numpy as np
import pytest
from in_process import run

from policysearch.compare.__main__ import main
from policysearch.compare.api import compare as compare_in_python
from policysearch.compare.study import StudyError
from policysearch.core import Proposal
from policysearch.evaluators import EpisodeEvaluator, PoolEvaluator
from policysearch.evaluators.workers import Workers
from policysearch.policies import Gaussian, Linear
from policysearch.tasks.task import _met

TESTS = Path(__file__).parent
POLICY = Gaussian(Linear(1, 1))
RECOMMENDATION = Path("recommendations.npz/random-search/0")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where environments write down that they are built and closed


def assert_all_are_closed(least: int = 1) -> None:
    lines = Path("built.txt").read_text(encoding="utf-8").splitlines()
    of = {
        what: sorted(line.split()[1] for line in lines if line.startswith(what))
        for what in ("built", "closed")
    }
    assert len(of["built"]) >= least
    assert of["built"] == of["closed"]  # each of them, once


def compare(kind: str, workers: int = 1, **options: Any) -> None:
    methods = ["random-search", "hill-climbing"]
    options = {
        "optimizers": methods,
        "rollouts": 20,
        "runs": 1,
        "progress": False,
        "workers": workers,
    } | options
    compare_in_python(tasks=[f"counted_env:{kind}-v0"], **options)


@pytest.mark.parametrize(
    "kind",
    [
        "Counted",
        "FailingStep",
        *(pytest.param(x, marks=pytest.mark.nightly) for x in ("FailingReset", "OneCopy")),
        "Served",
    ],
)
def test_a_comparison_closes_every_environment(kind: str) -> None:
    compare(kind, allow_nondeterminism=kind == "OneCopy")
    assert_all_are_closed()


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("NeverReset", {}, "reset: ConnectionRefusedError: the simulator is not running at localhost:19997 "),
        ("Unfit", {}, r"reset: ValueError: expected an observation of shape \(1,\), got \(3,\)"),
        ("Sequences", {}, "observation space: expected"),
        ("Counted", {"policy": "tabular"}, "policy 'tabular' is for"),
        ("Counted", {"optimizers": ["cma-es"], "rollouts": 3}, "a budget of 3 rollouts is smaller"),
        ("Counted", {"rollout_timeout": 1.0}, "rollout_timeout: only a pool"),
    ],
)
def test_a_comparison_that_is_refused_closes_what_it_has_built(
    kind: str, options: dict[str, Any], said: str
) -> None:
    _met.clear()  # so that a copy is built
    with pytest.raises(StudyError, match=said):
        compare(kind, **options)
    assert_all_are_closed()


@pytest.mark.nightly
def test_a_comparison_with_two_workers_closes_every_environment() -> None:
    compare("Counted", workers=2)
    assert_all_are_closed(least=8)


def test_a_worker_that_is_stopped_closes_what_it_holds_and_ends_its_children(tmp_path: Path) -> None:
    file = tmp_path / "held"
    with Workers(counted_env.held, (str(file),), 1) as workers:
        events = workers.run([1], idle_seconds=0.02)
        limit = time.monotonic() + 60.0
        while not file.exists():
            assert time.monotonic() < limit, "the task has not begun within 60 s"
            next(events)
        worker = workers.living[0].process
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        events.close()
    assert file.read_text() == "closed"
    assert len(children) == 1
    assert not Path(f"/proc/{children[0]}").exists()


@pytest.mark.nightly
def test_a_comparison_with_two_workers_ends_the_processes_that_are_left() -> None:
    flags = shlex.split(
        "--tasks counted_env:Abandoned-v0 --optimizers random-search hill-climbing --rollouts 20"
    )
    arguments = [*flags, "--runs", "1", "--workers", "2", "--out", "out"]
    assert run(main, *arguments).returncode == 0
    assert_all_are_closed(least=8)
    assert not multiprocessing.active_children()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare("Counted", out=folder, progress=True)
    return folder


def test_replay_video_and_report_close_every_environment(saved: Path) -> None:
    assert run(main, "replay", str(saved / RECOMMENDATION), "--video", "clip.gif").returncode == 0
    assert run(main, "report", str(saved), "--out", "out").returncode == 0
    assert_all_are_closed()


@pytest.mark.parametrize("kind", ["NeverReset", "Unfit", "FailingStep", "Sequences"])
def test_a_replay_of_an_environment_that_has_changed_closes_it(
    kind: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counted_env, "Counted", getattr(counted_env, kind))
    _met.clear()
    codes = {
        run(main, "replay", str(saved / RECOMMENDATION), *more).returncode
        for more in ((), ("--video", "clip.gif"))
    }
    assert codes <= ({0, 1, 2} if kind == "FailingStep" else {1, 2})  # its other episodes are the same
    assert_all_are_closed()


def episodes(**options: Any) -> EpisodeEvaluator:
    return EpisodeEvaluator(counted_env.Counted, POLICY, **options)


@pytest.mark.parametrize(
    "make", [episodes, lambda: PoolEvaluator(episodes(max_copies=2), workers=2)], ids=["episodes", "pool"]
)
def test_evaluators_are_context_managers_that_close_every_environment(make: Callable[[], Any]) -> None:
    params = np.zeros((3, POLICY.num_params))
    with make() as evaluator:
        assert np.isfinite(evaluator.evaluate(Proposal(params, params[0], 2), (1,)).returns).all()
    with pytest.raises(ValueError, match="params: expected"), make() as evaluator:
        evaluator.evaluate(Proposal(params[:, :1], params[0, :1], 2), (1,))
    assert_all_are_closed(least=4)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: EpisodeEvaluator(counted_env.Unfit, POLICY), ValueError),
        (lambda: EpisodeEvaluator(counted_env.NeverReset, POLICY), ConnectionRefusedError),
        (lambda: EpisodeEvaluator(counted_env.Sequences, POLICY), ValueError),
        (lambda: EpisodeEvaluator(counted_env.Counted, Gaussian(Linear(2, 1))), ValueError),
        (lambda: PoolEvaluator(episodes(), workers=0), ValueError),
    ],
)
def test_an_evaluator_that_cannot_be_made_leaves_nothing_open(make: Callable[[], Any], error: Any) -> None:
    with pytest.raises(error):
        make()
    assert_all_are_closed()


def started(*arguments: str) -> "subprocess.Popen[str]":
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}, start_new_session=True
    )  # fmt: skip


@pytest.mark.nightly
def test_ctrl_c_closes_the_environments_of_the_workers() -> None:
    flags = shlex.split("--optimizers random-search hill-climbing --rollouts 100000 --workers 2 --out out")
    process = started("-m", "policysearch.compare", "--tasks", "counted_env:Served-v0", "--runs", "1", *flags)
    before, built, limit = "", Path("built.txt"), time.monotonic() + 120.0
    while (
        before.count("built") < 20 or before != built.read_text()
    ):  # both workers have built all their copies
        assert process.poll() is None
        assert time.monotonic() < limit, "the copies are not built within 120 s"
        before = built.read_text() if built.exists() else ""
        time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert_all_are_closed()


LEAVES = """
import sys, threading, time, multiprocessing
from policysearch import leftovers
from policysearch.command_line import running
import counted_env

leftovers.GRACE = 0.1

def command():
    {what}
    return 5

sys.exit(running(command))
"""


@pytest.mark.parametrize(
    "what",
    [
        "counted_env.Abandoned().close()",
        "threading.Thread(target=counted_env.serve).start()",
        "multiprocessing.get_context('forkserver').Process(target=counted_env.serve).start()",
    ],
)
def test_nothing_that_is_left_keeps_a_command(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process = started("-c", LEAVES.format(what=what))
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (5, "")
