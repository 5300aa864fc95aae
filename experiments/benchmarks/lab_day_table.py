"""The tables of kills and of the guard's ticks, from what `session_kills.py` and `guard_ticks.py` wrote.

python experiments/benchmarks/lab_day_table.py results/benchmarks kills
python experiments/benchmarks/lab_day_table.py results/benchmarks ticks
python experiments/benchmarks/lab_day_table.py results/benchmarks histogram
"""

import itertools
import sys
from pathlib import Path

import pandas as pd

#: Lower ends (ms) of the columns of the histogram.
EDGES = (0, 4, 5, 6, 8, 10, 20, 50)


def row(*cells: object) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


HEAD = (
    "killed", "load", "kills", "under torque", "zero after, at most", "configured", "later than that",
    "stops because something was late", "failed",
)  # fmt: skip


def kills(folder: Path) -> list[str]:
    """What was seen of the sessions of which a process was killed."""
    found = pd.read_csv(folder / "session_kills.csv", keep_default_na=False)
    lines = [row(*HEAD), row("---", "---", *["---:"] * (len(HEAD) - 2))]
    for (load, victim), some in found.groupby(["load", "victim"], sort=False):
        over = (some["zero_s"] - some["configured_s"]).clip(lower=0.0)
        later = f"{(over > 0.0).sum()}, by {1000 * over.max():.0f} ms at most" if over.any() else 0
        lines.append(
            row(
                victim, load, len(some), (some["torque_Nm_per_kg"] > 0.0).sum(), f"{some['zero_s'].max():.3f} s",
                f"{some['configured_s'].iloc[0]:.3g} s", later,
                (some["stops"] != "").sum(), (some["failed"] != "").sum(),
            )
        )  # fmt: skip
    return lines


def ticks(folder: Path) -> list[str]:
    """How late ticks were in those sessions in which the guard has stopped once."""
    found = pd.read_csv(folder / "session_kills.csv", keep_default_na=False)
    found = found[found["ticks"] > 0]
    lines = [row("load", "sessions", "ticks", "more than 20 ms after the one before", "longest")]
    lines.append(row("---", *["---:"] * 4))
    for load, some in found.groupby("load", sort=False):
        counts = f"{some['ticks'].sum():,}", some["over_20_ms"].sum(), f"{some['longest_ms'].max():.1f} ms"
        lines.append(row(load, len(some), *counts))
    return lines


def histogram(folder: Path) -> list[str]:
    """Histograms of the times between two ticks of a guard alone."""
    found = pd.read_csv(folder / "guard_ticks.csv", keep_default_na=False)
    spans = [*itertools.pairwise(EDGES), (EDGES[-1], None)]
    names = [f"{low} to {high} ms" if high else f"{low} ms and more" for low, high in spans]
    lines = [row("load", "ticks", *names, "longest", "of a bare loop", "stops")]
    lines.append(row("---", *["---:"] * (len(names) + 4)))
    for one in found.to_dict("records"):
        counts = {
            int(name.split("_")[1]): int(one[name]) for name in map(str, one) if name.startswith("from_")
        }
        grouped = [
            sum(n for at, n in counts.items() if low <= at and (high is None or at < high))
            for low, high in spans
        ]
        stops = [text for text in str(one["stops"]).split("; ") if text]
        total = f"{sum(counts.values()):,}"
        longest = (f"{one[name]:.1f} ms" for name in ("longest_ms", "bare_ms"))
        lines.append(row(one["load"], total, *(f"{n:,}" for n in grouped), *longest, len(stops)))
    return lines


if __name__ == "__main__":
    print("\n".join({"kills": kills, "ticks": ticks, "histogram": histogram}[sys.argv[2]](Path(sys.argv[1]))))
