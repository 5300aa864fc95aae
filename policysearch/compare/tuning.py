"""Two-stage tuning (Patterson, Neumann, White & White 2024, "Empirical design in reinforcement learning").

First, every method gets the same number of tuning runs on every task, on seeds of their own; then the chosen
hyperparameters are compared on other seeds, so that luck in tuning does not enter the comparison. Configuration
0 is the row as the study has it, the others are drawn log-uniformly from the method's `tunable` ranges.
Every configuration is run `repeats` times, the r-th run of each on the same episodes; the one with the best mean
final return is chosen, the earlier where they tie.
"""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from policysearch.compare.rows import OptimizerChoice
from policysearch.compare.run import Job, Result
from policysearch.compare.study import Study, TaskChoice
from policysearch.core import tunable_of
from policysearch.optimizers import find_method
from policysearch.reporting.tables import number
from policysearch.seeding import seed_of, stream

if TYPE_CHECKING:
    import pandas as pd

#: Draws that may be impossible (more elites than candidates, …) before a configuration is given up.
MAX_DRAWS = 100


def repeats(study: Study) -> int:
    """Runs per configuration: 3, or 1 where there are few tuning runs."""
    return 3 if study.tune >= 6 else 1


def configurations(study: Study) -> int:
    """How many configurations of each method are tried."""
    return study.tune // repeats(study)


def tuning_study(study: Study) -> Study:
    """The tuning as a study of its own: a row for every configuration, seeds that the comparison never uses."""
    labels = [f"{label}#{i}" for label in study.optimizers for i in range(configurations(study))]
    return study.model_copy(
        update={
            "tune": 0,
            "settle": 0,
            "seed": seed_of(study.seed, "tuning"),
            "runs": repeats(study),
            "curve_points": 1,
            "optimizers": {label: study.optimizers[row_of(label)] for label in labels},
            "tasks": {task: _with_draws(study, task, labels) for task in study.tasks},
        }
    )


def _with_draws(study: Study, task: str, labels: list[str]) -> TaskChoice:
    drawn = {label: draw(study, task, *_split(label)) for label in labels}
    return study.tasks[task].model_copy(update={"options": drawn})


def row_of(label: str) -> str:
    """The row of the study that a configuration belongs to."""
    return label.rpartition("#")[0]


def _split(label: str) -> tuple[str, int]:
    name, _, number = label.rpartition("#")
    return name, int(number)


def draw(study: Study, task: str, label: str, number: int) -> dict[str, Any]:
    """Configuration `number` of a row on a task: its hyperparameters where they differ from the row's own."""
    own = study.tasks[task].options.get(label, {})
    if number == 0:
        return own
    choice, rng = study.optimizers[label], stream(study.seed, "tuning", task, label, number)
    for _ in range(MAX_DRAWS):
        options = own | _drawn(choice, rng)
        if _possible(study, task, label, options):
            return options
    return own


def _drawn(choice: OptimizerChoice, rng: np.random.Generator) -> dict[str, Any]:
    cls = find_method(choice.method)
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    options: dict[str, Any] = {}
    for name, (low, high) in tunable_of(cls).items():
        value = float(math.exp(rng.uniform(math.log(low), math.log(high))))
        options[name] = round(value) if isinstance(defaults[name], int) else float(f"{value:.3g}")
    return options


def _possible(study: Study, task: str, label: str, options: dict[str, Any]) -> bool:
    """Whether the method takes these hyperparameters, and a fourth of the budget two of its generations."""
    changed = study.tasks[task].model_copy(update={"options": {label: options}})
    try:
        cost = study.model_copy(update={"tasks": {task: changed}}).first_cost(task, label)
    except ValueError:
        return False
    limit = study.budget(task).rollouts
    return limit is None or cost <= limit / 8 or cost <= study.first_cost(task, label)


def tuned(study: Study, drawn: Study, results: dict[Job, Result]) -> Study:
    """The study with the chosen of the drawn hyperparameters, for the comparison: it tunes no more."""
    table = tuning_table(drawn, results)
    tasks = {}
    for task, choice in study.tasks.items():
        options = dict(choice.options)
        for label in study.optimizers:
            rows = table[(table["task"] == task) & (table["optimizer"] == label) & table["chosen"]]
            if len(rows):
                options[label] = drawn.tasks[task].options[f"{label}#{rows['configuration'].iloc[0]}"]
        tasks[task] = choice.model_copy(update={"options": options})
    return study.model_copy(update={"tasks": tasks, "tune": 0})


def tuning_table(drawn: Study, results: dict[Job, Result]) -> "pd.DataFrame":
    """A row per tuning run: configuration, hyperparameters, final return, what it spent, whether it was chosen."""
    import pandas as pd  # noqa: PLC0415 - runs do not need it

    rows: list[dict[str, Any]] = []
    for job, result in results.items():
        label, number = _split(job.optimizer)
        choice = drawn.optimizers[job.optimizer]
        options = choice.options | drawn.tasks[job.task].options[job.optimizer]
        values = choice.model_copy(update={"options": options}).hyperparameters()
        names = tunable_of(find_method(choice.method))
        rows.append(
            {"task": job.task, "optimizer": label, "configuration": number, "run": job.run}
            | {name: result.row[name] for name in ("rollouts", "steps", "final_return")}
            | {"hyperparameters": ", ".join(f"{name}={values[name]}" for name in names)}
        )
    table = pd.DataFrame(rows, columns=TUNING_COLUMNS[:-1])
    scores: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        final = float(row["final_return"])
        key = (row["task"], row["optimizer"], row["configuration"])
        scores.setdefault(key, []).append(final if np.isfinite(final) else -np.inf)
    chosen: dict[tuple[str, str], tuple[float, int]] = {}
    for (task, label, number), finals in sorted(scores.items(), key=lambda entry: entry[0][2]):
        if (task, label) not in chosen or np.mean(finals) > chosen[task, label][0]:
            chosen[task, label] = (float(np.mean(finals)), number)
    return table.assign(
        chosen=[chosen[row["task"], row["optimizer"]][1] == row["configuration"] for row in rows]
    )


def so_far(drawn: Study, results: dict[Job, Result]) -> tuple[str, ...]:
    """A line for each method and task: how many tuning runs there are, and what is best among them."""
    table = tuning_table(drawn, results)
    lines = []
    for (task, label), group in table.groupby(["task", "optimizer"], sort=False):
        best = group[group["chosen"]]
        mean, values = number(best["final_return"].mean()), best["hyperparameters"].iloc[0]
        total = sum(row_of(row) == label for row in drawn.optimizers) * drawn.runs
        lines.append(
            f"tuning {label} on {task}: {len(group)} of {total} runs; best so far {values or 'its settings'}, "
            f"with a mean final return of {mean}"
        )
    return tuple(lines)


TUNING_COLUMNS = [
    "task", "optimizer", "configuration", "run", "rollouts", "steps", "final_return", "hyperparameters", "chosen",
]  # fmt: skip


def values_of(text: str) -> dict[str, float]:
    """The hyperparameters that `tuning_table` wrote as text."""
    pairs = (entry.partition("=") for entry in text.split(", "))
    return {name: float(value) for name, _, value in pairs}
