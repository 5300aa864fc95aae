"""The estimated cost of the study, from a pilot: processor hours by part, before anything long is started."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from choice_methods import PROCESSES
from choice_runs import Job, budgets_of, longest

PILOT = Path(__file__).with_name("pilot.csv")
#: Rollouts of a run of the pilot.
ROLLOUTS, ROLLOUTS_OF_PROCESSES = 100, 30


def pilot(path: Path = PILOT) -> pd.DataFrame:
    """Seconds and rollouts of one run for every problem and method; empty before the pilot."""
    columns = ["problem", "method", "spent", "seconds"]
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=columns)


def seconds(known: pd.DataFrame, job: Job, most: int) -> float:
    """Processor seconds of a job; NaN where the pilot has none of its problem and method.

    In proportion to the rollouts; of Gaussian processes, to their square.
    """
    part = known[(known["problem"] == job.problem) & (known["method"] == job.method.partition("#")[0])]
    budgets = budgets_of(job, min(longest(known, job), most))
    if part.empty or not budgets:
        return float("nan") if part.empty else 0.0
    ratio = max(budgets) / float(part["spent"].iloc[0])
    return float(part["seconds"].iloc[0]) * ratio ** (2 if job.method in PROCESSES else 1)


def table(known: pd.DataFrame, jobs: Sequence[Job], most: int) -> pd.DataFrame:
    """Processor hours by method: runs, hours, and runs of which the pilot knows nothing."""
    rows = [(job.method.partition("#")[0], seconds(known, job, most)) for job in jobs]
    made = pd.DataFrame(rows, columns=["method", "seconds"])
    grouped = made.groupby("method")["seconds"]
    out = pd.DataFrame(
        {"runs": grouped.size(), "hours": grouped.sum() / 3600, "unknown": grouped.apply(_unknown)}
    )
    return out.sort_values("hours", ascending=False)


def _unknown(values: pd.Series) -> int:
    return int(values.isna().sum())


def said(found: pd.DataFrame) -> str:
    """The table in words and numbers."""
    lines = [
        f"{name:32} {row.runs:7.0f} {row.hours:9.2f} {row.unknown:9.0f}" for name, row in found.iterrows()
    ]
    total = f"{'all':32} {found.runs.sum():7.0f} {found.hours.sum():9.2f} {found.unknown.sum():9.0f}"
    return "\n".join([f"{'method':32} {'runs':>7} {'hours':>9} {'unknown':>9}", *lines, total])
