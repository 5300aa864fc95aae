"""The table of what it costs to watch a study, from what `watching.py` wrote.

python experiments/benchmarks/watching_table.py results/benchmarks
"""

import sys
from pathlib import Path

import pandas as pd

STUDIES = {"cheap": "CartPole-v1, 300 rollouts", "expensive": "Acrobot-v1, 1,000 rollouts"}
OF_STUDIES = {
    "study, processor s": "the study with its workers, s of processor time",
    "watch at its start, processor s": "`watch` until a page has the study, the same",
    "watch, processor s": "`watch` until the study is over",
    "share, %": "share of the study, %; aim: below 2",
    "told, kB": "told to the page, kB",
    "events": "events of the ledger",
    "whole ledger, ms": "to read all of them, ms",
    "new events of a second": "events of a second",
    "reading them, ms": "to read those, ms",
}
OF_A_PAGE = {
    "page, kB": "what a browser loads, kB",
    "first paint, ms": "first paint, ms",
    "study shown after, ms": "until the study is shown, ms",
    "first news, kB": "first news, kB",
    "update of a task, ms": "an update of a task with its pictures and tables, ms",
    "update of the head, ms": "an update of the head, ms",
}


def said(number: float) -> str:
    """Three digits, or all of a large number."""
    return f"{number:,.0f}" if number >= 100.0 else f"{number:.3g}"


def table(folder: Path) -> str:
    """Two tables: a column for each study, and what a page costs."""
    found = dict(pd.read_csv(folder / "watching.csv").itertuples(index=False, name=None))
    studies = [study for study in STUDIES if f"{study}: share, %" in found]
    lines = [f"| 18 methods, 30 runs each | {' | '.join(STUDIES[study] for study in studies)} |"]
    lines.append(f"| --- |{' ---: |' * len(studies)}")
    for name, words in OF_STUDIES.items():
        values = [said(found[f"{study}: {name}"]) for study in studies]
        lines.append(f"| {words} | {' | '.join(values)} |")
    lines += ["", "| a page | |", "| --- | ---: |"]
    lines += [f"| {words} | {said(found[name])} |" for name, words in OF_A_PAGE.items()]
    held = [name for name in found if name.startswith("memory after ")]
    lines += [f"| {name.replace(', MB', '')}, MB | {found[name]:.2f} |" for name in (held[0], held[-1])]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
