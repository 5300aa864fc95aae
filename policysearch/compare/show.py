"""What the command line shows in the terminal."""

import dataclasses
import sys
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from policysearch.compare.report import remarks
from policysearch.compare.run import Result
from policysearch.compare.study import Study
from policysearch.optimizers import OPTIMIZERS
from policysearch.tasks import TASKS, policy_names

MOST_NOTES = 6


def results(study: Study, results: list[Result], table: pd.DataFrame, out: Path) -> None:
    """The table of every task, remarks, and where the files are."""
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for task in study.tasks:
        part = table[table["task"] == task].drop(columns="task")
        quiet = [
            name for name, nothing in (("failed", "0"), ("clipped", "0 %")) if (part[name] == nothing).all()
        ]
        part = part.drop(columns=quiet)
        title = f"{task}, {study.budget(task)} rollouts, {study.runs} runs"
        view = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in part.columns:
            view.add_column(column, justify="left" if column == "optimizer" else "right")
        for row in part.itertuples(index=False):
            view.add_row(*map(str, row))
        console.print(view)
    noted = remarks(study, results)
    for line in noted[:MOST_NOTES]:
        console.print(f"note: {line}", markup=False)
    if len(noted) > MOST_NOTES:
        console.print(f"note: {len(noted) - MOST_NOTES} more in {out / 'summary.md'}", markup=False)
    console.print(
        "final return: the recommendation on fresh episodes, interquartile mean over runs; "
        "claimed − final: what the search's best noisy value overstates",
        style="dim",
    )
    console.print(
        f"picture: {out / 'curves.png'}\ntables:  {out / 'summary.md'}, runs.csv, curves.csv, summary.csv"
    )


def registry() -> None:
    """Tasks, policies, and optimizers with their hyperparameters."""
    print("tasks (and any Gymnasium id, or module:EnvId):")
    for task in TASKS.values():
        print(f"  {task.name:26} {task.policy} policy")
    print("\npolicies:\n  " + ", ".join(policy_names()) + "; mlp:32,32 sets the hidden layers")
    print("\noptimizers (and whitened:NAME for normalised observations):")
    for name, cls in OPTIMIZERS.items():
        print(f"  {name:20} {(cls.__doc__ or '').splitlines()[0]}")
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        print("  " + " " * 21 + ", ".join(f"{f.name}={f.default!r}" for f in fields))
