"""The page of the study: a guide, a table by family, and where a peer wins; the words follow from the numbers."""

from collections.abc import Sequence

import pandas as pd
from choice_scores import MARGIN, Cell, ahead, cells, interval

PAGE = """# Choosing a method

Written by `{command}`. The [protocol](../../experiments/choosing_a_method/protocol.md) was fixed before the first
evaluation run. A score is 0 for the start and 1 for the best known, or the share of COCO's targets that is reached.

{missing}

## Guide

{guide}

## {method} and the best peer in each cell

A cell is a problem at a budget. The peer that is best there on seeds 0 to 14 is compared on seeds 15 to 29; not
behind means that the lower 95 % bound of the difference is above {margin}.

{verdicts}

{behind}

## {method} and each peer over all cells

Interquartile mean of the paired differences, with the 95 % interval of resampled seeds.

{ahead}

## By family

Mean score over the problems of a family, with Student's 95 % interval over them.

{families}
"""


def page(run: pd.DataFrame, method: str, peers: Sequence[str], wanted: int, command: str) -> str:
    """The page of the evaluation problems' rows.

    Args:
        run: rows with scores.
        method: the one that is compared with peers.
        peers: their names.
        wanted: how many runs the protocol asks for.
        command: what wrote it.
    """
    found = cells(run, method, peers)
    return PAGE.format(
        command=command,
        method=f"`{method}`",
        margin=MARGIN,
        missing=missing(run, wanted),
        guide=guide(run),
        verdicts=verdicts(found),
        behind=behind(found),
        ahead=ahead_table(run, method, peers),
        families=families(run),
    )


def missing(run: pd.DataFrame, wanted: int) -> str:
    """What was not finished or failed, said before any result."""
    made = len(run.drop_duplicates(["problem", "method", "seed", "job"]))
    failed = run[run["note"].astype(str).str.startswith("failed")]
    by_method = failed.groupby("method").size().sort_values(ascending=False)
    names = "; ".join(f"{name} {count}" for name, count in by_method.items()) or "none"
    return f"{made:,} of {wanted:,} runs are finished. Rows of methods that raised an error: {names}."


def verdicts(found: Sequence[Cell]) -> str:
    """How many cells are decided, and how."""
    count = {
        name: sum(cell.verdict == name for cell in found) for name in ("not behind", "behind", "undecided")
    }
    decided = count["not behind"] + count["behind"]
    if not found:
        return "There is no cell with both."
    share = f"{count['not behind'] / decided:.0%}" if decided else "none"
    return (
        f"Of {len(found)} cells {decided} are decided; {share} of these are not behind ({count['not behind']}), "
        f"{count['behind']} are behind. {count['undecided']} ({count['undecided'] / len(found):.0%}) are undecided."
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
    """The method next to every peer."""
    lines = ["| peer | difference | 95 % interval | cells | |", "| --- | ---: | --- | ---: | --- |"]
    for peer in peers:
        middle, low, high, count = ahead(run, method, peer)
        if count:
            word = "ahead" if low > 0 else "behind" if high < 0 else "not distinguished"
            lines.append(f"| {peer} | {middle:+.3f} | {low:+.3f} to {high:+.3f} | {count} | {word} |")
    return "\n".join(lines)


def families(run: pd.DataFrame) -> str:
    """A row per method and a column per family and budget, the best mean score over all first."""
    means = run.groupby(["method", "family", "budget", "problem"])["score"].mean()
    columns = sorted({(str(family), int(budget)) for _, family, budget, _ in means.index})
    order = means.groupby("method").mean().sort_values(ascending=False).index
    lines = [
        "| method | " + " | ".join(f"{family}, {budget}" for family, budget in columns) + " |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for name in order:
        cells = [_mean(means, name, family, budget) for family, budget in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(means: pd.Series, method: str, family: str, budget: int) -> str:
    try:
        values = means.loc[(method, family, budget)].to_numpy(dtype=float)
    except KeyError:
        return "–"
    if values.size < 2:
        return f"{values.mean():.2f}"
    low, high = interval(values)
    return f"{values.mean():.2f} ({low:.2f} to {high:.2f})"


def guide(run: pd.DataFrame) -> str:
    """For each family and budget, the best mean and the methods that are not distinguished from it."""
    lines = [
        "| problem | rollouts | best mean score | not distinguished from it |",
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
