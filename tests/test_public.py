"""What users import and start: `policysearch.__all__`, and the command `policysearch`."""

import ast
import importlib.metadata
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import in_process
import pytest

import policysearch
from policysearch.__main__ import COMMANDS, main

#: Named after the packages that they are the calls of.
CALLED = {"compare": "compare.api", "tune": "tune.api"}


@pytest.mark.parametrize("name", policysearch.__all__)
def test_every_public_name_is_there_and_is_listed(name: str) -> None:
    assert name in dir(policysearch)
    known = getattr(policysearch, name)
    if name not in CALLED:
        module = import_module(f"policysearch.{policysearch._MODULES[name]}")
        assert known is getattr(module, name)


def test_editors_are_told_the_names_that_are_there() -> None:
    tree = ast.parse(Path(policysearch.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.name: str(node.module).removeprefix("policysearch.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == policysearch._MODULES | CALLED
    assert told.keys() == set(policysearch.__all__)
    assert len(policysearch.__all__) == len(set(policysearch.__all__))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'policysearch' has no attribute 'tun'"):
        policysearch.tun  # noqa: B018


@pytest.mark.parametrize(("name", "first"), [("compare", "study"), ("tune", "function")])
def test_a_package_that_is_called_has_the_signature_of_its_function(name: str, first: str) -> None:
    package = getattr(policysearch, name)
    function = getattr(import_module(f"policysearch.{CALLED[name]}"), name)
    assert inspect.signature(package) == inspect.signature(function)
    assert next(iter(inspect.signature(package).parameters)) == first
    assert import_module(f"policysearch.{name}") is package


def test_the_package_and_its_command_import_no_numerical_library() -> None:
    code = (
        "import sys, policysearch, policysearch.__main__; policysearch.__main__.main(['--help'])\n"
        "print(sorted({'numpy', 'pandas', 'scipy', 'numba', 'gymnasium', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_command_lists_the_commands_a_line_each() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        done = in_process.run(main, *arguments)
        assert done.returncode == 0
        assert [line.split()[1] for line in done.stdout.splitlines()[2:]] == list(COMMANDS)


@pytest.mark.parametrize(
    "command",
    [(), *[(name,) for name in COMMANDS], ("compare", "report"), ("compare", "replay"), ("hitl", "run")],
)
def test_every_command_says_the_version(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([*command, "--version"])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert (code, *capsys.readouterr()) == (0, f"policysearch {policysearch.__version__}\n", "")


def test_extras_do_not_pin() -> None:
    asked_for = importlib.metadata.requires("policysearch") or []
    assert not [requirement for requirement in asked_for if "==" in requirement.partition(";")[0]]


@pytest.mark.parametrize(
    ("typed", "message"),
    [("comprae", "did you mean compare?"), ("xyz", "policysearch --help lists them")],
)
def test_an_unknown_command_gets_one_line(typed: str, message: str) -> None:
    done = in_process.run(main, typed, "--runs", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: expected one of {', '.join(COMMANDS)}, got {typed!r}; {message}\n"


def test_the_command_starts_the_others_with_their_arguments() -> None:
    done = in_process.run(main, "gradients", "--list")
    assert done.returncode == 0
    assert "reward-to-go" in done.stdout
    done = in_process.run(main, "hitl", "reprot")
    assert (done.returncode, done.stderr.count("did you mean report?")) == (2, 1)
    done = in_process.run(main, "tune", "/nowhere.toml")
    assert (done.returncode, done.stderr[:21]) == (2, "error: /nowhere.toml:")


def test_a_task_where_a_study_file_is_expected_gets_the_flag_to_type() -> None:
    done = in_process.run(main, "compare", "CartPole-v1")
    assert done.returncode == 2
    assert "--tasks CartPole-v1" in done.stderr
