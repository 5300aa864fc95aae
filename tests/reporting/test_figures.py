"""Figures and tables that all reports share."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from policysearch.reporting.figures import figure_of, legend, limits, svg
from policysearch.reporting.tables import latex, markdown, terminal


def test_an_axis_ends_at_the_worst_that_is_shown_and_at_the_best_there_is() -> None:
    assert limits([1.0, -100.0, 3.0, np.nan, np.inf], worst=1.0) == pytest.approx((0.88, 3.12))
    assert limits([1.0, 100.0, 3.0], worst=-3.0, sign=-1.0) == pytest.approx(
        (0.88, 3.12)
    )  # smaller is better
    assert limits([2.0, 2.0], worst=2.0) == pytest.approx((1.9, 2.1))
    assert limits([np.nan], worst=0.0) == (-1.0, 1.0)


def test_a_legend_has_every_name_once_and_none_without_names() -> None:
    with figure_of(1, 2, 4.0, 2.0) as (figure, axes):
        legend(figure, axes.flat)
        assert not figure.legends
        for axis in axes.flat:
            axis.plot([0, 1], label="a")
        axes[0, 1].plot([1, 0], label="b")
        legend(figure, axes.flat, ncols=1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_marks_with_a_name_are_groups_of_that_class_and_no_links() -> None:
    with figure_of(1, 1, 4.0, 2.0) as (figure, ((axis,),)):
        axis.plot([0, 1], [0, 1], "o-", url="#m3")
        axis.scatter([0, 1], [1, 0], urls=["#b1", "#b2"])
        axis.set_title("<a> & b")
    text = svg(figure, "x")
    assert [text.count(f'<g class="mark {name}">') for name in ("m3", "b1", "b2")] == [
        2,
        1,
        1,
    ]  # line and points
    assert "<a" not in text
    assert text.count("<g") == text.count("</g>")


def test_cells_are_text_in_every_kind_of_table() -> None:
    table = pd.DataFrame({"name": ["[red]a|b", "c_d"], "value": [1, 2]})
    console = Console(file=io.StringIO(), width=80)
    console.print(terminal(table.columns, table.itertuples(index=False), title="[b]t", left=("name",)))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]a|b" in shown
    assert "[b]t" in shown
    assert markdown(table).splitlines()[2:] == ["| [red]a\\|b | 1 |", "| c_d | 2 |"]
    assert (
        r"c\_d & 50\% \\" in latex(["method", "x"], [["c_d", "50%"]], "a comment\nof two lines").splitlines()
    )
