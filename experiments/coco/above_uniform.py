"""The default of every gradient-free method next to uniform draws, on the functions of COCO.

python experiments/coco/above_uniform.py [METHOD ...] [--instances 3] [--budget 100]

Functions, dimensions, starts and the score are those of `coco.py`, but the search is in the box [−5, 5]^d, whose
coordinates from 0 to 1 are the parameters: a method has the default that a user would get. `random-search` draws
uniformly there. The difference is the method's score less that of uniform draws on the same functions; the interval
is Student's over the 24 functions. `bayesian` is left out: a thousand evaluations of it take hours.

It writes `results/coco/defaults.csv`, rows of methods that are not asked for stay, and the page of `coco.py`.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from coco import DIMENSIONS, FUNCTIONS, OUT, interval, score, write_page
from peers import Search, ours

from policysearch.core import Domain, Optimizer, needs_of
from policysearch.optimizers import OPTIMIZERS

UNIFORM = "random-search"
#: Gradient-free methods, at their defaults.
METHODS: dict[str, Optimizer] = {
    name: cls() for name, cls in OPTIMIZERS.items() if not needs_of(cls).scores and name != "bayesian"
}


def in_box(optimizer: Optimizer) -> Search:
    """The search of a method in [−5, 5]^d."""
    inner = ours(optimizer, lambda start: Domain(start, np.zeros(start.size), np.ones(start.size)))
    return lambda values, start, seed: inner(
        lambda points: values(10.0 * points - 5.0), (start + 5.0) / 10.0, seed
    )


def scores(method: str, instances: int, per_dimension: int) -> pd.DataFrame:
    """The mean score of a method over the instances of every function and dimension."""
    search = in_box(METHODS[method])
    rows = []
    for d in DIMENSIONS:
        for number in FUNCTIONS:
            reached = [score(search, number, i, d, per_dimension * d) for i in range(1, instances + 1)]
            rows.append((method, d, number, round(float(np.mean(reached)), 4)))
    return pd.DataFrame(rows, columns=["method", "dimension", "function", "score"])


def summary(table: pd.DataFrame) -> str:
    """A line per method, the best mean first: the difference to uniform draws with its 95 % interval."""
    lines = [
        "| method | score | above uniform draws by | 95 % interval | above |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    columns = table.pivot_table(index=["dimension", "function"], columns="method", values="score")
    for method in columns.mean().sort_values(ascending=False).index:
        if method == UNIFORM:
            lines.append(f"| {method}, uniform draws | {columns[method].mean():.3f} | | | |")
            continue
        mean, low, high = interval((columns[method] - columns[UNIFORM]).groupby("function").mean())
        word = "yes" if low > 0 else "no" if high < 0 else "not shown"
        lines.append(
            f"| {method} | {columns[method].mean():.3f} | {mean:+.3f} | {low:+.3f} to {high:+.3f} | {word} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the methods that are asked for, and write the scores and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("methods", nargs="*", default=list(METHODS))
    parser.add_argument("--instances", type=int, default=3)
    parser.add_argument("--budget", type=int, default=100, help="evaluations per dimension")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    path = OUT / "defaults.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame({"method": []})
    for method in arguments.methods:
        print(method, flush=True)
        table = pd.concat(
            [table[table.method != method], scores(method, arguments.instances, arguments.budget)]
        )
        table.sort_values(["method", "dimension", "function"]).to_csv(path, index=False)
    write_page()


if __name__ == "__main__":
    main()
