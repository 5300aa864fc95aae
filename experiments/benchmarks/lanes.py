"""How fast compiled rollouts are, many episodes at once and one after the other, next to gymnax on JAX.

    python experiments/benchmarks/lanes.py --out results/benchmarks [--jax PYTHON] [--repeats 5]

Every row runs N candidates once, all of the same task; control steps per second of wall time. The rows of a case are
timed alternately, after one turn to warm up; medians, and the ratio to one episode after the other on one thread. The
processors have to be idle.

    lanes          this package, up to 32 episodes at once in each thread
    alone          the same with lanes=1
    env.step only  Gymnasium's environment, a fixed action, no policy
    gymnax         one jitted scan over the steps and vmap over candidates, in single precision, in the Python of
                   `--jax`, which has `jax` and `gymnax`; every candidate takes the largest number of steps

Short episodes end after 20 steps.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rollouts import KEY, Case, Run, step_only
from threadpoolctl import threadpool_limits

from policysearch.core import Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.evaluators.compiled import LANES

CASES = (
    ("CartPole-v1", "linear"), ("Pendulum-v1", "linear"), ("Acrobot-v1", "linear"), ("MountainCar-v0", "linear"),
    ("CartPole-v1", "mlp:64,64"), ("Pendulum-v1", "mlp:64,64"),
)  # fmt: skip
NUMBERS = (64, 512, 4096)
SHORT = 20  # steps of a short episode
TURN_SECONDS = 0.2
GYMNAX = Path(__file__).with_name("gymnax_rollouts.py")


def ours(case: Case, limit: int, threads: int, lanes: int) -> Run:
    """Every candidate once."""
    simulator, params = case.simulator(), case.params()
    assert simulator is not None  # noqa: S101 - known task
    evaluator = CompiledEvaluator(
        simulator, case.make_policy(), max_episode_steps=limit, threads=threads, lanes=lanes
    )
    proposal = Proposal(params, params[0])
    return lambda: int(evaluator.evaluate(proposal, KEY).steps.sum())


def timed(run: Run) -> float:
    """Steps per second of one turn."""
    steps, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < TURN_SECONDS:
        steps += run()
    return steps / seconds


def gymnax(python: str, case: Case, limit: int, threads: int) -> Callable[[], float]:
    """A turn of the other Python, which stays and answers with steps per second."""
    command = [python, str(GYMNAX), case.task, case.policy, str(case.n), str(limit), str(threads)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn() -> float:
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(f"{TURN_SECONDS}\n")
        process.stdin.flush()
        return float(json.loads(process.stdout.readline()))

    return turn


def rows_of(case: Case, limit: int, jax: str | None) -> dict[tuple[str, int], Callable[[], float]]:
    """What is timed, by method and threads."""

    def turn(run: Run) -> Callable[[], float]:
        return lambda: timed(run)

    rows = {}
    for threads in (1, 2):
        rows["alone", threads] = turn(ours(case, limit, threads, 1))
        rows["lanes", threads] = turn(ours(case, limit, threads, LANES))
        if jax is not None:
            rows["gymnax", threads] = gymnax(jax, case, limit, threads)
    if limit > SHORT and case.n == NUMBERS[0]:
        rows["env.step only", 1] = turn(step_only(case, 1))
    return rows


def measure(case: Case, limit: int, jax: str | None, repeats: int) -> list[dict[str, Any]]:
    """Steps per second of every row of a case."""
    rows = rows_of(case, limit, jax)
    speeds: dict[tuple[str, int], list[float]] = {name: [] for name in rows}
    for repeat, (name, turn) in itertools.product(range(repeats + 1), rows.items()):
        speed = turn()
        if repeat:  # the first turn warms up
            speeds[name].append(speed)
    alone = np.array(speeds["alone", 1])
    return [
        {
            "task": case.task,
            "policy": case.policy,
            "N": case.n,
            "steps": limit,
            "method": method,
            "threads": threads,
            "steps_per_second": round(float(np.median(measured))),
            "slowest": round(min(measured)),
            "fastest": round(max(measured)),
            "times_alone": round(float(np.median(np.array(measured) / alone)), 2),
        }
        for (method, threads), measured in speeds.items()
    ]


def main() -> None:
    """Parse the flags, measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for lanes.csv")
    parser.add_argument("--jax", metavar="PYTHON", help="an interpreter that has jax and gymnax")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=sorted({task for task, _ in CASES}))
    arguments = parser.parse_args()
    records: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for (task, policy), n in itertools.product(CASES, NUMBERS):
            if task not in arguments.tasks:
                continue
            case = Case(task, policy, n)
            for limit in (case.limit(), SHORT) if policy == "linear" else (case.limit(),):
                records += (found := measure(case, limit, arguments.jax, arguments.repeats))
                print(pd.DataFrame(found).to_string(index=False), flush=True)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        command = " ".join(["PYTHON" if word == arguments.jax else word for word in sys.argv])
        header = f"# python {command}; NumPy {np.__version__}, median of {arguments.repeats}\n"
        path = arguments.out / "lanes.csv"
        path.write_text(header + pd.DataFrame(records).to_csv(index=False), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
