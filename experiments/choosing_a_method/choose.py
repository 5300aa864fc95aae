"""Which method for which problem: ours in both settings and those of other packages, on the same rollouts.

    python experiments/choosing_a_method/choose.py pilot                     one short run of everything: pilot.csv
    python experiments/choosing_a_method/choose.py cost                      the processor hours of what is asked for
    python experiments/choosing_a_method/choose.py references                references.csv
    python experiments/choosing_a_method/choose.py run --split tuning --methods configurations --seeds 10 --most 300
    python experiments/choosing_a_method/choose.py defaults                  what the tuning problems say of defaults,
        with --seeds 4 --configurations 8 --out experiments/choosing_a_method/defaults.csv   what is kept of it
    python experiments/choosing_a_method/choose.py run --split evaluation    the evaluation, after protocol.md
    python experiments/choosing_a_method/choose.py page --split evaluation --most 300 --method auto --out PAGE.md
    python experiments/choosing_a_method/choose.py summary --method auto     the page in short

`run` may be killed and started again, and made in parts: `--part 2/4` are a fourth of the jobs. Everything is kept in
--results, whose files of all parts are read together; `page` copies the runs, rounded, to --kept. The peers need the
packages of requirements.txt in an environment of their own; those not installed are named and left out. A run
that was made with a smaller --most is not made again with a larger one.
"""

import argparse
import json
import os
import shlex
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import choice_cost
import choice_methods
import choice_runs
import choice_scores
import numpy as np
import pandas as pd
from choice_page import ahead_table, page, picture, verdicts
from choice_peers import PEERS, installed
from choice_problems import BUDGETS, EVALUATION, problems
from choice_runs import Job, Kept, jobs, longest, rows_of

from policysearch.files import write_text
from policysearch.optimizers import CMAES
from policysearch.reporting.figures import write_png
from policysearch.search import Budget, generations

RESULTS = Path("policysearch-results/choosing_a_method")
KEPT = Path(__file__).with_name("evaluation")
#: Of the search for the best known of a problem without references.
LONG, LONG_SEEDS = 3000, 4


def methods(groups: Sequence[str], configurations: int, peers: Iterable[str] | None = None) -> list[str]:
    """Names of methods, or of the groups `ours`, `peers`, `configurations` and `all`; `peers` are those installed."""
    found = list[str]()
    peers = installed() if peers is None else peers
    for name in groups:
        if name == "configurations":
            found += choice_methods.configurations(configurations)
        elif name in ("ours", "peers", "all"):
            found += choice_methods.ours() if name != "peers" else []
            found += peers if name != "ours" else []
        else:
            choice_methods.method(name, 0)  # or says that there is none
            found.append(name)
    return list(dict.fromkeys(found))


def finished(
    todo: Sequence[Job], pilot: pd.DataFrame, asked: argparse.Namespace
) -> Iterator[list[dict[str, Any]]]:
    """The rows of the jobs, as they finish."""
    limits = [min(longest(pilot, job), asked.most) for job in todo]
    if asked.workers == 1:
        _begin(asked.nice)
        yield from map(rows_of, todo, limits)
        return
    with ProcessPoolExecutor(asked.workers, get_context("spawn"), _begin, (asked.nice,)) as pool:
        yield from pool.map(rows_of, todo, limits, chunksize=4)


def _begin(nice: int) -> None:
    os.nice(nice)
    warnings.simplefilter("ignore")


def run(asked: argparse.Namespace) -> None:
    """Make the jobs that no file has."""
    part, parts = map(int, asked.part.split("/"))
    todo = list(choice_runs.todo(_jobs(asked), asked.results, part, parts))
    pilot, begun = choice_cost.pilot(), time.monotonic()
    _say_missing()
    if pilot.empty:
        print("there is no pilot.csv: no run of 1,000 rollouts", file=sys.stderr)
    with Kept(asked.results / f"runs-{part}-of-{parts}.csv.gz") as kept:
        for n, rows in enumerate(finished(todo, pilot, asked), 1):
            kept.add(rows)
            row = rows[-1]
            _say(
                f"{n} of {len(todo)}, {time.monotonic() - begun:.0f} s: {row['problem']}, {row['method']}", n
            )
    _say("", end="\n")


def _jobs(asked: argparse.Namespace, peers: Iterable[str] | None = None) -> list[Job]:
    names = asked.problems or choice_runs.problem_names(asked.split)
    made = jobs(names, methods(asked.methods, asked.configurations, peers), range(asked.seeds))
    return [job for job in made if choice_runs.budgets_of(job, asked.most)]


def _say(line: str, n: int = 0, end: str = "") -> None:
    """A line in place of the one before; every thousandth where standard error is no terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}\033[K{end}")
    elif n and n % 1000 == 0:
        print(line, file=sys.stderr)


def _say_missing() -> None:
    if missing := [name for name in PEERS if name not in installed()]:
        print(f"not installed, and left out: {', '.join(missing)}", file=sys.stderr)


def pilot(asked: argparse.Namespace) -> None:
    """One short run of every problem and method; what is in pilot.csv stays."""
    known = choice_cost.pilot()
    have = set(known[["problem", "method"]].itertuples(index=False, name=None))
    wanted = [job for job in _jobs(asked) if job.seed == 0 and "#" not in job.method]
    _begin(asked.nice)
    _say_missing()
    warm = set[str]()
    for job in wanted:
        if job.budget not in (0, choice_cost.ROLLOUTS) or (job.problem, job.method) in have:
            continue
        if job.problem not in warm:  # the first run compiles and imports
            rows_of(job, BUDGETS[0])
            warm.add(job.problem)
        slow = job.method in choice_methods.PROCESSES
        _say(f"{job.problem}, {job.method}")
        row = rows_of(job, choice_cost.ROLLOUTS_OF_PROCESSES if slow else choice_cost.ROLLOUTS)[-1]
        if row["budget"]:
            known.loc[len(known)] = [job.problem, job.method, row["spent"] or row["budget"], row["seconds"]]
            known.to_csv(choice_cost.PILOT, index=False)
    _say("", end="\n")


def references(asked: argparse.Namespace) -> None:
    """The gain of a long search on the problems without references of their own."""
    rows = []
    names = asked.problems or choice_runs.problem_names(asked.split)
    for problem in (problems()[name] for name in names):
        if problem.function or choice_scores.known(problem):
            continue
        gains = []
        for seed in range(LONG_SEEDS):
            made = problem.searched(CMAES(sigma=0.2, restarts=9), seed)
            best = made.domain.start
            for generation in generations(
                made.method, made.evaluator, made.domain, budget=Budget(asked.rollouts), seed=1000 + seed
            ):
                best = generation.recommendation
            start, end = made.judge(np.array([made.domain.start, best]))
            made.close()
            gains.append(float(end - start))
        gain = max(gains) if problem.trials == "one" else float(np.mean(gains))
        rows.append({"problem": problem.name, "gain": f"{gain:.6g}"})
        print(rows[-1], flush=True)
        table = pd.DataFrame(rows)
        if choice_scores.REFERENCES.exists():
            old = pd.read_csv(choice_scores.REFERENCES)
            table = pd.concat([old[~old["problem"].isin(table["problem"])], table])
        table.to_csv(choice_scores.REFERENCES, index=False)


def cost(asked: argparse.Namespace) -> None:
    """Print the estimate."""
    _say_missing()
    print(choice_cost.said(choice_cost.table(choice_cost.pilot(), _jobs(asked), asked.most)))


def defaults(asked: argparse.Namespace) -> None:
    """Print, for every method and budget, the best configurations; keep all of them if `--out` is a CSV."""
    runs = choice_runs.read(asked.results)
    numbers = pd.to_numeric(runs["method"].str.partition("#")[2], errors="coerce")
    kept = runs[(runs["seed"] < asked.seeds) & (numbers < asked.configurations)]
    table = choice_scores.gains(choice_scores.scored(kept))
    if asked.out.suffix == ".csv":
        drawn = [choice_methods.drawn(*_named(name)) for name in table["configuration"]]
        table = table.assign(hyperparameters=[json.dumps(options) for options in drawn]).round(4)
        write_text(asked.out, table.to_csv(index=False))
    for (name, budget), part in table.groupby(["method", "budget"]):
        for row in part.head(3).itertuples():
            options = choice_methods.drawn(*_named(str(row.configuration)))
            print(
                f"{name:22} {budget:5} {row.configuration:26} {row.score:.3f}  default {row.gain:+.3f} "
                f"({row.low:+.3f} to {row.high:+.3f}, {row.problems} problems)  {options or 'the default'}"
            )


def _named(configuration: str) -> tuple[str, int]:
    name, _, number = configuration.partition("#")
    return name, int(number)


def write_page(asked: argparse.Namespace) -> None:
    """Write the page of the evaluation problems, its picture, and the runs, rounded, of which both are made."""
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    choice_runs.keep(choice_runs.read(asked.results), asked.kept)
    made = evaluated(asked)
    command = shlex.join(["python", "experiments/choosing_a_method/choose.py", *sys.argv[1:]])
    write_text(asked.out, page(made, asked.method, list(PEERS), _jobs(asked, PEERS), command))
    write_png(asked.out.parent / "families.png", picture(made, asked.method, list(PEERS)))


def evaluated(asked: argparse.Namespace) -> pd.DataFrame:
    """The scores of the kept runs on evaluation problems."""
    made = choice_scores.scored(choice_runs.read(asked.kept))
    return made[(made["split"] == EVALUATION) & (made["seed"] < asked.seeds)]


def summary(asked: argparse.Namespace) -> None:
    """Print what the page says of all cells."""
    made = evaluated(asked)
    print(verdicts(choice_scores.cells(made, asked.method, list(PEERS))), end="\n\n")
    print(ahead_table(made, asked.method, [choice_methods.SMALL_STEPS, *PEERS]))


COMMANDS = {
    "run": run, "pilot": pilot, "references": references, "cost": cost, "defaults": defaults, "page": write_page,
    "summary": summary,
}  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--split", choices=["tuning", "evaluation", "all"], default="all")
    parser.add_argument("--problems", nargs="*", help="names, instead of a split")
    parser.add_argument(
        "--methods", nargs="*", default=["all"], help="names, ours, peers, configurations or all"
    )
    parser.add_argument(
        "--configurations", type=int, default=12, help="of each method, for choosing defaults"
    )
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--most", type=int, default=BUDGETS[-1], help="the largest budget")
    parser.add_argument("--part", default="1/1", help="I/N: every N-th job")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--nice", type=int, default=10)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--rollouts", type=int, default=LONG, help="of the searches for references")
    parser.add_argument("--method", default="auto", help="the one that the page compares with peers")
    parser.add_argument("--kept", type=Path, default=KEPT, help="the runs of the page")
    parser.add_argument("--out", type=Path, default=Path("choosing_a_method.md"))
    asked = parser.parse_args(argv)
    COMMANDS[asked.command](asked)


if __name__ == "__main__":
    main()
