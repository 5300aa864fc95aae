"""Where tables and lines are shown in a terminal."""

from collections.abc import Iterable
from typing import IO, Any

import rich.console
from rich.segment import Segment

from policysearch.visible import visible


class Console(rich.console.Console):
    """A console that shows control characters in text, and obeys its own only; in a notebook it writes plain text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(force_jupyter=False, **options)

    @property
    def file(self) -> IO[str]:
        """The medium, also where `rich` has put a stream of its own before it while something is shown live."""
        file = super().file
        return getattr(file, "rich_proxied_file", file)

    @file.setter
    def file(self, file: IO[str]) -> None:
        self._file = file

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """The parts of what is shown."""
        for part in super().render(renderable, options):
            yield part if part.control else part._replace(text=visible(part.text))
