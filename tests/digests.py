"""Digests of the numbers that the four command lines give, to compare two versions of the package bit by bit.

    python tests/digests.py                                        prints {name: SHA-256 of a table} as JSON
    python tests/digests.py --against tests/assets/digests.json    says which differ; the exit code is 1 if any does
    python tests/digests.py --write tests/assets/digests.json      keeps them, with the versions that gave them
    python tests/digests.py --only "quick study" tune              some of the cases

A case is a few command lines in a folder of their own, and the tables that they leave there; only command lines and
files are used, so that the package may change inside. Columns of times are left out. The package is the one next to
this script unless PYTHONPATH names another. Other versions of NumPy or Numba, and other processors, may give other
bits. The ledgers in `tests/assets` were made by `make_digest_assets.py` with version 0.1.0, and one, of methods
with scores, with 0.2.0.
"""

import argparse
import csv
import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ASSETS = TESTS / "assets"
RECORDED = ASSETS / "digests.json"
#: Columns that differ between two runs of the same command.
VOLATILE = (
    "wall_seconds",
    "day",
    "started",
    "ended",
    "started monotonic",
    "ended monotonic",
    "mean vo2_ml_min",
    "mean vco2_ml_min",
    "mean rer",
    "mean heart_rate_bpm",
    "file",
    "sha256",
)  # times; and what version 0.1.0 had not
#: The versions on which the bits may depend.
PACKAGES = ("numpy", "numba", "scipy", "pandas", "gymnasium", "mujoco", "cma")

COMPARED = ("runs.csv", "curves.csv", "pairs.csv", "summary.csv", "spent.csv")
TUNED = ("history.csv", "sensitivity.csv")
SIMULATED = ("participants.csv", "curve.csv", "summary.csv")

FUNCTION = '''
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from policysearch.space import Bounds


@dataclass
class Gains:
    kp: Annotated[float, Bounds(0.1, 100.0, scale="log")] = 1.0
    kd: Annotated[float, Bounds(0.0, 10.0)] = 0.0


def cost(gains: Gains, seed: int) -> dict[str, float]:
    """A noisy cost, and what else is measured."""
    noise = np.random.default_rng(seed).standard_normal()
    if seed % 11 == 0:
        raise RuntimeError("out of memory")
    return {"return": np.log(gains.kp / 20.0) ** 2 + (gains.kd - 3.0) ** 2 + noise, "energy": gains.kp**2}


def summed(gains: Gains, seed: int, hopeless: float) -> float:
    """A cost that adds up, and is given up beyond the threshold."""
    total = 0.0
    for _ in range(10):
        total += ((gains.kp - 20.0) / 20.0) ** 2 + (gains.kd - 3.0) ** 2 + 0.01 * (seed % 7)
        if total > hopeless:
            break
    return total
'''

PROGRAM = """
BEGIN {
  kp = ARGV[1]; kd = ARGV[2]; load = ARGV[5] ? ARGV[5] : 1
  cost = (kp / 20 - 1) ^ 2 + (kd - 3 * load) ^ 2 + 0.01 * (ARGV[3] % 7) + (ARGV[4] == "median" ? 0.5 : 0)
  printf "{\\"return\\": %.12g, \\"overshoot\\": %.12g}\\n", cost, kp * load
}
"""

PARAMETERS = """
goal = "minimise"
[parameters.kp]
start = 1.0
lower = 0.1
upper = 100.0
scale = "log"
[parameters.kd]
start = 0.0
lower = 0.0
upper = 10.0
"""

PROGRAM_FILE = f"""
command = "awk -f plant.awk {{kp}} {{kd}} {{seed}} {{filter}}"
sensitivity_rollouts = 24
constraints = ["kd <= kp / 2"]
{PARAMETERS}
[parameters.filter]
options = ["none", "median", "mean"]
start = "none"
[perturb]
"twice the load" = "awk -f plant.awk {{kp}} {{kd}} {{seed}} {{filter}} 2"
[metrics]
overshoot = "minimise"
"""

#: What an operator types in the session of version 0.1.0, with what is refused, corrected and taken back.
OPERATED = """44
44.0
4.4
viod x
yes
note she is in a good mood
39
3.9
3.9
void a shoe lace
3.95
yes
skip tired
yes
3.8
amend 4 3.85 read off the wrong line
amend 77 4 it does not exist
undo
undo it was right
retest
yes
3.7
limit 0.9 the calf hurts
limit 0.95 better now
"""
#: What is typed in its continuation.
OPERATED_LATER = """amend 6 3.75 read off the wrong line
yes
3.5
yes
3.6
void the mask slipped
3.65
yes
3.7
undo the mask was loose
3.72
yes
3.8
4.3
3.6
3.7
3.71
3.61
4.31

"""
#: The same for a tuning whose tries are made by a person.
TYPED = """9
8.5 overshoot=3
skip
failed it fell over
7
amend 2 8.25 overshoot=2.5 read off the wrong line
6.5
note a new battery
undo
6.4
5
amend 1 9.5
undo
4.5
"""
TYPED_LATER = "amend 5 7.5 read off the wrong line\n4.2\n4.1\n4\nundo\n3.9\n" + "3.8\n3.7\n3.6\n" * 12


@dataclass(frozen=True)
class Case:
    """Command lines, run one after the other in one folder, and the tables that they leave there.

    Attributes:
        commands: each without `python -m policysearch.`; results go to the folder `out`.
        tables: of the folder `out`.
        files: what the commands read: the text of each file by its name.
        assets: files that are there before: the asset of each by its name.
        typed: the lines that the commands read from their standard input.
    """

    commands: tuple[str, ...]
    tables: tuple[str, ...] = COMPARED
    files: dict[str, str] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)
    typed: str = ""


LEDGER_STUDY = (
    "compare --tasks lqr CartPole-v1 --rollouts 48 --episodes-per-candidate 2 --out out "
    "--optimizers nelder-mead cross-entropy cma-es ars whitened:ars --set cross-entropy.population_size=8 "
    "cross-entropy.elites=3 ars.directions=3"
)
SCORE_STUDY = (
    "compare --tasks CartPole-v1 rock-paper-scissors --rollouts 40 --out out "
    "--optimizers reinforce off-policy-reinforce natural-gradient ppo random-search"
)
#: The methods' revisions have changed since; of what these cases compare, nothing has.
KEPT = ' --keep "compared bit by bit"'
SHARDED = "compare --tasks lqr --rollouts 60 --runs 2 --optimizers cma-es spsa"
TUNE_LEDGER = "tune gains.toml --optimizer cma-es --rollouts 40 --sensitivity-rollouts 20 --out out"
TUNE_ASKED = "tune gains.toml --optimizer cma-es --ask --rollouts 14 --out out"
SESSION = "--bouts 8 --minutes 1 --baseline 1 --validation 1 --averaged 0.5"
OPERATED_SESSION = f"hitl run --out out {SESSION} --no-countdown"

#: The tuning that the ledgers of version 0.1.0 hold, by a program and by a person.
PROGRAM_FILES = {"gains.toml": PROGRAM_FILE, "plant.awk": PROGRAM}
ASKED_FILES = {"gains.toml": PARAMETERS}

CASES = {
    "quick study": Case(("compare --out out",)),
    "gaits": Case(
        (
            "compare --tasks aibo-gait aibo-gait-reduced --rollouts 30 --runs 2 --out out "
            "--optimizers cma-es finite-difference genetic",
        )
    ),
    "exoskeleton": Case(("compare --tasks exoskeleton --rollouts 32 --runs 2 --out out",)),
    "controllers": Case(
        (
            "compare --tasks motor-pid thermal-pid tanks-pid quadrotor-cascade cart-pole-lqr pendulum-swing-up "
            "--rollouts 40 --runs 2 --optimizers cma-es nelder-mead spsa --out out",
        )
    ),
    "networks": Case(
        (
            "compare --tasks Pendulum-v1 --policy mlp:8 --rollouts 60 --runs 2 --out out "
            "--optimizers cma-es pgpe whitened:ars reinforce trpo ppo",
        )
    ),
    "swimmers": Case(
        ("compare --tasks swimmer-cpg Swimmer-v5 --rollouts 16 --runs 2 --out out --optimizers cma-es ars",)
    ),
    "tabular": Case(
        (
            "compare --tasks bandit chain aliased-gridworld aliased-gridworld-history rock-paper-scissors "
            "--rollouts 60 --runs 2 --out out "
            "--optimizers cross-entropy reinforce off-policy-reinforce natural-gradient",
        )
    ),
    "repeated": Case(
        (
            "compare --tasks lqr CartPole-v1 --rollouts 80 --runs 2 --out out "
            "--episodes-per-candidate 2 --optimizers cma-es spsa evolution-strategy whitened:ars reinforce",
        )
    ),
    "steps": Case(
        (
            "compare --tasks CartPole-v1 lqr --rollouts 200 --steps 900 --runs 2 --out out "
            "--optimizers cma-es hill-climbing ars reinforce --seed 3",
        )
    ),
    "pool": Case(
        (
            "compare --tasks CartPole-v1 --evaluator pool --rollouts 40 --runs 2 --out out "
            "--optimizers cma-es whitened:ars reinforce",
        )
    ),
    "episodes": Case(
        (
            "compare --tasks CartPole-v1 MountainCarContinuous-v0 --evaluator episodes --rollouts 30 --runs 2 "
            "--optimizers cma-es whitened:ars reinforce --out out",
        )
    ),
    "tuned": Case(
        ("compare --tasks lqr --tune 4 --rollouts 50 --runs 3 --out out --optimizers cma-es ars reinforce",)
    ),
    "settled": Case(
        (
            "compare --tasks lqr --settle 3 --rollouts 60 --runs 4 --out out "
            "--optimizers cma-es hill-climbing random-search",
        )
    ),
    "merged shards": Case(
        (
            f"{SHARDED} --shard 1/2 --out part1",
            f"{SHARDED} --shard 2/2 --out part2",
            "compare report part1 part2 --out out",
        )
    ),
    "continued ledger": Case(
        (f"{LEDGER_STUDY} --runs 3{KEPT}",), assets={"out/ledger.sqlite": "ledger_0_1_0.sqlite"}
    ),
    "continued ledger of scores": Case(
        (f"{SCORE_STUDY} --runs 3",), assets={"out/ledger.sqlite": "ledger_scores_0_2_0.sqlite"}
    ),
    "tune": Case(
        (
            "tune plant:cost --optimizer cma-es --goal minimise --rollouts 60 --sensitivity-rollouts 24 --workers 2 --out out",
        ),
        TUNED,
        {"plant.py": FUNCTION},
    ),
    "tune safely": Case(
        (
            "tune plant:cost --goal minimise --rollouts 40 --safe --optimizer hill-climbing --set neighbours=5 "
            "--out out",
        ),
        TUNED[:1],
        {"plant.py": FUNCTION},
    ),
    "tune with a cutoff": Case(
        ("tune plant:summed --optimizer cma-es --goal minimise --rollouts 60 --seed 5 --out out",),
        TUNED[:1],
        {"plant.py": FUNCTION},
    ),
    "tune a program": Case(
        ("tune gains.toml --optimizer cma-es --rollouts 40 --out out",),
        (*TUNED, "robustness.csv"),
        PROGRAM_FILES,
    ),
    "continued tuning": Case(
        (TUNE_LEDGER + KEPT,),
        (*TUNED, "robustness.csv"),
        PROGRAM_FILES,
        {"out/tune.sqlite": "tune_0_1_0.sqlite"},
    ),
    "continued tuning by a person": Case(
        (TUNE_ASKED + KEPT,),
        TUNED[:1],
        ASKED_FILES,
        {"out/tune.sqlite": "tune_asked_0_1_0.sqlite"},
        TYPED_LATER,
    ),
    "gradients": Case(("gradients lqr --rollouts 10 30 --repeats 10 --out out",), ("estimates.csv",)),
    "gradients of a chain": Case(
        ("gradients chain --rollouts 10 30 --repeats 10 --discount 0.9 --out out",), ("estimates.csv",)
    ),
    "simulated session": Case((f"hitl simulate --out out {SESSION} --retest 1 --rest 1",), ("bouts.csv",)),
    "simulated people": Case((f"hitl simulate --participants 3 --out out {SESSION}",), SIMULATED),
    "opened session": Case(
        ("hitl report out",), ("bouts.csv",), assets={"out/session.sqlite": "session_0_1_0.sqlite"}
    ),
    "continued session": Case(
        (OPERATED_SESSION,),
        ("bouts.csv",),
        assets={"out/session.sqlite": "session_0_1_0.sqlite"},
        typed=OPERATED_LATER,
    ),
}


def digests_of(name: str) -> dict[str, str]:
    """SHA-256 of every table of a case by `case/table`, or how its command failed."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="digests-") as text:
        folder = Path(text)
        prepare(case, folder)
        for command in case.commands:
            done = run(command, folder, case.typed)
            if done.returncode != 0:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                return {f"{name}/{table}": f"exit code {done.returncode}: {last}" for table in case.tables}
        return {f"{name}/{table}": digest(folder / "out" / table) for table in case.tables}


def prepare(case: Case, folder: Path) -> None:
    """Write what the commands of a case read."""
    (folder / "out").mkdir()
    for file, content in case.files.items():
        (folder / file).write_text(content, encoding="utf-8")
    for file, asset in case.assets.items():
        shutil.copyfile(ASSETS / asset, folder / file)


def run(command: str, folder: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command line of the package in a folder."""
    path = os.environ.get("PYTHONPATH", str(TESTS.parent))
    name, *flags = shlex.split(command)
    return subprocess.run(
        [sys.executable, "-m", f"policysearch.{name}", *flags],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, input=typed, capture_output=True, text=True, check=False,
    )  # fmt: skip


def digest(table: Path) -> str:
    """SHA-256 of a CSV table without its volatile columns; words in place of one that is missing or empty."""
    if not table.exists() or not table.stat().st_size:
        return "no such table"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    kept = [i for i, column in enumerate(rows[0]) if column not in VOLATILE]
    text = "\n".join("\x1f".join(row[i] for i in kept) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages on which the bits may depend, and the processor's name."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found, "processor": processor()}


def processor() -> str:
    """The name of the processor's model."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def other_versions(recorded: dict[str, str]) -> list[str]:
    """A line for everything in `versions` that is not what was recorded."""
    return [
        f"{name} {here}, not {recorded.get(name)}"
        for name, here in versions().items()
        if here != recorded.get(name)
    ]


def differences(found: dict[str, str], recorded: dict[str, str]) -> list[str]:
    """A line for every table that differs from what was recorded."""
    return [
        f"{name}: was {recorded.get(name, 'not recorded')}, is {value}"
        for name, value in found.items()
        if recorded.get(name) != value
    ]


def write(path: Path, found: dict[str, str]) -> int:
    """Write digests and versions; returns the exit code, 1 if a case failed.

    Digests of other cases stay in the file if the same versions gave them.
    """
    failed = [name for name, value in found.items() if " " in value]
    for name in failed:
        print(f"not written: {name}: {found.pop(name)}", file=sys.stderr)
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    old = before["digests"] if before.get("versions") == versions() else {}
    names = [f"{name}/{table}" for name, case in CASES.items() for table in case.tables]
    kept = {name: value for name in names if (value := found.get(name, old.get(name)))}
    body = {"command": "python tests/digests.py --write FILE", "versions": versions(), "digests": kept}
    path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="say which differ from those in this file"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write them and the versions to this file")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=CASES, default=list(CASES))
    arguments = parser.parse_args(argv)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = {key: value for part in pool.map(digests_of, arguments.only) for key, value in part.items()}
    if arguments.against:
        recorded = json.loads(arguments.against.read_text(encoding="utf-8"))
        different = differences(found, recorded["digests"])
        print(*different, f"{len(different)} of {len(found)} tables differ", sep="\n")
        for line in other_versions(recorded["versions"]) if different else ():
            print(f"  other bits may be right: {line}")
    if arguments.write:
        return write(arguments.write, found)
    if arguments.against:
        return 1 if different else 0
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
