"""Files of breaths: CSV with the columns time_s and power_W_per_kg, or time_s, vo2_ml_min and vco2_ml_min.

Other columns are ignored; with power_W_per_kg so are the volumes. `read_breaths` reads a complete file and refuses
what is not a breath. `BreathFile` follows a file that grows, and gives NaN for it.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.exoskeleton.respirometry import MAX_GAP, MIN_BREATHS, Breaths, brockway
from policysearch.files import open_bytes, open_text

#: The most that is read of a file: some days of breaths.
MAX_BYTES = 2**24
POWER, VOLUMES = ("time_s", "power_W_per_kg"), ("time_s", "vo2_ml_min", "vco2_ml_min")


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
        self.count, self._mass = len(found), mass
        self.names = POWER if "power_W_per_kg" in found else VOLUMES
        if any(found.count(name) != 1 for name in self.names):
            expected = "time_s and either power_W_per_kg or vo2_ml_min and vco2_ml_min, once each"
            raise ValueError(
                f"{path}, line 1: expected the columns {expected}, got {', '.join(found) or 'nothing'}"
            )
        if self.names == VOLUMES and not (mass is not None and math.isfinite(mass) and mass > 0.0):
            raise ValueError(f"{path}: vo2_ml_min and vco2_ml_min need mass > 0 kg, got {mass}")
        self._places = [found.index(name) for name in self.names]

    def texts(self, row: Sequence[str]) -> list[str]:
        """The cells of a row, in the order of `names`."""
        return [row[place] for place in self._places]

    def rates(self, table: Float[Array, "n c"]) -> Float[Array, "n"]:
        """The rates (W/kg) of rows of numbers, in the order of `names`."""
        if self.names == POWER:
            return table[:, 1]
        return brockway(table[:, 1], table[:, 2]) / (self._mass or math.nan)


def read_breaths(path: str | Path, mass: float | None = None) -> Breaths:
    """The breaths of a file. `mass` (kg) is what volumes need.

    Raises:
        ValueError: the file, line, what was expected there and what was found.
    """
    try:
        with open_text(Path(path), MAX_BYTES, "utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader if row]
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
    columns = _Columns(path, rows[0][1] if rows else [], mass)
    table = np.empty((len(rows) - 1, len(columns.names)))
    for i, (line, row) in enumerate(rows[1:]):
        if len(row) != columns.count:
            raise ValueError(f"{path}, line {line}: expected {columns.count} columns, got {len(row)}")
        for j, (name, text) in enumerate(zip(columns.names, columns.texts(row), strict=True)):
            table[i, j] = _checked(text, f"{path}, line {line}: expected {name}", j > 0)
        gap = table[i, 0] - table[max(i - 1, 0), 0]
        if i > 0 and not 0.0 < gap <= MAX_GAP:
            expected = f"expected a breath within {MAX_GAP:g} s after the one at {table[i - 1, 0]:g} s"
            raise ValueError(f"{path}, line {line}: {expected}, got {table[i, 0]:g} s")
    if len(table) < MIN_BREATHS:
        raise ValueError(f"{path}: expected at least {MIN_BREATHS} breaths, got {len(table)}")
    return Breaths(table[:, 0], columns.rates(table))


class BreathFile:
    """A file to which another program appends breaths.

    That program has to write every breath at once, or a window sees gaps. A file that does not exist yet is empty.
    """

    def __init__(self, path: str | Path, mass: float | None = None) -> None:
        self.path, self.mass = Path(path), mass  # kg, which volumes need
        self._read = 0  # bytes
        self._columns: _Columns | None = None

    def new(self) -> list[tuple[float, float]]:
        """Time (s) and rate (W/kg) of the breaths since the last call; NaN where no number was read.

        A last line without its end is left for later.

        Raises:
            ValueError: for columns that are missing, volumes without a mass, a file that has become shorter or too
                long, and what is no file.
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
        self._read += len(complete + end)
        return [self._breath(self._columns, row) for row in rows if self._columns]

    def _breath(self, columns: _Columns, row: list[str]) -> tuple[float, float]:
        if len(row) != columns.count:
            return math.nan, math.nan
        time, *numbers = map(_number, columns.texts(row))
        if columns.names == VOLUMES:
            numbers = [volume if volume > 0.0 else math.nan for volume in numbers]
        return time, float(columns.rates(np.array([[time, *numbers]]))[0])


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


def _checked(text: str, expected: str, positive: bool) -> float:
    """The number in a text; `expected` begins the message if it is none."""
    value = _number(text)
    if not math.isfinite(value) or (positive and value <= 0.0):
        kind = "a number > 0" if positive else "a finite number"
        raise ValueError(f"{expected} to be {kind}, got {repr(text) if text.strip() else 'nothing'}")
    return value
