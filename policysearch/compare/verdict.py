"""What the numbers of a comparison support, in words; and how much more it would take to say more."""

from functools import lru_cache

import numpy as np
import pandas as pd

from policysearch.compare.comparison import Comparison
from policysearch.compare.power import MAX_RUNS, MIN_RUNS
from policysearch.compare.reported import failed_share, failure_return, failures_in_words
from policysearch.compare.statistics import differences, disasters, iqm, mean_interval
from policysearch.reporting.tables import interval, number

#: Columns of `plan`.
PLAN = (
    "task", "leader", "against", "runs made", "difference", "effect", "runs needed", "without pairing", "rollouts",
)  # fmt: skip


def verdict(comparison: Comparison) -> str:
    """One paragraph per task."""
    return "\n\n".join(f"**{task}.** {of_task(comparison, task)}" for task in comparison.tasks)


@lru_cache(64)
def of_task(comparison: Comparison, task: str) -> str:
    """What the runs on a task support, and which report episodes failed."""
    return " ".join([_differences(comparison, task), *_failures(comparison, task)])


def _differences(comparison: Comparison, task: str) -> str:
    """The leader, the methods that it beats significantly, and those of which that cannot be said."""
    leader, others = ranking(comparison, task)
    if not others:
        return f"{leader} is the only method here."
    if not np.isfinite(iqm(comparison.final(task, leader))):
        return "No method has an interquartile mean: too many runs have no result, as the remarks say."
    table = against(comparison, task, leader)
    compared = set(table["y"])
    same = np.array([np.array_equal(*comparison.paired(task, leader, y)) for y in table["y"]], dtype=bool)
    lines = [_lead(comparison, task, leader, others, table["y"][same].tolist())]
    if len(table) and table["runs"].max() < MIN_RUNS:
        lines.append(
            f"Of {_counts(table)} runs no difference is significant at the 5 % level; {MIN_RUNS} are the fewest."
        )
    table = table[~same]
    lines += _decided(table, leader)
    lines += _means(comparison, task, table[table["better"] != ""], leader)
    lines += _undecided(table[table["better"] == ""], leader, task)
    lines += _not_comparable(leader, [label for label in others if label not in compared])
    return " ".join(lines)


def short(comparison: Comparison, task: str) -> list[str]:
    """What the runs on a task support, in at most three short sentences; `of_task` has the details."""
    leader, others = ranking(comparison, task)
    best = float(iqm(comparison.final(task, leader)))
    if not others or not np.isfinite(best):
        return [_differences(comparison, task), *_failures(comparison, task)]
    tied = sum(float(iqm(comparison.final(task, other))) == best for other in others)
    shares = f"{leader} and {_counted(tied, 'other method')} share" if tied else f"{leader} has"
    lead = f"{shares} the highest interquartile mean after {budget_words(comparison, task)}."
    table = against(comparison, task, leader)
    decided = table[table["better"] != ""]
    if not len(table) or table["runs"].max() < MIN_RUNS:
        counts = f"With {_counts(table)} runs" if len(table) else "Without a common run"
        return [lead, f"{counts} no difference is significant; {MIN_RUNS} are the fewest that can be."]
    found = f"distinguishes {leader} from {len(decided)} of {_counted(len(others), 'other method')}"
    told = f"With {_counts(table)} runs the test {found}."
    above = int((decided["better"] == decided["y"]).sum())
    odd = [f"run by run it loses to {_counted(above, 'method')}"] if above else []
    odd += (
        ["the means do not say the same of every pair"] if _means(comparison, task, decided, leader) else []
    )
    odd += ["some report episodes failed"] if _failures(comparison, task) else []
    return [lead, told, *([f"See the details: {'; '.join(odd)}."] if odd else [])]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _not_comparable(leader: str, methods: list[str]) -> list[str]:
    """The methods of which no run has the number of a run of the leader, as in a shard."""
    if not methods:
        return []
    return [
        f"{leader} has no run in common with {listed(methods)}, so nothing can be said of the difference."
    ]


def _counts(table: pd.DataFrame) -> str:
    """How many runs the pairs of a table have in common, where they differ from the fewest to the most."""
    fewest, most = int(table["runs"].min()), int(table["runs"].max())
    return str(most) if fewest == most else f"{fewest} to {most}"


def _lead(comparison: Comparison, task: str, leader: str, others: list[str], equal: list[str]) -> str:
    """The methods with the highest interquartile mean; `equal` are those whose runs are the leader's."""
    budget, best = budget_words(comparison, task), iqm(comparison.final(task, leader))
    tied = [other for other in others if iqm(comparison.final(task, other)) == best]
    if not tied:
        return f"{leader} has the highest interquartile mean after {budget}."
    same_runs = ", run by run the same" if set(tied) == set(equal) else ""
    return f"{listed([leader, *tied])} share the highest interquartile mean after {budget}{same_runs}."


def _decided(table: pd.DataFrame, leader: str) -> list[str]:
    """The significant differences to the leader."""
    lines = []
    beaten, above = table[table["better"] == leader], table[table["better"] == table["y"]]
    if len(beaten):
        names = listed(beaten["y"].tolist())
        lines.append(
            f"{leader} is better than {names}: paired runs are not exchangeable (at most a 5 % chance of any error "
            "among all pairs on this task)."
        )
    if len(above):
        names = listed(above["y"].tolist())
        lines.append(
            f"Run by run, though, it loses to {names}, with the same certainty: a few runs make its mean."
        )
    return lines


def _means(comparison: Comparison, task: str, decided: pd.DataFrame, leader: str) -> list[str]:
    """The decided pairs of which the means do not say the same.

    The mean difference is negative; or it may be, and the better method has disasters of its own.
    """
    found = []
    for y, better in zip(decided["y"], decided["better"], strict=True):
        other = y if better == leader else leader
        gap = differences(*comparison.paired(task, better, other))
        low, high = mean_interval(gap)
        if low > 0 or (gap.mean() > 0 and not disasters(gap)):
            continue
        mean = f"is {number(gap.mean())} in the mean ({interval(low, high)})"
        said = mean if np.isfinite(gap).all() else "has no mean"
        counts = f"{disasters(gap)} of {gap.size} runs against {disasters(-gap)}"
        found.append(f"{better} less {other} {said}, with disasters in {counts}")
    if not found:
        return []
    return [
        f"The means do not say so: {'; '.join(found)} (a disaster: worse than the other method by more than three "
        "median differences, of which the test counts three)."
    ]


def _undecided(table: pd.DataFrame, leader: str, task: str) -> list[str]:
    """The differences to the leader that may be chance, with the runs that would decide them."""
    needed = [
        runs_needed(int(count), int(made))
        for count, made in zip(table["runs_needed"], table["runs"], strict=True)
    ]
    if not needed:
        return []
    runs = _counts(table)
    if len(needed) == 1:
        return [
            f"{leader} and {table['y'].iloc[0]} cannot be distinguished on {task} with {runs} runs; {needed[0]} "
            "would be needed for the observed difference."
        ]
    named = [f"{method} ({count})" for method, count in zip(table["y"], needed, strict=True)]
    return [
        f"With {runs} runs {leader} cannot be distinguished on {task} from {listed(named)}; in brackets the "
        "runs that would be needed for the observed difference."
    ]


def _failures(comparison: Comparison, task: str) -> list[str]:
    """A sentence on the report episodes that failed on a task, if any did."""
    runs, episodes = comparison.runs[comparison.runs["task"] == task], comparison.study.report_episodes
    shares = {str(x): failed_share(mine, episodes) for x, mine in runs.groupby("optimizer", sort=False)}
    said = failures_in_words(shares, failure_return(comparison.study, task))
    return [said] if said else []


def ranking(comparison: Comparison, task: str) -> tuple[str, list[str]]:
    """The method with the highest interquartile mean, and the others, best first."""
    mine = comparison.summary[comparison.summary["task"] == task]
    ordered = mine.sort_values("iqm", ascending=False, kind="stable", na_position="last")[
        "optimizer"
    ].tolist()
    return ordered[0], ordered[1:]


@lru_cache(64)
def against(comparison: Comparison, task: str, leader: str) -> pd.DataFrame:
    """The pairs of one method on a task, turned so that it is x; in the order of `ranking`."""
    mine = comparison.pairs[comparison.pairs["task"] == task]
    turned = mine[mine["y"] == leader].copy()
    turned[["x", "y"]] = turned[["y", "x"]].to_numpy()
    turned[["ci_low", "ci_high"]] = 1.0 - turned[["ci_high", "ci_low"]].to_numpy(dtype=float)
    turned["p_improvement"] = 1.0 - turned["p_improvement"]
    turned[["difference", "effect"]] *= -1.0
    _, others = ranking(comparison, task)
    both = pd.concat([mine[mine["x"] == leader], turned]).set_index("y", drop=False)
    return both.loc[[label for label in others if label in both.index]].reset_index(drop=True)


def saved_by_pairing(comparison: Comparison, task: str) -> float:
    """Median over the pairs of the share of the variance of a difference that common episodes remove."""
    values = comparison.pairs.loc[comparison.pairs["task"] == task, "variance_removed"].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")


def pairing_line(comparison: Comparison, task: str) -> str:
    """What common random numbers saved on a task, in words."""
    share = saved_by_pairing(comparison, task)
    if not np.isfinite(share):
        return ""
    if abs(share) < 0.005:
        return "Pairing the runs by their episodes did not change the variance of a difference (in the median pair)."
    what = f"removed {100 * share:.0f} %" if share >= 0 else f"added {-100 * share:.0f} %"
    return (
        f"Pairing the runs by their episodes {what} of the variance of a difference (median over the pairs)."
    )


def plan(comparison: Comparison) -> pd.DataFrame:
    """What it would take to distinguish the leader of each task from every other method, judged by these runs.

    Runs per method that decide the pair in 80 % of studies, jointly with all other pairs, and the rollouts of both
    methods' searches.
    """
    rows = []
    for task in comparison.tasks:
        leader, _ = ranking(comparison, task)
        spent = comparison.runs[comparison.runs["task"] == task].groupby("optimizer")["rollouts"].mean()
        for pair in against(comparison, task, leader).to_dict("records"):
            runs = int(pair["runs_needed"])
            rollouts = int(runs * (spent[leader] + spent[pair["y"]]))
            rows.append(
                {
                    "task": task,
                    "leader": leader,
                    "against": pair["y"],
                    "runs made": pair["runs"],
                    "difference": pair["difference"],
                    "effect": pair["effect"],
                    "runs needed": runs,
                    "without pairing": int(pair["runs_needed_unpaired"]),
                    "rollouts": rollouts,
                }
            )
    return pd.DataFrame(rows, columns=list(PLAN))


def runs_needed(needed: int, runs: int) -> str:
    """Runs that are needed; "more than" where as many as there are would do in most studies, but not in this one."""
    if needed >= MAX_RUNS:
        return f"{MAX_RUNS:,} or more"
    return str(needed) if needed > runs else f"more than {runs}"


def listed(names: list[str]) -> str:
    """At least one name, with "and" before the last."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def budget_words(comparison: Comparison, task: str) -> str:
    """The budget of a search on a task."""
    budget = comparison.study.budget(task)
    parts = [f"{n:,} {unit}" for n, unit in ((budget.rollouts, "rollouts"), (budget.steps, "steps")) if n]
    return " or ".join(parts)
