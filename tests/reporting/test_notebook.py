"""What a notebook shows: results as text and picture, and progress in one place, with a stand-in for IPython."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import policysearch
from policysearch.compare.api import compare
from policysearch.reporting.console import Console
from policysearch.reporting.notebook import CellProgress, teller
from policysearch.space import Parameter, Space

SPACE = Space((Parameter("kp <V>", 1.0, 0.0, 10.0), Parameter("kd", 1.0, 0.0, 10.0)))


class Cell:
    """What is below the cell, each output with the texts that it had."""

    def __init__(self) -> None:
        self.outputs: list[list[str]] = []

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw and display_id  # noqa: PT018
        texts = [data["text/plain"]]
        self.outputs.append(texts)
        return SimpleNamespace(update=lambda data, raw: texts.append(data["text/plain"]))


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    shown, ipython, display = Cell(), ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython)["get_ipython"] = lambda: SimpleNamespace(kernel=None)
    vars(display)["display"] = shown.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def cost(params: Any, seed: int) -> float:
    return float((params["kp <V>"] - 3.0) ** 2 + params["kd"] + 0.01 * (seed % 3))


def test_a_line_that_begins_as_the_one_before_takes_its_place(cell: Cell) -> None:
    say = CellProgress()
    for line in ("searching", "generation 1", "generation 2", "0/3 runs", "3/3 runs", "generation 3"):
        say(line)
    (texts,) = cell.outputs
    assert texts[-1].splitlines() == ["searching", "generation 2", "3/3 runs", "generation 3"]
    assert len(texts) == 6


def test_progress_of_a_tuning_is_one_output_of_the_cell(
    cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    policysearch.tune(cost, SPACE, 30, goal="minimise", report_rollouts=2, progress=True)
    (texts,) = cell.outputs
    lines = texts[-1].splitlines()
    begun = ["trying", "searching", "generation"]
    assert [line.split()[0] for line in lines] == [*begun, "auto,", "generation", "evaluating"]
    assert lines[-2].startswith("generation 6: 26 of 30 rollouts")  # a seventh would not fit
    assert "\r" not in texts[-1]
    assert capsys.readouterr() == ("", "")


def test_progress_of_a_comparison_is_one_output_and_plain_text(
    cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    compare({"tasks": ["lqr"], "optimizers": ["random-search"], "rollouts": 20, "runs": 2})
    (texts,) = cell.outputs
    assert texts[-1].startswith("2/2 runs, ")
    assert "\n" not in texts[-1]
    said = capsys.readouterr()
    assert "compiled rollouts" in said.err
    assert "\r" not in said.err + said.out
    assert "\x1b" not in said.err + said.out
    assert not Console().is_jupyter


def test_without_a_notebook_progress_is_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    for progress in (True, None, False, said.append):
        teller(progress)("news")
    assert capsys.readouterr() == ("", "news\n")
    assert said == ["news"]


def test_a_notebook_shows_a_tuning_as_its_text_and_a_picture() -> None:
    result = policysearch.tune(cost, SPACE, 30, goal="minimise", report_rollouts=2)
    html, png = result._repr_html_(), result._repr_png_()
    assert "kp &lt;V&gt; = " in html
    assert "kp <V>" not in html
    assert html.count("<img ") == 1
    assert png is not None
    assert png.startswith(b"\x89PNG")
    assert png is result._repr_png_()  # drawn once


def test_a_notebook_shows_a_comparison_as_its_verdict_a_table_and_a_picture() -> None:
    result = compare(
        {"tasks": ["lqr"], "optimizers": ["random-search"], "rollouts": 20, "runs": 2}, progress=False
    )
    html, png = result._repr_html_(), result._repr_png_()
    assert html.startswith("<pre>lqr. ")
    assert html.count("<table ") == html.count("<img ") == 1
    assert png is not None
    assert png.startswith(b"\x89PNG")


def test_a_result_that_cannot_be_drawn_is_shown_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> None:
        raise ValueError("too large to draw")

    result = policysearch.tune(cost, SPACE, 30, goal="minimise", report_rollouts=2)
    monkeypatch.setattr("policysearch.tune.plots.search", fails)
    assert result._repr_png_() is None
    assert "<img" not in result._repr_html_()
    assert "recommended:" in result._repr_html_()
    assert capsys.readouterr().err.count("too large to draw") <= 1
