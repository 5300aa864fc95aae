"""What an engine costs: rollouts and runs on a cluster of Dask on this machine, next to its own processes.

    python experiments/benchmarks/engines.py --out results/benchmarks      on a machine that does nothing else
    python experiments/benchmarks/engines_table.py results/benchmarks      the table of it

Nodes have a processor each (`taskset`), next to a local pool of two; driver and scheduler run on the same two. All
pairs are measured in turns and the medians are compared. In the scaling model every worker sleeps for a second per
rollout, so that only the cost of handing out is seen; its efficiency is the seconds that one worker would take,
divided by those of N workers times N. A cable is pulled where root can make hosts (`namespaces`).
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from threading import Timer
from typing import Any, cast

import engine_plants
import numpy as np
import pandas as pd
from namespaces import POSSIBLE, Hosts

from policysearch.compare.api import compare
from policysearch.core import Evaluation, Proposal
from policysearch.engines import Engine, EngineEvaluator, WorkerDiffers, opened
from policysearch.evaluators import FunctionEvaluator, PoolEvaluator
from policysearch.evaluators.runner import Divisible
from policysearch.optimizers import OPTIMIZERS
from policysearch.space import Parameter, Space
from policysearch.tasks import find_task, make_problem

SPACE = Space((Parameter("x", 0.0, -5.0, 5.0),))
KEY = (1, "benchmark")
HERE = Path(__file__).parent
Rows = Iterator[tuple[str, float, str, str]]  # what, how much, of what, and what was aimed at


class Nodes:
    """A scheduler and workers, on as many processors as are named."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.started: list[subprocess.Popen[bytes]] = []
        self._start("scheduler", "--host", host, "--port", "0", "--scheduler-file", str(self.file))
        while not self.file.exists():
            time.sleep(0.05)

    def _start(self, command: str, *flags: str, on: Sequence[str] = (), path: Path = HERE) -> None:
        program = [*on, sys.executable, "-m", f"distributed.cli.dask_{command}", "--no-dashboard"]
        places = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))
        self.started.append(
            subprocess.Popen(
                [*program, *flags],
                env=os.environ | {"PYTHONPATH": places},
                cwd=self.folder,
                start_new_session=True,
                stderr=subprocess.DEVNULL,
            )
        )

    def node(self, host: str = "127.0.0.1", on: Sequence[str] = (), path: Path = HERE) -> None:
        """Start a worker: `on` begins its command, and `path` has its modules."""
        flags = ("--scheduler-file", str(self.file), "--nthreads", "1", "--no-nanny")
        self._start("worker", "--host", host, *flags, "--local-directory", str(self.folder), on=on, path=path)

    def end(self) -> None:
        """End all of them."""
        for process in reversed(self.started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def cluster(workers: int, hosts: Hosts | None = None, path: Path = HERE) -> Iterator[tuple[Engine, Nodes]]:
    """An engine of so many workers with a processor each, on hosts of their own if there are some."""
    with tempfile.TemporaryDirectory() as folder:
        nodes = Nodes(Path(folder), hosts.address if hosts else "127.0.0.1")
        try:
            for number in range(workers):
                pinned = ["taskset", "-c", str(number % (os.cpu_count() or 1))]
                host = {"host": hosts.addresses[number]} if hosts else {}
                nodes.node(**host, on=[*(hosts.on(number) if hosts else ()), *pinned], path=path)
            engine = opened(f"dask={nodes.file}")
            try:
                while engine.slots() < workers:
                    time.sleep(0.05)
                yield engine, nodes
            finally:
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


def rollouts(repeats: int) -> Rows:
    """Evaluations on two nodes with a processor each, in parts of what two local processes do."""
    rows: list[tuple[str, Divisible, Proposal, str]] = [
        ("Hopper-v5, general evaluator, 64 candidates", *hopper(), ">= 0.93"),
        ("function of 30 ms", FunctionEvaluator(engine_plants.computing, SPACE), proposal(256), ">= 0.90"),
    ]
    with cluster(2) as (engine, _):
        for name, inner, asked, aim in rows:
            with PoolEvaluator(inner, workers=2) as pool:
                far = EngineEvaluator(inner, engine)
                runs = [partial(each.evaluate, asked, KEY) for each in (pool, far)]
                local, out = in_turns(repeats, *runs)
                yield name, local / out, f"of the local pool ({local:.1f} s)", aim


def in_slices(repeats: int) -> Rows:
    """The runs of a study on two nodes, in parts of what two local processes do."""
    study = {
        "tasks": ["Hopper-v5"],
        "optimizers": ["ars", "cma-es", "random-search"],
        "evaluator": "episodes",
        "steps": 5_000,
        "runs": 4,
    }
    with cluster(2) as (engine, _):
        local, out = in_turns(
            repeats,
            lambda: compare(study, workers=2, progress=False),
            lambda: compare(study, engine=engine, progress=False),
        )
        yield "study in slices", local / out, f"of the local workers ({local:.0f} s)", ">= 0.85"


def crashes(repeats: int) -> Rows:
    """A simulator that ends its process."""
    inner, asked = FunctionEvaluator(engine_plants.crashing, SPACE), proposal(64)
    made: list[Evaluation] = []
    with cluster(2) as (engine, _), PoolEvaluator(inner, workers=2) as pool:
        far = EngineEvaluator(inner, engine)
        runs = [partial(lambda each: made.append(each.evaluate(asked, KEY)), each) for each in (pool, far)]
        local, out = in_turns(repeats, *runs)
    others = sum(each.failures != made[0].failures for each in made)
    yield "a simulator that segfaults: evaluations with other failures than the local ones", others, "", "0"
    aim = f"<= {3 * local + 1:.1f}, 3 times local and 1 s"
    yield "a simulator that segfaults", out, f"s (local {local:.2f} s)", aim


def troubles() -> Rows:
    """A node that is stopped, or whose cable is pulled, while a proposal is evaluated."""
    inner, asked = FunctionEvaluator(engine_plants.computing, SPACE), proposal(100)
    for name in ("a node that hangs", "a node whose cable is pulled"):
        pulled = "cable" in name
        if pulled and not POSSIBLE:
            continue
        with contextlib.ExitStack() as stack:
            hosts = stack.enter_context(Hosts(2)) if pulled else None
            engine, nodes = stack.enter_context(cluster(2, hosts))
            evaluate = partial(EngineEvaluator(inner, engine).evaluate, asked, KEY)
            calm = in_turns(3, evaluate)[0]
            stop = partial(os.killpg, nodes.started[-1].pid, signal.SIGSTOP)
            timer = Timer(0.3 * calm, partial(hosts.pull, 1) if hosts else stop)
            timer.start()
            seconds = timed(evaluate)
            timer.join()
            aim = f"<= {2 * calm + 2:.1f}, 2 times calm and 2 s"
            yield name, seconds, f"s (calm {calm:.2f} s)", aim


def mismatch() -> Rows:
    """The rollouts that a worker makes whose module is another one."""
    inner = FunctionEvaluator(engine_plants.counting, SPACE)
    with tempfile.TemporaryDirectory() as name:
        file = Path(engine_plants.__file__)
        edited = file.read_text(encoding="utf-8").replace('return params["x"]', 'return -params["x"]')
        Path(name, file.name).write_text(edited, encoding="utf-8")
        counted = Path(name, "counted")
        counted.mkdir()
        os.environ[engine_plants.COUNTED] = str(counted)
        with cluster(1, path=Path(name)) as (engine, _), contextlib.suppress(WorkerDiffers):
            EngineEvaluator(inner, engine).evaluate(proposal(20), KEY)
            raise SystemExit("the worker was not refused")
        yield "rollouts before a worker that differs is refused", len([*counted.iterdir()]), "", "0"


def first_rollout() -> Rows:
    """From nothing to the first rollout on two nodes."""
    inner = FunctionEvaluator(engine_plants.computing, SPACE)
    began = time.perf_counter()
    with cluster(2) as (engine, _):
        EngineEvaluator(inner, engine).evaluate(proposal(1), KEY)
        yield "cluster of two, to the first rollout", time.perf_counter() - began, "s", "<= 10"


def bare(executor: Executor, tasks: int, at_a_time: int) -> float:
    """Seconds of processor time that Dask's client takes for a task that sleeps for a second."""
    began, left, flying = time.process_time(), tasks, set[Future[None]]()
    while left or flying:
        new = min(left, at_a_time - len(flying))
        flying |= {executor.submit(time.sleep, 1.0) for _ in range(new)}
        left -= new
        flying = wait(flying, return_when=FIRST_COMPLETED).not_done
    return (time.process_time() - began) / tasks


def scaling(counts: list[int], rounds: int = 10) -> Rows:
    """Workers that sleep for a second, so that a chunk is one rollout."""
    inner = FunctionEvaluator(engine_plants.sleeping, SPACE)
    for workers in counts:
        with cluster(workers) as (engine, _):
            far = EngineEvaluator(inner, engine)
            far.evaluate(proposal(2 * workers), KEY)
            began = time.process_time()
            seconds = timed(partial(far.evaluate, proposal(rounds * workers), KEY))
            spent = time.process_time() - began
            alone = bare(engine.executor, rounds * workers, 2 * workers)
        yield f"{workers} workers, rollouts of 1 s: efficiency", rounds / seconds, "", ">= 0.95"
        each = 1e3 * spent / (rounds * workers)
        yield f"{workers} workers: the driver's processor time per chunk", each, "ms", "<= 3"
        yield f"{workers} workers: that of bare tasks of Dask", 1e3 * alone, "ms", ""


def written(found: list[tuple[str, float, str, str]], folder: Path) -> None:
    """Write rows into engines.csv, in the place of those of the same figures."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "engines.csv"
    new = pd.DataFrame(found, columns=["figure", "value", "unit", "aim"]).round(4)
    if file.exists():
        new = pd.concat([pd.read_csv(file, keep_default_na=False), new])
    new = new.drop_duplicates("figure", keep="last")
    new.to_csv(file, index=False, lineterminator="\n")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), metavar="DIR")
    parser.add_argument(
        "--parts",
        nargs="*",
        metavar="NAME",
        help="measure only these: first, differs, crashes, troubles, rollouts, slices, scaling",
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each pair (default: 5)")
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 8, 32], metavar="N", help="that sleep")
    arguments = parser.parse_args()
    sys.path.append(str(HERE))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which ends the nodes
    # The processes of the local pool import this script, those of an engine's worker do not.
    forkserver.set_forkserver_preload(["pandas", "policysearch.compare.api", "policysearch.engines"])
    forkserver.ensure_running()
    repeats = arguments.repeats
    parts: dict[str, Callable[[], Rows]] = {
        "first": first_rollout,
        "differs": mismatch,
        "crashes": partial(crashes, repeats),
        "troubles": troubles,
        "rollouts": partial(rollouts, repeats),
        "slices": partial(in_slices, repeats),
        "scaling": partial(scaling, arguments.workers),
    }
    for name in arguments.parts or parts:
        for row in parts[name]():
            print(f"{row[0]}: {row[1]:.3g} {row[2]} (aim {row[3]})", flush=True)
            written([row], arguments.out)


if __name__ == "__main__":
    main()
