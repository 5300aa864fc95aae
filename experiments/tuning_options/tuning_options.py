"""What it is worth to tell a tuning more: earlier tries, fixed parameters, constraints on outputs, scenarios.

    python experiments/tuning_options/tuning_options.py               20 seeds, about six minutes of one idle core
    python experiments/tuning_options/tuning_options.py --seeds 2     a first look

Every run is one of `policysearch.tune` with its defaults, but for 10 seeds in its report. The parameters that it
recommends are scored on 100 other seeds of the plant. Regret is (value − best)/(start − best) in what the question
is about: 0 for the best known, 1 for the start, no more than 2. The best known of a question is the best of long
searches and of all runs. The page is written again from OUT/regrets.csv where that is there; delete it to start
again.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tuning_plants import PLANTS, SPACE, outcome

from policysearch.files import write_text
from policysearch.provenance import environment
from policysearch.reporting.tables import csv, markdown
from policysearch.tune.api import tune
from policysearch.tune.held_out import paired

BUDGETS = (30, 100, 200)
SIZES = (0.5, 1.0, 2.0)
#: The largest mean overshoot that is allowed, and by how much the mean of 100 seeds may miss it.
OVERSHOOT, SLACK = 0.02, 0.002
SCORED = 100
Values = Mapping[str, Any]

PAGE = """# What it is worth to tell a tuning more

Written by `python experiments/tuning_options/tuning_options.py` ({versions}; seeds 0–{last}).

Mean regret after {budgets} rollouts over three controllers and {seeds} seeds: 0 is the best known, 1 the start. The
controllers are PID with three gains, whose ranges are factors of 1,000 and more, on a servo, a heater with dead time
and two tanks. In brackets is the mean difference to the row "without" on the same seeds, with its 95 % interval
(Student's, of the means over controllers): below 0 it is better. Nothing is corrected for the number of rows.

{tables}

By controller, mean regret after {budgets} rollouts:

{by_plant}

What the rows are:

- `tune` chooses the method: CMA-ES where an output is constrained, `auto` in all other rows.
- Earlier tries are the 60 rollouts of a tuning of a plant whose size is 1.5 instead of 1. The second row begins at
  the result of that tuning, the third one knows all of its rollouts (`known=`).
- The derivative gain is fixed at the best known, and at ten times that (`fixed=`), where the search cannot mend it.
- The mean overshoot has to be at most {overshoot:g}. A recommendation whose overshoot on {scored} seeds is more than
  {slack:g} above that counts with a regret of 1. {feasible}
- The criterion of scenarios is the mean cost of the worst of the sizes {sizes}. Without them the plant of size 1 is
  tuned. Every scenario's rollout is charged, so that a candidate costs three (`scenarios=`, `objective=`).

What they show: earlier tries of a similar plant and a well fixed gain help most where rollouts are few; a badly
fixed gain is never made up. Whether the method is told the tries or only begins at their best made no
difference here. A constraint is rarely met unless it is asked for. Returns are noisy, so some recommendations
that held it on the seeds of their report break it by a little on others: ask for less than what is needed.
Scenarios triple the cost of a candidate: up to 100 rollouts the worst size was better served by a tuning of the
nominal plant, and after 200 they were level.

On the tanks the recommendations under the constraint get worse with the budget: they come to lie at its border,
where the noise of the report decides; it is not examined further.

Before the 20 seeds were run, a pilot of random gains and a trial with one seed changed four settings: the limit
of the overshoot (from 0.05, which hardly binds on the servo), the seeds of a score (from 200), the budgets
(from 300) and the seeds of a report (from tune's 20 to 10). All else is as tune has it. The three controllers
were run as three processes.

[all regrets](regrets.csv), [script](../../experiments/tuning_options/tuning_options.py)
"""


@cache
def score(plant: str, gains: tuple[float, ...], size: float) -> tuple[float, float]:
    """Mean cost and mean overshoot on seeds that no tuning has."""
    values = {**dict(zip(SPACE.names, gains, strict=True)), "size": size}
    found = [outcome(plant, values, 10**9 + seed) for seed in range(SCORED)]
    return (float(np.mean([x["return"] for x in found])), float(np.mean([x["overshoot"] for x in found])))


def nominal(plant: str, values: Values) -> float:
    """Mean cost on the plant of size 1."""
    return score(plant, _gains(values), 1.0)[0]


def allowed(plant: str, values: Values) -> float:
    """Mean cost, infinite where the overshoot is too large."""
    cost, overshoot = score(plant, _gains(values), 1.0)
    return cost if overshoot <= OVERSHOOT + SLACK else np.inf


def worst(plant: str, values: Values) -> float:
    """Mean cost of the worst size."""
    return max(score(plant, _gains(values), size)[0] for size in SIZES)


def _gains(values: Values) -> tuple[float, ...]:
    return tuple(float(values[name]) for name in SPACE.names)


def tuned(plant: str, rollouts: int, seed: int, **options: Any) -> Any:
    """A tuning of a plant."""
    space = options.pop("space", SPACE)
    return tune(
        lambda params, seed: outcome(plant, params, seed),
        space,
        rollouts,
        goal="minimise",
        seed=seed,
        report_rollouts=10,
        **options,
    )


@cache
def earlier(plant: str, seed: int) -> Any:
    """A tuning of a plant that is half as large again."""
    found = partial(outcome, plant)
    return tune(
        lambda params, seed: found({**params, "size": 1.5}, seed),
        SPACE,
        60,
        goal="minimise",
        seed=1000 + seed,
        report_rollouts=10,
    )


def begun_at_result(plant: str, rollouts: int, seed: int) -> Any:
    """A tuning whose search begins at the earlier tuning's result."""
    return tuned(plant, rollouts, seed, known=earlier(plant, seed).values)


def with_tries(plant: str, rollouts: int, seed: int) -> Any:
    """A tuning that knows all rollouts of the earlier one."""
    return tuned(plant, rollouts, seed, known=earlier(plant, seed))


def with_fixed(factor: float) -> Callable[[str, int, int], Any]:
    """Tunings whose derivative gain is fixed at this many times the best known."""

    def run(plant: str, rollouts: int, seed: int) -> Any:
        kd = min(max(factor * long_search(plant, "nominal")["kd"], 0.0005), 5.0)
        return tuned(plant, rollouts, seed, fixed={"kd": kd})

    return run


QUESTIONS: dict[str, tuple[Callable[[str, Values], float], dict[str, Callable[[str, int, int], Any]]]] = {
    "earlier tries": (
        nominal,
        {
            "without": tuned,
            "begun at the earlier result": begun_at_result,
            "with earlier tries": with_tries,
        },
    ),
    "a fixed parameter": (
        nominal,
        {
            "without": tuned,
            "kd fixed at the best known": with_fixed(1.0),
            "kd fixed at ten times that": with_fixed(10.0),
        },
    ),
    "a constraint on an output": (
        allowed,
        {"without": tuned, "overshoot <= 0.02": partial(tuned, outputs=[f"overshoot <= {OVERSHOOT}"])},
    ),
    "scenarios": (
        worst,
        {
            "without": tuned,
            "three sizes, mean": partial(tuned, scenarios={"size": SIZES}),
            "three sizes, worst": partial(tuned, scenarios={"size": SIZES}, objective="worst"),
        },
    ),
}


@cache
def long_search(plant: str, criterion: str) -> dict[str, Any]:
    """The best of two searches of 2,000 rollouts for a criterion."""
    options: dict[str, dict[str, Any]] = {
        "nominal": {},
        "allowed": {"outputs": [f"overshoot <= {OVERSHOOT}"]},
        "worst": {"scenarios": {"size": SIZES}, "objective": "worst"},
    }
    value = {"nominal": nominal, "allowed": allowed, "worst": worst}[criterion]
    found = [
        tuned(
            plant, 2000, 5000 + i, episodes_per_candidate=4, options={"sigma": sigma}, **options[criterion]
        ).values
        for i, sigma in enumerate((0.05, 0.2))
    ]
    return min(found, key=lambda values: value(plant, values))


def runs(seeds: int) -> pd.DataFrame:
    """A row per tuning: its question, its variant, and what its recommendation is worth."""
    rows: list[dict[str, Any]] = []
    known: dict[tuple[str, int, int], Values] = {}  # of "without", which is the same in all questions
    for question, plant in itertools.product(QUESTIONS, PLANTS):
        value, variants = QUESTIONS[question]
        for (label, run), rollouts, seed in itertools.product(variants.items(), BUDGETS, range(seeds)):
            key = (plant, rollouts, seed)
            if label != "without" or key not in known:
                found = run(plant, rollouts, seed).values
                known |= {key: found} if label == "without" else {}
            found = known[key] if label == "without" else found
            row = {"question": question, "plant": plant, "variant": label, "rollouts": rollouts, "seed": seed}
            rows.append(row | {"value": value(plant, found)})
        print(f"{question}: {plant}", file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def with_regret(table: pd.DataFrame) -> pd.DataFrame:
    """The runs with their regrets."""
    start = SPACE.named(SPACE.domain.start)
    parts = []
    for (question, plant), part in table.groupby(["question", "plant"], sort=False):
        value = QUESTIONS[str(question)][0]
        best = min(float(part["value"].min()), value(str(plant), long_search(str(plant), value.__name__)))
        at_start = (nominal if value is allowed else value)(str(plant), start)
        regret = (part["value"] - best) / (at_start - best)
        parts.append(part.assign(regret=np.where(np.isfinite(regret), regret.clip(0, 2), 1.0)))
    return pd.concat(parts)


def tables(table: pd.DataFrame) -> str:
    """A table per question: regret at every budget, and its difference to the first row."""
    parts = []
    for question in QUESTIONS:
        part = table[table["question"] == question]
        rows = []
        for label in part["variant"].unique():
            cells = [label]
            for rollouts in BUDGETS:
                here, base = (
                    part[(part["variant"] == name) & (part["rollouts"] == rollouts)]
                    .groupby("seed")["regret"]
                    .mean()
                    for name in (label, "without")
                )
                mean, low, high = paired((here - base).to_numpy())
                gap = "" if label == "without" else f" ({mean:+.3f}: {low:+.3f} … {high:+.3f})"
                cells.append(f"{here.mean():.3f}{gap}")
            rows.append(cells)
        head = pd.DataFrame(rows, columns=[question, *(f"{b} rollouts" for b in BUDGETS)])
        parts.append(markdown(head))
    return "\n\n".join(parts)


def by_plant(table: pd.DataFrame) -> str:
    """Mean regret of every variant on every plant, after each budget."""
    rows = []
    for (question, label), part in table.groupby(["question", "variant"], sort=False):
        means = part.groupby(["plant", "rollouts"])["regret"].mean()
        cells = [" → ".join(f"{means[plant, b]:.2f}" for b in BUDGETS) for plant in PLANTS]
        rows.append([question, label, *cells])
    return markdown(pd.DataFrame(rows, columns=["question", "variant", *PLANTS]))


KEY = ["question", "plant", "variant", "rollouts"]


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """A row per variant, plant and budget, with a column per seed."""
    order = table[KEY].drop_duplicates()
    regrets = table.pivot(index=KEY, columns="seed", values="regret").round(4).reset_index()
    return order.merge(regrets, on=KEY)


def feasible(table: pd.DataFrame) -> str:
    """How many recommendations met the constraint on an output."""
    part = table[table["question"] == "a constraint on an output"]
    shares = [
        f"{label}: {(group['regret'] < 1).mean():.0%}"
        for label, group in part[part["rollouts"] == BUDGETS[-1]].groupby("variant", sort=False)
    ]
    return f"Recommendations that meet it and are better than the start, after {BUDGETS[-1]}: {', '.join(shares)}."


def main() -> None:
    """Run everything, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("results/tuning_options"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    kept = arguments.out / "regrets.csv"
    if not kept.exists():
        write_text(kept, csv(wide(with_regret(runs(arguments.seeds)))))
    table = pd.read_csv(kept).melt(KEY, var_name="seed", value_name="regret")
    seeds, versions = table["seed"].nunique(), environment()
    page = PAGE.format(
        versions=f"policysearch {versions['policysearch']}, numpy {versions['numpy']}, cma {versions['cma']}",
        last=seeds - 1,
        seeds=seeds,
        budgets=" / ".join(map(str, BUDGETS)),
        tables=tables(table),
        by_plant=by_plant(table),
        overshoot=OVERSHOOT,
        slack=SLACK,
        scored=SCORED,
        sizes=", ".join(map(str, SIZES)),
        feasible=feasible(table),
    )
    write_text(arguments.out / "README.md", page)


if __name__ == "__main__":
    main()
