"""Sentences of the page of the gait studies, chosen by the tables that they stand next to.

A difference is claimed where the study's own test (`better` in pairs.csv, at most a 5 % chance of any error among
all pairs of a task) finds it; a change where its 95 % bootstrap interval leaves 0 out. The rest is undecided.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from policysearch.compare import verdict
from policysearch.compare.statistics import bootstrap_interval, iqm, tail
from policysearch.core import Array
from policysearch.seeding import stream

RULE = "finite-difference"  # Kohl & Stone's
FOLLOW_UP = ("hill-climbing", "genetic", RULE, "nelder-mead")  # of Kohl & Stone, AAAI 2004
PAPER_START, PAPER_END = 150.0, 291.0  # mm/s: at most, and the best gait measured again
PAPER_GAIN = PAPER_END - PAPER_START  # at least
LAST = 0.7  # of the budget: a curve rises at its end if it rises from here on
RESAMPLES = 2000


def listed(names: Sequence[str]) -> str:
    """Names as code, "no method" for none."""
    return verdict.listed([f"`{name}`" for name in names]) if names else "no method"


def better(pairs: pd.DataFrame, x: str, y: str) -> str | None:
    """The better one of two methods, None if the study does not tell them apart."""
    row = pairs[((pairs["x"] == x) & (pairs["y"] == y)) | ((pairs["x"] == y) & (pairs["y"] == x))].iloc[0]
    return None if pd.isna(row["better"]) else str(row["better"])


def p_joint(pairs: pd.DataFrame, x: str, y: str) -> str:
    """What the page says of a pair's test."""
    row = pairs[((pairs["x"] == x) & (pairs["y"] == y)) | ((pairs["x"] == y) & (pairs["y"] == x))].iloc[0]
    return "p < .001" if row["p_joint"] < 0.001 else f"p = {row['p_joint']:.3f}".replace("0.", ".")


def leader(summary: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Which method ends highest, and which of the others are not told apart from it."""
    order = list(summary.sort_values("iqm", ascending=False)["optimizer"])
    first, others = order[0], order[1:]
    equal = [name for name in others if better(pairs, first, name) is None]
    runs = int(summary["runs"].min())
    return f"`{first}` ends highest. With {runs} runs the study does not tell it apart from {listed(equal)}."


def against_rule(summary: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Every other method compared with the rule of Kohl & Stone."""
    others = [name for name in summary.sort_values("iqm", ascending=False)["optimizer"] if name != RULE]
    decided = {name: better(pairs, RULE, name) for name in others}
    above = [name for name in others if decided[name] == name]
    equal = [name for name in others if decided[name] is None]
    below = [name for name in others if decided[name] == RULE]
    return (
        f"Better than the rule of Kohl & Stone (`{RULE}`): {listed(above)}. Not told apart from it: {listed(equal)}. "
        f"Worse: {listed(below)}."
    )


def follow_up(pairs: pd.DataFrame) -> str:
    """The pairs of the follow-up paper's four methods: those that are decided, and those that are not."""
    decided, open_ = list[str](), list[str]()
    for i, x in enumerate(FOLLOW_UP):
        for y in FOLLOW_UP[i + 1 :]:
            first, said = better(pairs, x, y), p_joint(pairs, x, y)
            if first is None:
                open_.append(f"`{x}` and `{y}` ({said})")
            else:
                decided.append(f"`{first}` above `{y if first == x else x}` ({said})")
    return f"decided: {', '.join(decided) or 'nothing'}; not decided: {', '.join(open_) or 'nothing'}."


def below_start(runs: pd.DataFrame) -> str:
    """How many runs of the rule end below their first gait."""
    mine = runs[runs["optimizer"] == RULE]
    count = int((mine["final_return"] < mine["start_return"]).sum())
    verb = "ends" if count == 1 else "end"
    return f"{count or 'None'} of {len(mine)} runs of Kohl & Stone's rule {verb} below the first gait."


def with_interval(mean: float, low: float, high: float, unit: str = "") -> str:
    """A difference with its interval, all with signs."""
    return f"{mean:+.0f}{unit} ({low:+.0f} … {high:+.0f})"


def gain(runs: pd.DataFrame, curves: pd.DataFrame) -> str:
    """What the rule gains here next to what it gained in the paper, and whether its curve still rises."""
    mine = runs[runs["optimizer"] == RULE]
    gains = (mine["final_return"] - mine["start_return"]).to_numpy()
    start, middle = float(mine["start_return"].mean()), float(iqm(gains))
    low, high = bootstrap_interval(gains, "gain")
    learns = "learns" if low > 0.0 else "does not measurably learn"
    verdict = (
        "The gain is smaller than the paper's"
        if high < PAPER_GAIN
        else "The gain is not smaller than the paper's"
        if low >= PAPER_GAIN
        else "The gain is not told apart from the paper's"
    )
    first = (
        "faster than the paper's; the reason is not known"
        if start > PAPER_START
        else "not faster than the paper's"
    )
    return (
        f"From averages of three traversals the rule {learns}: {with_interval(middle, low, high, ' mm/s')}, "
        f"{100 * middle / start:.0f} % of the first gait. {rises(curves)} {verdict}, which was at least "
        f"{PAPER_GAIN:.0f} mm/s, {100 * PAPER_GAIN / PAPER_START:.0f} %. The first gait is {first}."
    )


def rises(curves: pd.DataFrame) -> str:
    """Whether the curve of the rule rises in the last part of the budget."""
    table = curves[curves["optimizer"] == RULE].pivot_table("return_mean", "run", "rollouts")
    spent = [int(str(at)) for at in table.columns]
    begin = next(at for at in spent if at >= LAST * spent[-1])
    last = (table[table.columns[-1]] - table[begin]).to_numpy()
    low, high = bootstrap_interval(last, "end")
    words = "still rises" if low > 0.0 else "falls" if high < 0.0 else "neither rises nor falls measurably"
    by = with_interval(float(iqm(last)), low, high, " mm/s")
    return f"The curve {words} at the end: {by} from traversal {begin} on."


def stands_still(curves: pd.DataFrame, method: str = "nelder-mead") -> str:
    """What a method gains after a tenth of the budget."""
    table = curves[curves["optimizer"] == method].pivot_table("return_mean", "run", "rollouts")
    begin = next(at for at in (int(str(at)) for at in table.columns) if at > 0)
    later = (table[table.columns[-1]] - table[begin]).to_numpy()
    low, high = bootstrap_interval(later, "later")
    return (
        f"From traversal {begin} to {table.columns[-1]} the amoeba changes by "
        f"{with_interval(float(iqm(later)), low, high, ' mm/s')}."
    )


def made_with(package: str, runs: pd.DataFrame, again: pd.DataFrame) -> str:
    """The version that made the runs, and what those that were made again with a later one give."""
    pairs = again.merge(runs, on=["task", "optimizer", "run"], suffixes=("", "_before"))
    same = np.isclose(pairs["final_return"], pairs["final_return_before"], rtol=1e-9, atol=0.0)
    changed = [
        f"`{row['optimizer']}` at {row['final_return']:.0f} mm/s and not {row['final_return_before']:.0f}"
        for row in pairs[~same].to_dict("records")
    ]
    return (
        f"The runs were made with policysearch {package}; intervals, tests and pictures are of a later version. With "
        "that, run 0 of every method was made again, by `python -m policysearch.compare "
        "results/aibo_gait/study/study.toml --runs 1 --out again`, of which [again.csv](again.csv) is kept: "
        f"{same.sum()} of {len(pairs)} methods end at the same speed to nine digits; others: "
        f"{', '.join(changed) or 'none'}."
    )


def directions(moved: pd.DataFrame) -> str:
    """Which parameters went the paper's way, by their own intervals."""
    undecided = (moved["low"] <= 0.0) & (moved["high"] >= 0.0)
    same = ~undecided & (moved["moved"] * moved["paper_moved"] > 0.0)
    opposite = ~undecided & ~same
    parts = [
        f"{words} ({int(which.sum())}): {', '.join(moved['parameter'][which]) or 'none'}"
        for words, which in (
            ("Paper's direction", same),
            ("opposite direction", opposite),
            ("undecided", undecided),
        )
    ]
    return "; ".join(parts) + ". The intervals are of each parameter alone, not of the twelve together."


def paper_gait(speed: float, sd: float, start: float, traversals: int = 40) -> str:
    """The paper's learned gait on this robot, compared with the first gait."""
    error = 2.0 * sd / np.sqrt(traversals)
    words = (
        "slower than"
        if speed + error < start
        else "faster than"
        if speed - error > start
        else "about as fast as"
    )
    return (
        f"The paper's own learned gait, on this robot, walks {speed:.0f} mm/s (± {sd:.0f} from traversal to "
        f"traversal), {words} the first gait."
    )


# ------------------------------------------------------------------------------------- other amounts of noise


def order(pairs: pd.DataFrame, level: str, runs: int) -> str:
    """The pairs that a level of noise decides."""
    decided = [
        f"`{row['better']}` above `{row['y'] if row['better'] == row['x'] else row['x']}`"
        for row in pairs.to_dict("records")
        if not pd.isna(row["better"])
    ]
    found = ", ".join(decided) or "no pair differs significantly, so the order of the methods is open"
    return f"With {level} the noise and {runs} runs: {found}."


def change(runs: Array, before: Array) -> tuple[float, float, float]:
    """Difference of the IQMs of two sets of runs that have nothing in common, with its 95 % interval."""
    rng, outside = stream("noise"), tail([runs.size, before.size])
    first, second = (
        iqm(values[rng.integers(values.size, size=(RESAMPLES, values.size))]) for values in (runs, before)
    )
    low, high = np.quantile(first - second, [outside, 1.0 - outside])
    return float(iqm(runs) - iqm(before)), float(low), float(high)


def changes(runs: pd.DataFrame, before: pd.DataFrame, level: str) -> str:
    """What another amount of noise does to each method."""
    parts, decided = list[str](), list[str]()
    for method, mine in runs.groupby("optimizer", sort=False):
        reference = before.loc[before["optimizer"] == method, "final_return"].to_numpy()
        found, low, high = change(mine["final_return"].to_numpy(), reference)
        parts.append(f"`{method}` {with_interval(found, low, high)}")
        if low > 0.0 or high < 0.0:
            decided.append(str(method))
    return (
        f"{level} the noise against the runs above, mm/s: {', '.join(parts)}. Measurable: {listed(decided)}."
    )
