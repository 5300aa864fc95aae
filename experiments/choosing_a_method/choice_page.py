"""The page of the study: a guide, tables by family, a picture, where a peer wins; words follow from the numbers."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from choice_methods import SMALL_STEPS
from choice_runs import Job
from choice_scores import MARGIN, Cell, ahead, cells, half, interval

from policysearch.reporting.figures import BLUE, GREY, ORANGE, figure_of

#: What the protocol aims at: the share of the decided cells that are not behind, and of all that are undecided.
AIM, MOST_UNDECIDED = 0.95, 0.1

PAGE = """# Choosing a method

Written by

    {command}

The protocol, `experiments/choosing_a_method/protocol.md`, was fixed before the first evaluation run. A score is 0 for
the start and 1 for the best known, or the share of COCO's targets that is reached.

Most of these problems have been looked at twice before, which the protocol says under "What was known". The rule of
`auto` and its numbers were chosen on the tuning problems.

{missing}

## Guide

{guide}

## {method} and the best peer in each cell

A cell is a problem at a budget. The peer that is best there on the seeds below {half} is compared on the others; not
behind means that the lower 95 % bound of the difference is above {margin}.

{verdicts}

{behind}

## {method} and each peer over all cells

Also CMA-ES with σ = 0.1, an earlier default of `tune`. Interquartile mean of the paired differences, with the 95 %
interval of resampled seeds.

{ahead}

## By family

Mean score over the problems of a family, with Student's 95 % interval over them; of a family of one problem without.
The methods stand in the order of their mean over all cells that they have. {left_out}

![Mean score after 30, 100 and 300 rollouts, a panel for each family](families.png)

{families}
"""


def page(run: pd.DataFrame, method: str, peers: Sequence[str], wanted: Sequence[Job], command: str) -> str:
    """The page of the evaluation problems' rows.

    Args:
        run: rows with scores.
        method: the one that is compared with peers.
        peers: their names.
        wanted: the runs that the protocol asks for.
        command: what wrote it.
    """
    found = cells(run, method, peers)
    level = common(run, method)
    return PAGE.format(
        command=command,
        method=f"`{method}`",
        margin=MARGIN,
        half=half(run),
        missing=missing(run, wanted),
        guide=guide(level),
        verdicts=verdicts(found),
        behind=behind(found),
        ahead=ahead_table(run, method, [*({SMALL_STEPS} - {method}), *peers]),
        families=families(level),
        left_out=left_out(run, level),
    )


def missing(run: pd.DataFrame, wanted: Sequence[Job]) -> str:
    """What was not finished or failed, said before any result."""
    have = set(run[["problem", "method", "seed", "job"]].itertuples(index=False, name=None))
    said = [f"{len(have.intersection(wanted)):,} of the {len(wanted):,} runs of the protocol gave a result."]
    for what in ("problem", "method"):
        asked = dict.fromkeys(getattr(job, what) for job in wanted)
        if none := [name for name in asked if name not in set(run[what])]:
            said.append(f"Not run are the {what}s {', '.join(none)}.")
    cells = run.groupby(["problem", "method", "budget"])["seed"].nunique()
    least, most = cells.min(), cells.max()
    said.append(f"A method has {most if least == most else f'{least} to {most}'} seeds in a cell.")
    failed = run[run["note"].astype(str).str.startswith("failed")]
    by_method = failed.groupby("method").size().sort_values(ascending=False)
    names = "; ".join(f"{name} {count}" for name, count in by_method.items()) or "none"
    return " ".join(said) + f" Rows of methods that raised an error: {names}."


def verdicts(found: Sequence[Cell]) -> str:
    """How many cells are decided, and how."""
    count = {
        name: sum(cell.verdict == name for cell in found) for name in ("not behind", "behind", "undecided")
    }
    decided = count["not behind"] + count["behind"]
    if not found:
        return "There is no cell with both."
    share = f"{count['not behind'] / decided:.0%}" if decided else "none"
    reached = count["not behind"] >= AIM * decided and count["undecided"] <= MOST_UNDECIDED * len(found)
    return (
        f"Of {len(found)} cells {decided} are decided; {share} of these are not behind ({count['not behind']}), "
        f"{count['behind']} are behind. {count['undecided']} ({count['undecided'] / len(found):.0%}) are undecided. "
        f"The aim, {AIM:.0%} of the decided cells and at most {MOST_UNDECIDED:.0%} undecided, is "
        f"{'' if reached else 'not '}reached."
    )


def behind(found: Sequence[Cell]) -> str:
    """The cells in which a peer wins."""
    lost = sorted((cell for cell in found if cell.verdict == "behind"), key=lambda cell: cell.difference)
    if not lost:
        return "No cell is behind."
    lines = [
        f"| {c.problem} | {c.budget} | {c.peer} | {c.difference:+.2f} ({c.low:+.2f} to {c.high:+.2f}) |"
        for c in lost
    ]
    return "\n".join(["| problem | budget | best peer | difference |", "| --- | ---: | --- | --- |", *lines])


def ahead_table(run: pd.DataFrame, method: str, peers: Sequence[str]) -> str:
    """The method next to every other."""
    lines = ["| | difference | 95 % interval | cells | |", "| --- | ---: | --- | ---: | --- |"]
    for peer in peers:
        middle, low, high, count = ahead(run, method, peer)
        if count:
            word = "ahead" if low > 0 else "behind" if high < 0 else "not distinguished"
            lines.append(f"| {peer} | {middle:+.3f} | {low:+.3f} to {high:+.3f} | {count} | {word} |")
    return "\n".join(lines)


def common(run: pd.DataFrame, method: str) -> pd.DataFrame:
    """The rows of cells that `method` has, of methods that have all of these in a family at a budget.

    Means over different problems cannot be compared.
    """
    own = run[run["method"] == method][["problem", "budget"]].drop_duplicates()
    level = run.merge(own, on=["problem", "budget"])
    count = level.groupby(["family", "budget", "method"])["problem"].transform("nunique")
    return level[count == level.groupby(["family", "budget"])["problem"].transform("nunique")]


def left_out(run: pd.DataFrame, level: pd.DataFrame) -> str:
    """The cells that are in no mean of a family, as the method's first generation is larger."""
    there = set(level[["problem", "budget"]].itertuples(index=False, name=None))
    gone = sorted({*run[["problem", "budget"]].itertuples(index=False, name=None)} - there)
    names = ", ".join(f"{problem} at {budget}" for problem, budget in gone)
    return f"Not counted, here and in the guide, are cells that it does not have: {names}." if gone else ""


def families(run: pd.DataFrame) -> str:
    """A table for every family: a row per method and a column per budget, the best mean over all first."""
    means = means_of(run)
    parts = []
    for family in sorted(means.index.unique("family")):
        part = means.xs(family, level="family")
        budgets = sorted(part.index.unique("budget"))
        lines = [
            "| method | " + " | ".join(f"{budget} rollouts" for budget in budgets) + " |",
            "| --- |" + " ---: |" * len(budgets),
            *(
                f"| {name} | {' | '.join(_mean(part, name, budget) for budget in budgets)} |"
                for name in ordered(means)
                if name in part.index.unique("method")
            ),
        ]
        problems = ", ".join(sorted(part.index.unique("problem")))
        parts.append(f"### {family}\n\n{problems}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def means_of(run: pd.DataFrame) -> pd.Series:
    """The mean score over seeds, by method, family, budget and problem."""
    return run.groupby(["method", "family", "budget", "problem"])["score"].mean()


def ordered(means: pd.Series) -> list[str]:
    """The methods, the best mean over all cells first."""
    return list(means.groupby("method").mean().sort_values(ascending=False).index)


def _mean(means: pd.Series, method: str, budget: int) -> str:
    try:
        values = means.loc[(method, budget)].to_numpy(dtype=float)
    except KeyError:
        return "–"
    if values.size < 2:
        return f"{values.mean():.2f}"
    low, high = interval(values)
    return f"{values.mean():.2f} ({low:.2f} to {high:.2f})"


def picture(run: pd.DataFrame, method: str, peers: Sequence[str]) -> Any:
    """Mean scores over budgets, a panel for each family: `method`, and the peers in grey, the best of them named."""
    means = means_of(common(run, method)).groupby(["family", "method", "budget"]).mean()
    names = sorted(means.index.unique("family"))
    rows = -(-len(names) // 3)
    with figure_of(rows, 3, 8.5, 2.4 * rows, sharex=True) as (figure, panels):
        for axes, family in zip(panels.flat, names, strict=False):
            table = means[family].unstack("budget")
            for name in table.index.intersection(peers):
                axes.plot(table.columns, table.loc[name], color=GREY, lw=1.0, marker=".", ms=3)
            axes.plot(table.columns, table.loc[method], color=BLUE, lw=2.2, marker="o", ms=4, label=method)
            best = str(table.loc[table.index.intersection(peers)].mean(axis=1).idxmax())
            axes.plot(table.columns, table.loc[best], color=ORANGE, lw=1.6, marker="o", ms=3)
            axes.set_title(f"{family}\norange: {best}", fontsize=7)
            axes.set_xscale("log")
            axes.set_xticks(list(table.columns), list(table.columns))
            axes.minorticks_off()
        for axes in panels.flat[len(names) :]:
            axes.set_visible(False)
        figure.supxlabel("rollouts", fontsize=9)
        figure.supylabel("mean score", fontsize=9)
        figure.suptitle(f"{method} in blue, peers in grey, the best of them in orange", fontsize=9)
        return figure


def guide(run: pd.DataFrame) -> str:
    """For each family and budget, the best mean and the methods that are not distinguished from it."""
    lines = [
        "| family | rollouts | best mean score | not distinguished from it |",
        "| --- | ---: | --- | --- |",
    ]
    for (family, budget), part in run.groupby(["family", "budget"]):
        scores = part.pivot_table(index=["problem", "seed"], columns="method", values="score")
        by_problem = scores.groupby("problem").mean()
        best = str(scores.mean().idxmax())
        level = []
        for other in scores.columns.drop(best):
            gaps = (by_problem[best] - by_problem[other]).dropna().to_numpy()
            if len(by_problem) == 1:  # one problem: over its seeds
                gaps = (scores[best] - scores[other]).dropna().to_numpy()
            if gaps.size < 2 or interval(gaps)[0] <= 0:
                level.append(str(other))
        lines.append(
            f"| {family} | {budget} | {best} ({scores[best].mean():.2f}) | {', '.join(level) or '–'} |"
        )
    return "\n".join(lines)
