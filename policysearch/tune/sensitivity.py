"""Which parameters matter around a recommendation: other values of one parameter at a time, on the same seeds.

Intervals are 95 %, one at a time: of many, one in twenty is expected to miss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from policysearch.core import Array, Evaluation
from policysearch.space import Choice, Parameter, Space
from policysearch.tune.held_out import paired
from policysearch.tune.surface import as_run
from policysearch.tune.words import formatted, stated, with_interval

#: How far `measure` goes from the recommendation, in coordinates: of a bounded parameter, the share of its range.
REACH = 0.2
#: Shares of the reach at which values are evaluated, most values first; fewer where the budget is small.
SHARES = ((0.1, 0.25, 0.5, 1.0), (0.25, 1.0), (0.5,))
#: Coordinates that are no further apart are the same.
SAME = 1e-9
#: Episodes of each value that are worth more than further values.
ENOUGH_EPISODES = 8


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Returns of values near the recommendation on the same seeds; positive differences are better.

    `slices` has a row per parameter and value, the recommendation among them: parameter, unit, value, difference
    (mean over the seeds on which both succeeded), low, high (Student's 95 % interval), failed (share of the episodes)
    and worse. A value is worse if the whole interval is below −`tolerance`, or more of its episodes failed than of
    the recommendation. Without an interval, because too few seeds succeeded, a value is called worse.
    """

    space: Space
    at: Float[Array, "d"]  # the recommendation, in coordinates
    slices: pd.DataFrame
    episodes: int  # of each value
    tolerance: float = 0.0  # a loss of the return that does not matter

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per parameter searched: unit, recommended value, what was not found worse, loss at the worst value.

        Between `from` and `to` lie the evaluated values around the recommended one of which none is worse; a choice
        has neither. `loss` is positive for what is worse.
        """
        return pd.DataFrame([self._of(parameter) for parameter in self.space.searched])

    def lines(self) -> list[str]:
        """The summary in words, a line per parameter."""
        rows = self.summary.to_dict("records")
        return [self._line(p, row) for p, row in zip(self.space.searched, rows, strict=True)]

    def __str__(self) -> str:
        others = len(self.slices) - len(self.space.searched)
        head = (
            f"{self.episodes} episodes of the recommendation and of {others} other values, on the same seeds"
        )
        known = "95 % intervals" + (f"; losing {self.tolerance:.2g} does not count" if self.tolerance else "")
        return "\n".join([f"{head} ({known})", *self.lines()])

    def of(self, name: str) -> pd.DataFrame:
        """The slice along a parameter."""
        return self.slices[self.slices["parameter"] == name]

    def _of(self, parameter: Parameter | Choice) -> dict[str, Any]:
        name = parameter.name
        mine = self.of(name).reset_index(drop=True)
        at = self.space.named(self.at)[name]
        here = int(mine.index[mine["value"] == at][0])
        worse = mine["worse"].to_numpy(dtype=bool)
        below, above = np.flatnonzero(worse[:here]), np.flatnonzero(worse[here + 1 :])
        ends = (below[-1] + 1 if len(below) else 0, here + above[0] if len(above) else len(mine) - 1)
        start, end = (mine["value"].iloc[int(k)] for k in ends)
        others = mine.drop(index=here)
        known = others[others["difference"].notna()].sort_values("difference", kind="stable")
        unknown = {"value": None, "difference": np.nan, "low": np.nan, "high": np.nan}
        worst: Any = known.iloc[0] if len(known) else unknown
        choice = isinstance(parameter, Choice)
        return {
            "parameter": name,
            "unit": parameter.unit,
            "recommended": at,
            "from": None if choice else start,
            "to": None if choice else end,
            "worst": worst["value"],
            "loss": 0.0 - worst["difference"],
            "loss_low": 0.0 - worst["high"],
            "loss_high": 0.0 - worst["low"],
            "failed": float(others["failed"].max()),
        }

    def _line(self, parameter: Parameter | Choice, row: dict[Any, Any]) -> str:
        """As in "kp = 19.7 V/rad: 12.1 to 31.5 not found worse; at 9.8 worse by 0.31 (0.12 … 0.50)"."""
        at, mine = row["recommended"], self.of(parameter.name)
        if isinstance(parameter, Choice):
            good = [formatted(v) for v in mine.loc[~mine["worse"].astype(bool), "value"] if v != at]
            parts = [f"{', '.join(good) or 'no other option'} not found worse"]
        elif len(mine) == 1:
            parts = ["no other value lies within reach"]
        elif row["from"] == row["to"]:
            parts = ["the other values are worse"]
        else:
            parts = [f"{formatted(row['from'])} to {formatted(row['to'])} not found worse"]
        better = mine[mine["low"] > self.tolerance].sort_values("difference")
        if len(better):
            best = better.iloc[-1]
            gain = with_interval(best["difference"], best["low"], best["high"])
            parts.append(f"at {formatted(best['value'])} better by {gain}")
        if row["loss"] > 0:
            loss = with_interval(row["loss"], row["loss_low"], row["loss_high"])
            parts.append(f"at {formatted(row['worst'])} worse by {loss}")
        elif row["loss"] <= 0:
            parts.append("none has a worse mean")
        if row["failed"] > 0:
            where = mine.sort_values("failed", ascending=False, kind="stable")["value"].iloc[0]
            parts.append(f"at {formatted(where)} {row['failed']:.0%} failed")
        return f"{stated(parameter, at)}: {'; '.join(parts)}"


def measure(
    evaluate: Callable[[Float[Array, "n d"], int], Evaluation],
    space: Space,
    at: Float[Array, "d"],
    rollouts: int,
    *,
    tolerance: float = 0.0,
    reach: float = REACH,
) -> Sensitivity:
    """The returns of values near the recommendation, one parameter at a time.

    There are values on both sides at up to four distances, as many as get `ENOUGH_EPISODES`; whole numbers move by
    one at least, and every other option of a choice is evaluated. It costs `rollouts` at most.

    Args:
        evaluate: runs candidates, in coordinates, for so many episodes, all on the same seeds. Its returns are larger
            the better, as everywhere.
        space: the parameters.
        at: the recommendation, in coordinates.
        rollouts: how many there may be.
        tolerance: a loss of the return that does not matter.
        reach: the largest distance in coordinates: of a bounded parameter, the share of its range.

    Raises:
        ValueError: if the rollouts are too few for two episodes each, or a number makes no sense.
    """
    if not reach > 0 or not tolerance >= 0:
        raise ValueError(f"expected reach > 0 and tolerance >= 0, got {reach:g} and {tolerance:g}")
    at = as_run(space, at)
    others = _chosen(space, at, rollouts, reach)
    params = np.vstack([at, *others])
    episodes = rollouts // len(params)
    returns = evaluate(params, episodes).returns
    gaps = returns - returns[0]
    gaps[np.abs(gaps) <= 1e-12 * np.abs(returns[0])] = 0.0  # rounding
    failed = (~np.isfinite(returns)).mean(axis=1)
    rows = []
    for i, parameter in enumerate(space.searched):
        mine = [0, *(p for p in range(1, len(params)) if params[p, i] != at[i])]
        for p in sorted(mine, key=lambda p: float(params[p, i])):
            gap = paired(gaps[p]) if p else (0.0, 0.0, 0.0)
            sound = gap[2] >= -tolerance and failed[p] <= failed[0]
            value = space.named(params[p])[parameter.name]
            rows.append((parameter.name, parameter.unit, value, *gap, float(failed[p]), not sound))
    columns = ["parameter", "unit", "value", "difference", "low", "high", "failed", "worse"]
    return Sensitivity(space, at, pd.DataFrame(rows, columns=columns), episodes, tolerance)


def least_rollouts(space: Space) -> int:
    """What `measure` needs wherever it is: two episodes of the recommendation and of the fewest other values."""
    return 2 * (1 + sum(len(p.options) - 1 if isinstance(p, Choice) else 2 for p in space.searched))


def check_rollouts(space: Space, rollouts: int) -> None:
    """Raise ValueError for fewer rollouts than `measure` needs."""
    if rollouts < (least := least_rollouts(space)):
        raise ValueError(f"sensitivity_rollouts: expected 0, or at least {least}, got {rollouts}")


def _chosen(space: Space, at: Float[Array, "d"], rollouts: int, reach: float) -> list[Float[Array, "d"]]:
    """The other values that the budget allows."""
    if rollouts < (least := least_rollouts(space)):
        raise ValueError(
            f"rollouts: expected at least {least}, two episodes of the recommendation and of each other value, "
            f"got {rollouts}"
        )
    for shares in SHARES:
        others = _others(space, at, reach * np.array(shares))
        if rollouts // (1 + len(others)) >= ENOUGH_EPISODES:
            break
    return others


def _others(space: Space, at: Float[Array, "d"], distances: Float[Array, "m"]) -> list[Float[Array, "d"]]:
    """Coordinates that differ from `at` in one parameter."""
    found = []
    for i, parameter in enumerate(space.searched):
        here = space.decode(at)[i]
        if isinstance(parameter, Choice):
            values = np.arange(len(parameter.options))
        else:
            moved = np.tile(at, (2 * len(distances), 1))
            moved[:, i] += [*-distances, *distances]
            values = space.decode(moved)[:, i]
            if parameter.integer:
                steps = np.sign(moved[:, i] - at[i])
                values = np.clip(
                    np.where(values == here, here + steps, values), parameter.lower, parameter.upper
                )
        for value in np.unique(values):
            changed = space.decode(at)
            changed[i] = value
            point = at.copy()
            point[i] = space.encode(changed)[i]
            if abs(point[i] - at[i]) > SAME:
                found.append(point)
    return found
