"""What has changed since something was recorded, in words; and the words for names that do not exist."""

import sys
from pathlib import Path
from typing import Any

import pytest

from policysearch import command_line
from policysearch.provenance import changes, environment
from policysearch.registry import did_you_mean, import_module, imported

KP = {"name": "kp", "start": 1.0, "lower": 0.0, "upper": 10.0, "unit": ""}
KD = {"name": "kd", "start": 0.0, "lower": 0.0, "upper": 1.0, "unit": "s"}


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        (1.0, 1, []),
        (1.0, 2.5, ["x was 1, is 2.5"]),
        (None, "a", ["x was not set, is a"]),
        ((1.0, 2.0), (1.0, 3.0), ["x was (1, 2), is (1, 3)"]),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ["x.b was 2, is 3"]),
        ({"a": 1}, {"b": {"c": 1}}, ["x.a was 1, is not set", "x.b was not set, is {'c': 1}"]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["x.a.b was 1, is 2"]),
        ([KP, KD], [KP | {"upper": 12.0}, KD], ["kp.upper was 10, is 12"]),
        ([KP, KD], [KP | {"upper": 12.0, "unit": "N"}, KD], ["kp.upper was 10, is 12", "kp.unit was , is N"]),
        ([KP], [KP, KD], ["kd is new"]),
        ([KP, KD], [KD], ["kp is missing"]),
        ([KP, KD], [KD, KP], ["x has another order"]),
        ([1, 2], [1, 3], ["x was [1, 2], is [1, 3]"]),
    ],
)
def test_changes_are_named_where_they_are(was: Any, now: Any, expected: list[str]) -> None:
    assert changes([("x", was, now)]) == expected


def test_an_environment_names_the_instructions_and_the_kernels_of_this_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openblas = {
        "user_api": "blas",
        "internal_api": "openblas",
        "version": "0.3.31",
        "architecture": "Haswell",
    }
    threads = {"user_api": "openmp", "internal_api": "openmp", "version": None}
    unnamed = {"user_api": "blas", "internal_api": "mkl", "version": None}
    config = {"SIMD Extensions": {"baseline": ["X86_V2"], "found": ["X86_V3"], "not found": ["X86_V4"]}}
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [openblas, threads, unnamed, openblas])
    monkeypatch.setattr("numpy.show_config", lambda mode: config)
    found = environment()
    assert found["instructions"] == "X86_V2, X86_V3"
    assert found["linear algebra"] == "mkl, openblas 0.3.31 Haswell"
    monkeypatch.setattr("threadpoolctl.threadpool_info", list)
    monkeypatch.setattr("numpy.show_config", lambda mode: dict[str, Any]())
    nothing = environment()
    assert (nothing["instructions"], nothing["linear algebra"]) == ("unknown", "unknown")


def test_an_environment_says_what_it_finds_on_any_machine() -> None:
    found = environment()
    assert found["instructions"]
    assert found["linear algebra"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CMA-ES", "did you mean cma-es?"),
        ("cmaes", "did you mean cma-es?"),
        ("CMA ES", "did you mean cma-es?"),
        ("Hill_Climbing", "did you mean hill-climbing?"),
        ("cma-ess", "did you mean cma-es?"),
        ("wholly-different", "there are two"),
    ],
)
def test_names_are_recognised_in_other_spellings(name: str, expected: str) -> None:
    assert did_you_mean(name, ["hill-climbing", "cma-es"], "there are two") == expected


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("torch", r"; pip install 'policysearch\[torch\]'$"),
        ("optuna.samplers", r"; pip install 'policysearch\[bo\]'$"),
        ("no_such_module", "; install it, or name its folder in PYTHONPATH$"),
    ],
)
def test_a_module_that_an_extra_installs_gets_one_hint(
    module: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (module, module.partition(".")[0]):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(ValueError, match=message):
        import_module(module)


def test_modules_of_the_present_folder_are_found_by_console_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_in_this_folder.py").write_text("answer = 42\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/usr/bin", *sys.path])  # as the script's folder stands first
    monkeypatch.syspath_prepend("/usr/bin")
    command_line.import_from_here()
    assert imported("only_in_this_folder:answer") == 42
