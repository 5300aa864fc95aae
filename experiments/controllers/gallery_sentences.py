"""Sentences of the page of controllers, chosen by the tables that they stand next to.

A difference is claimed where the study's own test finds it (`better` in its pairs.csv: at most a 5 % chance of any
error among all pairs of a task). Places are those of the interquartile means, and claim nothing.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from best_known import near

from policysearch.compare import verdict
from policysearch.compare.statistics import iqm

BEST, RULE, START, DEFAULT = "best known", "Ziegler & Nichols", "start", "auto"


def listed(names: Sequence[str]) -> str:
    """Names as code, "no method" for none."""
    return verdict.listed([f"`{name}`" for name in names]) if names else "no method"


def middles(ends: pd.DataFrame) -> "pd.Series[float]":
    """Interquartile means by task and method; of methods and of the known controllers."""
    return ends.apply(lambda row: float(iqm(row.to_numpy())), axis=1)


def by_task(ends: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The ends of every task: a row per method or known controller, a column per run."""
    for task, rows in ends.groupby("task", sort=False):
        yield str(task), rows.droplevel("task")


def hits(rows: pd.DataFrame, method: str) -> int:
    """Runs within 5 % of the best known."""
    return int(near(rows.loc[method].to_numpy(), rows.loc[BEST].to_numpy()).sum())


def everywhere(ends: pd.DataFrame, methods: list[str]) -> str:
    """Whether a method is near the best known on every task, and how many runs of all methods are on each."""
    usually = [m for m in methods if all(2 * hits(rows, m) > rows.shape[1] for _, rows in by_task(ends))]
    counts = {task: sum(hits(rows, method) for method in methods) for task, rows in by_task(ends)}
    rule = [
        task for task, rows in by_task(ends) if RULE in rows.index and 2 * hits(rows, RULE) > rows.shape[1]
    ]
    verb = "are" if len(usually) > 1 else "is"
    headline = f"{listed(usually).capitalize()} {verb} near the best known on every task"
    said = ", ".join(f"{count} on {task}" for task, count in counts.items())
    of = f" ({' and '.join(rule)}: so is the rule of 1942)" if rule else ""
    return (
        f"**{headline}** in more than half of the runs. Within 5 % are, of the "
        f"{ends.shape[1] * len(methods)} runs on a task, {said}{of}."
    )


def of_default(ends: pd.DataFrame, methods: list[str], decided: pd.DataFrame) -> str:
    """What `tune` takes: how near it comes, its places, and which methods the study distinguishes from it."""
    tables = dict(by_task(ends))
    runs, close = ends.shape[1] * len(tables), sum(hits(rows, DEFAULT) for rows in tables.values())
    below = sum(np.sum(~(rows.loc[DEFAULT] >= rows.loc[START]).to_numpy()) for rows in tables.values())
    ranked = {task: middles(rows.loc[methods]).sort_values(ascending=False) for task, rows in tables.items()}
    place = {task: 1 + list(values.index).index(DEFAULT) for task, values in ranked.items()}
    places = ", ".join(f"{number} on {task}" for task, number in place.items())
    behind = decided[decided["better"] == DEFAULT]
    ahead = decided[decided["worse"] == DEFAULT]
    beaten = ", ".join(f"`{row.better}` on {row.task}" for row in ahead.itertuples())
    return (
        f"**`{DEFAULT}`, which `tune` takes,** ends within 5 % of the best known in {close} of {runs} runs and below "
        f"its start in {below}. Its places by the interquartile mean, of {len(methods)}: {places}. Of its "
        f"{(len(methods) - 1) * len(tables)} pairs with another method on a task the study calls it better in "
        f"{len(behind)} and worse in {len(ahead)}{f' ({beaten})' if beaten else ''}; the others are undecided."
    )


def above_rule(ends: pd.DataFrame, methods: list[str]) -> str:
    """Which methods have a higher interquartile mean than the rule, by task."""
    parts = []
    for task, rows in by_task(ends):
        if RULE in rows.index:
            values = middles(rows)
            above = [method for method in methods if values[method] > values[RULE]]
            rest = [method for method in methods if method not in above]
            most = 0 < len(rest) < len(above)
            parts.append(f"{task}: {f'all but {listed(rest)}' if most else listed(above)}")
    return f"A higher interquartile mean than the rule have, on {'; on '.join(parts)}."


def below_start(ends: pd.DataFrame, methods: list[str]) -> str:
    """The methods whose interquartile mean is below that of the start, with the tasks."""
    where: dict[str, list[str]] = {}
    for task, rows in by_task(ends):
        values = middles(rows)
        for method in methods:
            if values[method] < values[START]:
                where.setdefault(method, []).append(task)
    named = "; ".join(f"`{method}` ({', '.join(tasks)})" for method, tasks in where.items())
    return f"An interquartile mean below that of the start: {named or 'none'}."


def undecided(ends: pd.DataFrame, methods: list[str], decided: pd.DataFrame) -> str:
    """How many pairs the study leaves open."""
    pairs = len(methods) * (len(methods) - 1) // 2 * ends.index.unique("task").size
    return f"{ends.shape[1]} runs leave {pairs - len(decided):,} of {pairs:,} pairs undecided"


def sentences(ends: pd.DataFrame, methods: list[str], decided: pd.DataFrame) -> dict[str, str]:
    """All of them, by their names in findings.md."""
    return {
        "everywhere": everywhere(ends, methods),
        "default": of_default(ends, methods, decided),
        "undecided": undecided(ends, methods, decided),
        "above_rule": above_rule(ends, methods),
        "start": below_start(ends, methods),
    }
