"""Files of breaths: CSV with the columns time_s and power_W_per_kg, or time_s, vo2_ml_min and vco2_ml_min.

Times are seconds, or m:ss or h:mm:ss. A row of units may follow the header; other units than those of the columns'
names are refused. Volumes and the column heart_rate_bpm are kept; others are ignored. With power_W_per_kg so are the
volumes, for the rate. `read_breaths` reads a complete file and refuses what is not a breath. `BreathFile` follows a
file that grows, and gives NaN for it. Both understand the same rows.
"""

import csv
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from policysearch.exoskeleton.respirometry import MAX_GAP, MIN_BREATHS, Breaths, brockway
from policysearch.files import open_bytes, open_text

#: The most that is read of a file: some days of breaths.
MAX_BYTES = 2**24
POWER, VOLUMES = ("time_s", "power_W_per_kg"), ("time_s", "vo2_ml_min", "vco2_ml_min")
KEPT = (*VOLUMES[1:], "heart_rate_bpm")
#: The units that a row of units may state, in lower case.
UNITS = {
    "time_s": ("s", "sec", "m:ss", "mm:ss", "h:mm:ss", "hh:mm:ss"), "power_W_per_kg": ("w/kg",),
    "vo2_ml_min": ("ml/min",), "vco2_ml_min": ("ml/min",),
}  # fmt: skip


class _Columns:
    """The columns of a file that hold its breaths: the time first, then the power or both volumes.

    Args:
        path: of the file, for messages.
        header: its first row.
        mass: of the body (kg), which volumes need.

    Raises:
        ValueError: if the columns are not there, once each, or there are volumes and no mass.
    """

    def __init__(self, path: str | Path, header: Sequence[str], mass: float | None) -> None:
        found = [name.strip() for name in header]
        self.path, self.count = path, len(found)
        self.names = POWER if "power_W_per_kg" in found else VOLUMES
        if any(found.count(name) != 1 for name in self.names):
            expected = "time_s and either power_W_per_kg or vo2_ml_min and vco2_ml_min, once each"
            got = textwrap.shorten(", ".join(found), 200, placeholder=" …") or "nothing"
            raise ValueError(f"{path}, line 1: expected the columns {expected}, got {got}")
        if self.names == VOLUMES and not (mass is not None and math.isfinite(mass) and mass > 0.0):
            raise ValueError(f"{path}: vo2_ml_min and vco2_ml_min need mass > 0 kg, got {mass}")
        self.mass = math.nan if self.names == POWER or mass is None else mass  # kg
        self._places = [found.index(name) for name in self.names]
        self.kept = {name: found.index(name) for name in KEPT if found.count(name) == 1}

    def texts(self, row: Sequence[str]) -> list[str]:
        """The cells of a row, in the order of `names`."""
        return [row[place] for place in self._places]

    def are_units(self, row: Sequence[str]) -> bool:
        """Whether a row states units and nothing else.

        Raises:
            ValueError: if it states other units than the columns' names.
        """
        cells = self.texts(row) if len(row) == self.count else [""]
        given = [text.strip().strip("[]()").lower() for text in cells]
        if given[0] not in UNITS["time_s"] or any(math.isfinite(_number(text)) for text in given):
            return False
        for name, unit in zip(self.names, given, strict=True):
            if unit not in UNITS[name]:
                expected = f"expected {name} in {UNITS[name][0]}"
                raise ValueError(f"{self.path}, line 2: {expected}, got {unit!r}; convert the file")
        return True

    def numbers(self, row: Sequence[str]) -> list[float]:
        """Time, and power or both volumes, of a row; NaN for what is no number."""
        time, *others = self.texts(row)
        return [_time(time), *map(_number, others)]

    def rate(self, numbers: Sequence[float]) -> float:
        """The rate (W/kg) of a row's numbers."""
        if self.names == POWER:
            return numbers[1]
        volumes = np.array(numbers)[1:, None]
        return float((brockway(*volumes) / self.mass)[0])

    def gases(self, row: Sequence[str]) -> tuple[float, ...]:
        """What is kept of a row, in the order of `kept`."""
        return tuple(_number(row[place]) for place in self.kept.values())


def read_breaths(path: str | Path, mass: float | None = None, *, gaps: bool = False) -> Breaths:
    """The breaths of a file.

    Args:
        path: of the file.
        mass: of the body (kg), which volumes need.
        gaps: whether breaths may be more than `MAX_GAP` apart.

    Raises:
        ValueError: the file, line, what was expected there and what was found.
    """
    rows = _rows(path)
    columns = _Columns(path, rows[0][1] if rows else [], mass)
    if len(rows) > 1 and columns.are_units(rows[1][1]):
        del rows[1]
    times, rates, gases = list[float](), list[float](), list[tuple[float, ...]]()
    for line, row in rows[1:]:
        place = f"{path}, line {line}"
        if len(row) != columns.count:
            raise ValueError(f"{place}: expected {columns.count} columns, got {len(row)}")
        numbers = columns.numbers(row)
        for name, text, value in zip(columns.names, columns.texts(row), numbers, strict=True):
            _check(text, value, f"{place}: expected {name}", positive=name != "time_s")
        last, now = times[-1] if times else -math.inf, numbers[0]
        if not last < now:
            raise ValueError(f"{place}: expected a time later than {last:.10g} s, got {now:.10g} s")
        if times and now - last > MAX_GAP and not gaps:
            expected = f"expected a breath within {MAX_GAP:g} s after the one at {last:.10g} s"
            raise ValueError(f"{place}: {expected}, got {now:.10g} s")
        times.append(now)
        rates.append(columns.rate(numbers))
        gases.append(columns.gases(row))
    if len(times) < MIN_BREATHS:
        raise ValueError(f"{path}: expected at least {MIN_BREATHS} breaths, got {len(times)}")
    kept = dict(zip(columns.kept, np.array(gases, dtype=float).T, strict=True))
    return Breaths(np.array(times), np.array(rates), kept, columns.mass)


def _rows(path: str | Path) -> list[tuple[int, list[str]]]:
    """The rows of a file that are not empty, each with the number of its line."""
    try:
        with open_text(Path(path), MAX_BYTES, "utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected a text file in UTF-8, got byte {error.object[error.start]:#04x}"
        ) from None
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: expected comma-separated values, got: {error}"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class BreathFile:
    """A file to which another program appends breaths.

    That program has to write every breath at once, or a window sees gaps. A file that does not exist yet is empty.

    Attributes:
        gases: what else was measured of every breath so far, by its time (s) and in the order of `columns`.
    """

    def __init__(self, path: str | Path, mass: float | None = None) -> None:
        self.path, self.mass = Path(path), mass  # kg, which volumes need
        self.gases: dict[float, tuple[float, ...]] = {}
        self._read = 0  # bytes
        self._columns: _Columns | None = None
        self._begun = False  # whether a row after the header was read

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are kept in `gases`."""
        return tuple(self._columns.kept) if self._columns else ()

    @property
    def mass_of_rates(self) -> float:
        """The mass (kg) with which volumes are turned into rates; NaN for rates that are in the file."""
        return self._columns.mass if self._columns else math.nan

    def new(self) -> list[tuple[float, float]]:
        """Time (s) and rate (W/kg) of the breaths since the last call; NaN where no number was read.

        A last line without its end is left for later.

        Raises:
            ValueError: for columns that are missing, other units, volumes without a mass, a file that has become
                shorter or too long, and what is no file.
        """
        try:
            with open_bytes(self.path, MAX_BYTES) as file:
                data = file.read()
        except FileNotFoundError:
            data = b""
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error
        if len(data) < self._read:
            raise ValueError(
                f"{self.path}: expected a file that grows, got {len(data)} bytes after {self._read}"
            )
        complete, end, _ = data[self._read :].rpartition(b"\n")
        lines = complete.decode("utf-8-sig", errors="replace").split("\n")
        rows = [_cells(line) for line in lines if line.strip()]
        if rows and self._columns is None:
            self._columns = _Columns(self.path, rows.pop(0), self.mass)
        if rows and self._columns and not self._begun:
            self._begun = True
            rows = rows[self._columns.are_units(rows[0]) :]
        self._read += len(complete + end)
        return [self._breath(self._columns, row) for row in rows if self._columns]

    def _breath(self, columns: _Columns, row: list[str]) -> tuple[float, float]:
        if len(row) != columns.count:
            return math.nan, math.nan
        time, *numbers = columns.numbers(row)
        if columns.names == VOLUMES:
            numbers = [volume if volume > 0.0 else math.nan for volume in numbers]
        self.gases.setdefault(time, columns.gases(row))
        return time, columns.rate([time, *numbers])


def _cells(line: str) -> list[str]:
    """The cells of a line; none if it is not CSV."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return []


def _number(text: str) -> float:
    """The number in a text; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _time(text: str) -> float:
    """The seconds in a text: a number, m:ss or h:mm:ss; NaN if it is neither."""
    *earlier, seconds = (_number(part) for part in text.split(":"))
    if not earlier:
        return seconds
    if len(earlier) > 2 or not all(part >= 0.0 and part.is_integer() for part in earlier):
        return math.nan
    if not 0.0 <= seconds < 60.0 or (len(earlier) == 2 and not earlier[1] < 60.0):
        return math.nan
    return seconds + sum(60.0 ** (place + 1) * part for place, part in enumerate(reversed(earlier)))


def _check(text: str, value: float, expected: str, *, positive: bool) -> None:
    """Refuse what is no number; `expected` begins the message."""
    if not math.isfinite(value) or (positive and value <= 0.0):
        kind = "a number > 0" if positive else "a finite number"
        raise ValueError(f"{expected} to be {kind}, got {repr(text) if text.strip() else 'nothing'}")
