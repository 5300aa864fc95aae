"""What a study writes: the tables, the pictures, the recommendations and a readable summary."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

import policysearch
from policysearch.compare import plots, recommendation
from policysearch.compare.run import Result, jobs
from policysearch.compare.statistics import bootstrap_interval, iqm
from policysearch.compare.study import Study

PACKAGES = ("numpy", "scipy", "gymnasium", "cma", "pandas")


def write(study: Study, results: list[Result], out: Path, command: str) -> pd.DataFrame:
    """Write everything into `out`, each file whole or not at all; returns the summary."""
    order = {job: i for i, job in enumerate(jobs(study))}
    results = sorted(results, key=lambda result: order[result.job])
    runs = pd.DataFrame([result.row for result in results])
    curves = pd.DataFrame([row for result in results for row in result.curve])
    summary = summarise(study, runs)
    out.mkdir(parents=True, exist_ok=True)
    _write_text(out / "study.toml", tomli_w.dumps(study.document()))
    _write_text(out / "runs.csv", runs.to_csv(index=False, lineterminator="\n"))
    _write_text(out / "curves.csv", curves.to_csv(index=False, lineterminator="\n"))
    _write_text(out / "summary.csv", summary.to_csv(index=False, lineterminator="\n"))
    for result in results:
        recommendation.save(out / "recommendations", study, result)
    plots.write_curves(study, curves, summary, out)
    table = readable_table(study, results, summary)
    _write_text(out / "summary.md", _page(study, results, table, command))
    return table


def summarise(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """Interquartile mean with its interval, median, mean and sd of the final returns of every row."""
    rows = []
    for (task, optimizer), group in runs.groupby(["task", "optimizer"], sort=False):
        final = group["final_return"].to_numpy(dtype=float)
        low, high = bootstrap_interval(final, study.seed, "bootstrap", str(task), str(optimizer))
        rows.append(
            {
                "task": task,
                "optimizer": optimizer,
                "runs": final.size,
                "iqm": float(iqm(final)),
                "ci_low": low,
                "ci_high": high,
                "median": float(np.median(final)),
                "mean": float(final.mean()),
                "std": float(final.std(ddof=1)) if final.size > 1 else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def readable_table(study: Study, results: list[Result], summary: pd.DataFrame) -> pd.DataFrame:
    """The summary as people read it: best first within a task, with what was claimed and what was spent."""
    rows = []
    for task in study.tasks:
        part = summary[summary["task"] == task].sort_values("iqm", ascending=False, kind="stable")
        for entry in part.to_dict("records"):
            mine = [r for r in results if r.job.task == task and r.job.optimizer == entry["optimizer"]]
            gap = np.array([r.row["claimed_return"] - r.row["final_return"] for r in mine])
            rows.append(
                {
                    "task": task,
                    "optimizer": entry["optimizer"],
                    "d": mine[0].params.size,
                    "final return (IQM)": _number(entry["iqm"]),
                    "95 % interval": f"{_number(entry['ci_low'])} … {_number(entry['ci_high'])}",
                    "start": _number(np.mean([r.row["start_return"] for r in mine])),
                    "claimed − final": _number(gap.mean()),
                    "rollouts": _number(np.mean([r.row["rollouts"] for r in mine])),
                    "steps": f"{np.mean([r.row['steps'] for r in mine]):,.0f}",
                    "failed": str(sum(r.row["failed_rollouts"] for r in mine)),
                    "clipped": f"{100 * np.mean([r.clipped_share for r in mine]):.0f} %",
                }
            )
    return pd.DataFrame(rows)


def remarks(study: Study, results: list[Result]) -> list[str]:
    """What a reader should know of these runs: failures, budgets not spent."""
    lines = [
        f"{r.job.optimizer} on {r.job.task}, run {r.job.run}: {text}" for r in results for text in r.remarks
    ]
    for task in study.tasks:
        short = sorted(
            {
                r.job.optimizer
                for r in results
                if r.job.task == task and r.row["rollouts"] < 0.9 * study.budget(task)
            }
        )
        if short:
            lines.append(f"{task}: less than nine tenths of the budget spent by {', '.join(short)}")
    return lines


def markdown(table: pd.DataFrame) -> str:
    """A data frame of text as a Markdown table."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def _page(study: Study, results: list[Result], table: pd.DataFrame, command: str) -> str:
    others = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    versions = f"policysearch {policysearch.__version__}, {others}"
    searched, reported = (sum(r.row[name] for r in results) for name in ("rollouts", "report_rollouts"))
    seconds = sum(r.row["wall_seconds"] for r in results)
    budgets = ", ".join(f"{task} {study.budget(task)}" for task in study.tasks)
    parts = [
        "# Comparison",
        f"Written by `{command}`. Python {platform.python_version()}, {versions}; "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors.",
        f"{len(results)} runs, seed {study.seed}; budget in rollouts: {budgets}. {searched:,} rollouts of "
        f"search and {reported:,} of reporting, {seconds:,.0f} s of processor time in the runs.",
        "The final return is that of the recommendation on fresh episodes "
        f"({study.report_episodes} per run), never a value that the search saw: interquartile mean over the "
        "runs with its bootstrap interval. “claimed − final” says by how much the search’s best value "
        "overstates it, “start” is the untouched starting policy, d the number of parameters searched, "
        "“clipped” the share of steps whose action lay outside the action space.",
    ]
    for task in study.tasks:
        part = table[table["task"] == task].drop(columns="task") if len(table) else table
        parts += [f"## {task}", markdown(part)]
    noted = remarks(study, results)
    if noted:
        parts += ["## Remarks", "\n".join(f"- {line}" for line in noted)]
    parts += ["![Return of the recommendation against rollouts](curves.png)"]
    return "\n\n".join(parts) + "\n"


def _number(value: Any) -> str:
    """Three to four significant digits, without an exponent where a person would not use one."""
    number = float(value)
    if not np.isfinite(number):
        return "–"
    if number == 0 or 1e-3 <= abs(number) < 1e5:
        digits = max(0, 3 - int(np.floor(np.log10(abs(number) or 1)))) if abs(number) < 1000 else 0
        return f"{number:.{min(digits, 4)}f}"
    return f"{number:.3g}"


def _write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def command_line(arguments: list[str]) -> str:
    """The command that a reader can type again."""
    import shlex  # noqa: PLC0415

    name = "python" if "python" in Path(sys.executable).name else sys.executable
    return shlex.join([name, "-m", "policysearch.compare", *arguments])
