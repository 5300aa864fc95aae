"""What can be sent to a worker: what it can import, and by value what it cannot."""

import contextlib
import functools
import importlib
import os
import runpy
import subprocess
import sys
import textwrap
import tomllib
import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from problems import Walk

import policysearch
from policysearch.evaluators.worker_process import Run
from policysearch.evaluators.workers import Told, Workers
from policysearch.wire import changed

#: What is typed at a prompt, or in a notebook.
TYPED = """
import math
from dataclasses import dataclass
from enum import Enum

SCALE = 2.0

class Mode(Enum):
    FAST = 1

@dataclass
class Gains:
    kp: float = 1.0

    def scaled(self, x):
        return SCALE * self.kp * x

class Plant:
    def __call__(self, x):
        return x + 1.0

def plain(x):
    return SCALE * x

def uses_a_module(x):
    return math.sqrt(x)

def uses_another(x):
    return plain(x) + uses_a_module(4.0)

def uses_a_class(x):
    return Gains(kp=x).kp + Mode.FAST.value

def recursive(x):
    return x if x <= 1.0 else recursive(x - 1.0)

def inner():
    y = 5.0
    def closure(x):
        return x + y
    return closure
"""

main = types.ModuleType("__main__")
exec(TYPED, vars(main))  # noqa: S102

#: Functions of a number, and what they give for 9.
SENT: dict[str, tuple[Callable[[float], float], float]] = {
    "of a module": (abs, 9.0),
    "a lambda": (lambda x: x + 3.0, 12.0),
    "a partial of a lambda": (functools.partial(lambda a, x: a * x, 2.0), 18.0),
    "typed": (main.plain, 18.0),
    "typed, with a module": (main.uses_a_module, 3.0),
    "typed, with another that is typed": (main.uses_another, 20.0),
    "typed, with classes that are typed": (main.uses_a_class, 10.0),
    "typed, calling itself": (main.recursive, 1.0),
    "a closure": (main.inner(), 14.0),
    "a method of a typed class": (main.Gains(3.0).scaled, 54.0),
    "an object of a typed class": (main.Plant(), 10.0),
}


def calling(functions: list[Callable[[float], float]]) -> AbstractContextManager[Run]:
    return contextlib.nullcontext(lambda i, x, _: functions[i](x))


def test_functions_reach_a_worker_wherever_they_are_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", main)
    functions = [function for function, _ in SENT.values()]
    with Workers[int](calling, (functions,), 1) as crew:
        told = {
            event.task: event.value
            for event in crew.run(range(len(SENT)), context=9.0)
            if isinstance(event, Told)
        }
    found = {name: told[i] for i, name in enumerate(SENT)}
    assert found == {name: expected for name, (_, expected) in SENT.items()}


SETTINGS = """
import os

WEIGHT = 1.0
MASSES: list[float] = [1.0, 2.0]
limits = {"torque": 5.0}
same = "as written"
folder = os.getcwd()
handle = None
count = 0
count = len(folder)
model = 3

def read():
    return WEIGHT, MASSES, limits, same, folder, handle, count, model
"""


def reading(read: Callable[[], Any]) -> AbstractContextManager[Run]:
    return contextlib.nullcontext(lambda task, _, __: read())


def test_a_worker_has_the_values_that_were_given_to_modules_since_they_were_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "settings_of_a_plant.py").write_text(SETTINGS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plant = importlib.import_module("settings_of_a_plant")
    request.addfinalizer(lambda: sys.modules.pop("settings_of_a_plant"))  # other tests ask what is imported
    before = plant.read()
    plant.WEIGHT, plant.model, plant.handle, plant.folder, plant.count = 2.5, object(), 4, "elsewhere", -1
    plant.MASSES.append(3.0)
    plant.limits["torque"] = 7.0
    changes = {"WEIGHT": 2.5, "MASSES": [1.0, 2.0, 3.0], "limits": {"torque": 7.0}}
    assert changed()["settings_of_a_plant"] == changes
    with Workers[int](reading, (plant.read,), 1) as crew:
        (found,) = [event.value for event in crew.run([1]) if isinstance(event, Told)]
    assert found == (*changes.values(), *before[3:])  # what is no literal, or None, is the worker's own


NESTED = """
from multiprocessing import Pool

def square(x):
    return x * x

def squares(x):
    with Pool(1) as pool:
        return sum(pool.map(square, [x, 1.0]))
"""


def test_what_is_typed_can_be_sent_on_by_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = types.ModuleType("__main__")
    exec(NESTED, vars(typed))  # noqa: S102
    monkeypatch.setitem(sys.modules, "__main__", typed)
    with Workers[int](calling, ([typed.squares],), 1) as crew:
        (found,) = [event.value for event in crew.run([0], context=3.0) if isinstance(event, Told)]
    assert found == 10.0


TUNED = """
import policysearch
from policysearch import Parameter, Space

SPACE = Space((Parameter("kp", 1.0, 0.0, 10.0), Parameter("kd", 1.0, 0.0, 10.0)))
"""
COST = """
def cost(p, seed):
    return (p["kp"] - 3) ** 2 + (p["kd"] - 1) ** 2
"""
CALL = 'result = policysearch.tune(cost, SPACE, 6, "cma-es", goal="minimise", workers=2, report_rollouts=2)\n'
LAMBDA = 'lambda p, seed: (p["kp"] - 3) ** 2 + (p["kd"] - 1) ** 2,'
GUARD = 'if __name__ == "__main__":\n'


def indented(*parts: str) -> str:
    return textwrap.indent("".join(parts), "    ")


SCRIPTS = {
    "no guard": TUNED + COST + CALL,
    "guard": TUNED + COST + GUARD + indented(CALL),
    "all of it below the guard": GUARD + indented(TUNED, COST, CALL),
    "a function that is called below the guard": TUNED + COST
    + "def main():\n    global result\n" + indented(CALL) + GUARD + "    main()\n",
    "a lambda": TUNED + CALL.replace("cost,", LAMBDA),
    "a lambda below the guard": TUNED + GUARD + indented(CALL.replace("cost,", LAMBDA)),
    "a guard, and not around the call": TUNED + COST + CALL + GUARD + "    pass\n",
}  # fmt: skip

BY_DAY = ("no guard", "guard", "a lambda below the guard")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in BY_DAY else pytest.mark.nightly) for name in SCRIPTS],
)
def test_a_script_may_use_workers_with_and_without_a_guard(name: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"print('begun')\n{SCRIPTS[name]}", encoding="utf-8")
    found = runpy.run_path(str(script), run_name="__main__")["result"]
    expected = policysearch.tune(
        lambda p, seed: (p["kp"] - 3) ** 2 + (p["kd"] - 1) ** 2, found.space, 6, "cma-es", goal="minimise"
    )
    assert found.history.equals(expected.history)


@pytest.mark.nightly
@pytest.mark.parametrize("how", ["file", "-c", "-i", "standard input", "-m"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_python_may_be_given_the_script_in_any_way(name: str, how: str, tmp_path: Path) -> None:
    text = SCRIPTS[name] + (indented if "below" in name or name == "guard" else str)("print(result.values)\n")
    (tmp_path / "script.py").write_text(text, encoding="utf-8")
    flags = {"-c": ["-c", text], "-m": ["-m", "script"], "standard input": [], "-i": ["-i", "script.py"]}
    done = subprocess.run(
        [sys.executable, *flags.get(how, ["script.py"])], cwd=tmp_path, capture_output=True, text=True,
        input=text if how == "standard input" else "", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("{'kp'") == 1, done.stdout


def test_an_environment_that_is_registered_here_with_its_class_is_known_in_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    gym.register("RegisteredHere-v0", entry_point=Walk, max_episode_steps=5)
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    asked = {"tasks": "RegisteredHere-v0", "optimizers": "random-search", "rollouts": 10, "runs": 2}
    found = [policysearch.compare(asked, workers=workers, progress=False).runs for workers in (1, 2)]
    assert found[0]["final_return"].tolist() == found[1]["final_return"].tolist()


MINE = """
from dataclasses import dataclass
from policysearch import Proposal
from policysearch.optimizers import RandomSearch

@dataclass(frozen=True)
class Mine(RandomSearch):
    population_size: int = 4

@dataclass
class Gains:
    kp: float = 1.0

def cost(gains: Gains, seed: int) -> float:
    return (gains.kp - 3.0) ** 2
"""


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("policysearch-compare", "--tasks lqr --optimizers mine:Mine --rollouts 8 --runs 2 --workers 2"),
        ("policysearch", "compare --tasks lqr --optimizers mine:Mine --rollouts 8 --runs 2 --workers 2"),
        ("policysearch-tune", "mine:cost --rollouts 16 --workers 2"),
        ("policysearch", "tune mine:cost --rollouts 16 --workers 2"),
    ],
)
def test_console_scripts_find_modules_of_the_present_folder(
    script: str, arguments: str, tmp_path: Path
) -> None:
    pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, function = pyproject["project"]["scripts"][script].partition(":")
    (tmp_path / "bin").mkdir()
    installed = tmp_path / "bin" / script  # as pip writes it, in a folder that is not the present one
    call = f'if __name__ == "__main__":\n    sys.exit({function}())\n'
    installed.write_text(f"import sys\nfrom {module} import {function}\n{call}", encoding="utf-8")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "mine.py").write_text(MINE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(installed), *arguments.split()], cwd=tmp_path / "project",
        env=os.environ | {"PYTHONPATH": str(Path(policysearch.__file__).parent.parent)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
