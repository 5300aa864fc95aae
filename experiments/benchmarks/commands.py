"""Processor seconds of commands, of all their processes together, and the seconds that they take.

Processes that outlive a command are waited for and counted too (on Linux), such as workers and the server that forks
them.

    python experiments/benchmarks/commands.py --out results/benchmarks

Every command is run in a process of its own, the commands in turn, so that a machine that is busy for a while does
not favour one of them; the first round, which fills caches of compiled code and of Python's bytecode (also where the
environment says to write none), is not counted. Medians of the repeats.
"""

import argparse
import contextlib
import ctypes
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

TEN = "ars cma-es cross-entropy evolution-strategy genetic hill-climbing nelder-mead pgpe random-search snes"
#: 64 candidates, three episodes each, of CartPole.
FIRST = """
import numpy as np
from policysearch import Proposal, find_task, make_evaluator
task = find_task("CartPole-v1")
policy = task.make_policy().mode
params = np.zeros((64, policy.num_params))
make_evaluator(task, policy).evaluate(Proposal(params, params[0], 3), (1,))
"""
#: Commands by what they do; {out} is a folder that all of them share.
COMMANDS = {
    "import policysearch": ["-c", "import policysearch"],
    "import numpy": ["-c", "import numpy"],
    "compare --help": ["-m", "policysearch.compare", "--help"],
    "compare --list": ["-m", "policysearch.compare", "--list"],
    "tune --help": ["-m", "policysearch.tune", "--help"],
    "hitl --help": ["-m", "policysearch.hitl", "--help"],
    "first rollouts in Python": ["-c", FIRST],
    "first rollouts": [
        *("-m", "policysearch.compare", "--tasks", "CartPole-v1", "--optimizers", "random-search", "--runs", "1"),
        *("--rollouts", "20", "--workers", "1", "--fresh", "--out", "{out}/first"),
    ],
    "CartPole-v1, 10 methods, 10 runs, 300 rollouts": [
        *("-m", "policysearch.compare", "--tasks", "CartPole-v1", "--optimizers", *TEN.split(), "--runs", "10"),
        *("--rollouts", "300", "--fresh", "--out", "{out}/ten"),
    ],
    "report of CartPole-v1": ["-m", "policysearch.compare", "report", "{out}/ten"],
    "quick study": ["-m", "policysearch.compare", "--fresh", "--out", "{out}/quick"],
    "report of the quick study": ["-m", "policysearch.compare", "report", "{out}/quick"],
}  # fmt: skip


#: The option of Linux's prctl(2) by which a process becomes the parent of those whose own parent has ended.
PR_SET_CHILD_SUBREAPER = 36


def adopt() -> None:
    """Become the parent of what commands leave, such as the server that forks workers, so that it is counted."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def spent(arguments: list[str]) -> tuple[float, float]:
    """Processor seconds of a command and of all processes that come from it, and the seconds that it took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    seconds = time.perf_counter() - began
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seconds


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="parts of the names of commands; by default all")
    parser.add_argument("--out", type=Path, help="folder for commands.csv")
    arguments = parser.parse_args()
    chosen = {
        name: command
        for name, command in COMMANDS.items()
        if arguments.only is None or any(part in name for part in arguments.only)
    }
    adopt()
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(-1, arguments.repeats):
            for name, command in chosen.items():
                seconds = spent([argument.replace("{out}", folder) for argument in command])
                if repeat >= 0:
                    measured[name].append(seconds)
    table = pd.DataFrame(
        {
            "command": list(measured),
            "processor_seconds_median": [round(float(np.median(v, axis=0)[0]), 3) for v in measured.values()],
            "processor_seconds_min": [round(min(v)[0], 3) for v in measured.values()],
            "seconds_median": [round(float(np.median(v, axis=0)[1]), 3) for v in measured.values()],
            "repeats": arguments.repeats,
        }
    )
    print(table.to_string(index=False))
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        header = f"# Python {platform.python_version()}, {os.cpu_count()} processors; {platform.machine()}\n"
        path = arguments.out / "commands.csv"
        path.write_text(header + table.to_csv(index=False), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
