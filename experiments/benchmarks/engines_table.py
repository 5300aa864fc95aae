"""The table of what an engine costs, from what `engines.py` wrote.

python experiments/benchmarks/engines_table.py results/benchmarks
"""

import sys
from pathlib import Path

import pandas as pd


def table(folder: Path) -> str:
    """What was measured next to what was aimed at."""
    rows = pd.read_csv(folder / "engines.csv", keep_default_na=False)
    lines = [
        f"| {figure} | {value:.3g} {unit} | {aim} |".replace("<=", "≤").replace(">=", "≥").replace("  ", " ")
        for figure, value, unit, aim in rows.to_numpy().tolist()
    ]
    return "\n".join(["| figure | measured | aim |", "| --- | ---: | ---: |", *lines])


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
