"""How often the reported intervals cover, and what power a plan has, in simulated studies.

    python experiments/coverage_and_power/measure.py               all questions: eight minutes of one processor
    python experiments/coverage_and_power/measure.py iqm power     some; the others stay as they are

Writes a table (.csv) per question into results/coverage_and_power, and README.md from all that are there.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import intervals  # noqa: E402 - from this folder
import planned  # noqa: E402

import policysearch  # noqa: E402
from policysearch.reporting.tables import markdown  # noqa: E402

OUT = Path("results/coverage_and_power")
QUESTIONS = {
    "iqm": intervals.of_iqm, "tasks": intervals.over_tasks, "improvement": intervals.of_improvement,
    "mean": intervals.of_mean, "power": planned.powers, "pilots": planned.pilots,
}  # fmt: skip


def by_runs(table: pd.DataFrame, rows: list[str]) -> str:
    """Coverage in per cent, a column per number of runs."""
    wide = table.pivot_table(index=rows, columns="runs", values="coverage", aggfunc="mean", sort=False)
    return markdown((100 * wide).round(1).reset_index().rename(columns=str))


def ranges(table: pd.DataFrame, rows: list[str]) -> str:
    """The lowest and the highest coverage over the shapes in per cent, a column per number of runs."""
    grouped = (100 * table.set_index([*rows, "runs"])["coverage"]).groupby([*rows, "runs"], sort=False)
    text = grouped.min().map("{:.1f}".format) + " … " + grouped.max().map("{:.1f}".format)
    return markdown(text.unstack("runs").reset_index().rename(columns=str))


def section(question: str, table: pd.DataFrame) -> list[str]:
    """What README.md says on a question."""
    if question == "iqm":
        return [
            "## Interquartile mean: the lowest and the highest coverage of eight shapes",
            ranges(table, ["method"]),
            "## Interquartile mean, as reported",
            by_runs(table[table["method"] == "ours"], ["shape"]),
            "With 5 runs all lie on one side of the middle in one study of 16, so that no interval between runs "
            "covers more than 93.75 %; the report says so. Ties lie on the ends of intervals, which cover more.",
        ]
    if question == "improvement":
        return [
            "## Probability of improvement, as reported: the lowest and the highest coverage",
            ranges(table, ["common"]),
            "`common` is the part of the spread that both methods share by common episodes. The more they share, the "
            "more the interval covers: it is wider than it need be.",
        ]
    title, text = {
        "tasks": ("Interquartile mean of three tasks together, as reported", by_runs),
        "mean": ("Mean of paired differences (Student's t), as a verdict adds it", by_runs),
        "power": ("Power of studies that were planned for 80 %", lambda table, _: markdown(table.round(2))),
        "pilots": (
            "Power of plans from small pilots: quartiles over 20 pilots of two methods",
            lambda table, _: markdown(table.round(2)),
        ),
    }[question]
    return [f"## {title}", text(table, ["shape"])]


def page(tables: dict[str, pd.DataFrame]) -> str:
    """README.md, on the questions that have been measured."""
    head = [
        "# Coverage of the intervals, and power of the plans",
        f"Written by `python experiments/coverage_and_power/measure.py` (policysearch {policysearch.__version__}). "
        "Coverage in per cent, by the number of runs; 500 studies give a standard error of 1 %. "
        "`their power` is that of the runs by a t-test of the pair alone, or of 200 runs where these are more.",
    ]
    return "\n\n".join(head + [part for name in tables for part in section(name, tables[name])]) + "\n"


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("--studies", type=int, default=500, help="simulated studies of each kind")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.questions if name not in QUESTIONS]
    if unknown:
        parser.error(f"unknown question {unknown[0]!r}; there are {', '.join(QUESTIONS)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    files = {name: arguments.out / f"{name}.csv" for name in QUESTIONS}
    for name in arguments.questions or QUESTIONS:
        table = pd.DataFrame(QUESTIONS[name](arguments.studies))
        table.to_csv(files[name], index=False, float_format="%.4g")
    measured = {name: pd.read_csv(file) for name, file in files.items() if file.exists()}
    (arguments.out / "README.md").write_text(page(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
