"""The report of a recommendation on held-out episodes, of which some may have failed.

A failed episode has no return of its own. It counts as the `failure_return` of its task; where none is declared, as
the return that counts as 0 across tasks (`normalise`). If a task declares neither, the reported return is the mean of
the other episodes, together with the share of failures. What a search makes of a failure is another matter.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from policysearch.compare.study import Study
from policysearch.core import Array
from policysearch.reporting.tables import number
from policysearch.search import Generation
from policysearch.tasks import known_task

if TYPE_CHECKING:
    import pandas as pd

#: The column of runs.csv that says how many of a run's report episodes failed; it is there if any failed.
FAILED = "failed_episodes"


def failure_return(study: Study, task: str) -> float | None:
    """What a failed report episode counts as on a task; None where the task declares nothing."""
    declared, references = study.task(task, known_task).failure_return, study.references(task)
    return references[0] if declared is None and references is not None else declared


def rollouts_after(study: Study, task: str) -> Callable[[Generation], int]:
    """The most rollouts that the report takes of a search which ends with a generation.

    It evaluates the start, the last recommendation, and one for each point of the curve between them.
    """
    unit, grid = study.grid(task)
    return lambda made: study.report_episodes * (2 + sum(0 < point < getattr(made, unit) for point in grid))


def counted(returns: Float[Array, "k"], failure: float | None) -> Float[Array, "_"]:
    """The returns of which the mean is reported: failed episodes (NaN) as `failure`, or left out where it is None."""
    failed = np.isnan(returns)
    return returns[~failed] if failure is None else np.where(failed, failure, returns)


def mean_return(returns: Float[Array, "k"], failure: float | None) -> float:
    """The return that is reported; NaN where every episode failed and failures have no value."""
    kept = counted(returns, failure)
    with np.errstate(over="ignore"):  # a diverged policy may be paid −1e200
        return float(kept.mean()) if kept.size else float("nan")


def standard_error(returns: Float[Array, "k"], failure: float | None) -> float:
    """Of the return that is reported; NaN for fewer than two episodes."""
    kept = counted(returns, failure)
    if kept.size < 2:
        return float("nan")
    if (kept == kept[0]).all():
        return 0.0  # not what rounding leaves of it
    with np.errstate(over="ignore", invalid="ignore"):
        return float(kept.std(ddof=1) / np.sqrt(kept.size))


def in_words(failed: int, episodes: int, failure: float | None) -> str:
    """How many report episodes failed, and what was made of them."""
    said = f"failed in {failed} of {episodes} report episodes"
    if failure is not None:
        return f"{said}, each of which counts as {number(failure)}"
    if failed == episodes:
        return f"{said}: there is no return"
    return f"{said}; the return is the mean of the other {episodes - failed}"


def with_counts(runs: "pd.DataFrame") -> "pd.DataFrame":
    """The table of runs, with the column of failed report episodes before the remarks, if any episode failed."""
    if FAILED not in runs:
        return runs
    counts, others = runs[FAILED].fillna(0).astype(int), runs.drop(columns=FAILED)
    others.insert(list(others).index("remarks"), FAILED, counts)
    return others


def failed_share(runs: "pd.DataFrame", episodes: int) -> float:
    """The share of the report episodes of these runs, so many each, that failed; 0 in tables without that column."""
    return float(runs[FAILED].mean() / episodes) if FAILED in runs else 0.0


def failures_in_words(shares: dict[str, float], failure: float | None) -> str:
    """The share of failed report episodes of each method, and what was made of them; nothing if none failed."""
    if not any(shares.values()):
        return ""
    listed = ", ".join(f"{label} {100 * share:.2g} %" for label, share in shares.items())
    made = "left out of the returns" if failure is None else f"each counts as {number(failure)}"
    return f"Failed report episodes, {made}: {listed}."
