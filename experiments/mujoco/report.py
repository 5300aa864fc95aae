"""Results of the MuJoCo studies, compared with the published figures of augmented random search.

    python experiments/mujoco/report.py results/mujoco

Reads the studies `swimmer` and `hopper` in that folder and writes its README.md.
"""

import sys
from pathlib import Path

import pandas as pd

#: Episodes to a threshold in the paper's Table 1, recalled and not checked against the printed page.
PUBLISHED = {
    "swimmer": (325.0, "V1 100, V2 427, V2-t 427; natural gradient 1,450; TRPO never"),
    "hopper": (3120.0, "V1 89,493, V1-t 51,840, V2 3,013, V2-t 1,973; natural gradient 13,920; TRPO 10,000"),
}

TEXT = """# Linear policies in MuJoCo

Written by `python experiments/mujoco/report.py {folder}` from the studies
{studies}, each written by the command in its summary.

"Reached" is how many runs hold, at some point of their curve, a recommendation whose return on fresh
episodes is at least the threshold of Mania, Guy & Recht 2018, and after how many rollouts the first does.

{tables}

**Caution.** The published figures are recalled, come from other versions of MuJoCo and of the environments,
and count episodes to the first time that an average over 100 rollouts crosses the threshold. Their
hyperparameters were chosen with seeds and rollouts that the counts leave out, and for the Hopper the survival
bonus is taken off the reward while searching, which is not done here. They say what order of magnitude to
expect, no more.
"""

#: Of a study that was kept without its environment.
OLD = "\nThe study `{name}` was made with version 0.1.0 of November 2026, with percentile bootstrap intervals.\n"


def section(folder: Path, name: str) -> str:
    """The table of one study."""
    threshold, published = PUBLISHED[name]
    summary, curves = pd.read_csv(folder / name / "summary.csv"), pd.read_csv(folder / name / "curves.csv")
    runs = pd.read_csv(folder / name / "runs.csv")
    task, budget = summary["task"].iloc[0], int(curves["rollouts"].max())
    lines = [
        f"## {task}, {budget:,} rollouts, {runs['run'].nunique()} runs\n",
        f"| method | final return (IQM, 95 %) | best run | reached {threshold:g} |",
        "| --- | ---: | ---: | ---: |",
    ]
    for row in summary.itertuples():
        mine = curves[(curves["optimizer"] == row.optimizer) & (curves["return_mean"] >= threshold)]
        best = runs[runs["optimizer"] == row.optimizer]["final_return"].max()
        first = f", first at {int(mine['rollouts'].min()):,}" if len(mine) else ""
        interval = f"{row.iqm:.0f} ({row.ci_low:.0f} … {row.ci_high:.0f})"
        lines.append(f"| `{row.optimizer}` | {interval} | {best:.0f} | {mine['run'].nunique()}{first} |")
    lines.append(f"\nPublished episodes to {threshold:g}: ARS {published}.")
    return "\n".join(lines)


def main() -> None:
    """Write the page."""
    folder = Path(sys.argv[1])
    names = [name for name in PUBLISHED if (folder / name).exists()]
    studies = " and ".join(f"[`{name}`]({name}/summary.md)" for name in names)
    tables = "\n\n".join(section(folder, name) for name in names)
    page = TEXT.format(folder=folder, studies=studies, tables=tables)
    page += "".join(
        OLD.format(name=name) for name in names if not (folder / name / "environment.json").exists()
    )
    (folder / "README.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
