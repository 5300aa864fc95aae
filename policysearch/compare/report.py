"""The report of a comparison: `report.html`, `summary.md`, `curves.png`, and a LaTeX table on demand."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from policysearch.compare import plots
from policysearch.compare.comparison import FEWEST_TASKS, TARGETS, Comparison, relative
from policysearch.compare.verdict import budget_words, of_task, pairing_line
from policysearch.reporting.figures import inline
from policysearch.reporting.files import write_text

#: Remarks, and failed episodes, that the page shows.
MOST_FAILURES = 20


def write(comparison: Comparison, out: Path, *, latex: bool = False) -> None:
    """Write the tables and the report into a folder, each file whole or not at all.

    Raises:
        OSError: if a file cannot be written.
    """
    comparison.write(out)
    plots.write_curves(comparison, out)
    write_text(out / "summary.md", page(comparison))
    write_text(out / "report.html", html(comparison, out))
    if latex:
        write_text(out / "table.tex", latex_table(comparison))


def readable_table(comparison: Comparison) -> pd.DataFrame:
    """The summary as people read it: best first within a task, with what was claimed and what was spent."""
    rows = []
    for task in comparison.tasks:
        part = comparison.summary[comparison.summary["task"] == task]
        for entry in part.sort_values("iqm", ascending=False, kind="stable").to_dict("records"):
            runs = comparison.runs
            mine = runs[(runs["task"] == task) & (runs["optimizer"] == entry["optimizer"])]
            clipped = mine["clipped_steps"] / mine["steps"].clip(lower=1)
            rows.append(
                {
                    "task": task,
                    "optimizer": entry["optimizer"],
                    "d": int(mine["d"].max()),
                    "runs": entry["runs"],
                    "final return (IQM)": number(entry["iqm"]),
                    "95 % interval": f"{number(entry['ci_low'])} … {number(entry['ci_high'])}",
                    "anytime": number(entry["anytime"]),
                    "start": number(mine["start_return"].mean()),
                    "claimed − final": number((mine["claimed_return"] - mine["final_return"]).mean()),
                    "rollouts": number(mine["rollouts"].mean()),
                    "steps": f"{mine['steps'].mean():,.0f}",
                    "failed": f"{100 * entry['failure_rate']:.2g} %",
                    "clipped": f"{100 * clipped.mean():.0f} %",
                }
            )
    return pd.DataFrame(rows)


def without_quiet_columns(table: pd.DataFrame) -> pd.DataFrame:
    """A table without the columns in which nothing happened."""
    quiet = [name for name in ("failed", "clipped") if name in table and (table[name] == "0 %").all()]
    return table.drop(columns=quiet)


def remarks(comparison: Comparison) -> list[str]:
    """What a reader should know of these runs: failures, budgets not spent."""
    runs = comparison.runs
    lines = [
        f"{run['optimizer']} on {run['task']}, run {run['run']}: {run['remarks']}"
        for run in runs[runs["remarks"] != ""].to_dict("records")
    ]
    for task in comparison.tasks:
        limit = comparison.study.budget(task).rollouts
        mine = runs[runs["task"] == task]
        short = sorted(set(mine.loc[mine["rollouts"] < 0.9 * (limit or 0), "optimizer"]))
        if short and comparison.study.budget(task).steps is None:
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
        known = {k: v for k, v in session.items() if k not in ("command", "date", "process")}
        line = ", ".join(f"{name} {value}" for name, value in known.items())
        if line not in lines:
            lines.append(line)
    return lines


def commands(comparison: Comparison) -> list[str]:
    """The commands that made it, in order, each once."""
    return list(
        dict.fromkeys(session["command"] for session in comparison.sessions if session.get("command"))
    )


def replay_command(file: str, out: Path | None = None) -> str:
    """The command that shows a failed episode again."""
    path = Path(file) if out is None else out / relative(file, out)
    return f"python -m policysearch.compare replay {shlex.quote(str(path))}"


def markdown(table: pd.DataFrame) -> str:
    """A data frame of text as a Markdown table."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
    for row in table.itertuples(index=False):
        cells = [" ".join(str(cell).replace("|", "\\|").split()) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def facts(comparison: Comparison) -> list[str]:
    """What was run, in sentences."""
    study, runs = comparison.study, comparison.runs
    budgets = ", ".join(f"{task} {budget_words(comparison, task)}" for task in comparison.tasks)
    lines = [
        f"{len(runs)} runs, seed {study.seed}; budget: {budgets}. {runs['rollouts'].sum():,} rollouts of search and "
        f"{runs['report_rollouts'].sum():,} of reporting, {runs['wall_seconds'].sum():,.0f} s of processor time in "
        "the runs.",
    ]
    if len(comparison.tuning):
        tuning = comparison.spent[comparison.spent["stage"] == "tuning"]
        most = int(comparison.tuning.groupby(["task", "optimizer"]).size().max())
        lines.append(
            f"Hyperparameters were tuned first, with {tuning['rollouts'].sum():,} further rollouts: "
            f"{most} runs per method and task, on seeds that the comparison does not meet."
        )
    if study.settle:
        lines.append(
            f"Sequential: groups of {study.runs} runs, at most {study.settle}, until all pairs are told apart; "
            "calling equal methods different has a probability of at most 5 % on each task, over all its pairs "
            "and looks."
        )
    lines.append(
        f"The final return is that of the recommendation on fresh episodes ({study.report_episodes} per run), never "
        "a value that the search saw: interquartile mean over the runs (IQM) with its bootstrap interval. “anytime” "
        "is the mean return of the recommendation over the whole budget, “claimed − final” says by how much the "
        "search’s best value overstates it, “start” is the untouched starting policy, d the number of "
        "parameters searched."
    )
    return lines


def page(comparison: Comparison) -> str:
    """`summary.md`."""
    command = "; ".join(f"`{line}`" for line in commands(comparison)) or "Python"
    parts = ["# Comparison", f"Written by {command}. {'; '.join(versions(comparison))}.", *facts(comparison)]
    table = readable_table(comparison)
    for task in comparison.tasks:
        mine = without_quiet_columns(table[table["task"] == task].drop(columns="task"))
        words = f"{of_task(comparison, task)} {pairing_line(comparison, task)}".strip()
        parts += [f"## {task}", words, markdown(mine)]
    if len(comparison.overall):
        parts += ["## All tasks together", overall_words(comparison), markdown(overall_table(comparison))]
    parts += ["## What it took", markdown(spent_by_purpose(comparison))]
    noted = remarks(comparison)
    if noted:
        parts += ["## Remarks", "\n".join(f"- {line}" for line in noted)]
    parts += ["![Return of the recommendation against rollouts](curves.png)"]
    return "\n\n".join(parts) + "\n"


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
    interval = [
        f"{number(low)} … {number(high)}" for low, high in zip(table["ci_low"], table["ci_high"], strict=True)
    ]
    iqm = [number(value) for value in table["iqm"]]
    return pd.DataFrame(
        {"optimizer": table["optimizer"], "normalised return (IQM)": iqm, "95 % interval": interval}
    )


def html(comparison: Comparison, out: Path | None = None) -> str:
    """`report.html`: one file, no network."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("policysearch.compare", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip

    def drawn(figure: Any, name: str) -> Markup:
        return Markup(inline(figure, name))  # noqa: S704 - matplotlib escapes what it draws

    table = readable_table(comparison)
    tasks = [
        {
            "name": task,
            "budget": budget_words(comparison, task),
            "verdict": of_task(comparison, task),
            "pairing": pairing_line(comparison, task),
            "table": without_quiet_columns(table[table["task"] == task].drop(columns="task")),
            "matrix": matrix_cells(comparison, task),
            "pictures": [
                (
                    drawn(plots.anytime(comparison, task, axis), f"{task} {axis}"),
                    f"Return against {axis}; bands: 95 %",
                )
                for axis in ("rollouts", "steps")
            ]
            + [(drawn(plots.finals(comparison, task), f"{task} finals"), "Every run, IQM and 95 % interval")],
        }
        for task in comparison.tasks
    ]
    overall = []
    if comparison.normalised_tasks:
        overall = [
            (
                drawn(plots.profile(comparison), "profile"),
                "Performance profile: fraction of runs above a normalised return",
            ),
            (drawn(plots.ecdf(comparison), "ecdf"), f"Targets reached, of {len(TARGETS)} per task and run"),
        ]
    tuned, noted = list(dict.fromkeys(comparison.tuning["optimizer"])), remarks(comparison)
    return environment.get_template("report.html.j2").render(
        title=f"Comparison on {', '.join(comparison.tasks)}",
        commands=commands(comparison),
        versions=versions(comparison),
        facts=facts(comparison),
        tasks=tasks,
        labels=comparison.labels,
        overall=overall,
        overall_words=overall_words(comparison),
        overall_table=overall_table(comparison) if len(comparison.overall) else None,
        overall_matrix=matrix_cells(comparison, None) if len(comparison.tasks) > 1 else None,
        fewest_tasks=FEWEST_TASKS,
        tuning=[(label, drawn(plots.sensitivity(comparison, label), f"tuning {label}")) for label in tuned],
        tuned=tuned_rows(comparison),
        spent=spent_by_purpose(comparison),
        remarks=noted[:MOST_FAILURES],
        more_remarks=max(0, len(noted) - MOST_FAILURES),
        failures=[
            row | {"command": replay_command(str(row["file"]), out)}
            for row in comparison.failures.head(MOST_FAILURES).to_dict("records")
        ],
        more_failures=max(0, len(comparison.failures) - MOST_FAILURES),
        sessions=comparison.sessions,
        study=(comparison.study.document()),
    )


def tuned_rows(comparison: Comparison) -> list[dict[Any, Any]]:
    """The chosen hyperparameters."""
    chosen = (
        comparison.tuning[comparison.tuning["chosen"].astype(bool)]
        if len(comparison.tuning)
        else comparison.tuning
    )
    return chosen.drop_duplicates(["task", "optimizer"]).to_dict("records")


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


def latex_table(comparison: Comparison) -> str:
    """A table of interquartile means with their intervals: a row per method, a column per task (booktabs)."""
    names = " & ".join(_tex(task) for task in comparison.tasks)
    lines = [
        f"% {'; '.join(commands(comparison))}".replace("\n", " "),
        rf"\begin{{tabular}}{{l{'r' * len(comparison.tasks)}}}",
        r"\toprule",
        rf"method & {names} \\",
        r"\midrule",
    ]
    for label in comparison.labels:
        cells = []
        for task in comparison.tasks:
            summary = comparison.summary
            mine = summary[(summary["task"] == task) & (summary["optimizer"] == label)].to_dict("records")
            shown = [f"{number(e['iqm'])} [{number(e['ci_low'])}, {number(e['ci_high'])}]" for e in mine]
            cells.append(_tex(shown[0].replace("-", "−")) if shown else "")
        lines.append(rf"{_tex(label)} & {' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "−": "$-$",
    }
    return "".join(special.get(letter, "\\" + letter if letter in "&%$#_{}" else letter) for letter in text)


def number(value: Any) -> str:
    """Three to four significant digits, without an exponent where a person would not use one."""
    value = float(value)
    if not np.isfinite(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = max(0, 3 - int(np.floor(np.log10(abs(value) or 1)))) if abs(value) < 1000 else 0
        return f"{value:.{min(digits, 4)}f}"
    return f"{value:.3g}"


def command_line(arguments: list[str], module: str = "policysearch.compare") -> str:
    """The command that a reader can type again."""
    name = "python" if "python" in Path(sys.executable).name else sys.executable
    return shlex.join([name, "-m", module, *(os.fspath(argument) for argument in arguments)])
