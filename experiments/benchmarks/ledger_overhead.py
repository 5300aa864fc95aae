"""What the ledger costs: the quick study's runs with and without it, alternately, in one process.

python experiments/benchmarks/ledger_overhead.py --out results/benchmarks

"Without" writes nothing and records nothing. The processor time that it saves is compared with the wall time of the
whole command `python -m policysearch.compare`, which spreads the same runs over all processors.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

from policysearch.compare.journal import NAME, StudyJournal
from policysearch.compare.session import StudySession
from policysearch.compare.study import Study, quick
from policysearch.ledger import read


def seconds(study: Study, folder: Path | None) -> float:
    """Processor time of all runs in this process."""
    began = time.process_time()
    with StudyJournal(folder, study) as journal:
        for _ in StudySession(study, journal).run(workers=1):
            pass
    return time.process_time() - began


class Unrecorded:
    """The evaluator as it is, in place of `Recorded`."""

    def __init__(self, inner: Any, *_: Any) -> None:
        self.evaluate = inner.evaluate


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), metavar="DIR")
    parser.add_argument("--pairs", type=int, default=7, metavar="N", help="measurements of each (default: 7)")
    arguments = parser.parse_args()
    study = Study.resolve(quick())
    seconds(study, None)  # compile
    with_ledger, without, whole, generations = [], [], [], 0
    for _ in range(arguments.pairs):
        with tempfile.TemporaryDirectory() as folder:
            with_ledger.append(seconds(study, Path(folder)))
            generations = sum(event.kind == "generation" for event in read(Path(folder) / NAME))
            with mock.patch("policysearch.compare.run.Recorded", Unrecorded):
                without.append(seconds(study, None))
            command = [sys.executable, "-m", "policysearch.compare", "--out", f"{folder}/out"]
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            whole.append(time.perf_counter() - began)
        print(
            f"with {with_ledger[-1]:.2f} s, without {without[-1]:.2f} s, whole command {whole[-1]:.1f} s",
            flush=True,
        )
    saved = statistics.median(a - b for a, b in zip(with_ledger, without, strict=True))
    row = {
        "runs_with_ledger_s": statistics.median(with_ledger),
        "runs_without_s": statistics.median(without),
        "ledger_s": saved,
        "generations": generations,
        "microseconds_per_generation": 1e6 * saved / generations,
        "whole_command_s": statistics.median(whole),
        "processors": os.cpu_count(),
        "percent_of_whole_command": 100 * saved / (os.cpu_count() or 1) / statistics.median(whole),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([row]).round(3).to_csv(
        arguments.out / "ledger_overhead.csv", index=False, lineterminator="\n"
    )
    print("\n".join(f"{name}: {value:.3g}" for name, value in row.items()))


if __name__ == "__main__":
    main()
