"""The report of a comparison: `report.html`, `summary.md`, `curves.png`, and a LaTeX table on demand."""

from functools import partial
from pathlib import Path
from typing import Any

from policysearch.compare import plots
from policysearch.compare.again import replay_command
from policysearch.compare.comparison import MIN_TASKS, TARGETS, Comparison
from policysearch.compare.document import document
from policysearch.compare.groups import groups
from policysearch.compare.readable import (
    commands,
    facts,
    matrix_cells,
    overall_table,
    overall_words,
    remarks,
    spent_by_purpose,
    task_table,
    tuned_rows,
    versions,
)
from policysearch.compare.verdict import budget_words, of_task, pairing_line, short
from policysearch.files import write_text
from policysearch.plain_data import for_others
from policysearch.reporting.figures import drawing
from policysearch.reporting.page import drawn, render
from policysearch.reporting.tables import latex, markdown, number
from policysearch.tasks import outside

#: The most remarks, and failed episodes, that the page shows.
MAX_LISTED = 20


def write(comparison: Comparison, out: Path, *, latex: bool = False) -> None:
    """Write the tables and the report into a folder, each file atomically.

    Raises:
        OSError: if a file cannot be written.
    """
    comparison.write(out)
    write_text(out / "summary.md", page(comparison))
    write_text(out / "result.json", for_others(document(comparison)))
    if latex:
        write_text(out / "table.tex", latex_table(comparison))
    with drawing():
        plots.write_curves(comparison, out)
    write_text(out / "report.html", html(comparison, out))


def page(comparison: Comparison) -> str:
    """`summary.md`."""
    command = "; ".join(f"`{line}`" for line in commands(comparison)) or "Python"
    parts = ["# Comparison", f"Written by {command}. {'; '.join(versions(comparison))}.", *facts(comparison)]
    for task in comparison.tasks:
        words = f"{of_task(comparison, task)} {pairing_line(comparison, task)}".strip()
        parts += [f"## {task}", words, markdown(task_table(comparison, task))]
    if len(comparison.overall):
        parts += ["## All tasks together", overall_words(comparison), markdown(overall_table(comparison))]
    parts += ["## What it took", markdown(spent_by_purpose(comparison))]
    noted = remarks(comparison)
    if noted:
        parts += ["## Remarks", "\n".join(f"- {line}" for line in noted)]
    parts += ["![Return of the recommendation against rollouts](curves.png)"]
    return "\n\n".join(parts) + "\n"


def html(comparison: Comparison, out: Path | None = None) -> str:
    """`report.html`: one file, no network."""
    tuned, noted = list(dict.fromkeys(comparison.tuning["optimizer"])), remarks(comparison)
    return render(
        "policysearch.compare",
        title=f"Comparison on {', '.join(comparison.tasks)}",
        commands=commands(comparison),
        versions=versions(comparison),
        facts=facts(comparison),
        tasks=[_task_section(comparison, task) for task in comparison.tasks],
        labels=comparison.labels,
        looks=(found := plots.looks(comparison)),
        marks=[look.mark for look in found.values()],
        overall=_overall_pictures(comparison) if comparison.normalised_tasks else [],
        overall_words=overall_words(comparison),
        overall_table=overall_table(comparison) if len(comparison.overall) else None,
        overall_matrix=matrix_cells(comparison, None) if len(comparison.tasks) > 1 else None,
        fewest_tasks=MIN_TASKS,
        tuning=[
            (label, drawn(partial(plots.sensitivity, comparison, label), f"tuning {label}"))
            for label in tuned
        ],
        tuned=tuned_rows(comparison),
        spent=spent_by_purpose(comparison),
        remarks=noted[:MAX_LISTED],
        more_remarks=max(0, len(noted) - MAX_LISTED),
        failures=[
            row | {"command": replay_command(str(row["file"]), out, *_outside(comparison, str(row["task"])))}
            for row in comparison.failures.head(MAX_LISTED).to_dict("records")
        ],
        more_failures=max(0, len(comparison.failures) - MAX_LISTED),
        sessions=comparison.sessions,
        study=comparison.study.document(),
    )


def _task_section(comparison: Comparison, task: str) -> dict[str, Any]:
    """What the page shows of a task."""
    curves = [
        (
            drawn(partial(plots.anytime, comparison, task, axis), f"{task} {axis}"),
            f"Return against {axis}; bands: 95 %",
        )
        for axis in ("rollouts", "steps")
    ]
    finals = drawn(partial(plots.finals, comparison, task), f"{task} finals")
    return {
        "name": task,
        "budget": budget_words(comparison, task),
        "short": short(comparison, task),
        "groups": groups(comparison, task),
        "verdict": of_task(comparison, task),
        "pairing": pairing_line(comparison, task),
        "table": task_table(comparison, task),
        "matrix": matrix_cells(comparison, task),
        "pictures": [*curves, (finals, "Every run, IQM and 95 % interval")],
    }


def _overall_pictures(comparison: Comparison) -> list[tuple[Any, str]]:
    """Pictures of all tasks together, and their captions."""
    profile, ecdf = partial(plots.profile, comparison), partial(plots.ecdf, comparison)
    return [
        (drawn(profile, "profile"), "Performance profile: fraction of runs above a normalised return"),
        (drawn(ecdf, "ecdf"), f"Targets reached, of {len(TARGETS)} per task and run"),
    ]


def latex_table(comparison: Comparison) -> str:
    """A table of interquartile means with their intervals: a row per method, a column per task."""
    cells = {
        (
            row["task"],
            row["optimizer"],
        ): f"{number(row['iqm'])} [{number(row['ci_low'])}, {number(row['ci_high'])}]"
        for row in comparison.summary.to_dict("records")
    }
    rows = [
        [label, *(cells.get((task, label), "").replace("-", "−") for task in comparison.tasks)]
        for label in comparison.labels
    ]
    return latex(["method", *comparison.tasks], rows, "; ".join(commands(comparison)))


def _outside(comparison: Comparison, task: str) -> list[str]:
    """The modules outside the package that a replay of a run on a task needs."""
    runs = comparison.runs[comparison.runs["task"] == task]
    return outside(task, str(runs["policy"].iloc[0])) if "policy" in runs else []
