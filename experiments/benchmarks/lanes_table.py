"""The table of rollouts in lanes next to gymnax on JAX, from what `lanes.py` wrote.

python experiments/benchmarks/lanes_table.py results/benchmarks
"""

import sys
from pathlib import Path

import pandas as pd
from speed_table import short

THREADS = (1, 2)


def table(folder: Path) -> str:
    """Control steps per second by threads, and how many times those of gymnax."""
    rows = pd.read_csv(folder / "lanes.csv", comment="#")
    case = ["task", "policy", "steps", "N"]
    speed = rows.set_index([*case, "method", "threads"])["steps_per_second"]
    head = ["task", "policy", "steps", "N", "one by one, 1 thread"]
    head += [f"ours, {n}" for n in THREADS] + [f"gymnax, {n}" for n in THREADS] + ["times gymnax, 1", "2"]
    lines = ["| " + " | ".join(head) + " |", "| --- | --- |" + " ---: |" * (len(head) - 2)]
    for key in rows[case].drop_duplicates().itertuples(index=False):
        ours, peer = ([speed[(*key, method, n)] for n in THREADS] for method in ("lanes", "gymnax"))
        numbers = [short(value) for value in (speed[(*key, "alone", 1)], *ours, *peer)]
        ratios = [f"{mine / theirs:.2g}" for mine, theirs in zip(ours, peer, strict=True)]
        lines.append("| " + " | ".join([*map(str, key), *numbers, *ratios]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
