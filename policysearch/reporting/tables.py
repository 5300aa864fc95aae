"""Tables as people read them: in a terminal, in Markdown and in LaTeX, with numbers of three to four digits."""

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from policysearch.visible import inert

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def number(value: Any) -> str:
    """Three to four significant digits, without an exponent where a person would not use one."""
    value = float(value)
    if not np.isfinite(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = max(0, 3 - int(np.floor(np.log10(abs(value) or 1)))) if abs(value) < 1000 else 0
        return f"{value:.{min(digits, 4)}f}"
    return f"{value:.3g}"


def interval(low: Any, high: Any) -> str:
    """The ends of an interval."""
    return f"{number(low)} … {number(high)}"


def terminal(
    header: Iterable[str],
    rows: Iterable[Iterable[Any]],
    *,
    title: str = "",
    caption: str = "",
    left: Container[str] = (),
    wrap: bool = True,
) -> "Table":
    """A table for a terminal: cells are plain text, aligned to the right unless `left` names their column."""
    from rich import box  # noqa: PLC0415 - slow to import, as the others
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        caption=Text(caption) if caption else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name in header:
        table.add_column(Text(name), justify="left" if name in left else "right", no_wrap=not wrap)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def csv(table: "pd.DataFrame", float_format: str | None = None) -> str:
    """A data frame as comma-separated values, of which a spreadsheet computes none (`policysearch.visible.inert`)."""
    import pandas as pd  # noqa: PLC0415 - takes a while

    table = table.copy(deep=False)
    table.columns = pd.Index([_inert(name) for name in table.columns])
    for place, (_, column) in enumerate(table.items()):
        if column.dtype.kind not in "biufc":
            table.isetitem(place, pd.Series([_inert(cell) for cell in column], dtype=object).to_numpy())
    return table.to_csv(index=False, lineterminator="\n", float_format=float_format)


def _inert(cell: Any) -> Any:
    return inert(cell) if isinstance(cell, str) else cell


def markdown(table: "pd.DataFrame") -> str:
    """A data frame of text as a Markdown table."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
    for row in table.itertuples(index=False):
        cells = [" ".join(str(cell).replace("|", "\\|").split()) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def latex(header: Sequence[str], rows: Iterable[Sequence[str]], comment: str) -> str:
    """A LaTeX table (booktabs) below a comment; the first column is aligned to the left."""
    lines = [
        f"% {comment}".replace("\n", " "),
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        r"\toprule",
        _latex_row(header),
        r"\midrule",
        *map(_latex_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
        "",
    ]
    return "\n".join(lines)


def _latex_row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(map(_escaped, cells))} \\"


def _escaped(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "−": "$-$",
    }
    return "".join(special.get(letter, "\\" + letter if letter in "&%$#_{}" else letter) for letter in text)
