"""The table of what commands cost, from what `commands.py` wrote.

python experiments/benchmarks/commands_table.py results/benchmarks
"""

import sys
from pathlib import Path

import pandas as pd

#: Processor seconds that were aimed at.
AIMS = {
    "compare --list": 0.4,
    "first rollouts in Python": 1.0,
    "CartPole-v1, 10 methods, 10 runs, 300 rollouts": 2.5,
    "quick study": 15.0,
    "report of the quick study": 1.0,
}


def table(folder: Path) -> str:
    """Processor seconds of each command next to those of an earlier version (`commands_before.csv`) and the aim."""
    now, before = (
        pd.read_csv(folder / name, comment="#").set_index("command")
        for name in ("commands.csv", "commands_before.csv")
    )
    lines = [
        "| command | before | now | seconds by the clock | aim |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for command, row in now.iterrows():
        earlier, aim = before["processor_seconds_median"].get(command, ""), AIMS.get(str(command), "")
        shown = (earlier, row["processor_seconds_median"], row["seconds_median"], aim)
        cells = " | ".join("" if value == "" else f"{value:.3g}" for value in shown)
        lines.append(f"| {command} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
