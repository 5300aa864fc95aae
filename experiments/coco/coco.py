"""Methods of this package next to the same methods by others, on the functions of COCO.

python experiments/coco/coco.py [METHOD ...] [--instances 10] [--budget 100]

The functions are the 24 noiseless ones of Hansen, Finck, Ros & Auger 2009, "Real-parameter black-box optimization
benchmarking 2009: noiseless functions definitions", as `cma.bbobbenchmarks` has them, in 2, 5 and 10 dimensions. Both
sides have the same start, drawn from [−4, 4]^d, the same settings (`peers.py`), no bounds, and 100 evaluations per
dimension. The score of a search is the share of 51 targets f − f_opt from 10² to 10⁻⁸, equally far apart in their
logarithm, that the best point it evaluated reaches: from 0 to 1. A pair is one function, dimension and instance. The
interval is Student's over the 24 functions, whose pairs are averaged first.

It writes `results/coco/scores.csv` and `README.md`; rows of methods that are not asked for stay. The peers of snes,
evolution-strategy and ars need evosax (0.3.2 was used), which is no dependency; without it their rows stay.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from peers import PAIRS, Search, Spent
from scipy import stats

from policysearch.core import Array
from policysearch.seeding import stream

FUNCTIONS, DIMENSIONS = range(1, 25), (2, 5, 10)
TARGETS = 10.0 ** np.linspace(2, -8, 51)
MARGIN = -0.03  # that the lower end of the interval has to be above
OUT = Path(__file__).parents[2] / "results/coco"
PAGE = """# Methods next to the same methods by others

The 24 noiseless functions of COCO in 2, 5 and 10 dimensions, 100 evaluations per dimension, the same starts and
settings on both sides, without bounds. The score is the share of 51 targets from 10² to 10⁻⁸ that the best evaluated
point reaches; the difference is ours less the peer's, with Student's 95 % interval over the functions.

{table}

`python experiments/coco/coco.py` repeats it; its docstring says how. [scores.csv](scores.csv) has a row for each
function, dimension and instance.

## Defaults next to uniform draws

The default of every gradient-free method but `bayesian` on the same functions, in the box [−5, 5]^d, and its
difference to uniform draws there. Written by `python experiments/coco/above_uniform.py`;
[defaults.csv](defaults.csv) has a row for each function and dimension.

{defaults}

## COCO's own pictures

The share of all pairs of function and target that is reached, against evaluations, in 2 and in 10 dimensions: 5
instances, 100 evaluations per dimension (the crosses; beyond them COCO simulates restarts).
"best 2009" is COCO's reference: for each function and target the best of 31 algorithms.

![Share of targets reached against evaluations, 2 dimensions](runtimes_2D.svg)

![Share of targets reached against evaluations, 10 dimensions](runtimes_10D.svg)

Written by `python experiments/coco/coco_pictures.py`, with cocopp.
"""


def score(search: Search, number: int, instance: int, d: int, budget: int) -> float:
    """The share of targets that a search reaches."""
    from cma import bbobbenchmarks  # noqa: PLC0415 - warns when it is imported

    function, optimum = bbobbenchmarks.instantiate(number, instance)
    best, left = np.inf, budget

    def values(points: Array) -> Array:
        nonlocal best, left
        if left < len(points):
            raise Spent
        left -= len(points)
        found = np.array([float(function(point)) for point in points])
        best = min(best, float(found.min()))
        return found

    start = stream("start", number, instance, d).uniform(-4.0, 4.0, d)
    with contextlib.suppress(Spent):
        search(values, start, 1000 * number + instance)
    return float((best - optimum <= TARGETS).mean())


def scores(method: str, instances: int, per_dimension: int) -> pd.DataFrame:
    """The scores of a method and of its peer for every function, dimension and instance."""
    pair = next(pair for pair in PAIRS if pair.method == method)
    rows = []
    for d in DIMENSIONS:
        for number in FUNCTIONS:
            for instance in range(1, instances + 1):
                given = (number, instance, d, per_dimension * d)
                rows.append((method, d, number, instance, score(pair.ours, *given), score(pair.peer, *given)))
    columns = ["method", "dimension", "function", "instance", "ours", "peer"]
    return pd.DataFrame(rows, columns=columns).round({"ours": 4, "peer": 4})


def summary(table: pd.DataFrame) -> str:
    """The page: a line per method, with the difference of the scores and its 95 % interval."""
    lines = [
        "| method | peer | score of ours | of the peer | difference | 95 % interval | above −0.03 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for pair in PAIRS:
        rows = table[table.method == pair.method]
        if rows.empty:
            continue
        differences = (rows.ours - rows.peer).groupby(rows.function).mean()
        mean, low, high = interval(differences)
        lines.append(
            f"| {pair.method} | {pair.package} | {rows.ours.mean():.3f} | {rows.peer.mean():.3f} "
            f"| {mean:+.3f} | {low:+.3f} to {high:+.3f} | {'yes' if low > MARGIN else 'no'} |"
        )
    return "\n".join(lines)


def interval(differences: "pd.Series[float]") -> tuple[float, float, float]:
    """The mean with its 95 % interval by Student."""
    mean, half = differences.mean(), stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    return float(mean), float(mean - half), float(mean + half)


def write_page() -> None:
    """The page, of the tables that are there."""
    import above_uniform  # noqa: PLC0415 - which needs this module

    table = summary(pd.read_csv(OUT / "scores.csv"))
    defaults = above_uniform.summary(pd.read_csv(OUT / "defaults.csv"))
    (OUT / "README.md").write_text(PAGE.format(table=table, defaults=defaults), encoding="utf-8")


def main() -> None:
    """Run the methods that are asked for, and write the scores and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("methods", nargs="*", default=[pair.method for pair in PAIRS])
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--budget", type=int, default=100, help="evaluations per dimension")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "scores.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame({"method": []})
    warnings.filterwarnings("ignore")
    for pair in PAIRS:
        if pair.method not in arguments.methods:
            continue
        if importlib.util.find_spec(pair.package) is None:
            print(f"{pair.method}: {pair.package} is not installed")
            continue
        begun = time.process_time()
        new = scores(pair.method, arguments.instances, arguments.budget)
        table = pd.concat([table[table.method != pair.method], new])
        version = importlib.metadata.version(pair.package)
        print(
            f"{pair.method}: {time.process_time() - begun:.0f} s of processor time, {pair.package} {version}"
        )
    table.sort_values(["method", "dimension", "function", "instance"]).to_csv(path, index=False)
    write_page()


if __name__ == "__main__":
    main()
