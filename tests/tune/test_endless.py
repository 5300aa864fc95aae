"""A cost that never ends: it is said how to end it, Ctrl-C ends it, and the same folder continues with a time-out."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import in_process
import pytest

from policysearch.reporting import silence
from policysearch.space import Parameter, Space
from policysearch.tune import api
from policysearch.tune.__main__ import main
from policysearch.tune.api import tune


def slow(params: dict[str, float], seed: int) -> float:
    time.sleep(0.05)
    return params["x"] ** 2


PLANT = """
import threading
from dataclasses import dataclass
from typing import Annotated
from policysearch.space import Bounds
@dataclass
class Gains:
    kp: Annotated[float, Bounds(0.0, 10.0)] = 1.0
    kd: Annotated[float, Bounds(0.0, 10.0)] = 1.0
def spins(gains: Gains, seed: int) -> float:
    while gains.kp > 1.0:
        pass
    return gains.kd
def waits(gains: Gains, seed: int) -> float:
    lock = threading.Lock()
    lock.acquire()
    if gains.kp > 1.0:
        lock.acquire()
    return gains.kd
"""


def stuck(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a tuning that hangs, and press Ctrl-C when it is said what to do; the flags of the command."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    (folder / f"endless_{name}.py").write_text(PLANT, encoding="utf-8")
    monkeypatch.setattr(silence, "SECONDS", 0.2)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line == api.STUCK:
            os.kill(os.getpid(), signal.SIGINT)  # as a terminal does

    flags = f"endless_{name}:{name} --goal minimise --rollouts 6 --report-rollouts 2 --optimizer cma-es --out out".split()
    with monkeypatch.context() as patch:
        patch.setattr(api, "teller", lambda progress: say)
        ended = in_process.run(main, *flags)
    assert ended.returncode == 130
    assert ended.stderr == "error: stopped; the same command continues where it stopped\n"
    assert said.count(api.STUCK) == 1
    return flags


@pytest.mark.parametrize("name", ["spins", "waits"])
def test_a_cost_that_never_ends_is_noticed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck(name, tmp_path, monkeypatch)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["spins", "waits"])
def test_a_cost_that_never_ends_is_ended_by_a_time_out_and_the_folder_continues(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = stuck(name, tmp_path, monkeypatch)
    done = in_process.run(main, *flags, "--timeout", "0.5")
    assert done.returncode == 0, done.stderr
    assert api.STUCK not in done.stderr
    assert (
        "of 6 rollouts of the search failed, first: the rollout was stopped: it took more than 0.5 s"
        in done.stdout
    )


def test_a_tuning_that_has_news_is_not_called_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SECONDS", 0.5)
    said: list[str] = []

    def cost(params: dict[str, float], seed: int) -> float:
        time.sleep(0.02)
        return params["x"] ** 2

    tune(cost, Space((Parameter("x", 1.0), Parameter("y", 1.0))), 48, report_rollouts=2, progress=said.append)
    assert api.STUCK not in said


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_tuning_that_is_silent_says_so_unless_rollouts_have_a_time_limit(
    timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SECONDS", 0.05)
    said: list[str] = []
    options: Any = {"timeout": timeout, "report_rollouts": 2, "progress": said.append}
    tune(slow, Space((Parameter("x", 1.0), Parameter("y", 1.0))), 6, **options)
    assert (api.STUCK in said) == (timeout is None)
