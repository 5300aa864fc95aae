"""Sentences of the exoskeleton's page, chosen by the tables that they stand next to.

A difference between arms that met the same people is claimed where its own 95 % interval leaves 0 out. These are the
intervals of single differences, not of all together.
"""

from typing import Any

import pandas as pd

from policysearch.compare import verdict

STARTS, STEPS = ("centre", "generic"), ("0.3", "0.15")


def listed(names: list[str]) -> str:
    """Names as code, "no method" for none."""
    return verdict.listed([f"`{name}`" for name in names]) if names else "no method"


def generic_or_search(people: pd.DataFrame, better: str) -> str:
    """Whether an hour of search is worth more than the generic law; `better`: studies that would measure so, in %."""
    rows = people.set_index("quantity").to_dict("index")
    search, law = rows["true"], rows["true reference"]
    words = "is better here than" if law["low"] > search["high"] else "is not better here than"
    words = "is worse here than" if law["high"] < search["low"] else words
    return (
        f"**The generic law, which needs no minutes at all, {words} an hour of CMA-ES from the centre of the "
        f"ranges** ({law['mean']:.1f} against {search['mean']:.1f} %). {better} % of the studies would have measured "
        "the search as better."
    )


def of_methods(rows: pd.DataFrame) -> Any:
    """True means of the methods with a start and a step: a row per method, a column per (start, step)."""
    true = rows[rows["quantity"] == "true"]
    parts = true["arm"].str.split(" | ", regex=False, expand=True)
    named = true.assign(method=parts[0], start=parts[1], step=parts[2])
    return named[named["step"].isin(STEPS)].pivot_table("mean", "method", ["start", "step"])


def start_or_method(rows: pd.DataFrame) -> str:
    """Whether the start or the method makes the larger difference, column by column."""
    table = of_methods(rows)
    spread = {column: float(table[column].max() - table[column].min()) for column in table.columns}
    between = {step: float((table["generic", step] - table["centre", step]).mean()) for step in STEPS}
    larger = sum(spread[start, step] > abs(between[step]) for start in STARTS for step in STEPS)
    headline = {
        0: "Where the search starts makes a larger difference than which method searches.",
        4: "Which method searches makes a larger difference than where the search starts.",
    }.get(larger, "Neither the start nor the method alone decides.")
    spreads = ", ".join(f"{spread[start, step]:.1f} ({start}, {step})" for start in STARTS for step in STEPS)
    changes = " and ".join(f"{between[step]:+.1f} ({step})" for step in STEPS)
    return (
        f"**{headline}** The best and the worst of the {len(table)} methods differ by {spreads} points; starting at "
        f"the generic law instead of the centre changes their mean by {changes}. "
        f"The methods differ by more than the starts in {larger} of 4 columns."
    )


def against_generic(gaps: pd.DataFrame, start: str, step: str | None = None) -> str:
    """The methods that end above, at and below the generic law."""
    parts = gaps["arm"].str.split(" | ", regex=False, expand=True)
    chosen = gaps[(parts[1] == start) & ((parts[2] == step) if step else True)].assign(method=parts[0])
    above, below = chosen[chosen["low"] > 0.0], chosen[chosen["high"] < 0.0]
    where = f"From the {'centre of the ranges' if start == 'centre' else 'generic law'}"
    where += f" with first steps of {step}" if step else ""
    gains = (
        f" by {above['difference'].min():.1f} to {above['difference'].max():.1f} points" if len(above) else ""
    )
    rest = len(chosen) - len(above) - len(below)
    return (
        f"{where}, {len(above)} of {len(chosen)} searches end measurably above the generic law{gains} "
        f"({listed(list(above['method']))}), {len(below)} measurably below it, and {rest} are not told apart from it."
    )


def apart(rows: pd.DataFrame, x: str = "cma-es", y: str = "finite-difference") -> str:
    """How far two methods are from each other in any column."""
    table = of_methods(rows)
    most = float((table.loc[x] - table.loc[y]).abs().max())
    return f"The means of `{x}` and `{y}` (the rule of Kohl & Stone) differ by at most {most:.1f} points in a column."


def steps(rows: pd.DataFrame) -> str:
    """The method that depends most on the size of its steps."""
    table = of_methods(rows)
    change = sum((table[start, "0.15"] - table[start, "0.3"]).abs() for start in STARTS) / 2.0
    most = f"{change.max():.1f} points in the mean of both starts"
    return f"`{change.idxmax()}` depends most on the size of its steps: {most}."


def without_size(gaps: pd.DataFrame, method: str) -> str:
    """A method without a step size, against the generic law."""
    parts = [
        f"{row['difference']:+.1f} ({row['low']:+.1f} … {row['high']:+.1f})"
        for row in gaps[gaps["arm"].str.startswith(f"{method} | ")].to_dict("records")
        if row["arm"].endswith("none")
    ]
    return f"`{method}` against the generic law: {', '.join(parts)} points."


def backfires(gaps: pd.DataFrame, start: str) -> str:
    """Whether customizing at once is worse than the generic law once people have adapted, and what waiting adds."""
    early, late, longer = (
        gaps[gaps["arm"].str.startswith(f"{who} | {start}")].iloc[0]
        for who in ("customize at once", "train 64 min, then customize", "customize for 128 min")
    )
    words = (
        "better than" if early["low"] > 0 else "worse than" if early["high"] < 0 else "not told apart from"
    )
    found = f"{early['difference']:+.1f} ({early['low']:+.1f} … {early['high']:+.1f})"
    where = "the centre of the ranges" if start == "centre" else "the generic law with small steps"
    return (
        f"From {where}, a law that was fitted to a novice is {words} the generic law once they have adapted: "
        f"{found}. "
        f"{waiting('Training first', early, late)} {waiting('128 minutes of search', late, longer, 'training first')}"
    )


def waiting(
    who: str, x: "pd.Series[float]", y: "pd.Series[float]", other: str = "customizing at once"
) -> str:
    """Two gaps to the generic law, told apart where their intervals are."""
    words = (
        "more than"
        if y["low"] > x["high"]
        else "less than"
        if y["high"] < x["low"]
        else "not told apart from"
    )
    return f"{who} ends {y['difference']:+.1f} from it, {words} {other} ({x['difference']:+.1f})."


def lengths(gaps: pd.DataFrame) -> str:
    """Lengths of bouts against two minutes."""
    parts = gaps["arm"].str.split(" | ", regex=False, expand=True)
    rows = gaps.assign(minutes=parts[0].astype(int), start=parts[1])
    rows = rows[rows["minutes"] != 2]
    above = sorted(rows[rows["low"] > 0.0]["minutes"].unique())
    worse = rows[rows["high"] < 0.0].groupby("minutes").size()
    both, one = (sorted(worse[worse == n].index) for n in (2, 1))
    say = [", ".join(map(str, found)) or "no length" for found in (above, both, one)]
    return (
        f"Measurably better than bouts of two minutes, from either start: {say[0]}. Measurably worse from both "
        f"starts: {say[1]}; from one start: {say[2]} (minutes; [differences](d_bout_lengths_against_2.csv))."
    )


def time_constants(gaps: pd.DataFrame) -> str:
    """Every difference to 42 s, and how many are measurable."""
    rows = [row for row in gaps.to_dict("records") if not row["arm"].startswith("42")]
    said = list[str]()
    for row in rows:
        seconds, method = row["arm"].split(" | ")
        words = "" if row["low"] > 0.0 or row["high"] < 0.0 else ", not measurable"
        found = f"{row['difference']:+.1f} ({row['low']:+.1f} … {row['high']:+.1f}){words}"
        said.append(f"`{method}` with {float(seconds):.0f} s {found}")
    gains = [row for row in rows if row["low"] > 0.0]
    why = " The gain is not explained." if gains else ""
    return f"Against 42 s, in points: {'; '.join(said)}.{why}"


def dimensions(rows: pd.DataFrame) -> str:
    """What the search adds to its start, for every size and time."""
    parts = list[str]()
    for minutes, part in rows.assign(gain=rows["true"] - rows["start"]).groupby("minutes"):
        known = part.to_dict("records")
        gained = ", ".join(f"{row['gain']:+.1f} ({row['parameters']:.0f})" for row in known)
        most = max(known, key=lambda row: row["gain"])["parameters"]
        parts.append(
            f"In {minutes} minutes the search adds {gained} points to its start (parameters), most with {most:.0f}."
        )
    return " ".join(parts)
