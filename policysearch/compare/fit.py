"""How the rows of a study fit a task: which cannot search it, and what their first generations cost."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fit:
    """How the rows of a study fit a task."""

    task: str
    limit: int | None  # its budget of rollouts
    problem: str = ""  # for every row
    unfit: dict[str, str] = field(default_factory=dict)  # rows that cannot search it, and why
    costs: dict[str, int] = field(default_factory=dict)  # of the others' first generations

    @property
    def too_large(self) -> dict[str, int]:
        """The rows whose first generation is over the budget, and its rollouts."""
        return {label: cost for label, cost in self.costs.items() if cost > (self.limit or cost)}

    def problems(self, labels: Collection[str]) -> list[str]:
        """What cannot work: the environment, the policy, some of the rows `labels`, or their first generations."""
        if self.problem:
            return [f"tasks.{self.task}: {self.problem}"]
        problems = [
            f"{label} on {self.task}: {reason}" for label, reason in self.unfit.items() if label in labels
        ]
        costs = [f"{label} ({cost})" for label, cost in self.too_large.items() if label in labels]
        if costs:
            problems.append(
                f"tasks.{self.task}: a budget of {self.limit} rollouts is smaller than one generation of "
                f"{', '.join(costs)}; raise --rollouts or set smaller populations"
            )
        return problems


def left_out(
    fits: Sequence[Fit], unfit: Collection[str], costly: Collection[str]
) -> tuple[set[str], list[str]]:
    """The rows that have to be left out of those that may be, and a line for each reason."""
    gone, reasons = set[str](), dict[str, list[str]]()
    for fit in fits:
        found = {label: (label, reason) for label, reason in fit.unfit.items() if label in unfit}
        over = f"a generation is larger than the budget of {fit.limit} rollouts"
        found |= {label: (f"{label} ({n})", over) for label, n in fit.too_large.items() if label in costly}
        for label, (described, reason) in found.items():
            if label not in gone:
                reasons.setdefault(f"on {fit.task}: {reason}", []).append(described)
        gone |= found.keys()
    return gone, [f"left out: {', '.join(labels)}: {reason}" for reason, labels in reasons.items()]
