"""What a notebook shows: results as text and a picture, and progress that is written again in its place.

Only IPython is needed, which every notebook has; it is not imported elsewhere.
"""

import base64
import importlib
import sys
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from policysearch.reporting.figures import drawing, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class CellProgress:
    """Lines below a cell. One that begins as the line before, with the same word or a number too, takes its place."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._shown: Any = None  # the handle of what is displayed

    def __call__(self, line: str) -> None:
        """Show a line."""
        if self._lines and _beginning(self._lines[-1]) == _beginning(line):
            self._lines.pop()
        self._lines.append(line)
        text = {"text/plain": "\n".join(self._lines)}
        if self._shown is None:
            ipython: Any = importlib.import_module("IPython.display")  # has types in some versions only
            self._shown = ipython.display(text, raw=True, display_id=True)
        else:
            self._shown.update(text, raw=True)


def _beginning(line: str) -> str:
    """The first word, or nothing where it begins with a digit."""
    return "" if line[:1].isdecimal() else line.split(" ", 1)[0]


def teller(progress: "Callable[[str], None] | bool | None") -> Callable[[str], None]:
    """What is called with news: a function of one's own, or for True lines below a cell, else on standard error."""
    if callable(progress):
        return progress
    if not progress:
        return lambda line: None
    return CellProgress() if is_notebook() else _on_standard_error


def _on_standard_error(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def picture(figure: "Callable[[], Figure]") -> bytes | None:
    """A figure as PNG; None if it cannot be drawn, which is said on standard error."""
    with drawing():
        return png(figure())
    return None


def page(text: str, drawn: bytes | None, table: str = "") -> str:
    """A result as HTML: its text, a table that is HTML already, and a picture."""
    data = "" if drawn is None else base64.b64encode(drawn).decode()
    image = f'<img alt="picture of the result" src="data:image/png;base64,{data}">' if data else ""
    return f"<pre>{escape(text)}</pre>{table}{image}"
