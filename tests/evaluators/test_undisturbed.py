"""Functions that change settings of the whole process disturb nothing but themselves."""

import io
import os
import pickle
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.evaluators.undisturbed import Undisturbed
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune


def silence() -> None:
    sys.stdout = io.StringIO()


def silence_errors() -> None:
    sys.stderr = io.StringIO()


def move() -> None:
    os.chdir(tempfile.mkdtemp(dir=Path.cwd()))


def strict_numpy() -> None:
    np.seterr(all="raise")


def strict_warnings() -> None:
    warnings.simplefilter("error", RuntimeWarning)
    warnings.filterwarnings("ignore", message="mine")


def state() -> dict[str, Any]:
    return {
        "output": sys.stdout,
        "errors": sys.stderr,
        "folder": Path.cwd(),
        "numpy": np.geterr(),
        "filters": list(warnings.filters),
        "interrupt": signal.getsignal(signal.SIGINT),
    }


@pytest.mark.parametrize("change", [silence, silence_errors, move, strict_numpy, strict_warnings])
def test_the_process_is_as_before_and_the_function_finds_what_it_has_set(
    change: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = []

    def function(call: int) -> int:
        seen.append(state())
        if call == 1:
            change()
            seen.append(state())
        return call

    guarded, before = Undisturbed(function), state()
    assert guarded(0) == 0
    assert guarded(1) == 1
    assert state() == before
    assert guarded(2) == 2
    assert state() == before
    assert seen[0] == seen[1] == before
    assert seen[2] != before
    assert seen[3] == seen[2]
    pickle.dumps(Undisturbed(print))


def test_an_exception_and_a_folder_that_is_gone_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def function() -> None:
        move()
        shutil.rmtree(Path.cwd())
        silence()
        raise RuntimeError("after all that")

    guarded, before = Undisturbed(function), state()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="after all that"):
            guarded()
        assert state() == before


def test_ctrl_c_stays_with_the_search() -> None:
    def function() -> Any:
        found = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return found

    guarded, before = Undisturbed(function), state()
    assert guarded() == guarded() == before["interrupt"] != signal.SIG_IGN
    assert state() == before


def test_a_function_hears_of_changes_that_others_make() -> None:
    guarded = Undisturbed(lambda: sys.stdout)
    first = guarded()
    assert first is sys.stdout
    other, own = io.StringIO(), sys.stdout
    sys.stdout = other
    try:
        assert guarded() is other
    finally:
        sys.stdout = own


@pytest.mark.parametrize("change", [silence, move, strict_numpy, strict_warnings])
def test_a_tuning_is_that_of_a_quiet_function(
    change: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = Space((Parameter("kp", 1.0, 0.01, 100.0, scale="log"), Parameter("kd", 0.0, 0.0, 10.0)))

    def cost(params: dict[str, float], seed: int) -> float:
        return (params["kp"] - 1.0) ** 2 + params["kd"]

    def loud(params: dict[str, float], seed: int) -> float:
        change()
        return cost(params, seed)

    results = [tune(f, space, 20, goal="minimise", report_rollouts=2) for f in (cost, loud)]
    assert str(results[0]) == str(results[1])
