"""Rank correlations of the speeds of gaits between the reduced model of the AIBO's walk and MuJoCo's.

    python experiments/aibo_gait/reduced.py --out results/aibo_gait

500 gaits: half uniformly between the bounds, half around the first gait with a standard deviation of one ε of Kohl &
Stone's table per parameter (1/12 of a unit of the search), clipped. Each makes three traversals in either model, and
three more in MuJoCo: another model cannot agree better with MuJoCo than MuJoCo's two measurements do. All
traversals have noise of their own. Printed and written down are Spearman's rank correlations with 95 % intervals,
percentiles over resampled gaits.
"""

import argparse
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from policysearch.aibo.half_ellipse_gait import EPSILONS_PER_UNIT, SPACE
from policysearch.core import Array, Proposal
from policysearch.provenance import environment
from policysearch.seeding import stream
from policysearch.tasks import find_task, make_evaluator

GAITS, TRAVERSALS, RESAMPLES = 500, 3, 2000
#: How the gaits are drawn, and how the tables call that.
DRAWN = {"bounds": "uniformly between the bounds", "start": "around the first gait"}
#: Columns of the table, in mm/s.
MUJOCO, AGAIN, REDUCED = "mujoco", "mujoco_again", "reduced"

PAGE = """# The reduced model compared with MuJoCo's

Written by `{command}` ({versions}).

{gaits} gaits, {traversals} traversals each in either model, with noise of their own: Spearman's rank correlation of
the mean speeds with its 95 % bootstrap interval. The last column compares MuJoCo with itself on other traversals, the
most that can be asked. The reduced model is a benchmark function; its constants were not fitted to MuJoCo's speeds,
and not changed after these numbers were seen.

| gaits | number | reduced and MuJoCo | MuJoCo and MuJoCo |
| --- | ---: | ---: | ---: |
{rows}

In MuJoCo {fallen} of {episodes} traversals ended in a fall, which counts as 0 mm/s; in the reduced model no robot
falls.

![Speed in the reduced model over speed in MuJoCo](reduced.png)

[all gaits](reduced.csv)
"""


def gaits() -> tuple[Float[Array, "n d"], list[str]]:
    """Coordinates of the gaits, and for each how it was drawn."""
    domain, half = SPACE.domain, (GAITS // 2, len(SPACE.names))
    rng = stream("aibo", "gaits for the reduced model")
    uniform = rng.uniform(domain.lower, domain.upper, half)
    around = domain.clip(domain.start + rng.standard_normal(half) / EPSILONS_PER_UNIT)
    return np.concatenate([uniform, around]), [name for name in DRAWN for _ in range(half[0])]


def measured(task_name: str, params: Float[Array, "n d"], label: str) -> tuple[Float[Array, "n"], int]:
    """Mean speed of every gait, in mm/s, and how many traversals ended early: by a fall.

    Raises:
        RuntimeError: if a traversal has none.
    """
    task = find_task(task_name)
    evaluator = make_evaluator(task, task.make_policy(), threads=1)
    evaluation = evaluator.evaluate(Proposal(params, params[0], TRAVERSALS), ("reduced model", label))
    if evaluation.failures:
        raise RuntimeError(f"{task_name}: {evaluation.failures[0].reason}")
    return evaluation.returns.mean(axis=1), int((evaluation.steps < task.episode_steps()).sum())


def correlation(x: Float[Array, "n"], y: Float[Array, "n"]) -> tuple[float, float, float]:
    """Spearman's rank correlation and its 95 % interval."""
    rng = stream("aibo", "bootstrap")
    picks = rng.integers(len(x), size=(RESAMPLES, len(x)))
    low, high = np.quantile([spearmanr(x[pick], y[pick]).statistic for pick in picks], [0.025, 0.975])
    return float(spearmanr(x, y).statistic), float(low), float(high)


def picture(table: pd.DataFrame) -> Figure:
    """A point for every gait."""
    figure = Figure(figsize=(6.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, text in DRAWN.items():
        part = table[table["drawn"] == name]
        axes.scatter(part[MUJOCO], part[REDUCED], s=9, alpha=0.6, label=text)
    low, high = (getattr(table[[MUJOCO, REDUCED]], end)().agg(end) for end in ("min", "max"))
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0, label="equal")
    axes.set(xlabel="MuJoCo (mm/s)", ylabel="reduced model (mm/s)")
    axes.legend()
    return figure


def main() -> None:
    """Measure all gaits and write the table, the page and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/aibo_gait"))
    out: Path = parser.parse_args().out
    params, drawn = gaits()
    table = pd.DataFrame(SPACE.decode(params), columns=list(SPACE.names))
    table.insert(0, "drawn", drawn)
    table[MUJOCO], fallen = measured("aibo-gait", params, MUJOCO)
    table[AGAIN], fallen_again = measured("aibo-gait", params, AGAIN)
    table[REDUCED], _ = measured("aibo-gait-reduced", params, REDUCED)
    rows = []
    for name, text in {**DRAWN, "": "together"}.items():
        part = table[table["drawn"] == name] if name else table
        speeds = [part[column].to_numpy() for column in (MUJOCO, REDUCED, AGAIN)]
        cells = [correlation(speeds[0], other) for other in speeds[1:]]
        shown = " | ".join(f"{value:.2f} ({low:.2f} … {high:.2f})" for value, low, high in cells)
        rows.append(f"| {text} | {len(part)} | {shown} |")
    known = environment()
    versions = [f"{name} {known[name]}" for name in ("policysearch", "numpy", "scipy", "numba", "gymnasium")]
    page = PAGE.format(
        command=shlex.join(["python", *sys.argv]),
        versions=", ".join([*versions, f"mujoco {version('mujoco')}", f"Python {known['python']}"]),
        gaits=len(table),
        traversals=TRAVERSALS,
        rows="\n".join(rows),
        fallen=fallen + fallen_again,
        episodes=2 * TRAVERSALS * len(table),
    )
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "reduced.csv", index=False, float_format="%.6g")
    picture(table).savefig(out / "reduced.png", dpi=110, metadata={"Software": None})
    (out / "reduced.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
