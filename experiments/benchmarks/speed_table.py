"""The table of rollout speeds, from what `rollouts.py` wrote.

python experiments/benchmarks/speed_table.py results/benchmarks
"""

import sys
from pathlib import Path

import pandas as pd

COLUMNS = {
    "naive loop": ("naive loop", 1),
    "Gymnasium vector": ("vector environment", 1),
    "EnvPool, 2 threads": ("EnvPool", 2),
    "physics alone": ("raw mj_step", 1),
    "ours": ("compiled", 1),
    "ours, 2 threads": ("compiled", 2),
}


def table(folder: Path) -> str:
    """Control steps per second for 64 linear policies, a row per task."""
    rows = pd.read_csv(folder / "rollouts.csv", comment="#")
    rows = rows[(rows["N"] == 64) & (rows["policy"] == "linear")]
    speed = rows.set_index(["task", "method", "threads"])["steps_per_second"]
    lines = ["| 64 linear policies | " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for task in dict.fromkeys(rows[rows["method"] == "compiled"]["task"]):
        cells = [short(speed.get((task, *column))) for column in COLUMNS.values()]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def short(value: float | None) -> str:
    """Steps per second, in three digits."""
    if value is None:
        return ""
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value / 1e3:.3g} k"


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
