"""A comparison as people read it: tables of short numbers, and sentences that say what was run."""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from policysearch.compare.comparison import Comparison
from policysearch.compare.journal import NO_VERSIONS
from policysearch.compare.power import MIN_RUNS
from policysearch.compare.reported import failed_share
from policysearch.compare.statistics import coverage
from policysearch.compare.verdict import budget_words
from policysearch.limits import TIME_IS_UP
from policysearch.reporting.tables import interval, number

#: What the reports say of the word.
BETTER = (
    "“Better” is said of paired runs: were two methods exchangeable, the differences of their runs could as well "
    "have had other signs, and in at most 5 % of studies would any such pair of a task be called so. It is not said "
    "of means: a method that is usually better and sometimes fails badly may be called better; where the means do "
    "not say the same, the verdict adds it."
)


def readable_table(comparison: Comparison) -> pd.DataFrame:
    """The summary, best first within a task, with what was claimed and what was spent; cells are text."""
    tables = {task: _task_rows(comparison, task) for task in comparison.tasks}
    return pd.concat(tables, names=["task"]).reset_index("task").reset_index(drop=True)


@lru_cache(64)
def task_table(comparison: Comparison, task: str) -> pd.DataFrame:
    """The rows of a task, without columns that are 0 % throughout; the same table whenever it is asked for."""
    table = _task_rows(comparison, task)
    zero = [name for name in ("failed", "failed in report", "clipped") if (table[name] == "0 %").all()]
    return table.drop(columns=zero)


def _task_rows(comparison: Comparison, task: str) -> pd.DataFrame:
    rows, runs = [], comparison.runs[comparison.runs["task"] == task]
    part = comparison.summary[comparison.summary["task"] == task]
    for entry in part.sort_values("iqm", ascending=False, kind="stable").to_dict("records"):
        mine = runs[runs["optimizer"] == entry["optimizer"]]
        clipped = mine["clipped_steps"] / mine["steps"].clip(lower=1)
        rows.append(
            {
                "optimizer": entry["optimizer"],
                "d": int(mine["d"].max()),
                "runs": entry["runs"],
                "final return (IQM)": number(entry["iqm"]),
                "95 % interval": interval(entry["ci_low"], entry["ci_high"]),
                "anytime": number(entry["anytime"]),
                "start": number(mine["start_return"].mean()),
                "claimed − final": number((mine["claimed_return"] - mine["final_return"]).mean()),
                "rollouts": number(mine["rollouts"].mean()),
                "steps": f"{mine['steps'].mean():,.0f}",
                "failed": f"{100 * entry['failure_rate']:.2g} %",
                "failed in report": f"{100 * failed_share(mine, comparison.study.report_episodes):.2g} %",
                "clipped": f"{100 * clipped.mean():.0f} %",
            }
        )
    return pd.DataFrame(rows)


def remarks(comparison: Comparison) -> list[str]:
    """Failures, and budgets that were not spent."""
    runs = comparison.runs
    lines = [
        f"{run['optimizer']} on {run['task']}, run {run['run']}: {run['remarks']}"
        for run in runs[runs["remarks"] != ""].to_dict("records")
    ]
    for task in comparison.tasks:
        limit = comparison.study.budget(task).rollouts
        mine = runs[runs["task"] == task]
        short = sorted(set(mine.loc[mine["rollouts"] < 0.9 * (limit or 0), "optimizer"]))
        limits = comparison.study.limits(task)
        may_end_early = (limits.hours, limits.target, comparison.study.budget(task).steps) != (None,) * 3
        if short and not may_end_early:
            lines.append(f"{task}: less than nine tenths of the budget spent by {', '.join(short)}")
    return lines


def spent_by_purpose(comparison: Comparison) -> pd.DataFrame:
    """Rollouts and steps of the whole study by purpose."""
    spent = comparison.spent
    spent = spent.assign(purpose=np.where(spent["stage"] == "tuning", "tuning", spent["purpose"]))
    table = spent.groupby("purpose", sort=False)[list(spent.columns[5:])].sum()
    return table.reset_index().map(lambda cell: f"{cell:,}" if isinstance(cell, int) else cell)


def versions(comparison: Comparison) -> list[str]:
    """What the study was made with, one line per different environment."""
    lines = []
    for session in comparison.sessions:
        known = {k: v for k, v in session.items() if k not in NO_VERSIONS}
        line = ", ".join(f"{name} {value}" for name, value in known.items())
        if line not in lines:
            lines.append(line)
    return lines


def commands(comparison: Comparison) -> list[str]:
    """The commands that made it, in order, each once."""
    given = [session.get("command") for session in comparison.sessions]
    return [command for command in dict.fromkeys(given) if command]


def facts(comparison: Comparison) -> list[str]:
    """What was run, in sentences."""
    study, runs = comparison.study, comparison.runs
    budgets = ", ".join(f"{task} {budget_words(comparison, task)}" for task in comparison.tasks)
    lines = [
        f"{len(runs)} runs, seed {study.seed}; budget: {budgets}. {runs['rollouts'].sum():,} rollouts of search and "
        f"{runs['report_rollouts'].sum():,} of reporting, {runs['wall_seconds'].sum():,.0f} s by the clock in "
        "the runs.",
    ]
    lines += _limited(comparison)
    if len(comparison.tuning):
        tuning = comparison.spent[comparison.spent["stage"] == "tuning"]
        count = int(comparison.tuning.groupby(["task", "optimizer"]).size().max())
        lines.append(
            f"Hyperparameters were tuned first, with {tuning['rollouts'].sum():,} further rollouts: "
            f"{count} runs per method and task, on seeds that the comparison does not use."
        )
    if study.settle:
        lines.append(
            f"Sequential: groups of {study.runs} runs, at most {study.settle}, until all pairs are decided; "
            "calling exchangeable methods different has a probability of at most 5 % on each task, over all its "
            "pairs and looks."
        )
    lines.append(
        f"The final return is that of the recommendation on held-out episodes ({study.report_episodes} per run), "
        "never a value that the search saw: interquartile mean over the runs (IQM) with its bootstrap interval"
        f"{covered(comparison)}. "
        "“anytime” is the mean return of the recommendation over the whole budget, “claimed − final” says by how "
        "much the search’s best value overstates it, “start” is the starting policy, d the number of "
        "parameters searched."
    )
    if len(comparison.labels) > 1:
        lines.append(BETTER)
    for name, label in (("checks", "Tried before the first run"), ("remark", "Note"), ("time", "Time limit")):
        said = dict.fromkeys(session.get(name) for session in comparison.sessions)
        lines += [f"{label}: {line}." for line in said if line]
    what = [session.get("runs") or {} for session in comparison.sessions]
    names = dict.fromkeys(name for known in what for name in known)
    if mixed := [name for name in names if len({known[name] for known in what if name in known}) > 1]:
        lines.append(f"Note: not the same in all parts of the study: {', '.join(mixed)}.")
    return lines


def _limited(comparison: Comparison) -> list[str]:
    """Which limits have made searches differ in rollouts."""
    study, runs = comparison.study, comparison.runs
    targets = {task: study.limits(task).target for task in comparison.tasks}
    timed = runs["remarks"].str.contains(TIME_IS_UP, regex=False).any()
    ends = ["when their share of the time was over"] if timed else []
    ends += [
        f"on {task} with a candidate of {target:g} or better"
        for task, target in targets.items()
        if target is not None
    ]
    if not ends:
        return []
    spans = [
        f"{label} on {task} {group['rollouts'].min():,} to {group['rollouts'].max():,}"
        for (task, label), group in runs.groupby(["task", "optimizer"], sort=False)
    ]
    why = "; time depends on the machine and on what else it does" if timed else ""
    return [
        f"Searches ended {' and '.join(ends)}, so that this is not a comparison on equal rollouts{why}. "
        f"Rollouts of a search: {', '.join(spans)}."
    ]


def covered(comparison: Comparison) -> str:
    """How often 95 % intervals cover at most, where so few runs were made that it is less; else nothing."""
    runs = int(comparison.summary["runs"].min())
    if runs < 2 or coverage(runs) == coverage(MIN_RUNS):
        return ""
    return f"; with {runs} runs a 95 % interval covers at most {100 * coverage(runs):.0f} %"


def overall_words(comparison: Comparison) -> str:
    """How returns were normalised."""
    ranges = ", ".join(
        f"{task} {number(low)} and {number(high)}"
        for task in comparison.normalised_tasks
        for low, high in [comparison.study.references(task) or (0.0, 1.0)]
    )
    return f"Returns normalised by references that the tasks declare, which become 0 and 1: {ranges}."


def overall_table(comparison: Comparison) -> pd.DataFrame:
    """Normalised interquartile means, best first."""
    table = comparison.overall.sort_values("iqm", ascending=False, kind="stable")
    return pd.DataFrame(
        {
            "optimizer": table["optimizer"],
            "normalised return (IQM)": table["iqm"].map(number),
            "95 % interval": [*map(interval, table["ci_low"], table["ci_high"])],
        }
    )


def tuned_rows(comparison: Comparison) -> list[dict[Any, Any]]:
    """The chosen hyperparameters."""
    tuning = comparison.tuning
    return tuning[tuning["chosen"].astype(bool)].drop_duplicates(["task", "optimizer"]).to_dict("records")


def matrix_cells(comparison: Comparison, task: str | None) -> list[tuple[str, list[tuple[str, str]]]]:
    """P(row beats column) as (row, [(text, colour), …])."""
    table = comparison.improvement_matrix(task)
    return [
        (str(label), [(_probability(value), _colour(value)) for value in table.loc[label].tolist()])
        for label in table.index
    ]


def _probability(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _colour(value: float) -> str:
    """From orange (0) over white to blue (1)."""
    if np.isnan(value):
        return "#f4f4f4"
    end = (86, 160, 220) if value > 0.5 else (230, 159, 60)
    share = min(1.0, abs(value - 0.5) * 2)
    return "#" + "".join(f"{round(255 + share * (c - 255)):02x}" for c in end)
