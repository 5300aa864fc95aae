"""The countdown of a bout: the time that is left, and the estimate from the breaths so far."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from policysearch.exoskeleton.breath_file import BreathFile
from policysearch.hitl.agenda import Bout
from policysearch.hitl.breath_stream import Window

SECONDS_BETWEEN_LOOKS, SECONDS_BETWEEN_LINES = 0.2, 30.0

Clocks = tuple[float, float]  # s, the monotonic and the wall clock


def clocks() -> Clocks:
    """The time now."""
    return time.monotonic(), time.time()


class Countdown:
    """The countdown of a bout that begins now.

    Args:
        bout: what is walked.
        averaged: the last minutes of it that are averaged; 0 where a response is fitted.
        source: the breaths; they come in from now on.
        now: the clocks.
        sleep: waits for some seconds.

    Attributes:
        broken: why the bout does not count; empty if nothing has happened.
    """

    def __init__(
        self,
        bout: Bout,
        averaged: float = 0.0,
        source: BreathFile | None = None,
        now: Callable[[], Clocks] = clocks,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bout, self._averaged, self._source, self._now, self._sleep = bout, averaged, source, now, sleep
        began = now()
        self.window, self.broken, self._came = Window(listens=source is not None), "", 0
        self._read(keep=False)
        self.window.tick(*began)

    @property
    def minutes(self) -> float:
        """Minutes walked, at the last look."""
        return min(self.window.seconds / 60.0, self._bout.minutes)

    @property
    def over(self) -> bool:
        """Whether the time is up, or the bout broken off."""
        return bool(self.broken) or self.minutes >= self._bout.minutes

    def look(self) -> None:
        """Look at the clocks, and at the breaths that have come."""
        now = self._now()
        self._read()
        self.window.tick(*now)
        if not self.broken and self.window.state != "measuring":
            self.broken = f"{self.window.state}: {self.window.reason}"

    def line(self) -> str:
        """The time that is left, and the breaths so far, in one line."""
        left = round(60.0 * (self._bout.minutes - self.minutes))
        doing = "standing" if self._bout.purpose == "rest" else "walking"
        if left <= 60.0 * self._averaged:
            doing += ", averaged"
        words = f"{left // 60}:{left % 60:02d} left, {doing}"
        if self._source is None:
            return words
        early, left_out = self.window.early(), sum(self.window.counts.values())
        words += f"; {self._came - left_out} breaths" + (f", {left_out} left out" if left_out else "")
        return words + (f", so far {early} W/kg" if early else "")

    def show(self, say: Callable[[str], None]) -> None:
        """Show the countdown until it is over: one changing line in a terminal, a line every 30 s elsewhere."""
        console = Console(highlight=False)
        said = self.window.seconds
        with Live(Text(self.line()), console=console, auto_refresh=False, transient=True) as live:
            while not self.over:
                self._sleep(SECONDS_BETWEEN_LOOKS)
                self.look()
                if console.is_terminal:
                    live.update(Text(self.line()), refresh=True)
                elif self.window.seconds - said >= SECONDS_BETWEEN_LINES:
                    said = self.window.seconds
                    say(f"  {self.line()}")

    def _read(self, *, keep: bool = True) -> None:
        if self._source is None or self.broken:
            return
        try:
            for breath in self._source.new():
                if keep:
                    self._came += 1
                    self.window.add(*breath)
        except (OSError, ValueError) as error:
            self.broken = f"breaths: {error}"
