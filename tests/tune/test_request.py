"""The parameters that a file describes."""

import re
from pathlib import Path
from typing import Any

import pytest

from policysearch.reporting.tables import csv
from policysearch.space import Choice, Parameter, Space
from policysearch.tune.__main__ import main
from policysearch.tune.api import tune
from policysearch.tune.request import TuneRequest, read

HEAD = 'command = "echo {json}"\n'


def asked(tmp_path: Path, text: str) -> TuneRequest:
    (tmp_path / "gains.toml").write_text(HEAD + text, encoding="utf-8")
    return read(str(tmp_path / "gains.toml"), {})


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("[parameters.x]\nstart = 1\nlower = 0\nupper = 2\nfixed = true", Parameter("x", 1, 1, 1)),
        ('[parameters.x]\nstart = 1.5\nunit = "s"\nfixed = true', Parameter("x", 1.5, 1.5, 1.5, "s")),
        ("[parameters.x]\nstart = 3\ninteger = true\nfixed = true", Parameter("x", 3, 3, 3, integer=True)),
        ("[parameters.x]\nstart = 0.25\nlower = 0.25\nupper = 0.25", Parameter("x", 0.25, 0.25, 0.25)),
        ("[parameters.x]\nstart = 1.0\nfixed = false", Parameter("x", 1.0)),
        (
            "[parameters.x]\nlower = 1.0\nupper = 4.0\nscale = 'log'",
            Parameter("x", 2.0, 1.0, 4.0, scale="log"),
        ),
        ("[parameters.x]\noptions = [0.25]\nstart = 0.25", Choice("x", (0.25,), 0.25)),
        ('[parameters.x]\noptions = ["a", "b"]\nstart = "b"\nfixed = true', Choice("x", ("b",), "b")),
        ("[parameters.x]\noptions = [true, false]\nstart = true", Choice("x", (True, False), True)),
        ("[parameters.x]\nstart = true", Choice("x", (False, True), True)),
        ("[parameters.x]\nstart = false\nfixed = true", Choice("x", (False,), False)),
        ("[parameters.x]\noptions = [1, 2, 4]\nstart = 2", Choice("x", (1, 2, 4), 2)),
        ('[parameters."x"]\nstart = 1.0', Parameter("x", 1.0)),
        ('[parameters."pid.kp"]\nstart = 1.0', Parameter("pid.kp", 1.0)),
        ("[parameters.pid.kp]\nstart = 1.0", Parameter("pid.kp", 1.0)),
        ("[parameters.axis.x.kp]\nstart = 1.0", Parameter("axis.x.kp", 1.0)),
        ("[parameters]\npid.kp = {start = 1.0}", Parameter("pid.kp", 1.0)),
        ('[parameters."K p"]\nstart = 1.0', Parameter("K p", 1.0)),
        ("[parameters.lambda]\nstart = 1.0", Parameter("lambda", 1.0)),
    ],
)
def test_a_table_is_the_parameter_that_it_describes(
    tmp_path: Path, table: str, expected: Parameter | Choice
) -> None:
    space = asked(tmp_path, f"{table}\n[parameters.other]\nstart = 1.0\n").space()
    assert space is not None
    assert repr(space.parameters[0]) == repr(expected)  # tells True from 1, which are equal


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[parameters.x]\nstart = 3.0\nlower = 0\nupper = 2\nfixed = true", "x: expected a start between 0 and 2, got 3"),
        ("[parameters.x]\nstart = true\nlower = 0", "x: options go with start alone, got lower too"),
        ("[parameters.x]\nfixed = true", "x: expected its value as start, got none"),
        ('[parameters.x]\noptions = ["a"]', "x: expected one of its options as start, got none"),
        ("[parameters.x]\nstart = 1.0\nfixed = 2", "parameters.x.fixed: "),
        ("[parameters.pid]\nstart = 1.0\n[parameters.pid.kp]\nstart = 1.0", "parameters.pid.kp: not an option"),
        ("[parameters.pid.kp]\nlower = 1.0", "pid.kp: expected a start, or two bounds, in whose middle it is then"),
        ('[parameters.pid.kp]\nstart = 1.0\n[parameters."pid.kp"]\nstart = 2.0', "parameters: expected different names, got pid.kp twice"),
        ("parameters = 3", "parameters: "),
        ("[parameters.x]\nstart = 1.0\nfixed = true", "space: expected a parameter to search, got only held ones: x"),
    ],
)  # fmt: skip
def test_a_table_that_makes_no_sense_is_refused(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        asked(tmp_path, table).space()


def test_a_held_parameter_is_everywhere_but_in_the_search() -> None:
    seen: list[dict[str, Any]] = []

    def cost(params: dict[str, Any], seed: int) -> float:
        seen.append(params)
        return float((params["kp"] - 3.0) ** 2 + (params["ki"] - params["kd"]) ** 2 + params["on"])

    request = TuneRequest(
        ask=True,
        parameters={  # type: ignore[arg-type]
            "kp": {"start": 1.0, "lower": 0.0, "upper": 10.0},
            "kd": {"start": 0.25, "fixed": True},
            "ki": {"start": 0.5, "lower": 0.0, "upper": 10.0},
            "on": {"start": False, "fixed": True},
        },
    )
    space = request.space()
    assert space is not None
    result = tune(
        cost, space, 60, goal="minimise", constraints=["kd <= kp"], sensitivity_rollouts=20, report_rollouts=2
    )
    assert all(params["kd"] == 0.25 and params["on"] is False for params in seen)
    assert result.values["kp"] == pytest.approx(3.0, abs=0.1)
    assert (result.values["kd"], result.values["on"]) == (0.25, False)
    assert list(result.history.columns[4:8]) == ["kp", "kd", "ki", "on"]
    assert "  kd = 0.25 (held)\n" in str(result)
    assert "  on = False (held)\n" in str(result)
    assert result.sensitivity is not None
    assert list(result.sensitivity.summary["parameter"]) == ["kp", "ki"]
    assert result.surface is not None
    assert [result.surface.names[i] for i in result.surface.varied] == ["kp", "ki"]
    assert {"sensitivity", "pairs"} <= set(result.pictures())


COST = """
def cost(kp, ki):
    return (kp - 3) ** 2 + (ki - 1) ** 2
"""
GAINS = """
function = "costs:cost"
goal = "minimise"
rollouts = 20
[parameters.kp]
lower = 0.0
upper = 10.0
[parameters.ki]
start = 0.5
"""


def test_a_parameter_is_fixed_on_the_command_line_and_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "costs.py").write_text(COST, encoding="utf-8")
    (tmp_path / "gains.toml").write_text(GAINS, encoding="utf-8")
    assert main(["gains.toml", "--fix", "ki=2", "--out", "out"]) == 0
    assert "  ki = 2 (held)\n" in capsys.readouterr().out
    space = Space((Parameter("kp", lower=0.0, upper=10.0), Parameter("ki", 0.5)))
    result = tune(lambda kp, ki: (kp - 3) ** 2 + (ki - 1) ** 2, space, 20, goal="minimise", fixed={"ki": 2})
    assert (tmp_path / "out/history.csv").read_text() == csv(result.history)
    for given, message in {
        "kq=1": "fixed: expected some of kp, ki, got kq",
        "ki": "--fix ki: expected NAME=VALUE",
    }.items():
        assert main(["gains.toml", "--fix", given]) == 2
        assert message in capsys.readouterr().err
