"""COCO's own pictures of methods of this package beside pycma: runtimes by `cocoex`, drawn by `cocopp`.

    pip install coco-experiment cocopp
    python experiments/coco/coco_pictures.py [--instances 5] [--budget 100] [--dimensions 2 10] [--out results/coco]

The suite is `bbob`: the 24 noiseless functions of Hansen, Finck, Ros & Auger 2009. All methods have the same starts
(uniform in [−4, 4]^d), σ_0 = 2 where they have one, no bounds, and no restarts beyond their own. An experiment
ends when the budget is spent or the last target is reached. What is kept of cocopp's output is the share of
(function, target) pairs that is reached against evaluations, all functions together, for each dimension:
`runtimes_10D.svg`. Its pages and the data stay in the folder `--data`.
"""

import argparse
import contextlib
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from peers import SIGMA, Search, Spent, Values, ours, pycma

from policysearch.core import Array
from policysearch.optimizers import CMAES, SNES, HillClimbing, NelderMead
from policysearch.seeding import stream

SEARCHES: dict[str, Search] = {
    "cma-es": ours(CMAES(sigma=SIGMA)),
    "pycma": pycma,
    "nelder-mead": ours(NelderMead(edge=1.0)),
    "snes": ours(SNES(sigma=SIGMA)),
    "hill-climbing": ours(HillClimbing()),
}


def counted(problem: Any, budget: int) -> Values:
    """The problem's values of points, until the budget is spent or the last target is hit."""

    def values(points: Array) -> Array:
        if problem.evaluations + len(points) > budget or problem.final_target_hit:
            raise Spent
        return np.array([problem(point) for point in points])

    return values


def run(name: str, folder: Path, instances: int, per_dimension: int, dimensions: list[int]) -> Path:
    """Runs of one method on the whole suite; returns the folder of its data."""
    import cocoex  # type: ignore[import-not-found]  # noqa: PLC0415 - no dependency

    wanted = ",".join(map(str, dimensions))
    suite = cocoex.Suite("bbob", "", f"dimensions: {wanted} instance_indices: 1-{instances}")
    observer = cocoex.Observer("bbob", f"outer_folder: {folder} result_folder: {name} algorithm_name: {name}")
    for number, problem in enumerate(suite):
        problem.observe_with(observer)
        d = problem.dimension
        start = stream("start", problem.id_function, problem.id_instance, d).uniform(-4.0, 4.0, d)
        with contextlib.suppress(Spent):
            SEARCHES[name](counted(problem, per_dimension * d), start, number)
    return Path(observer.result_folder)


def draw(data: list[Path], folder: Path, out: Path) -> None:
    """Draw with cocopp and keep the runtime distributions."""
    import cocopp  # type: ignore[import-not-found]  # noqa: PLC0415 - no dependency

    cocopp.genericsettings.verbose = False
    cocopp.main(["-o", str(folder / "ppdata"), *map(str, data)])
    out.mkdir(parents=True, exist_ok=True)
    for picture in (folder / "ppdata").rglob("pprldmany_??D_noiselessall.svg"):
        shutil.copy(picture, out / f"runtimes_{int(picture.name.split('_')[1][:2])}D.svg")


def main() -> None:
    """Run, draw, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--methods", nargs="*", default=list(SEARCHES), choices=list(SEARCHES))
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument("--budget", type=int, default=100, help="evaluations per dimension")
    parser.add_argument("--dimensions", type=int, nargs="*", default=[2, 10])
    parser.add_argument(
        "--data", type=Path, help="folder for COCO's data and pages; by default one that is removed"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "results/coco")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.data or Path(temporary)
        data = []
        for name in arguments.methods:
            data.append(run(name, folder, arguments.instances, arguments.budget, arguments.dimensions))
            print(f"{name}: {data[-1]}", flush=True)
        draw(data, folder, arguments.out)


if __name__ == "__main__":
    main()
