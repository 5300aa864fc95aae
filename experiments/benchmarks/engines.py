"""What an engine costs: rollouts and runs on a cluster of Dask on this machine, next to its own processes.

    python experiments/benchmarks/engines.py --out results/benchmarks

Two nodes have a processor each (`taskset`), next to a local pool of two; driver and scheduler run on the same two.
All pairs are measured in turns and the medians are compared. `slots` is the scaling model: N workers, each of which
sleeps for a second per rollout, so that only the cost of handing out is seen; its efficiency is the seconds that one
worker would take, divided by N times what they took.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import engine_plants
import numpy as np
import pandas as pd

from policysearch.compare.api import compare
from policysearch.core import Evaluation, Proposal
from policysearch.engines import Engine, EngineEvaluator, opened
from policysearch.evaluators import FunctionEvaluator, PoolEvaluator
from policysearch.evaluators.runner import Divisible
from policysearch.optimizers import OPTIMIZERS
from policysearch.space import Parameter, Space
from policysearch.tasks import find_task, make_problem

SPACE = Space((Parameter("x", 0.0, -5.0, 5.0),))
KEY = (1, "benchmark")
HERE = Path(__file__).parent
Rows = Iterator[tuple[str, float, str]]  # name, figure, unit


class Nodes:
    """A scheduler and workers, on as many processors as are named."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.started: list[subprocess.Popen[bytes]] = []
        self._start("scheduler", "--port", "0", "--scheduler-file", str(self.file))
        while not self.file.exists():
            time.sleep(0.05)

    def _start(self, command: str, *flags: str, processor: str | None = None) -> None:
        place = [] if processor is None else ["taskset", "-c", processor]
        program = [*place, sys.executable, "-m", f"distributed.cli.dask_{command}", "--host", "127.0.0.1"]
        path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
        self.started.append(
            subprocess.Popen(
                [*program, "--no-dashboard", *flags],
                env=os.environ | {"PYTHONPATH": path},
                cwd=self.folder,
                start_new_session=True,
                stderr=subprocess.DEVNULL,
            )
        )

    def node(self, processor: str | None = None) -> None:
        """Start a worker."""
        flags = ("--scheduler-file", str(self.file), "--nthreads", "1", "--no-nanny")
        self._start("worker", *flags, "--local-directory", str(self.folder), processor=processor)

    def end(self) -> None:
        """End all of them."""
        for process in reversed(self.started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def cluster(workers: int, *, pinned: bool = False) -> Iterator[tuple[Engine, Nodes]]:
    """An engine of so many workers."""
    with tempfile.TemporaryDirectory() as folder:
        nodes = Nodes(Path(folder))
        try:
            for number in range(workers):
                nodes.node(str(number % (os.cpu_count() or 1)) if pinned else None)
            engine = opened(f"dask={nodes.file}")
            while engine.slots() < workers:
                time.sleep(0.05)
            yield engine, nodes
            engine.close()
        finally:
            nodes.end()


def proposal(n: int) -> Proposal:
    """So many candidates, of one episode each."""
    params = np.linspace(-1, 1, n)[:, None]
    return Proposal(params, params[0], 1)


def timed(run: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def in_turns(repeats: int, *runs: Callable[[], Any]) -> list[float]:
    """The median seconds of each, after one time to warm up."""
    for run in runs:
        run()
    times = [[timed(run) for run in runs] for _ in range(repeats)]
    return [statistics.median(each) for each in zip(*times, strict=True)]


def hopper() -> tuple[Divisible, Proposal]:
    """The general evaluator on Hopper-v5, 64 candidates near the start."""
    problem = make_problem(
        find_task("Hopper-v5"), OPTIMIZERS["ars"](), whitened=False, seed=0, run=0, evaluator="episodes"
    )
    start, rng = problem.domain.start, np.random.default_rng(1)
    params = start + 0.05 * rng.standard_normal((64, start.size))
    return cast(Divisible, problem.evaluator), Proposal(params, start, 4)


def efficiencies(repeats: int) -> Rows:
    """Of two nodes with a processor each, in parts of what two local processes do."""
    rows: list[tuple[str, Divisible, Proposal]] = [
        ("Hopper-v5, general evaluator, 64 candidates", *hopper()),
        (
            "function of 30 ms of processor time",
            FunctionEvaluator(engine_plants.computing, SPACE),
            proposal(256),
        ),
    ]
    with cluster(2, pinned=True) as (engine, _):
        for name, inner, asked in rows:
            with PoolEvaluator(inner, workers=2) as pool:
                far = EngineEvaluator(inner, engine)
                runs = [partial(each.evaluate, asked, KEY) for each in (pool, far)]
                local, out = in_turns(repeats, *runs)
                yield name, local / out, "of the local pool"
        study = {
            "tasks": ["Hopper-v5"],
            "optimizers": ["ars", "cma-es", "random-search"],
            "evaluator": "episodes",
            "steps": 30_000,
            "runs": 4,
        }
        local, out = in_turns(
            max(1, repeats // 3),
            lambda: compare(study, workers=2, progress=False),
            lambda: compare(study, engine=engine, progress=False),
        )
        yield f"study of {local:.0f} s in slices", local / out, "of the local workers"


def crashes() -> Rows:
    """A simulator that ends its process."""
    inner, asked = FunctionEvaluator(engine_plants.crashing, SPACE), proposal(64)
    made: list[Evaluation] = []
    with cluster(2, pinned=True) as (engine, _), PoolEvaluator(inner, workers=2) as pool:
        far = EngineEvaluator(inner, engine)
        local = timed(lambda: made.append(pool.evaluate(asked, KEY)))
        out = timed(lambda: made.append(far.evaluate(asked, KEY)))
    said = "the local ones" if made[0].failures == made[1].failures else "NOT the local ones"
    yield f"a simulator that segfaults: failures, {said}", len(made[1].failures), "failures"
    yield "a simulator that segfaults: time", out, f"s (local {local:.1f} s)"


def hung() -> Rows:
    """A node that is stopped while a proposal is evaluated."""
    inner, asked = FunctionEvaluator(engine_plants.computing, SPACE), proposal(100)
    with cluster(2, pinned=True) as (engine, nodes):
        far = EngineEvaluator(inner, engine)
        calm = in_turns(3, lambda: far.evaluate(asked, KEY))[0]
        os.killpg(nodes.started[-1].pid, signal.SIGSTOP)
        yield "a node that hangs", timed(lambda: far.evaluate(asked, KEY)), f"s (calm {calm:.1f} s)"


def first_rollout() -> Rows:
    """From nothing to the first rollout on two nodes."""
    inner = FunctionEvaluator(engine_plants.computing, SPACE)
    began = time.perf_counter()
    with cluster(2) as (engine, _):
        EngineEvaluator(inner, engine).evaluate(proposal(1), KEY)
        yield "cluster of two, to the first rollout", time.perf_counter() - began, "s"


def scaling(counts: list[int]) -> Rows:
    """Workers that sleep: two rollouts of a second for each of their processors at a time."""
    for workers in counts:
        inner, cores = FunctionEvaluator(engine_plants.sleeping, SPACE), os.cpu_count() or 1
        rounds = 10
        with cluster(workers) as (engine, _):
            far = EngineEvaluator(inner, engine)
            far.evaluate(proposal(2 * cores * workers), KEY)
            began = time.process_time()
            seconds = timed(partial(far.evaluate, proposal(rounds * cores * workers), KEY))
            spent = time.process_time() - began
        yield f"slots: {workers} workers, rollouts of 1 s, efficiency", rounds / seconds, ""
        yield f"slots: {workers} workers, the driver's time per chunk", 1e3 * spent / (rounds * workers), "ms"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), metavar="DIR")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each pair (default: 5)")
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 8, 32], metavar="N", help="of slots")
    arguments = parser.parse_args()
    sys.path.append(str(HERE))
    found = []
    parts = (first_rollout(), crashes(), hung(), efficiencies(arguments.repeats), scaling(arguments.workers))
    for part in parts:
        for row in part:
            print(f"{row[0]}: {row[1]:.3g} {row[2]}", flush=True)
            found.append(row)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(found, columns=["figure", "value", "unit"])
    table.round(4).to_csv(arguments.out / "engines.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
