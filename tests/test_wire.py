"""What can be sent to a worker: what it can import, and by value what it cannot."""

import contextlib
import functools
import runpy
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import policysearch
from policysearch.evaluators.worker_process import Run
from policysearch.evaluators.workers import Told, Workers

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


TUNED = """
import policysearch
from policysearch import Parameter, Space

SPACE = Space((Parameter("kp", 1.0, 0.0, 10.0), Parameter("kd", 1.0, 0.0, 10.0)))
"""
COST = """
def cost(p, seed):
    return (p["kp"] - 3) ** 2 + (p["kd"] - 1) ** 2
"""
CALL = 'result = policysearch.tune(cost, SPACE, 6, goal="minimise", workers=2, report_rollouts=2)\n'
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

BY_DAY = ("no guard", "guard", "all of it below the guard", "a lambda below the guard")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in BY_DAY else pytest.mark.nightly) for name in SCRIPTS],
)
def test_a_script_may_use_workers_with_and_without_a_guard(name: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"print('begun')\n{SCRIPTS[name]}", encoding="utf-8")
    found = runpy.run_path(str(script), run_name="__main__")["result"]
    expected = policysearch.tune(
        lambda p, seed: (p["kp"] - 3) ** 2 + (p["kd"] - 1) ** 2, found.space, 6, goal="minimise"
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
