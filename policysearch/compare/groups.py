"""The methods on a task in groups that the paired test tells from each other, best first."""

from typing import NamedTuple

from policysearch.compare.comparison import Comparison
from policysearch.compare.verdict import against, ranking, runs_needed


class Group(NamedTuple):
    """A method, and what the test does not distinguish from it."""

    first: str
    others: list[tuple[str, str]]  # method, and how many runs would decide


def groups(comparison: Comparison, task: str) -> list[Group]:
    """Each group begins with the best method that is in none before, by the interquartile mean.

    All methods of later groups are distinguished from that one by the test; from others they may not be.
    """
    leader, others = ranking(comparison, task)
    found, left = list[Group](), [leader, *others]
    while left:
        first, *rest = left
        table = against(comparison, task, first).set_index("y")
        near = dict.fromkeys(rest, "no run in common") | {
            str(y): "" if row["better"] else runs_needed(int(row["runs_needed"]), int(row["runs"]))
            for y, row in table.to_dict("index").items()
        }
        found.append(Group(first, [(label, near[label]) for label in rest if near[label]]))
        left = [label for label in rest if not near[label]]
    return found
