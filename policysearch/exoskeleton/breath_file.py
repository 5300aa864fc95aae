"""Files of breaths: those of metabolic carts as they are, and plain ones.

`read_breaths` reads a file that is complete, `BreathFile` follows one that grows; both read the same rows. Plain
files have the columns time_s and power_W_per_kg, or time_s, vo2_ml_min and vco2_ml_min. Volumes, rer and
heart_rate_bpm are kept; other columns are ignored. What carts write: `policysearch.exoskeleton.breath_columns`.

A row without a time that is later than the one before, or without positive numbers, is no breath: it is skipped and
counted. A file in which more than `MAX_BAD` of the rows are skipped is refused.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from policysearch.exoskeleton.breath_columns import KEPT, POWER, VCO2, VO2, VOLUMES, BreathRow, Cart, Columns
from policysearch.exoskeleton.breath_table import MAX_BYTES, tables
from policysearch.exoskeleton.respirometry import MAX_GAP, MIN_BREATHS, Breaths, brockway
from policysearch.files import open_bytes

MAX_BAD = 0.1  # of the rows
#: Between rows, as a median (s), and volumes in mL/min, as medians: others are those of a wrong unit.
APART, PLAUSIBLE = (0.5, MAX_GAP), (100.0, 8000.0)
TIME_OF_DAY = 1e8  # s, from here times are those of the wall clock, since 1970
LONG = 200  # rows, from which on only what is new of a growing file is read
LONGER = 30.0  # s that the breaths of one bout may last longer than it (choice)
HEAVIER = 1.0  # kg, the least difference between the masses of a file and of the plan that is told (choice)

Times = tuple[float, float]  # s by the wall clock: when a bout began and ended; NaN if that is unknown
UNTIMED: Times = (math.nan, math.nan)


class _Contents:
    """What a file holds.

    Args:
        path: of the file, for messages.
        data: of the file.
        mass: of the body (kg), which volumes need.
        cart: what the file does not say.
        complete: whether the last line has come to its end.

    Raises:
        ValueError: if it is no table of breaths, or there are volumes and no mass.
    """

    def __init__(
        self, path: str | Path, data: bytes, mass: float | None, cart: Cart, *, complete: bool = True
    ) -> None:
        self.path, self.cart = path, cart
        try:
            self.columns = _columns(data, cart, complete=complete)
            self.rows = self.columns.rows()
        except ValueError as error:
            text = str(error)
            raise ValueError(f"{path}{text if text.startswith(',') else f': {text}'}") from None
        has_power = self.columns.names[1] == POWER
        if not has_power and not (mass is not None and math.isfinite(mass) and mass > 0.0):
            raise ValueError(f"{path}: vo2_ml_min and vco2_ml_min need mass > 0 kg, got {mass}")
        self.mass = math.nan if has_power or mass is None else mass  # kg
        self.kept = tuple(name for name in KEPT if name in self.columns.places)
        self._check_units()

    def rate(self, row: BreathRow) -> float:
        """The rate (W/kg) of a breath."""
        if math.isnan(self.mass):
            return row.values[POWER]
        oxygen, carbon = (np.array([row.values[name]]) for name in VOLUMES)
        return float((brockway(oxygen, carbon) / self.mass)[0])

    def gases(self, row: BreathRow) -> tuple[float, ...]:
        """What is kept of a row, in the order of `kept`."""
        return tuple(row.values[name] for name in self.kept)

    def within(self, bout: Times) -> list[BreathRow]:
        """The rows of a bout: those from its start to its end, both after the cart's delay.

        Where the file does not say when it began, and where it lasts no longer than the bout and its clock is another
        one: all but those of the delay.
        """
        times = [row.time for row in self.rows if not row.wrong]
        if not times:
            return self.rows
        inside = self._between(*(at - self._zero(bout) + self.cart.delay for at in bout))
        lasts = times[-1] - times[0]
        if len(inside) >= MIN_BREATHS or (
            lasts > bout[1] - bout[0] + LONGER and math.isfinite(self._zero(bout))
        ):
            return inside
        return self._between(times[0] + self.cart.delay, math.inf) if self.cart.delay else self.rows

    def _between(self, first: float, last: float) -> list[BreathRow]:
        """The rows from a time to another one (s), with those without a time that are among them."""
        places = [place for place, row in enumerate(self.rows) if first <= row.time <= last]
        return self.rows[places[0] : places[-1] + 1] if places else []

    def _zero(self, bout: Times) -> float:
        """The wall clock (s) at the zero of the times, of a recording that ran during a bout; NaN if unknown."""
        began, known = self.columns.began(), math.isfinite(sum(bout))
        if known and any(row.time > TIME_OF_DAY for row in self.rows):
            return 0.0
        if began is None or not known:
            return math.nan
        day = datetime.fromtimestamp(bout[0]).replace(hour=0, minute=0, second=0, microsecond=0)
        zero = (day + timedelta(seconds=began)).timestamp()
        return zero if zero <= bout[1] else (day + timedelta(days=-1, seconds=began)).timestamp()

    def _check_units(self) -> None:
        good = [row for row in self.rows if not row.wrong]
        if len(good) < MIN_BREATHS:
            return
        apart, (least, most) = float(np.median(np.diff([row.time for row in good]))), APART
        if not least <= apart <= most:
            why = "they are averages, or the time has another unit"
            raise ValueError(
                f"{self.path}: expected breaths {least:g} to {most:g} s apart, got {apart:.3g} s; {why}"
            )
        for name in (VO2, VCO2) if self.mass > 0.0 else ():
            middle, (least, most) = float(np.median([row.values[name] for row in good])), PLAUSIBLE
            if not least <= middle <= most:
                raise ValueError(
                    f"{self.path}: expected {name} of about {least:g} to {most:g}, got {middle:.3g}; "
                    "it has another unit"
                )


def read_breaths(
    path: str | Path,
    mass: float | None = None,
    *,
    gaps: bool = False,
    cart: Cart | None = None,
    bout: Times = UNTIMED,
) -> Breaths:
    """The breaths of a file.

    Args:
        path: of the file.
        mass: of the body (kg), which volumes need.
        gaps: whether breaths may be more than `MAX_GAP` apart.
        cart: what the file does not say.
        bout: when the bout began and ended; only its breaths are taken of a longer recording.

    Raises:
        OSError: if it cannot be read.
        ValueError: the file, line, what was expected there and what was found.
    """
    try:
        with open_bytes(Path(path), MAX_BYTES) as file:
            found = _Contents(path, file.read(), mass, cart or Cart())
            found.rows = _in_order(found.rows)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    rows = found.within(bout)
    good, bad = [row for row in rows if not row.wrong], [row for row in rows if row.wrong]
    said = f"line {bad[0].line}: {bad[0].wrong}" if bad else ""
    if len(bad) > MAX_BAD * len(rows):
        raise ValueError(
            f"{path}: {len(bad)} of {len(rows)} rows are no breaths, at most a tenth may be; {said}"
        )
    if len(good) < MIN_BREATHS:
        where = "" if rows == found.rows else " between start and end of the bout"
        raise ValueError(f"{path}: expected at least {MIN_BREATHS} breaths{where}, got {len(good)}")
    time = np.array([row.time for row in good])
    if (between := np.diff(time)).max() > MAX_GAP and not gaps:
        after = int(np.argmax(between > MAX_GAP))
        expected = f"expected a breath within {MAX_GAP:g} s after the one at {time[after]:.10g} s"
        raise ValueError(f"{path}, line {good[after + 1].line}: {expected}, got {time[after + 1]:.10g} s")
    kept = dict(zip(found.kept, np.array([found.gases(row) for row in good], dtype=float).T, strict=True))
    rates = np.array([found.rate(row) for row in good])
    skipped = (f"{len(bad)} of {len(rows)} rows were skipped; {said}",) if bad else ()
    return Breaths(time, rates, kept, found.mass, skipped, other_mass(found.columns, found.mass))


def other_mass(columns: Columns, mass: float) -> str:
    """Where the mass in a file is another one than this (kg), in words; empty if it is not."""
    stated = columns.mass()
    return (
        f"the file is of a body of {stated:g} kg, the plan {mass:g} kg"
        if abs(stated - mass) > HEAVIER
        else ""
    )


def _columns(data: bytes, cart: Cart, *, complete: bool) -> Columns:
    """The columns of the first table that has them."""
    errors = list[ValueError]()
    for table in tables(data, complete=complete):
        try:
            return Columns(table, cart)
        except ValueError as error:
            errors.append(error)
    raise errors[-1] if errors else ValueError("expected a table, got nothing")


def _in_order(rows: Sequence[BreathRow]) -> list[BreathRow]:
    """The rows; one that is not later than the breath before is none."""
    last, found = -math.inf, list[BreathRow]()
    for row in rows:
        if not row.wrong and not row.time > last:
            row = row._replace(wrong=f"expected a time later than {last:.10g} s, got {row.time:.10g} s")  # noqa: PLW2901
        last = last if row.wrong else row.time
        found.append(row)
    return found


class BreathFile:
    """A file to which another program appends breaths.

    That program has to write every breath at once, or a window sees gaps. A file that does not exist yet is empty.

    Attributes:
        gases: what else was measured of every breath so far, by its time (s) and in the order of `columns`.
        columns: the columns that are kept in `gases`.
        mass_of_rates: the mass (kg) with which volumes are turned into rates; NaN for rates that are in the file.
        doubt: why the file is doubtful; empty if it is not.
    """

    def __init__(self, path: str | Path, mass: float | None = None, cart: Cart | None = None) -> None:
        self.path, self.mass, self._cart = Path(path), mass, cart or Cart()  # kg, which volumes need
        self.gases: dict[float, tuple[float, ...]] = {}
        self.columns: tuple[str, ...] = ()
        self.mass_of_rates, self.doubt = math.nan, ""
        # bytes, rows, and what is above the first row of a long file
        self._read, self._given, self._head = 0, 0, b""

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
        if len(data) == self._read or b"\n" not in data:
            return []
        unread = self._head + data[data.rfind(b"\n", 0, self._read) + 1 :] if self._head else data
        found = _Contents(self.path, unread, self.mass, self._cart, complete=False)
        self._read = len(data)
        self.columns, self.mass_of_rates = found.kept, found.mass
        self.doubt = other_mass(found.columns, found.mass)
        rows, self._given = found.rows[self._given :], max(self._given, len(found.rows))
        if len(found.rows) >= LONG and not self._head and b"\0" not in data:
            self._head = b"".join(data.splitlines(keepends=True)[: found.rows[0].line - 1])
        self._given = 0 if self._head else self._given
        for row in rows:
            if math.isfinite(row.time):
                self.gases.setdefault(row.time, found.gases(row))
        return [(row.time, math.nan if row.wrong else found.rate(row)) for row in rows]
