"""Figures without a window, global state or settings of the user; the same figure gives the same bytes.

What fails while a figure is drawn costs that figure, and never results: see `drawing`.

Colours are Okabe & Ito's, which differ for all kinds of colour vision.
"""

import io
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BLUE, ORANGE, GREEN, GREY = *COLOURS[:3], "0.6"
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))


@contextmanager
def own_style(changes: Any) -> Iterator[None]:
    """matplotlib's defaults with `changes` of ours, whatever its user has set, such as TeX or fonts.

    Raises:
        RuntimeError: if a file that drawing needs cannot be read; an OSError means that results cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415 - takes most of a second

    defaults = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")}
    try:
        with mpl.rc_context(defaults | changes):
            yield
    except OSError as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


@contextmanager
def drawing() -> Iterator[None]:
    """Drawing that may fail, whatever it raises: it is said on standard error, once for each reason.

    Raises:
        OSError: if a file cannot be written.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        tell(f"no pictures: {type(error).__name__}: {' '.join(str(error).split())}")


@cache
def tell(line: str) -> None:
    """Write a line to standard error, the first time."""
    sys.stderr.write(f"{line}\n")


def svg(figure: "Figure", name: str) -> str:
    """A figure as SVG text, its marks named after `name`, so that several fit into one page.

    Artists with the `url` "#NAME" become groups of the class "mark NAME", which a page's style may change.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415 - takes most of a second

    buffer = io.StringIO()
    with own_style({"svg.hashsalt": name, "svg.fonttype": "none", "text.parse_math": False}):
        FigureCanvasSVG(figure)  # measures text as SVG shows it
        lay_out(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub('<a xlink:href="#([^"]+)"[^>]*>', r'<g class="mark \1">', buffer.getvalue()).replace(
        "</a>", "</g>"
    )


def png(figure: "Figure") -> bytes:
    """A figure as PNG of at most 256 colours, which is a third of the bytes and looks the same."""
    from PIL import Image  # noqa: PLC0415 - as matplotlib, which needs it

    drawn, buffer = io.BytesIO(), io.BytesIO()
    with own_style({}):
        lay_out(figure)
        figure.savefig(drawn, format="png", dpi=110, pil_kwargs={"compress_level": 0})
    image = (
        Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    )
    image.save(buffer, "PNG")
    return buffer.getvalue()


def lay_out(figure: "Figure") -> None:
    """Find the places of a figure's axes, once and for all: matplotlib draws a figure twice to find them."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def write_png(path: Path, figure: "Figure") -> None:
    """Write a figure as a PNG file, completely or not at all."""
    drawn = png(figure)
    with replacing(path) as file:
        file.write(drawn)


@contextmanager
def figure_of(
    rows: int, columns: int, width: float, height: float, *, layout: Any = "constrained", **options: Any
) -> Iterator[tuple[Any, Any]]:
    """A figure of rows × columns, `width` × `height` inches, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - takes most of a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    style["axes.titley"] = 1.0  # where titles are anyway, as no ticks are above; to find that takes time
    with own_style(style | {"text.parse_math": False}):  # names are names
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(rows, columns, squeeze=False, **options)


def legend(figure: "Figure", axes: Iterable["Axes"], **options: Any) -> None:
    """The names of all axes, each once, above the pictures unless `options` of `Figure.legend` say otherwise."""
    named = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    look: dict[str, Any] = {"loc": "outside upper left", "ncols": 3, "fontsize": 8, "frameon": False}
    if named:
        figure.legend([*named.values()], [*named], **look | options)


def lowest(values: Float[Array, "n"], share: float = 0.75, factor: float = 10.0) -> float:
    """The least of finite `values` that is not far below the others.

    It is at least q − factor (best − q) with q their quantile `share`; where that is the best itself, the median, the
    lower quartile, the worst. So terrible values do not set the scale for the others, even if most are terrible.
    """
    best = values.max(initial=-np.inf)
    for tried in (share, 0.5, 0.25):
        if len(values) and (q := float(np.quantile(values, tried, method="lower"))) < best:
            return float(values[values >= q - factor * (best - q)].min())
    return float(values.min(initial=np.inf))


def limits(values: Iterable[float], worst: float, sign: float = 1.0) -> tuple[float, float]:
    """Ends of an axis from `worst`, beyond which values leave it, to the best of the finite `values`, with a margin.

    Values are better where `sign` times them is larger; so is `worst`, which already has the sign.
    """
    signed = sign * np.array([value for value in values if np.isfinite(value)])
    best = float(signed.max(initial=worst))
    margin = 0.06 * (best - worst) or 0.05 * abs(best) or 1.0
    low, high = sorted((sign * (worst - margin), sign * (best + margin)))
    return low, high
