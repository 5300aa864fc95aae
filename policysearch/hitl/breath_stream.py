"""Breaths that come in while a person walks: a file that grows, and the bout that is being measured.

A bout is measured without a break or not at all: what came before a gap is never averaged with what comes after. A
`Window` is

    measuring    at first, and then for ever one of these:
    paused       no breath for more than `MAX_GAP`, by the times of the breaths or by the clock; the operator
                 repeats the bout, with another window, or leaves it out
    void         between two ticks the monotonic clock went back or on by more than 5 s, or the wall clock by
                 5 s more or less than it: the computer slept, or a clock was set
"""

import csv
import math
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from policysearch.exoskeleton.respirometry import (
    MAX_GAP,
    MIN_BREATHS,
    VOLUMES,
    Breaths,
    Estimate,
    brockway,
    mass_for_volumes,
    running,
    wanted_columns,
)

MAX_TICK = 5.0  # s between two ticks, and between the clocks' accounts of it


class BreathFile:
    """A CSV file to which another program appends breaths, with the columns that `respirometry.read_breaths` takes.

    That program has to write every breath when it has it, or a window sees gaps. A file that is not there yet is
    empty.
    """

    def __init__(self, path: str | Path, mass: float | None = None) -> None:
        self.path, self.mass = Path(path), mass  # kg, what volumes need
        self._read = 0  # bytes
        self._names: list[str] = []

    def new(self) -> list[tuple[float, float]]:
        """Time (s) and rate (W/kg) of the breaths since the last call; NaN where no number was read.

        A last line that does not end yet is left for later.

        Raises:
            ValueError: for columns that are missing, volumes without a mass, or a file that has become shorter.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            data = b""
        if len(data) < self._read:
            raise ValueError(
                f"{self.path}: expected a file that grows, got {len(data)} bytes after {self._read}"
            )
        complete, end, _ = data[self._read :].rpartition(b"\n")
        lines = complete.decode("utf-8-sig", errors="replace").split("\n")
        rows = [_cells(line) for line in lines if line.strip()]
        if rows and not self._names:
            self._names = self._header(rows.pop(0))
        self._read += len(complete + end)
        return [self._breath(row) for row in rows]

    def _header(self, row: list[str]) -> list[str]:
        names = [name.strip() for name in row]
        if wanted_columns(self.path, names) == VOLUMES:
            mass_for_volumes(self.path, self.mass)
        return names

    def _breath(self, row: list[str]) -> tuple[float, float]:
        cells = dict(zip(self._names, row, strict=True)) if len(row) == len(self._names) else {}
        if "power_W_per_kg" in self._names:
            return _number(cells, "time_s"), _number(cells, "power_W_per_kg")
        time, *volumes = (_number(cells, name) for name in VOLUMES)
        vo2, vco2 = (np.array([volume if volume > 0.0 else math.nan]) for volume in volumes)
        return time, float(brockway(vo2, vco2)[0] / (self.mass or math.nan))


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return []


def _number(cells: dict[str, str], name: str) -> float:
    try:
        return float(cells.get(name, ""))
    except ValueError:
        return math.nan


class Window:
    """A bout that is being measured. `tick` it every second or so, and `add` every breath."""

    def __init__(self) -> None:
        self.state: Literal["measuring", "paused", "void"] = "measuring"
        self.reason = ""  # why it is no longer measuring
        self.counts: Counter[str] = Counter()  # of the breaths left out, by why
        self._time: list[float] = []  # s
        self._rate: list[float] = []  # W/kg
        self._first = self._last = (math.nan, math.nan)  # s by the monotonic and the wall clock
        self._heard = math.nan  # s by the monotonic clock; NaN if a breath has come since the last tick

    @property
    def seconds(self) -> float:
        """For how long it has been walked, from the first tick to the last."""
        walked = self._last[0] - self._first[0]
        return walked if walked > 0.0 else 0.0

    def tick(self, monotonic_now: float, wall_now: float) -> None:
        """Look at the clocks, both in s."""
        now = monotonic_now, wall_now
        if math.isnan(self._first[0]):
            self._first = self._last = now
        passed, by_wall = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        if not 0.0 <= passed <= MAX_TICK:
            self._break_off(
                "void", f"{passed:g} s passed between two looks at the clock: the computer slept or hung"
            )
        elif not abs(by_wall - passed) <= MAX_TICK:
            self._break_off(
                "void", f"the wall clock went on by {by_wall:g} s in {passed:g} s: set, or asleep"
            )
        if math.isnan(self._heard):
            self._heard = now[0]
        elif now[0] - self._heard > MAX_GAP:
            self._break_off("paused", f"no breath has come for {now[0] - self._heard:.0f} s")

    def add(self, time: float, rate: float) -> None:
        """Take a breath (s, W/kg), or leave it out and count it."""
        last = self._time[-1] if self._time else -math.inf
        if self.state != "measuring":
            self.counts["the measurement was over"] += 1
        elif time in self._time:
            self.counts["duplicate"] += 1
        elif not last < time < math.inf:
            self.counts["time: not a finite number, or before the previous one"] += 1
        elif not 0.0 < rate < math.inf:
            self.counts["rate: not a positive finite number"] += 1
        elif self._time and time - last > MAX_GAP:
            self._break_off("paused", f"no breath for {time - last:.0f} s after the one at {last:g} s")
        else:
            self._time.append(time)
            self._rate.append(rate)
            self._heard = math.nan

    def early(self) -> Estimate | None:
        """The estimate so far, if it is being measured and there are enough breaths."""
        if self.state != "measuring" or len(self._time) < MIN_BREATHS:
            return None
        rates, errors = running(self.breaths())
        return Estimate(float(rates[-1]), float(errors[-1]))

    def breaths(self) -> Breaths:
        """The breaths.

        Raises:
            ValueError: if there are too few, or the measurement was broken off.
        """
        if self.state != "measuring":
            raise ValueError(
                f"bout: expected a measurement without a break, got a {self.state} one: {self.reason}; repeat the "
                "bout or leave it out"
            )
        return Breaths(np.array(self._time), np.array(self._rate))

    def _break_off(self, state: Literal["paused", "void"], reason: str) -> None:
        if self.state == "measuring":
            self.state, self.reason = state, reason
