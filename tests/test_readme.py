"""What the README says is what happens."""

import contextlib
import importlib.util
import io
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from policysearch.optimizers import OPTIMIZERS

ROOT = Path(__file__).parent.parent
#: A program in two lines of awk.
PROGRAM = """#!/bin/sh
[ "$1" = --load ] && { load=$2; shift 2; }
awk -v kp="$2" -v kd="$4" -v load="${load:-1}" 'BEGIN { print (kp - 20 * load)^2 / 400 + (kd - 3)^2 }'
"""
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_prints_what_the_readme_says() -> None:
    code = next(code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "simulate(" in code)
    said = re.findall(r"# (\{.*\})", code)[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own example
    expected = re.escape(said).replace("…", r"\d*")
    assert re.fullmatch(expected, printed.getvalue().strip()), f"{printed.getvalue()} is not {said}"


def test_the_example_of_a_comparison_from_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = next(code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "compare(" in code)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own example
    assert "**CartPole-v1.**" in capsys.readouterr().out
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_the_example_of_tuning_runs_and_finds_the_gains(capsys: pytest.CaptureFixture[str]) -> None:
    code = next(code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "tune(" in code)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own example
    assert "better than the start" in capsys.readouterr().out
    assert names["result"].values["kp"] == pytest.approx(20, rel=0.3)
    assert names["result"].values["kd"] == pytest.approx(3, abs=0.3)


def test_the_loop_of_ones_own_prints_what_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    code = next(code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "AskTell(" in code)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own example
    said = re.findall(r"# (\{.*\})", code)[0]
    assert re.fullmatch(re.escape(said).replace("…", r"\d*"), capsys.readouterr().out.strip())


def test_the_file_of_the_example_tunes_a_program_that_a_shell_could_be(tmp_path: Path) -> None:
    text = next(text for text in re.findall(r"```toml\n(.*?)```", README, re.DOTALL) if "gains.toml" in text)
    (tmp_path / "gains.toml").write_text(text, encoding="utf-8")
    program = tmp_path / "simulate"
    program.write_text(PROGRAM, encoding="utf-8")
    program.chmod(0o755)
    command = [sys.executable, "-m", "policysearch.tune", "gains.toml", "--workers", "2", "--rollouts", "48"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "better than the start" in done.stdout
    assert "on twice the load: " in done.stdout
    assert re.search(r"kp = .* V/rad: .* not found worse", done.stdout)


@pytest.mark.nightly  # `make types` runs it too
def test_editors_accept_the_examples_and_know_the_keywords(tmp_path: Path) -> None:
    examples = [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "import" in code]
    if importlib.util.find_spec("torch") is None:
        examples = [code for code in examples if "torch" not in code]
    assert len(examples) >= 4
    for i, code in enumerate(examples):
        (tmp_path / f"example_{i}.py").write_text(code, encoding="utf-8")
    wrong = "import policysearch\npolicysearch.tune('./run', rollout=3)\npolicysearch.compare({}, worker=2)\n"
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    found = pyright(tmp_path)
    assert [place for place, _ in found] == ["wrong.py", "wrong.py"], found
    assert [re.findall('"(rollout|worker)"', message) for _, message in found] == [["rollout"], ["worker"]]


def pyright(folder: Path) -> list[tuple[str, str]]:
    """The errors that pyright finds in a folder: files and messages."""
    settings = {"typeCheckingMode": "basic", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    diagnostics = json.loads(done.stdout)["generalDiagnostics"]
    return [(Path(d["file"]).name, d["message"]) for d in diagnostics if d["severity"] == "error"]


def test_the_overhead_of_the_ledger_is_the_one_that_was_measured() -> None:
    row = pd.read_csv(ROOT / "results/benchmarks/ledger_overhead.csv").iloc[0]
    assert f"[{row['percent_of_whole_command']:.1f} % of the wall time]" in README


def test_the_table_of_results_is_the_one_that_its_command_prints() -> None:
    printed = runpy.run_path(str(ROOT / "experiments/classic_control/table.py"))["table"]
    shown = README.split("<!-- table -->\n")[1].split("\n<!-- /table -->")[0]
    assert shown == printed(ROOT / "results/classic_control")


def test_the_table_of_speeds_is_the_one_that_its_command_prints() -> None:
    printed = runpy.run_path(str(ROOT / "experiments/benchmarks/speed_table.py"))["table"]
    shown = README.split("<!-- speed -->\n")[1].split("\n<!-- /speed -->")[0]
    assert shown == printed(ROOT / "results/benchmarks")


def test_the_excerpt_of_the_plant_is_in_its_file() -> None:
    excerpt = next(
        code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "def step(" in code
    )
    assert excerpt in (ROOT / "experiments/own_plant/balancer.py").read_text(encoding="utf-8")


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) >= 5
    for link in links:
        assert (ROOT / link).is_file(), link


def test_the_table_of_methods_is_the_registry() -> None:
    section = README.split("## Methods")[1].split("##")[0]
    assert re.findall(r"^\| `([a-z-]+)`", section, re.MULTILINE) == list(OPTIMIZERS)
