"""Where tables and lines are shown in a terminal."""

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment

from policysearch.visible import visible


class Console(rich.console.Console):
    """A console that shows control characters in text, and obeys its own only; in a notebook it writes plain text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(force_jupyter=False, **options)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """The parts of what is shown."""
        for part in super().render(renderable, options):
            yield part if part.control else part._replace(text=visible(part.text))
