"""`finish` of a person ends a search, and then its check, with a report; the same command opens it again."""

import json
from pathlib import Path
from typing import Any

import pytest

from policysearch.asking.prompt import Prompt
from policysearch.interrupts import Interrupted
from policysearch.space import Parameter, Space
from policysearch.tune.api import tune

SPACE = Space((Parameter("kp", 1.0, 0.0, 10.0), Parameter("kd", 1.0, 0.0, 10.0)))
GENERATION = ["5", "4", "3", "2", "1", "0.5"]


def asked(out: Path, lines: list[str], said: list[str] | None = None) -> Any:
    left = iter(lines)

    def read(prompt: str) -> str:
        return "" if "Enter ends" in prompt else next(left, "stop")

    say = (lambda text: None) if said is None else said.append
    result = tune(Prompt(read, say), SPACE, 60, "cma-es", goal="minimise", report_rollouts=2, out=out)
    assert next(left, None) is None
    return result


def finished(out: Path, lines: list[str], said: list[str] | None = None) -> Any:
    try:
        return asked(out, lines, said)
    except Interrupted as error:  # which would end the tests
        raise AssertionError(str(error)) from None


def test_finish_ends_the_search_and_the_check_follows(tmp_path: Path) -> None:
    result = finished(tmp_path, [*GENERATION, "0.4", "finish", "1", "2", "2", "1"])
    assert len(result.rollouts) == 6
    assert (result.ended, result.note) == ("search", "the person ended it by finish")
    assert result.held_out.means == (1.0, 2.0)
    told = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (told["note"], told["held_out"]["episodes"]) == ("the person ended it by finish", 2)
    assert str(asked(tmp_path, [])) == str(result)


def test_finish_in_the_check_leaves_out_the_rest(tmp_path: Path) -> None:
    said: list[str] = []
    result = finished(tmp_path, [*GENERATION, "finish", "1", "finish", "2", "finish"], said)
    assert "  finish: expected the recommendation and the start to be tried; stop ends for now" in said
    assert result.held_out.means == (1.0, 2.0)
    assert str(asked(tmp_path, [])) == str(result)


def test_finish_is_taken_back_and_needs_something_to_recommend(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(Interrupted, match="after 6 of 60 rollouts"):
        asked(tmp_path, ["5", "finish", *GENERATION[1:], "finish", "undo", "0.4", "stop"], said)
    assert "  finish: expected one complete generation, got none; stop ends for now" in said
