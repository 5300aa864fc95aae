"""The scenarios of a robust tuning: plants that differ in known values, such as three masses of a load.

Lists of several names make every combination. The nominal one has the middle value of each list; of an even number of
values, the one before the middle.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.core import Array, Evaluation
from policysearch.evaluators.functions import sign_of
from policysearch.optimizers.robust import of_repetitions, over_scenarios, share_of
from policysearch.space import Choice, Parameter, Space
from policysearch.tune.held_out import mean_of
from policysearch.tune.records import mean_return
from policysearch.tune.words import formatted

#: What the returns of a candidate are worth together.
Worth = Callable[[Sequence[float]], float]
ONE: tuple[dict[str, Any], ...] = ({},)


@dataclass(frozen=True)
class Scenarios:
    """All combinations of values, in order, and what of their returns counts."""

    values: tuple[dict[str, Any], ...] = ONE
    nominal: int = 0
    objective: str = "mean"

    @classmethod
    def of(cls, lists: Mapping[str, Sequence[Any]], objective: str) -> "Scenarios":
        """Every combination of one value from each list.

        Raises:
            ValueError: for an empty list, a value that is in one twice, or an objective without scenarios.
        """
        for name, given in lists.items():
            if not given or len(set(given)) < len(given):
                raise ValueError(f"scenarios: expected different values of {name}, got {list(given)}")
        if not lists and objective != "mean":
            raise ValueError(f"objective: expected scenarios for {objective}, got none")
        share_of(objective)
        combinations = tuple(dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values()))
        return cls(combinations, combinations.index(_nominal(lists)), objective)

    def __len__(self) -> int:
        return len(self.values)

    def at(self, episode: int) -> dict[str, Any]:
        """The scenario of an episode."""
        return self.values[episode % len(self)]

    def over(self, evaluation: Evaluation) -> Evaluation:
        """An evaluation on all scenarios, as one of their objective."""
        return of_repetitions(evaluation, len(self), self.objective)

    def worth(self, goal: str) -> Worth:
        """What the returns of a candidate are worth, which hold every scenario of a repetition after the other."""
        return worth_of(len(self), self.objective, goal)

    def table(self, returns: Float[Array, "2 e"]) -> pd.DataFrame | None:
        """A row per scenario: its values, mean returns of the recommendation and of the start; None of one."""
        if len(self) == 1:
            return None
        rows = []
        for s, values in enumerate(self.values):
            recommended, start = (mean_of(row[s :: len(self)]) for row in returns)
            rows.append({**values, "nominal": s == self.nominal, "recommended": recommended, "start": start})
        return pd.DataFrame(rows)


#: The plant as it is.
ALONE = Scenarios()


def worth_of(scenarios: int, objective: str, goal: str) -> Worth:
    """What returns on all scenarios, repetition after repetition, are worth; costs or rewards, as the goal says."""

    def worth(returns: Sequence[float]) -> float:
        signed = sign_of(goal) * np.array([returns], dtype=float)
        return sign_of(goal) * float(over_scenarios(signed, scenarios, objective).mean())

    return worth if scenarios > 1 else mean_return


def lines(table: pd.DataFrame | None, goal: str) -> Iterator[str]:
    """What a report says of a table of scenarios: the nominal one, and the worst of the recommendation."""
    if table is None:
        return
    signed = sign_of(goal) * table["recommended"].to_numpy()
    worst = int(np.nanargmin(signed)) if np.isfinite(signed).any() else 0
    for label, s in (("nominal", int(table["nominal"].argmax())), ("worst", worst)):
        row = table.iloc[s]
        values = ", ".join(f"{name} = {formatted(row[name])}" for name in table.columns[:-3])
        yield f"{label} ({values}): {formatted(row['recommended'])}, the start {formatted(row['start'])}"


def with_nominal(space: Space, lists: Mapping[str, Sequence[Any]]) -> Space:
    """The parameters, those of the scenarios held at the nominal values; new ones are added.

    Raises:
        ValueError: for a value that a parameter of the space cannot have.
    """
    nominal = _nominal(lists)
    for p in space.parameters:
        for value in lists.get(p.name, ()):
            p.held_at(value)  # or it is refused
    space = space.fixed({name: x for name, x in nominal.items() if name in space.names})
    new = [_held(name, x) for name, x in nominal.items() if name not in space.names]
    return Space((*space.parameters, *new))


def _nominal(lists: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {name: given[(len(given) - 1) // 2] for name, given in lists.items()}


def _held(name: str, value: Any) -> Parameter | Choice:
    if isinstance(value, str | bool):
        return Choice(name, (value,), value)
    return Parameter(name, value, value, value)
