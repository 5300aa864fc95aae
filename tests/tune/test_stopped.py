"""Who stops a tuning gets a report of what there is, in every phase, and the same call continues."""

import json
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from policysearch.asking.prompt import Prompt
from policysearch.interrupts import Interrupted, held_back
from policysearch.space import Parameter, Space
from policysearch.tune.__main__ import main
from policysearch.tune.api import tune

SPACE = Space((Parameter("kp", 1.0, 0.0, 10.0, "V"), Parameter("kd", 1.0, 0.0, 10.0)))
FILES = {"history.csv", "result.json", "result.txt"}


#: Calls of every plant, which are no part of what is run.
CALLS = Counter[int]()


class Plant:
    """A cost that is stopped at a call by Ctrl-C, once."""

    def __init__(self, at: int) -> None:
        self.number = len(CALLS)
        CALLS[self.number] = -at

    def __call__(self, params: Mapping[str, Any], seed: int) -> float:
        CALLS[self.number] += 1
        if CALLS[self.number] == 0:
            raise KeyboardInterrupt
        return float((params["kp"] - 3.0) ** 2 + (params["kd"] - 2.0) ** 2 + 0.01 * (seed % 7))


def tuned(plant: Any, out: Path, load: Any) -> Any:
    options: dict[str, Any] = {
        "optimizer": "cma-es",
        "goal": "minimise",
        "report_rollouts": 4,
        "sensitivity_rollouts": 20,
        "out": out,
    }
    return tune(plant, SPACE, 24, perturb={"load": load}, **options)


@pytest.mark.parametrize(
    ("at", "load", "said", "rows", "more"),
    [
        (4 + 14, 0, "it was stopped in the search, after 12 of 24 rollouts", 12, set[str]()),
        (4 + 24 + 3, 0, "it was stopped in the evaluation on held-out seeds", 24, set[str]()),
        (4 + 24 + 12 + 5, 0, "stopped before all was evaluated on values near the recommendation", 24, set[str]()),
        (0, 3, "stopped before all was evaluated on load", 24, {"sensitivity.csv"}),
    ],
)  # fmt: skip
def test_what_there_is_is_reported_and_the_same_call_continues(
    at: int, load: int, said: str, rows: int, more: set[str], tmp_path: Path
) -> None:
    plant, loaded = Plant(at), Plant(load)
    with pytest.raises(KeyboardInterrupt) as stopped:
        tuned(plant, tmp_path / "a", loaded)
    assert isinstance(stopped.value, Interrupted)
    result = stopped.value.result
    assert (result.ended, len(result.rollouts)) == ("stopped", rows)
    assert said in str(result)
    assert "kp = " in str(result)
    written = {path.name for path in (tmp_path / "a").iterdir() if ".sqlite" not in path.name}
    assert written == FILES | more
    told = json.loads((tmp_path / "a/result.json").read_text(encoding="utf-8"))
    assert (told["ended"], told["rollouts"], told["recommended"]) == ("stopped", rows, result.values)
    assert (told["held_out"] is None) == ("search" in said or "held-out" in said)
    assert (told["held_out"] is None) == ("not evaluated on held-out seeds" in str(result))
    tuned(plant, tmp_path / "a", loaded)
    tuned(plant, tmp_path / "b", loaded)
    for name in FILES | {"sensitivity.csv", "robustness.csv"}:
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()


def test_who_stops_before_the_first_generation_is_over_has_no_result(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as stopped:
        tuned(Plant(4 + 3), tmp_path, Plant(0))
    assert not isinstance(stopped.value, Interrupted)
    assert not (tmp_path / "result.txt").exists()


def test_a_person_who_stops_gets_a_report(tmp_path: Path) -> None:
    left = iter(["5", "4", "3", "2", "1", "0.5", "0.4", "stop"])
    with pytest.raises(Interrupted, match="after 6 of 24 rollouts"):
        person = Prompt(lambda prompt: next(left), lambda text: None)
        tune(person, SPACE, 24, "cma-es", goal="minimise", out=tmp_path)
    assert "recommended so far" in (tmp_path / "result.txt").read_text(encoding="utf-8")


STOPS = """
from dataclasses import dataclass
from typing import Annotated
from policysearch.space import Bounds
@dataclass
class Gains:
    kp: Annotated[float, Bounds(0.0, 10.0)] = 1.0
    kd: Annotated[float, Bounds(0.0, 10.0)] = 1.0
calls = 0
def cost(gains: Gains, seed: int) -> float:
    global calls
    calls += 1
    if calls == 20:
        raise KeyboardInterrupt
    return (gains.kp - 3.0) ** 2 + gains.kd
"""


def test_the_shell_shows_what_there_is_and_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stopping_plant.py").write_text(STOPS, encoding="utf-8")
    assert main(["stopping_plant:cost", "--goal", "minimise", "--rollouts", "40", "--out", "out"]) == 130
    shown = capsys.readouterr()
    assert "this is what is recommended so far: it was not evaluated on held-out seeds" in shown.out
    assert f"rollouts: {tmp_path / 'out/history.csv'}" in shown.out
    assert shown.err.endswith("error: stopped; the same command continues where it stopped\n")


def test_ctrl_c_waits_until_files_are_written_and_the_second_one_does_not() -> None:
    usual = signal.getsignal(signal.SIGINT)
    with held_back() as pressed:
        signal.raise_signal(signal.SIGINT)
        assert pressed
    assert signal.getsignal(signal.SIGINT) is usual
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_a_result_is_written_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(result: Any, out: Path) -> tuple[str, ...]:
        signal.raise_signal(signal.SIGINT)
        return ()

    monkeypatch.setattr("policysearch.tune.written.draw", pressed)
    with pytest.raises(Interrupted) as stopped:
        tune(Plant(0), SPACE, 12, goal="minimise", report_rollouts=2, out=tmp_path)
    assert stopped.value.result.ended == "budget"
    assert f"{stopped.value.result}\n" == (tmp_path / "result.txt").read_text(encoding="utf-8")
