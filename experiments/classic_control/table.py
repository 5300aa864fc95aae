"""One table of a study's final returns: a row per method, a column per task.

python experiments/classic_control/table.py results/classic_control
"""

import sys
from pathlib import Path

import pandas as pd


def table(folder: Path) -> str:
    """Interquartile means with their 95 % intervals, as a Markdown table in the order of the study."""
    summary = pd.read_csv(folder / "summary.csv")
    tasks = list(dict.fromkeys(summary["task"]))
    lines = ["| method | " + " | ".join(tasks) + " |", "| --- |" + " ---: |" * len(tasks)]
    for method, rows in summary.groupby("optimizer", sort=False):
        cells = [_cell(rows[rows["task"] == task].iloc[0]) for task in tasks]
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: "pd.Series[float]") -> str:
    """`mean (low … high)`, in as many digits as people read."""
    mean, low, high = (_short(float(row[name])) for name in ("iqm", "ci_low", "ci_high"))
    return f"{mean} ({low} … {high})"


def _short(value: float) -> str:
    if abs(value) >= 1e4:
        return f"{value:.0e}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
