"""Figures that no window and no global state knows of; the same figure gives the same bytes.

Colours are Okabe & Ito's, which differ for all kinds of colour vision.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))


def svg(figure: "Figure", name: str) -> str:
    """A figure as SVG text, its marks named after `name`, so that several fit into one page."""
    import matplotlib as mpl  # noqa: PLC0415

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "text.parse_math": False}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


@contextmanager
def figure_of(
    rows: int, columns: int, width: float, height: float, *, layout: Any = "constrained", **options: Any
) -> Iterator[tuple[Any, Any]]:
    """A figure that no window and no global state knows of, and its axes."""
    import matplotlib as mpl  # noqa: PLC0415 - takes most of a second
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style | {"text.parse_math": False}):  # names are names
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(rows, columns, squeeze=False, **options)


def inline(figure: "Figure", name: str) -> str:
    """A figure as an SVG element for a page that may hold several."""
    text = svg(figure, name)
    return text[text.index("<svg") :]
