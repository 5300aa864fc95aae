"""The options of a tuning: checked values for files, flags and `tune`, and its keywords as editors know them.

Only light modules are imported here, so that `--help` answers at once.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from policysearch.configuration import STRICT, Goal, Settings
from policysearch.flags import described, flag
from policysearch.reuse import ReuseOptions

if TYPE_CHECKING:
    from policysearch.constraints import Constraint
    from policysearch.limits import Limits

#: Is given a line of text whenever there is news.
Say = Callable[[str], None]
Function = Callable[[Any, int], float | Mapping[str, float]]


@described
class TuneSettings(BaseModel):
    """All that decides a tuning except for the function and its parameters."""

    model_config = STRICT

    rollouts: Annotated[int, Field(ge=1), flag("N")] = 200
    """The budget of the search."""

    optimizer: Annotated[str | None, flag("NAME", "auto, by the noise")] = None
    """The method: a name of `python -m policysearch.compare --list`, or module:CLASS, one of your own."""

    options: dict[str, Any] = {}
    """Hyperparameters of the method; those of the default method stay unless they are named."""

    settings: Annotated[Settings | None, flag("WHICH", "default")] = None
    """Hyperparameters that are not named: default, or source, those of the method's source where they differ."""

    goal: Annotated[Goal, flag("GOAL")] = "maximise"
    """Which returns are better: minimise or maximise."""

    constraints: list[str] = []
    """What parameters have to meet, as in "kd <= kp / 2"; others are not run, but counted."""

    outputs: Annotated[list[str], flag("TEXT …")] = []
    """What else is measured has to meet, as in "overshoot <= 0.1" or "speed == 1"."""

    scenarios: dict[str, list[Any]] = {}
    """Values that the plant may have, by name: every candidate is run with each of them, and all runs are charged."""

    objective: Annotated[str, flag("NAME")] = "mean"
    """What of the scenarios counts: mean, worst, or cvar:0.2, the mean of the worst fifth."""

    fixed: dict[str, Any] = {}
    """Parameters that keep a value, by name; the others are searched."""

    margin: float = Field(0.0, ge=0.0, lt=0.5)
    """The share of every range that is left free at both of its ends."""

    safe: Annotated[bool | float, flag("")] = False
    """Never change a parameter by more than a tenth of its range from values that have worked together (in a file or
    from Python, a number is another share than a tenth)."""

    hours: Annotated[float | None, Field(gt=0), flag("H", "no limit")] = None
    """The longest that the search and the evaluation of its result may take; time used in earlier sessions counts."""

    target: Annotated[float | None, flag("VALUE", "none")] = None
    """End the search with a candidate whose mean return is this, or better."""

    patience: Annotated[int | None, Field(ge=1), flag("ROLLOUTS", "no limit")] = None
    """End the search when so many rollouts have brought no better candidate."""

    episodes_per_candidate: int = Field(1, ge=1)
    """Rollouts that are averaged for each candidate; all are charged to the budget."""

    report_rollouts: Annotated[int | None, Field(ge=2), flag("N", "20, or 3 by a person")] = None
    """Rollouts of the recommendation on held-out seeds, and as many of the start; not charged."""

    sensitivity_rollouts: Annotated[int, Field(ge=0), flag("N")] = 0
    """Rollouts around the recommendation that show which parameters matter; not charged."""

    metrics: dict[str, Goal] = {}
    """For what else is measured, whether it is to be minimised (the default) or maximised."""

    seed: Annotated[int, Field(ge=0), flag("S")] = 0
    """Seed of everything random here; rollouts get seeds of their own."""

    timeout: Annotated[float | None, Field(gt=0), flag("SECONDS", "none")] = None
    """The longest that a rollout may take, in seconds, where there are processes that can be ended."""

    template: str | list[str] | None = None
    """Input files of a program, such as "input.txt.in": each run gets copies in its folder {dir}, without the last
    .in of their names, and with their placeholders filled."""

    directory: str | None = None
    """The folder in which a program runs, the present one by default; "{dir}" is a fresh one for each run."""

    depends: Annotated[list[str], flag("FILE …")] = []
    """Files and folders that the result depends on and that are not found by themselves, such as data or an FMU."""

    external: Annotated[bool, flag("")] = False
    """Whether a machine is moved, which is never run only to check that it repeats itself."""

    @property
    def limits(self) -> "Limits":
        """What ends the search before its budget is spent."""
        from policysearch.limits import Limits  # noqa: PLC0415 - NumPy, which `--help` does without

        return Limits(self.hours, self.target, self.patience, minimise=self.goal == "minimise")

    @property
    def reach(self) -> float:
        """How far `safe` lets a parameter go, as a share of its range; 0 for any distance."""
        return SAFE_REACH if self.safe is True else float(self.safe)


#: As a share of a parameter's range, how far `safe` goes from values that have worked.
SAFE_REACH = 0.1


class TuneOptions(ReuseOptions, total=False):
    """The keywords of `policysearch.tune`: `TuneSettings` and `Reuse` describe all but the last seven.

    `known` has earlier tries, which are not charged: a CSV file, the folder of a tuning, a result, a table, or points
    by name with their `return`. Some methods learn from them; others start at the best of them.
    `perturb` has changed plants by name, each a function or a command line, on which the recommendation and the start
    are evaluated too. `workers` processes run the rollouts; the results do not depend on their number. `engine` runs
    them on other machines: an executor of `concurrent.futures`, or a text as `--engine` has it. `out` is a folder
    that keeps everything. `progress` is called with a line of text whenever there is news; True shows the lines on
    standard error, or below the cell of a notebook. `log` is a CSV file to which the rollouts of the search are
    appended while it runs, a row each.
    """

    options: Mapping[str, Any] | None
    settings: Settings | None
    goal: Goal
    constraints: "Sequence[Constraint | str]"
    outputs: Sequence[str]
    scenarios: Mapping[str, Sequence[Any]] | None
    objective: str
    fixed: Mapping[str, Any] | None
    margin: float
    safe: bool | float
    hours: float | None
    target: float | None
    patience: int | None
    episodes_per_candidate: int
    report_rollouts: int | None
    sensitivity_rollouts: int
    metrics: Mapping[str, Goal] | None
    seed: int
    timeout: float | None
    template: str | Sequence[str] | None
    directory: str | None
    depends: Sequence[str]
    external: bool
    known: Any
    perturb: Mapping[str, Function | str] | None
    workers: int
    engine: Any
    out: str | Path | None
    progress: Say | bool | None
    log: str | Path | None
