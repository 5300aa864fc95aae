"""What the command line shows in the terminal."""

import dataclasses
import sys
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from policysearch.compare import verdict
from policysearch.compare.comparison import Comparison
from policysearch.compare.power import MOST_RUNS
from policysearch.compare.report import number, readable_table, remarks, without_quiet_columns
from policysearch.compare.verdict import budget_words, of_task, pairing_line
from policysearch.optimizers import OPTIMIZERS
from policysearch.tasks import TASKS, policy_names

MOST_NOTES = 6


def results(comparison: Comparison, out: Path) -> None:
    """The table of every task, what it supports in words, remarks, and where the files are."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    table = readable_table(comparison)
    for task in comparison.tasks:
        part = without_quiet_columns(table[table["task"] == task].drop(columns="task"))
        _show(console, part, f"{task}, {budget_words(comparison, task)}")
        console.print(of_task(comparison, task), markup=False)
        console.print()
    noted = remarks(comparison)
    for line in noted[:MOST_NOTES]:
        console.print(f"note: {line}", markup=False)
    if len(noted) > MOST_NOTES:
        console.print(f"note: {len(noted) - MOST_NOTES} more in {out / 'summary.md'}", markup=False)
    console.print(
        "final return: the recommendation on fresh episodes, interquartile mean over runs; anytime: its mean over "
        "the budget; claimed − final: what the search's best noisy value overstates",
        style="dim",
    )
    console.print(
        f"report:  {out / 'report.html'}\npicture: {out / 'curves.png'}\n"
        f"tables:  {out / 'summary.md'}, runs.csv, curves.csv, summary.csv, pairs.csv",
        soft_wrap=True,
        markup=False,
    )


def plan(comparison: Comparison) -> None:
    """What it would take to settle what the runs leave open."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    table = verdict.plan(comparison)
    for task in comparison.tasks:
        part = table[table["task"] == task].drop(columns="task")
        shown = part.assign(
            difference=part["difference"].map(number),
            effect=part["effect"].map(number),
            rollouts=part["rollouts"].map("{:,}".format),
            **{name: part[name].map(_capped) for name in ("runs needed", "without pairing")},
        )
        _show(console, shown, f"Plan for {task}: runs per method to tell the leader from the others")
        console.print(pairing_line(comparison, task), markup=False)
    console.print(
        "effect: mean difference in its standard deviations; runs needed: for 80 % power at the 5 % level, and a "
        "fifth more as a few runs tell the deviation badly. More runs: the same command with --runs N. Or let the "
        "number find itself, with an error of at most 5 %: another folder and --settle G, groups of --runs until "
        "it is clear.",
        style="dim",
    )


def _capped(runs: int) -> str:
    return f"{runs:,} or more" if runs >= MOST_RUNS else str(runs)


def _show(console: Console, table: pd.DataFrame, title: str) -> None:
    view = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in table.columns:
        view.add_column(column, justify="left" if column in ("optimizer", "leader", "against") else "right")
    for row in table.itertuples(index=False):
        view.add_row(*(Text(str(cell)) for cell in row))
    console.print(view)


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
