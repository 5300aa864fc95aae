"""Emulated metabolic carts of rehearsals: files that grow, in layouts of real ones.

Carbon dioxide is `RATIO` times the oxygen, and the oxygen is what Brockway's equation then needs for a rate. Numbers
have the digits that the layouts have, so that a rehearsal meets what rounding costs.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from policysearch.exoskeleton.respirometry import VCO2_POWER, VO2_POWER, Breaths
from policysearch.files import begun

BPM, BPM_PER_RATE = 55.0, 12.0  # heart rate of a simulated person: at 0 W/kg, and per W/kg (choice)
RATIO = 0.85  # carbon dioxide over oxygen (choice)


class _Breath(NamedTuple):
    seconds: float  # from the start of the recording
    rate: float  # W/kg
    mass: float  # kg

    @property
    def oxygen(self) -> float:
        """In mL/min."""
        return 60.0 * self.rate * self.mass / (VO2_POWER + VCO2_POWER * RATIO)

    @property
    def bpm(self) -> str:
        return f"{BPM + BPM_PER_RATE * self.rate:.0f}"


class _Layout(NamedTuple):
    separator: str
    head: Callable[[str, float], list[str]]  # lines, of a time of day and a mass (kg)
    row: Callable[[_Breath], Sequence[str]]


def _cosmed_head(began: str, mass: float) -> list[str]:
    """Head in the columns A to H, names and units from J on, and an empty row."""
    return [
        f"ID;rehearsal;;Test time;{began};;Weight (kg);{_comma(mass, 1)};;t;VO2;VCO2;R;HR",
        ";;;;;;;;;s;mL/min;mL/min;---;bpm",
        ";" * 13,
    ]


def _cosmed(breath: _Breath) -> Sequence[str]:
    minutes, seconds = divmod(round(breath.seconds), 60)
    volumes = (_comma(breath.oxygen, 1), _comma(RATIO * breath.oxygen, 1))
    clock = f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    return [*[""] * 9, clock, *volumes, _comma(RATIO, 2), breath.bpm]


def _parvo_head(began: str, mass: float) -> list[str]:
    """Some lines of head, and two rows of units."""
    head = ["Metabolic Test Report", f"Start time,{began}", f"Name,rehearsal,Weight,{mass:.1f} kg", ""]
    return [*head, "TIME,VO2,VCO2,RER,HR", ",STPD,STPD,,", "min,L/min,L/min,,bpm", "---------"]


def _parvo(breath: _Breath) -> Sequence[str]:
    litres = breath.oxygen / 1000.0
    return [
        f"{breath.seconds / 60.0:.2f}", f"{litres:.3f}", f"{RATIO * litres:.3f}", f"{RATIO:.2f}", breath.bpm
    ]  # fmt: skip


def _plain(breath: _Breath) -> Sequence[str]:
    return [repr(breath.seconds), repr(breath.rate), breath.bpm]


def _comma(number: float, digits: int) -> str:
    return f"{number:.{digits}f}".replace(".", ",")


LAYOUTS = {
    "cosmed": _Layout(";", _cosmed_head, _cosmed),
    "parvo": _Layout(",", _parvo_head, _parvo),
    "plain": _Layout(",", lambda *_: ["time_s,power_W_per_kg,heart_rate_bpm"], _plain),
}


class Cart:
    """An emulated cart: a file that grows.

    Args:
        path: of the file.
        layout: a name in `LAYOUTS`.
        mass: of the body (kg).
        began: the time of day at which it begins to record (s since 1970).
    """

    def __init__(self, path: Path, layout: str, mass: float, began: float) -> None:
        self.path, self._layout, self._mass, self._file = path, LAYOUTS[layout], mass, begun(path)
        head = self._layout.head(datetime.fromtimestamp(began).strftime("%H:%M:%S"), mass)
        self._file.writelines(f"{line}\n" for line in head)
        self._due: list[tuple[float, float]] = []

    def measure(self, breaths: Breaths | None, at: float) -> None:
        """Write these breaths (none in a rest) when they are due; their bout begins at this time (s)."""
        pairs = [] if breaths is None else zip(breaths.time.tolist(), breaths.rate.tolist(), strict=True)
        self._due = [(at + seconds, rate) for seconds, rate in pairs]

    def write(self, now: float) -> None:
        """Write what is due."""
        while self._due and self._due[0][0] <= now:
            breath = _Breath(*self._due.pop(0), self._mass)
            self._file.write(self._layout.separator.join(self._layout.row(breath)) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
