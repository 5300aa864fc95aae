"""How long a study of a million generations takes to continue, and how much memory: its ledger is not kept whole.

    python experiments/benchmarks/ledger_resume.py --out results/benchmarks

A ledger is written as a study writes it: 10,000 runs of 100 generations of 8 candidates, all but one of them with a
result, in the order in which 100 runs at a time are made. A process then opens it as the same command does, up to
where the last run continues; processor time and peak memory are those of a new process, less what an empty study
takes.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from policysearch.compare.journal import NAME, StudyJournal
from policysearch.compare.run import Job, execute, jobs
from policysearch.compare.study import Study
from policysearch.plain_data import encode

RUNS, GENERATIONS, AT_A_TIME = 10_000, 100, 100


def study(runs: int) -> Study:
    """The study whose ledger is written."""
    return Study.resolve(
        {"tasks": ["lqr"], "optimizers": {"cma-es": {"population_size": 8}}, "rollouts": 800, "runs": runs}
    )


def written(folder: Path, runs: int, generations: int) -> float:
    """Write the ledger; the microseconds that a generation takes, in groups as they are committed."""
    chosen = study(runs)
    listed, example = jobs(chosen), execute(study(1), Job("lqr", "cma-es", 0))
    record = encode(
        {
            "proposal": "0" * 32,
            "purpose": "search",
            "returns": [[-1.0 / 3.0 - i] for i in range(8)],
            "steps": [[200]] * 8,
        }
    )
    began = time.process_time()
    with StudyJournal(folder, chosen) as journal:
        for first in range(0, runs, AT_A_TIME):
            group = listed[first : first + AT_A_TIME]
            for _ in range(generations):
                for job in group:
                    journal.evaluated("final", job, record)
                journal.commit()
            for job in group[: -1 if first + AT_A_TIME >= runs else None]:
                journal.finished("final", type(example)(**vars(example) | {"job": job}))
    return 1e6 * (time.process_time() - began) / (runs * generations)


def opened(folder: Path, runs: int) -> None:
    """Open the ledger; print the processor time, the records of the run that continues and the peak memory."""
    began = time.process_time()
    with StudyJournal(folder, study(runs)) as journal:
        left = [past for past in journal.past.values() if past.result is None]
        records = sum(len(past.records) for past in left)
        seconds = time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "records": records, "peak_mib": memory}))


def measured(folder: Path, runs: int) -> dict[str, float]:
    """What `opened` prints in a process of its own."""
    command = [sys.executable, __file__, "--open", str(folder), "--runs", str(runs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), metavar="DIR")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help=f"default: {RUNS:,}")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.open is not None:
        opened(arguments.open, arguments.runs)
        return
    with tempfile.TemporaryDirectory() as name:
        large, empty = Path(name, "large"), Path(name, "empty")
        for folder in (large, empty):
            folder.mkdir()
        each = written(large, arguments.runs, GENERATIONS)
        size = sum(file.stat().st_size for file in large.glob(f"{NAME}*")) / 2**20
        found, base = measured(large, arguments.runs), measured(empty, arguments.runs)
    row = {
        "generations": arguments.runs * GENERATIONS,
        "ledger_mib": size,
        "write_us_per_generation": each,
        "resume_processor_s": found["seconds"] - base["seconds"],
        "resume_mib": found["peak_mib"] - base["peak_mib"],
        "records_of_the_open_run": found["records"],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([row]).round(2).to_csv(arguments.out / "ledger_resume.csv", index=False, lineterminator="\n")
    print("\n".join(f"{name}: {value:.4g}" for name, value in row.items()))


if __name__ == "__main__":
    main()
