"""Templates: what they are compiled with, and when their code is compiled again."""

import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from policysearch.jit import fetch_add, fingerprint, specialise


def scaled(x: Any) -> Any:
    return FACTOR * helper(x)  # type: ignore[name-defined]


@njit
def plus_one(x: Any) -> Any:
    return x + 1.0


@njit
def plus_two(x: Any) -> Any:
    return x + 2.0


def test_free_names_are_bound_to_functions_and_constants() -> None:
    one, other = (
        specialise(scaled, FACTOR=3.0, helper=plus_one),
        specialise(scaled, FACTOR=2.0, helper=plus_two),
    )
    assert (one(1.0), other(1.0)) == (6.0, 6.0)
    assert (one(2.0), other(2.0)) == (9.0, 8.0)


def test_division_is_numpys() -> None:
    @njit
    def inverse(x: Any) -> Any:
        return 1.0 / x

    with pytest.raises(ZeroDivisionError):
        inverse(0.0)
    assert specialise(inverse)(0.0) == np.inf


def test_a_fingerprint_sees_everything_that_a_function_is_made_of() -> None:
    def bound(**names: Any) -> str:
        return fingerprint(specialise(scaled, **names))

    prints = [
        bound(FACTOR=2.0, helper=plus_one),
        bound(FACTOR=3.0, helper=plus_one),
        bound(FACTOR=2.0, helper=plus_two),
        bound(FACTOR=(2.0, 3.0), helper=plus_one),
        bound(FACTOR=np.array([2.0]), helper=plus_one),
        bound(FACTOR=np.array([3.0]), helper=plus_one),
        bound(FACTOR=True, helper=plus_one),
        bound(FACTOR=np.float32(2.0), helper=plus_one),
        bound(FACTOR=np.float32(3.0), helper=plus_one),
        bound(FACTOR=2.0, helper=specialise(scaled, FACTOR=1.0, helper=plus_one)),
        bound(FACTOR=2.0, helper=specialise(scaled, FACTOR=1.5, helper=plus_one)),
    ]
    assert len(set(prints)) == len(prints)
    assert bound(FACTOR=2.0, helper=plus_one) == prints[0]


def test_a_function_that_has_moved_to_another_module_is_another() -> None:
    # code on disk names the modules of its functions, which may be gone
    moved = types.FunctionType(plus_one.py_func.__code__, plus_one.py_func.__globals__)
    moved.__module__ = "elsewhere"
    assert fingerprint(moved) != fingerprint(plus_one)


def test_what_a_function_inside_a_function_looks_up_is_seen_too() -> None:
    def bound(value: float) -> str:
        names: dict[str, Any] = {"FACTOR": value}
        code = "def outer(x):\n    def inner(y):\n        return y * FACTOR\n    return inner(x)"
        exec(code, names)  # noqa: S102 - our own text
        return fingerprint(names["outer"])

    assert bound(1.0) == bound(1.0) != bound(2.0)


def test_defaults_and_the_attributes_of_modules_are_seen_too() -> None:
    def with_default(value: float) -> Any:
        def function(x: Any, y: Any = value) -> Any:
            return x + y

        return function

    assert fingerprint(with_default(1.0)) != fingerprint(with_default(2.0))
    assert fingerprint(with_default(1.0)) == fingerprint(with_default(1.0))

    def of_module(value: float) -> str:
        module = types.ModuleType("constants")
        module.FACTOR = value  # type: ignore[attr-defined]

        def function(x: Any) -> Any:
            return constants.FACTOR * x  # type: ignore[name-defined]

        return fingerprint(specialise(function, constants=module))

    assert of_module(1.0) == of_module(1.0) != of_module(2.0)


FILES = {
    "deep.py": "from numba import njit\n\n@njit\ndef deep(x):\n    return x + 1.0\n",
    "helper.py": "from deep import deep\nfrom numba import njit\n\n@njit\ndef helper(x):\n    return 2.0 * deep(x)\n",
    "main.py": """
        import sys
        from helper import helper
        from numba import njit
        from policysearch.jit import specialise

        @njit
        def run(x):
            return helper({"a name": x}["a name"])

        compiled = specialise(run)
        print(compiled(1.0), sum(compiled.stats.cache_hits.values()), "numba.np.linalg" in sys.modules)
    """,
}


def test_compiled_code_is_found_on_disk_and_an_edit_two_files_away_is_noticed(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")

    def run() -> str:
        command = [sys.executable, str(tmp_path / "main.py")]
        environment = {
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "PATH": "",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    assert run() == "4.0 0 True\n"
    assert run() == "4.0 1 False\n"  # without what only compiling needs
    (tmp_path / "deep.py").write_text(FILES["deep.py"].replace("1.0", "5.0"), encoding="utf-8")
    assert run() == "12.0 0 True\n"


@njit(nogil=True)
def take(counter: Any, taken: Any) -> None:
    while True:
        i = fetch_add(counter)
        if i >= taken.size:
            return
        taken[i] += 1


def test_threads_that_share_a_counter_take_every_number_once() -> None:
    taken, counter = np.zeros(500_000, dtype=np.int64), np.zeros(1, dtype=np.int64)
    take(counter.copy(), taken[:0])
    threads = [threading.Thread(target=take, args=(counter, taken)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (taken == 1).all()
    assert counter[0] == taken.size + len(threads)
