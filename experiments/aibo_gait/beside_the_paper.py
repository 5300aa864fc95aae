"""What the gait studies found, beside what Kohl & Stone 2004 reported of the real robots.

    python experiments/aibo_gait/beside_the_paper.py results/aibo_gait

Reads `study` and `noise` in that folder (study.toml and noise.toml here), counts the falls in their ledgers while
these are there, and writes README.md, falls.csv and moves.csv.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from policysearch import ledger
from policysearch.compare.recommendation import load
from policysearch.compare.statistics import iqm
from policysearch.core import Array
from policysearch.policies.half_ellipse_gait import EPSILONS_PER_UNIT, SPACE, TABLE
from policysearch.seeding import stream

TRAVERSALS, HOURS = 1035, 3.0  # of the paper, with three robots
RESAMPLES = 2000

TEXT = (Path(__file__).parent / "findings.md").read_text(encoding="utf-8")


def falls(folder: Path, kept: Path) -> pd.DataFrame:
    """Falls (returns of exactly 0) and traversals of every method, as counted in the ledger or before."""
    file = folder / "ledger.sqlite"
    if not file.exists():
        return pd.read_csv(kept)
    rows = [
        {"task": event.key[1], "method": event.key[2], "run": event.key[3]}
        | {"falls": int((returns == 0.0).sum()), "traversals": returns.size}
        for event in ledger.read(file)
        if event.kind == "generation"
        for returns in [np.asarray(event.body["returns"], dtype=float)]
    ]
    counted = (
        pd.DataFrame(rows)
        .groupby(["task", "method"], sort=False)[["falls", "traversals"]]
        .sum()
        .reset_index()
    )
    counted.to_csv(kept, index=False, lineterminator="\n")
    return counted


def moves(folder: Path, method: str = "finite-difference") -> pd.DataFrame:
    """How far each parameter went from its start, in ε: mean over the runs with its interval, and in the paper."""
    files = sorted((folder / "recommendations").glob(f"aibo-gait*{method}*.npz"))
    ends = np.array([load(file)[1] for file in files])
    moved = EPSILONS_PER_UNIT * (ends - SPACE.domain.start)
    means = stream(0, "moves").choice(moved, (RESAMPLES, len(moved))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    names = [name for name, *_ in TABLE]
    paper = np.array([(best - start) / epsilon for _, _, start, epsilon, best in TABLE])
    return pd.DataFrame(
        {"parameter": names, "ours": moved.mean(axis=0), "low": low, "high": high, "paper": paper}
        | {"ours_end": SPACE.decode(ends).mean(axis=0), "unit": [row[1] for row in TABLE]}
    )


def direction(row: pd.Series) -> str:
    """Whether ours and the paper's went the same way."""
    if row["low"] <= 0.0 <= row["high"]:
        return "undecided"
    return "same" if row["ours"] * row["paper"] > 0 else "opposite"


def moves_table(table: pd.DataFrame) -> str:
    """The moves as Markdown."""
    lines = ["| parameter | ours, in ε (95 %) | paper's, in ε | direction |", "| --- | ---: | ---: | --- |"]
    for _, row in table.iterrows():
        interval = f"{row['ours']:+.1f} ({row['low']:+.1f} … {row['high']:+.1f})"
        lines.append(f"| {row['parameter']} | {interval} | {row['paper']:+.1f} | {direction(row)} |")
    return "\n".join(lines)


def speeds_table(folder: Path, task: str, fallen: pd.DataFrame) -> str:
    """Every method: where it ended, its best and worst run, its falls."""
    summary = pd.read_csv(folder / "summary.csv").query("task == @task")
    runs = pd.read_csv(folder / "runs.csv").query("task == @task")
    lines = [
        "| method | end speed, mm/s (IQM, 95 %) | worst … best run | claimed − end | falls |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in summary.sort_values("iqm", ascending=False).itertuples():
        mine = runs[runs["optimizer"] == row.optimizer]
        ends, claims = mine["final_return"], mine["claimed_return"]
        count = fallen.query("task == @task and method == @row.optimizer").iloc[0]
        share = f"{100 * count['falls'] / count['traversals']:.1f} %"
        lines.append(
            f"| `{row.optimizer}` | {row.iqm:.0f} ({row.ci_low:.0f} … {row.ci_high:.0f}) "
            f"| {ends.min():.0f} … {ends.max():.0f} | {float(iqm(np.array(claims - ends))):+.0f} | {share} |"
        )
    return "\n".join(lines)


def milestones(folder: Path, method: str = "finite-difference") -> str:
    """The learning curve of Kohl & Stone's rule in the paper's units."""
    curve = pd.read_csv(folder / "curves.csv").query("optimizer == @method")
    lines = ["| traversals | hours of three robots | speed, mm/s (IQM of runs) |", "| ---: | ---: | ---: |"]
    for amount, rows in curve.groupby(curve.groupby("run").cumcount()):
        traversals = TRAVERSALS * int(amount) / (curve.groupby("run").size().max() - 1)
        lines.append(
            f"| {traversals:.0f} | {HOURS * traversals / TRAVERSALS:.1f} "
            f"| {float(iqm(rows['return_mean'].to_numpy())):.0f} |"
        )
    return "\n".join(lines)


def within(folder: Path) -> dict[str, float]:
    """Start and end of Kohl & Stone's rule: IQM and the middle of the runs."""
    runs = pd.read_csv(folder / "runs.csv").query("optimizer == 'finite-difference'")
    ends: Array = runs["final_return"].to_numpy()
    return {
        "start": runs["start_return"].mean(),
        "end": float(iqm(ends)),
        "best": ends.max(),
        "worst": ends.min(),
    }


def main() -> None:
    """Write the page."""
    out = Path(sys.argv[1])
    study, noise = out / "study", out / "noise"
    fallen = falls(study, out / "falls.csv")
    moved = moves(study)
    moved.round(4).to_csv(out / "moves.csv", index=False, lineterminator="\n")
    parts = {
        "speeds": speeds_table(study, "aibo-gait", fallen),
        "curve": milestones(study),
        "moves": moves_table(moved),
        **{name: f"{value:.0f}" for name, value in within(study).items()},
    }
    if (noise / "summary.csv").exists():
        counted = falls(noise, out / "falls_noise.csv")
        for name in ("half", "twice"):
            parts[name] = speeds_table(noise, f"aibo-gait-{name}-noise", counted)
    (out / "README.md").write_text(TEXT.format(**parts), encoding="utf-8")


if __name__ == "__main__":
    main()
