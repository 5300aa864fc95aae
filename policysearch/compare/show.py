"""What the command line shows in the terminal."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from policysearch.compare import verdict
from policysearch.compare.comparison import Comparison
from policysearch.compare.power import MAX_RUNS
from policysearch.compare.progress import say
from policysearch.compare.readable import covered, remarks, task_table
from policysearch.compare.verdict import budget_words, of_task, pairing_line
from policysearch.reporting.console import Console
from policysearch.reporting.tables import number, terminal

if TYPE_CHECKING:
    from policysearch.compare.driver import StudyOutcome

MAX_NOTES = 6


def outcome(found: "StudyOutcome", out: Path, *, with_plan: bool) -> None:
    """What has come of a study: its results, or what tuning has found so far; and what there was no time for."""
    if found.result is not None:
        results(found.result, out)
        if with_plan:
            plan(found.result)
    console = Console(highlight=False)
    for line in found.tuning:
        console.print(line, markup=False, soft_wrap=True)
    if found.unfinished:
        late = f"the time limit was over before these runs were finished: {found.unfinished}"
        say(f"note: {late}; the same command with more --hours continues")


def results(comparison: Comparison, out: Path) -> None:
    """The table of every task, what it supports in words, remarks, and where the files are."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    for task in comparison.tasks:
        _show(console, task_table(comparison, task), f"{task}, {budget_words(comparison, task)}")
        console.print(of_task(comparison, task), markup=False)
        console.print()
    noted = remarks(comparison)
    for line in noted[:MAX_NOTES]:
        console.print(f"note: {line}", markup=False)
    if len(noted) > MAX_NOTES:
        console.print(f"note: {len(noted) - MAX_NOTES} more in {out / 'summary.md'}", markup=False)
    console.print(
        "final return: the recommendation on held-out episodes, interquartile mean over runs; anytime: its mean over "
        "the budget; claimed − final: what the search's best noisy value overstates" + covered(comparison),
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
        if part.empty:
            console.print(
                f"Plan for {task}: the leader has no run in common with another method", markup=False
            )
            continue
        formatted = part.assign(
            difference=part["difference"].map(number),
            effect=part["effect"].map(number),
            rollouts=part["rollouts"].map("{:,}".format),
            **{name: part[name].map(_capped) for name in ("runs needed", "without pairing")},
        )
        _show(
            console, formatted, f"Plan for {task}: runs per method to distinguish the leader from the others"
        )
        console.print(pairing_line(comparison, task), markup=False)
    console.print(
        "effect: mean difference in its standard deviations; runs needed: so many decide the pair in 80 % of "
        "simulated studies that draw from these runs, tested with all other pairs. More runs: the same command with "
        "--runs N. Or "
        "as many as the comparison needs, with an error of at most 5 %: another folder and --settle G, groups of "
        "--runs until every pair is decided.",
        style="dim",
    )


def _capped(runs: int) -> str:
    return f"{runs:,} or more" if runs >= MAX_RUNS else str(runs)


def _show(console: Console, table: pd.DataFrame, title: str) -> None:
    rows = table.itertuples(index=False)
    console.print(terminal(table.columns, rows, title=title, left=("optimizer", "leader", "against")))
