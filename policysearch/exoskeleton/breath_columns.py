"""The columns of a metabolic cart's table that hold its breaths, and their units.

The header is the first row that names a time and either power_W_per_kg or both volumes, as the carts of COSMED,
Parvo, Jaeger and Vyntus, and Cortex name them in English and German. What is above it, or to the left of its time, is
the head. Units are in the name of a column ("VO2 [L/min]", "vo2_ml_min") or in a row that follows the header. They
are never guessed: a table without them needs `Cart.units`.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from policysearch.exoskeleton.breath_table import BreathTable

TIME, POWER = "time_s", "power_W_per_kg"
VOLUMES = VO2, VCO2 = "vo2_ml_min", "vco2_ml_min"
RER, HEART_RATE = "rer", "heart_rate_bpm"
KEPT = (*VOLUMES, RER, HEART_RATE)
#: Names of the columns in files, as `_plain` makes them; some with their unit.
NAMES = {
    **dict.fromkeys(("t", "time", "zeit", "messzeit", "testzeit", "elapsedtime"), (TIME, "")),
    "time_s": (TIME, "s"), "time_min": (TIME, "min"), "power_w_per_kg": (POWER, "w/kg"),
    "vo2": (VO2, ""), "vo2_ml_min": (VO2, "ml/min"), "vo2_l_min": (VO2, "l/min"),
    "vco2": (VCO2, ""), "vco2_ml_min": (VCO2, "ml/min"), "vco2_l_min": (VCO2, "l/min"),
    **dict.fromkeys(("r", "rer", "rq"), (RER, "")),
    **dict.fromkeys(("hr", "hf", "fc", "heartrate", "herzfrequenz", "heart_rate_bpm"), (HEART_RATE, "")),
}  # fmt: skip
#: Units by column, and how much of our unit each of them is.
UNITS = {
    TIME: dict.fromkeys(("s", "sec", "sek", "seconds"), 1.0) | dict.fromkeys(("min", "minutes"), 60.0),
    POWER: {"w/kg": 1.0},
    **{name: {"ml/min": 1.0, "l/min": 1000.0} for name in VOLUMES},
}
_CLOCK = re.compile(r"(h+:)?m(m|in)?:s(s|ec)?([.,:](ms|s+|0+))?")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", re.IGNORECASE)
_BLANK = ("", "---", "--", "-")
_MASS = re.compile(r"\W*(body\s*)?(weight|mass)\b|\W*(körper)?(gewicht|masse)\b", re.IGNORECASE)
_BEGAN = re.compile(
    r"\W*(test|start|begin|uhr|date|datum)[\w /]*(time|zeit|beginn)\b|\W*uhrzeit", re.IGNORECASE
)
_TIME_OF_DAY = re.compile(r"\b([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?\s*([ap]m)?\b", re.IGNORECASE)
MAX_HEAD = 200  # rows


@dataclass(frozen=True)
class Cart:
    """What the files of a metabolic cart do not say.

    Raises:
        ValueError: for a delay that is not at least 0 and at most 60 s, units that are unknown, or no time of day.
    """

    delay: float = 0.0  # s from a breath to its row
    units: str = ""  # of time and volumes, as in "s,mL/min"
    began: str = ""  # the time of day at the zero of the times in the file

    def __post_init__(self) -> None:
        if not 0.0 <= self.delay <= 60.0:
            raise ValueError(f"delay: expected 0 to 60 s, got {self.delay:g}")
        if self.units and [unit in UNITS[name] for name, unit in self.given.items()] != [True] * 3:
            raise ValueError(
                f"breath_units: expected those of time and volumes, as in s,mL/min, got {self.units!r}"
            )
        if self.began and time_of_day(self.began) is None:
            raise ValueError(f"cart_start: expected a time of day, as in 14:03:22, got {self.began!r}")

    @property
    def given(self) -> dict[str, str]:
        """The units by column."""
        time, _, volume = self.units.partition(",")
        return {TIME: _unit(time), VO2: _unit(volume), VCO2: _unit(volume)} if self.units else {}


class BreathRow(NamedTuple):
    """A row below the header and its units."""

    line: int
    time: float  # s; NaN if it is none
    values: dict[str, float]  # by column, in our units; NaN for what is no number
    wrong: str  # why it is no breath, in words; empty if it is one


class Columns:
    """The columns of a table.

    Args:
        table: of a file.
        cart: what the file does not say.

    Raises:
        ValueError: if the table has no header, or other units. The message begins after the name of the file.
    """

    def __init__(self, table: BreathTable, cart: Cart) -> None:
        self._table, self._cart = table, cart
        self._header = self._found_header()
        header = table.rows[self._header][1]
        named = [(place, *_named(cell)) for place, cell in enumerate(header)]
        has_power = any(name == POWER for _, name, _ in named)
        self.names = (TIME, POWER) if has_power else (TIME, *VOLUMES)
        self.places: dict[str, int] = {}
        self._units: dict[str, str] = {}
        for name in dict.fromkeys((*self.names, *KEPT)):
            places = [(place, unit) for place, found, unit in named if found == name]
            if len(places) > 1 and name in self.names:
                raise ValueError(f", line {self.line}: expected a single column {name}, got {len(places)}")
            if len(places) == 1:
                self.places[name], self._units[name] = places[0]
        self.width = max(place for place, cell in enumerate(header) if cell.strip()) + 1

    @property
    def line(self) -> int:
        """The line of the header."""
        return self._table.rows[self._header][0]

    def rows(self) -> list[BreathRow]:
        """The rows below the header that are breaths or should be, without labels and what follows the last breath.

        Raises:
            ValueError: for units that are unknown, contradict each other, or are nowhere.
        """
        found, labelled = list[BreathRow](), 0
        for line, cells in self._table.rows[self._header + 1 :]:
            texts = {
                name: cells[place].strip() if place < len(cells) else ""
                for name, place in self.places.items()
            }
            if not any(re.search("[0-9]", texts[name]) for name in self.names):
                if not found:
                    self._read_units(line, texts)
                labelled = labelled or len(found)
                continue
            found.append(self._row(line, texts, cells))
            if not found[-1].wrong:
                labelled = 0
        return found[: labelled or None]

    def head(self) -> list[list[str]]:
        """The cells of the head, row by row."""
        left = self.places[TIME]
        below = self._table.rows[self._header : self._header + MAX_HEAD] if left else []
        return [cells for _, cells in self._table.rows[: self._header]] + [cells[:left] for _, cells in below]

    def mass(self) -> float:
        """The body mass (kg) in the head; NaN without one."""
        for row in self.head():
            for place, label in enumerate(row):
                if _MASS.match(label):
                    after = " ".join(row[place + 1 : place + 6])
                    found = re.search(r"([0-9]+(?:[.,][0-9]+)?)\s*kg\b", f"{label} {after}", re.IGNORECASE)
                    found = found or ("kg" in label and re.search(r"([0-9]+(?:[.,][0-9]+)?)", after)) or None
                    if found:
                        return float(found[1].replace(",", "."))
        return math.nan

    def began(self) -> float | None:
        """The time of day (s since midnight) at which the recording began; None if it is nowhere."""
        if self._cart.began:
            return time_of_day(self._cart.began)
        labels = [
            " ".join(row[place:]) for row in self.head() for place, c in enumerate(row) if _BEGAN.match(c)
        ]
        return next((at for text in labels if (at := time_of_day(text)) is not None), None)

    def _found_header(self) -> int:
        best, most = "nothing", -1
        for place, (_, cells) in enumerate(self._table.rows[:MAX_HEAD]):
            names = {_named(cell)[0] for cell in cells}
            if TIME in names and (POWER in names or names >= {*VOLUMES}):
                return place
            if len(names) > most:
                best, most = ", ".join(filter(None, map(str.strip, cells))), len(names)
        shown = best if len(best) <= 200 else f"{best[:199]} …"
        expected = "time_s and either power_W_per_kg or vo2_ml_min and vco2_ml_min, or a cart's names of them"
        raise ValueError(f", line 1: expected the columns {expected}, got {shown}")

    def _read_units(self, line: int, texts: dict[str, str]) -> None:
        """Take the units of a row; a row that has none is left out."""
        given = {name: _unit(texts[name]) for name in self.names}
        if not any(unit in UNITS[name] or _CLOCK.fullmatch(unit) for name, unit in given.items()):
            return
        for name, unit in given.items():
            known = unit in UNITS[name] or (name == TIME and _CLOCK.fullmatch(unit))
            said = self._units[name]
            if unit not in _BLANK and (not known or (said and not _same(name, said, unit))):
                expected = said or " or ".join(UNITS[name])
                raise ValueError(
                    f", line {line}: expected {name} in {expected}, got {unit!r}; convert the file"
                )
            self._units[name] = said if unit in _BLANK else unit

    def _row(self, line: int, texts: dict[str, str], cells: Sequence[str]) -> BreathRow:
        numbers = {name: self._number(text) for name, text in texts.items() if name != TIME}
        values = {name: value * self._factor(name) for name, value in numbers.items()}
        time = self._time(texts[TIME])
        wrong = "" if math.isfinite(time) else f"expected {TIME} to be a time, got {texts[TIME]!r}"
        for name in self.names[1:]:
            if not wrong and not values[name] > 0.0:
                wrong = f"expected {name} to be a number > 0, got {texts[name]!r}"
        if not wrong and any(map(str.strip, cells[self.width :])):
            wrong = f"expected {self.width} columns, got {len(cells)}"
        return BreathRow(line, time, values, wrong)

    def _number(self, text: str) -> float:
        """The number in a text, with a comma for its point where commas do not separate cells; NaN if it is none."""
        if not self._table.commas and "." not in text:
            text = text.replace(",", ".", 1)
        return float(text) if _NUMBER.fullmatch(text) else math.nan

    def _time(self, text: str) -> float:
        """The seconds in a text: a number in the unit of the column, m:ss, h:mm:ss, or the latter after a date."""
        date, _, clock = text.rpartition("T")
        *earlier, last = (self._number(part) for part in clock.split(":"))
        if not earlier:
            return last * self._factor(TIME) if not date else math.nan
        if len(earlier) > 2 or not all(part >= 0.0 and part.is_integer() for part in earlier):
            return math.nan
        if not 0.0 <= last < 60.0 or (len(earlier) == 2 and not earlier[1] < 60.0):
            return math.nan
        return last + sum(60.0 ** (place + 1) * part for place, part in enumerate(reversed(earlier)))

    def _factor(self, name: str) -> float:
        """How much of our unit the unit of a column is; NaN for times of a clock.

        Raises:
            ValueError: if it is nowhere.
        """
        if name in (RER, HEART_RATE):
            return 1.0
        unit = self._units[name] or self._cart.given.get(name, "")
        if not unit and name in self.names:
            why = "has neither a unit nor a row of units; --breath-units s,mL/min, say, states them"
            raise ValueError(f", line {self.line}: {name} {why}")
        return UNITS[name].get(unit, math.nan)


def time_of_day(text: str) -> float | None:
    """The time of day (s since midnight) in a text; None if there is none."""
    found = _TIME_OF_DAY.search(text)
    if found is None:
        return None
    hours, half = int(found[1]), (found[4] or "").lower()
    if half:
        hours = hours % 12 + 12 * (half == "pm")
    return 3600.0 * hours + 60.0 * int(found[2]) + int(found[3] or 0)


def _named(cell: str) -> tuple[str, str]:
    """Which column a cell of the header names, and its unit; empty if none."""
    name, unit = re.fullmatch(r"\s*(.*?)\s*(?:[\[(](.*)[\])])?\s*", cell, re.DOTALL).groups()  # type: ignore[union-attr]
    found, stated = NAMES.get(_plain(name), ("", ""))
    return found, stated or _unit(unit or "")


def _plain(name: str) -> str:
    """A name in lower case without accents, dots above, apostrophes and spaces; subscripts are digits."""
    text = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in text if letter.isalnum() or letter in "_/")


def _unit(text: str) -> str:
    return re.sub(r"stpd|[\s\[\]()]", "", text.lower())


def _same(name: str, one: str, other: str) -> bool:
    """Whether two units of a column mean the same; a clock states its own unit."""
    if name == TIME and _CLOCK.fullmatch(other):
        return True
    return UNITS[name].get(one) == UNITS[name].get(other)
