"""Results of the gait studies, compared with those of Kohl & Stone 2004 on the real robots.

    python experiments/aibo_gait/compared_with_paper.py results/aibo_gait

Reads `study` and, if it is there, `noise` in that folder (study.toml and noise.toml here) and checks.json (of
checks.py), counts the falls in the studies' ledgers while these are there, and writes README.md, falls*.csv and
moves.csv. The words are in findings.md; sentences that depend on the numbers are made by gait_sentences.py.
"""

import argparse
import json
import sys
from pathlib import Path

import gait_sentences as sentences
import numpy as np
import pandas as pd

from policysearch import ledger
from policysearch.aibo.half_ellipse_gait import EPSILONS_PER_UNIT, SPACE, TABLE, unreachable
from policysearch.compare.saved import RECOMMENDATIONS_FILE, load
from policysearch.compare.statistics import bootstrap_interval, iqm
from policysearch.core import Array
from policysearch.deploy.files import Name
from policysearch.seeding import stream

TASK, METHOD = "aibo-gait", "finite-difference"
TRAVERSALS, HOURS = 1035, 3.0  # of the paper, with three robots
RESAMPLES = 2000
MISSING = "(not run)"


def falls(folder: Path, kept: Path) -> pd.DataFrame:
    """Falls (returns of exactly 0) and traversals of every method, as counted in the ledger or before."""
    file = folder / "ledger.sqlite"
    if not file.exists():
        return pd.read_csv(kept)
    rows = [
        {"task": event.key[1], "method": event.key[2]}
        | {"falls": int((returns == 0.0).sum()), "traversals": returns.size}
        for event in ledger.read(file)
        if event.kind == "generation"
        for returns in [np.asarray(event.body["returns"], dtype=float)]
    ]
    counted = pd.DataFrame(rows).groupby(["task", "method"], sort=False).sum().reset_index()
    counted.to_csv(kept, index=False, lineterminator="\n")
    return counted


def learned(folder: Path) -> Array:
    """The gaits that Kohl & Stone's rule recommends at the end of its runs, in coordinates."""
    runs = pd.read_csv(folder / "runs.csv").query("task == @TASK and optimizer == @METHOD")["run"]
    file = folder / RECOMMENDATIONS_FILE
    return np.array([load(file / str(Name(TASK, METHOD, run)))[1] for run in runs])


def moves(ends: Array) -> pd.DataFrame:
    """How far each parameter went from its start, in ε: mean over the runs with its interval, and in the paper."""
    moved = EPSILONS_PER_UNIT * (ends - SPACE.domain.start)
    means = stream(0, "moves").choice(moved, (RESAMPLES, len(moved))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    paper = np.array([(best - start) / epsilon for _, _, start, epsilon, best in TABLE])
    return pd.DataFrame(
        {"parameter": SPACE.names, "unit": [row[1] for row in TABLE], "start": [row[2] for row in TABLE]}
        | {"end": SPACE.decode(ends).mean(axis=0), "paper_end": [row[4] for row in TABLE]}
        | {"moved": moved.mean(axis=0), "low": low, "high": high, "paper_moved": paper}
    )


def moves_table(table: pd.DataFrame) -> str:
    """The moves as Markdown."""
    lines = ["| parameter | ours, in ε (95 %) | paper's, in ε | direction |", "| --- | ---: | ---: | --- |"]
    for _, row in table.iterrows():
        same = "same" if row["moved"] * row["paper_moved"] > 0 else "opposite"
        direction = "undecided" if row["low"] <= 0.0 <= row["high"] else same
        interval = f"{row['moved']:+.1f} ({row['low']:+.1f} … {row['high']:+.1f})"
        lines.append(f"| {row['parameter']} | {interval} | {row['paper_moved']:+.1f} | {direction} |")
    return "\n".join(lines)


def speeds_table(folder: Path, task: str, fallen: pd.DataFrame) -> str:
    """Every method: where it ended, its best and worst run, its falls."""
    summary = pd.read_csv(folder / "summary.csv").query("task == @task")
    runs = pd.read_csv(folder / "runs.csv").query("task == @task")
    lines = [
        "| method | end speed, mm/s (IQM, 95 %) | worst … best run | claimed − end (IQM, 95 %) | falls, count |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in summary.sort_values("iqm", ascending=False).to_dict("records"):
        method = row["optimizer"]
        mine = runs[runs["optimizer"] == method]
        ends = mine["final_return"]
        excess = (mine["claimed_return"] - ends).to_numpy()
        low, high = bootstrap_interval(excess, "claimed")
        count = fallen.query("task == @task and method == @method").iloc[0]
        lines.append(
            f"| `{method}` | {row['iqm']:.0f} ({row['ci_low']:.0f} … {row['ci_high']:.0f}) "
            f"| {ends.min():.0f} … {ends.max():.0f} | "
            f"{sentences.with_interval(float(iqm(excess)), low, high)} "
            f"| {count['falls']:,} of {count['traversals']:,} |"
        )
    return "\n".join(lines)


def milestones(folder: Path) -> str:
    """The learning curve of Kohl & Stone's rule in the paper's units."""
    curve = pd.read_csv(folder / "curves.csv").query("task == @TASK and optimizer == @METHOD")
    lines = ["| traversals | hours of three robots | speed, mm/s (IQM of runs) |", "| ---: | ---: | ---: |"]
    for traversals, rows in curve.groupby("rollouts"):
        hours = HOURS * float(str(traversals)) / TRAVERSALS
        lines.append(f"| {traversals} | {hours:.1f} | {float(iqm(rows['return_mean'].to_numpy())):.0f} |")
    return "\n".join(lines)


def ends(folder: Path) -> dict[str, str]:
    """Start and end of Kohl & Stone's rule, in words."""
    runs = pd.read_csv(folder / "runs.csv").query("task == @TASK and optimizer == @METHOD")
    final = runs["final_return"].to_numpy()
    numbers = {"start": runs["start_return"].mean(), "end": float(iqm(final))}
    numbers |= {"best": final.max(), "worst": final.min(), "gain": numbers["end"] - numbers["start"]}
    return {name: f"{value:.0f}" for name, value in numbers.items()}


def read(folder: Path, task: str) -> dict[str, pd.DataFrame]:
    """The tables of a study, one task of them."""
    names = ("summary", "pairs", "runs", "curves")
    return {name: pd.read_csv(folder / f"{name}.csv").query(f"task == {task!r}") for name in names}


def words(study: Path, moved: pd.DataFrame) -> dict[str, str]:
    """The sentences that the main study decides."""
    of = read(study, TASK)
    return {
        "leader": sentences.leader(of["summary"], of["pairs"]),
        "against_rule": sentences.against_rule(of["summary"], of["pairs"]),
        "follow_up": sentences.follow_up(of["pairs"]),
        "stands_still": sentences.stands_still(of["curves"]),
        "below_start": sentences.below_start(of["runs"]),
        "gained": sentences.gain(of["runs"], of["curves"]),
        "directions": sentences.directions(moved),
    }


def words_of_noise(noise: Path, study: Path, level: str) -> str:
    """The sentences that half or twice the noise decides."""
    of, before = read(noise, f"{TASK}-{level}-noise"), read(study, TASK)["runs"]
    runs = int(of["summary"]["runs"].min())
    decided = sentences.order(of["pairs"], level, runs)
    return f"{decided} {sentences.changes(of['runs'], before, level.capitalize())}"


def page(out: Path) -> str:
    """README.md; its tables are written as files, too."""
    study, noise, checks = out / "study", out / "noise", out / "checks.json"
    gaits, fallen = learned(study), falls(study, out / "falls.csv")
    moved = moves(gaits)
    moved.round(4).to_csv(out / "moves.csv", index=False, lineterminator="\n")
    sessions = json.loads((study / "environment.json").read_text(encoding="utf-8"))
    counts = [unreachable(gait) for gait in SPACE.decode(gaits)]
    start, paper = (np.array([row[column] for row in TABLE]) for column in (2, 4))
    parts = {
        "speeds": speeds_table(study, TASK, fallen),
        "curve": milestones(study),
        "moves": moves_table(moved),
        **dict.fromkeys(("half", "twice", "half_words", "twice_words", "paper_gait"), MISSING),
        "made_with": sentences.made_with(
            sessions[0]["policysearch"], pd.read_csv(study / "runs.csv"), pd.read_csv(out / "again.csv")
        ),
        "unreachable_start": str(unreachable(start)),
        "unreachable_paper": str(unreachable(paper)),
        "unreachable_learned": f"{np.median(counts):.0f}",
        **ends(study),
        **words(study, moved),
    }
    if (noise / "summary.csv").exists():
        counted = falls(noise, out / "falls_noise.csv")
        for name in ("half", "twice"):
            parts[name] = speeds_table(noise, f"{TASK}-{name}-noise", counted)
            parts[f"{name}_words"] = words_of_noise(noise, study, name)
    if checks.exists():
        found = {name: float(value) for name, value in json.loads(checks.read_text(encoding="utf-8")).items()}
        parts["paper_gait"] = sentences.paper_gait(
            found["paper_speed"], found["paper_sd"], float(parts["start"])
        )
    return (Path(__file__).parent / "findings.md").read_text(encoding="utf-8").format(**parts)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the folder with `study`, such as results/aibo_gait")
    out = parser.parse_args().out
    if not (out / "study" / "summary.csv").exists():
        print(
            f"{out / 'study'}: expected a finished study; run the command in study.toml first",
            file=sys.stderr,
        )
        sys.exit(2)
    (out / "README.md").write_text(page(out), encoding="utf-8")


if __name__ == "__main__":
    main()
