"""Folders, input files and working directories of external programs."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.core import Evaluation, Proposal
from policysearch.evaluators import ProgramEvaluator
from policysearch.evaluators.commands import Command, filled
from policysearch.seeding import stream
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune

CC = shutil.which("cc")
SPACE = Space((Parameter("kp", 1.0, 0.0, 10.0), Parameter("kd", 0.5, 0.0, 10.0)))

#: A solver as there are many: it reads input.txt, writes result.txt, and is not quick.
SOLVER = """
#include <stdio.h>
#include <unistd.h>
int main(void) {
  double kp, kd, cost;
  FILE *f = fopen("input.txt", "r");
  if (!f || fscanf(f, "kp=%lf\\nkd=%lf", &kp, &kd) != 2) return 3;
  fclose(f);
  usleep(10000);
  f = fopen("result.txt", "w"); fprintf(f, "%.17g", (kp - 3) * (kp - 3) + (kd - 1) * (kd - 1)); fclose(f);
  usleep(10000);
  f = fopen("result.txt", "r"); fscanf(f, "%lf", &cost); printf("%.17g\\n", cost); fclose(f);
  return 0;
}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty present folder; temporary folders are made in `tmp` next to it."""
    for name in ("here", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "here"


def run(command: str, candidates: int = 1, space: Space = SPACE, **options: Any) -> Evaluation:
    rows = np.clip(stream(3).random((candidates, len(space.names))), 0.0, 1.0)
    return ProgramEvaluator(command, space, **options).evaluate(Proposal(rows, rows[0]), (1,))


@pytest.mark.skipif(CC is None, reason="needs a C compiler")
def test_a_program_with_files_of_fixed_names_gives_the_same_with_one_and_four_workers(here: Path) -> None:
    (here / "solver.c").write_text(SOLVER, encoding="utf-8")
    subprocess.run([str(CC), "-o", "my solver", "solver.c"], check=True)
    (here / "input.txt.in").write_text("kp={kp:.17g}\nkd={kd:.17g}\n", encoding="utf-8")
    options: Any = {"template": "input.txt.in", "directory": "{dir}"}
    one, four = (run("'./my solver'", 12, workers=workers, **options) for workers in (1, 4))
    kp, kd = SPACE.decode(one.params).T
    assert one.failures == four.failures == ()
    assert one.returns[:, 0] == pytest.approx((kp - 3) ** 2 + (kd - 1) ** 2, rel=1e-12)
    assert four.returns.tobytes() == one.returns.tobytes()
    assert sorted(os.listdir()) == ["input.txt.in", "my solver", "solver.c"]
    assert not list((here.parent / "tmp").iterdir())


def test_a_tuning_of_such_a_program_does_not_depend_on_the_workers(here: Path) -> None:
    Path("solve.sh").write_text(
        "echo $1 > kp; echo $2 > kd; sleep 0.01; awk '{print ($1 - 3)^2 + ($2 - 1)^2}' kp kd | tail -n 1\n",
        encoding="utf-8",
    )
    options: Any = {"goal": "minimise", "directory": "{dir}", "report_rollouts": 2}
    one, four = (
        tune("sh {here}/solve.sh {kp} {kd}", SPACE, 12, workers=workers, **options) for workers in (1, 4)
    )
    assert not (one.history["failure"] != "").any()
    assert str(one) == str(four)


def test_a_template_is_filled_as_a_command_is_and_is_else_copied_byte_for_byte(here: Path) -> None:
    Path("my model.dat.in").write_bytes(b"gain {kp:.2f}\r\n{{kd}} = {kd:06.3f} \xb0\n{seed}{worker}")
    Path("plain.txt").write_bytes(b"\xff\x00 no placeholder\n")
    copy = "cat {dir}/* > {here}/copy; ls {dir} >> {here}/copy; echo 1"
    command = f"sh -c '{copy}' sh {{kp}}"
    assert run(command, template=["my model.dat.in", "plain.txt"], space=SPACE).failures == ()
    kp, kd = SPACE.decode(stream(3).random((1, 2)))[0]
    text = Path("copy").read_bytes()
    assert text.startswith(f"gain {kp:.2f}\r\n{{kd}} = {kd:06.3f} ".encode() + b"\xb0\n")
    assert re.search(rb"\n\d{2,}\xff\x00 no placeholder\nmy model.dat\nplain.txt\n$", text)


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        (None, "{here}"),
        ("sub dir", "{here}/sub dir"),
        ("{here}/sub dir", "{here}/sub dir"),
        ("copy{worker}", "{here}/copy0"),
    ],
)
def test_a_program_runs_in_its_directory(here: Path, directory: str | None, expected: str) -> None:
    for name in ("sub dir", "copy0"):
        (here / name).mkdir()
    Path("program").write_text("#!/bin/sh\npwd > $1/seen\necho $2 $3 > /dev/null\necho 4\n", encoding="utf-8")
    Path("program").chmod(0o755)
    found = run("./program {here} {kp} {kd}", directory=directory)  # named from the present folder
    assert found.returns.tolist() == [[4.0]]
    assert Path("seen").read_text(encoding="utf-8").strip() == expected.format(here=here)


def test_every_run_has_a_new_empty_folder(here: Path) -> None:
    command = "sh -c 'n=$(ls -A | wc -l); pwd >> {here}/seen; echo {kp} {kd} > old; echo $n'"
    found = run(command, 4, directory="{dir}", workers=2)
    assert found.returns.tolist() == [[0.0]] * 4
    folders = Path("seen").read_text(encoding="utf-8").split()
    assert len(set(folders)) == 4
    assert not any(Path(folder).exists() for folder in folders)


def test_programs_that_run_at_a_time_have_different_workers(here: Path) -> None:
    Path("lock").mkdir()
    command = "sh -c 'mkdir lock/{worker} && sleep 0.03 && rmdir lock/{worker} && echo {worker}' {kp} {kd}"
    found = run(command, 12, workers=3)
    assert found.failures == ()
    assert set(found.returns[:, 0]) == {0.0, 1.0, 2.0}


def test_the_folder_of_the_first_run_that_fails_is_kept_and_said(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = "sh -c 'echo {kp} {kd} > solver.log; exit 3'"
    with caplog.at_level(logging.WARNING, "policysearch.programs"):
        found = run(command, 5, directory="{dir}", workers=3)
    assert {failure.reason for failure in found.failures} == {"exit code 3"}
    (kept,) = (here.parent / "tmp").iterdir()
    assert kept.name.endswith("-failed")
    assert (kept / "solver.log").exists()
    assert [record.getMessage() for record in caplog.records] == [
        f"the folder of the first run that failed is kept: {kept}"
    ]


def test_a_parameter_may_be_called_like_a_place(here: Path) -> None:
    space = Space((Parameter("dir", 1.0), Parameter("worker", 2.0), Parameter("here", 3.0)))
    command = Command.read("echo {dir} {worker} {here}", space)
    values = {"dir": 1.0, "worker": 2.0, "here": 3.0}
    assert [filled(text, values) for text in command.arguments] == ["echo", "1.0", "2.0", "3.0"]
    assert run("sh -c 'echo {dir}{worker:.0f}{here:.0f}'", space=space).failures == ()


@pytest.mark.parametrize(
    "name", ["K p", "pid.kp", "K'", 'K"', "lambda", "größe", "x-1", "K p/2", "values", "$kp"]
)
def test_placeholders_of_whatever_name_are_one_argument(here: Path, name: str) -> None:
    space = Space((Parameter(name, 1.5), Parameter("kd", 0.5)))
    command = Command.read(f"echo {{{name}}} a{{{name}:.3f}}b {{kd}}", space)
    values = {name: 1.5, "kd": 0.5}
    assert [filled(text, values) for text in command.arguments] == ["echo", "1.5", "a1.500b", "0.5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"template": "no.in"},
            "template: expected a file, got 'no.in': No such file or directory",
        ),
        ({"template": "sub"}, "template: expected a file, got 'sub': Is a directory"),
        (
            {"template": "bad.in", "directory": "{dir}"},
            "template: bad.in, line 2: expected placeholders among kp, kd, seed, cutoff, json, dir, worker, here, "
            "got {ki}",
        ),
        (
            {"template": "json.in", "directory": "{dir}"},
            "template: json.in, line 1: expected '}' before end of string; write {{ and }} for braces",
        ),
        ({"template": "good.in"}, "template: expected {dir} in the command or as directory"),
        (
            {"template": ["good.in", "sub/good"], "directory": "{dir}"},
            "template: expected files of different names, got good.in, sub/good",
        ),
        ({"directory": "no such"}, "directory: expected a folder, got 'no such'; is it there?"),
        ({"directory": "good.in"}, "directory: expected a folder, got 'good.in'; is it there?"),
        ({"directory": "{kp}"}, "directory: expected placeholders among dir, worker, here, got {kp}"),
        ({"directory": "{dri}"}, "directory: expected placeholders among kp, kd, seed, cutoff, json, dir"),
    ],
)
def test_files_and_folders_that_make_no_sense_are_refused_before_the_first_run(
    here: Path, options: Any, message: str
) -> None:
    Path("sub").mkdir()
    for name, text in (
        ("good.in", "{kp}"),
        ("sub/good", ""),
        ("bad.in", "{kp}\n{ki}"),
        ("json.in", "{\n"),
    ):
        Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message)):
        ProgramEvaluator("echo {kp} {kd}", SPACE, **options)


def test_parameters_may_all_be_in_the_template(here: Path) -> None:
    Path("in.txt").write_text("{kp}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected every parameter, or \{json\}, got none of kd"):
        ProgramEvaluator(f"{sys.executable} {{dir}}", SPACE, template="in.txt")


def test_only_a_command_has_folders(here: Path) -> None:
    with pytest.raises(ValueError, match="template and directory: expected a command that they are for, got"):
        tune(lambda params, seed: 0.0, SPACE, template="in.txt", directory="{dir}")
