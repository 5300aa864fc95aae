"""The runs of the study: which there are, how one is made, and the files that keep them.

A job is a problem, a method, a seed and a budget; 0 stands for a method that does not know its budget, one search of
which serves all. The rows of finished jobs are appended to `runs-I-of-N.csv.gz`, a member of the gzip file for some
jobs at a time: what is killed loses the jobs of the last minute, and the same command makes them again.
"""

import gzip
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from choice_methods import MAX_OF_PROCESSES, PROCESSES, knows_budget, method
from choice_problems import BUDGETS, Problem, Searched, problems
from threadpoolctl import threadpool_limits

from policysearch.core import Array
from policysearch.search import Budget, SearchFailed, generations

COLUMNS = ["problem", "method", "seed", "job", "budget", "spent", "value", "start", "seconds", "note"]
#: The longest that a run of 1,000 rollouts may take, in seconds, by the pilot.
MAX_SECONDS = 30.0


class Job(NamedTuple):
    """One search."""

    problem: str
    method: str
    seed: int
    budget: int = 0  # of a method that knows it


def jobs(names: Sequence[str], methods: Sequence[str], seeds: Iterable[int]) -> list[Job]:
    """All jobs, seed by seed."""
    return [
        Job(problem, name, seed, budget)
        for seed in seeds
        for problem in names
        for name in methods
        for budget in (BUDGETS if knows_budget(name) else (0,))
    ]


def budgets_of(job: Job, most: int) -> tuple[int, ...]:
    """The budgets at which a job is looked at, in ascending order."""
    most = min(most, MAX_OF_PROCESSES) if job.method in PROCESSES else most
    return tuple(b for b in ((job.budget,) if job.budget else BUDGETS) if b <= most)


def rows_of(job: Job, most: int) -> list[dict[str, Any]]:
    """The job done: a row per budget, or one without a budget that says why there is none.

    An exception of a method is a row with what it recommended before, and the note `failed: …`.
    """
    budgets, begun = budgets_of(job, most), time.process_time()
    base = {**job._asdict(), "job": job.budget}
    with threadpool_limits(1):
        try:
            made = problems()[job.problem].searched(method(job.method, job.budget), job.seed)
        except (ValueError, ImportError) as error:
            return [base | {"budget": 0, "note": f"not run: {error}"}]
        try:
            found = _recommended(made, job, budgets)
            params = np.array([made.domain.start, *(point for _, point, _, _ in found)])
            values = made.judge(params).tolist()
        finally:
            made.close()
    if not found:
        return [base | {"budget": 0, "note": "not run: its first generation is over every budget"}]
    return [
        base
        | {"budget": budget, "spent": spent, "value": value, "start": values[0], "note": note}
        | {"seconds": round(time.process_time() - begun, 3)}
        for (budget, _, spent, note), value in zip(found, values[1:], strict=True)
    ]


def _recommended(made: Searched, job: Job, budgets: Sequence[int]) -> list[tuple[int, Array, int, str]]:
    """Budget, recommendation, rollouts spent and a note, at every budget that the first generation fits into."""
    found: dict[int, tuple[Array, int]] = {}
    note = ""
    search = generations(
        made.method,
        made.evaluator,
        made.domain,
        budget=Budget(max(budgets, default=1)),
        seed=job.seed,
        problem=("choosing a method", job.problem),
        label=job.method,
    )
    try:
        with closing(search) as running:  # type: ignore[type-var] # a generator
            for generation in running:
                last = generation.recommendation, generation.rollouts
                found |= {b: last for b in budgets if generation.rollouts <= b}
    except SearchFailed:
        note = "stopped: every rollout failed"
    except Exception as error:  # whatever a method raises counts as its failure
        note = f"failed: {type(error).__name__}: {error}"[:200]
        found = found or dict.fromkeys(budgets, (made.domain.start, 0))
    return [(b, *found[b], note) for b in budgets if b in found]


def read(folder: Path) -> pd.DataFrame:
    """The rows of all files of a folder."""
    tables = [_table(path) for path in sorted(folder.glob("runs-*.csv.gz"))]
    table = pd.concat(tables) if tables else pd.DataFrame(columns=COLUMNS)
    return table.drop_duplicates(["problem", "method", "seed", "job", "budget"], keep="last")


def keep(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write the rows into one small file of a folder, returns with eight digits, and read that."""
    kept = table.sort_values(["seed", "problem", "method", "job", "budget"])
    for name, digits in (("value", 8), ("start", 8), ("seconds", 3)):
        kept[name] = [f"{x:.{digits}g}" for x in kept[name]]
    text = kept[COLUMNS].to_csv(sep="\t", index=False, header=False)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs-1-of-1.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    return read(folder)


def _table(path: Path) -> pd.DataFrame:
    lines = [line.split("\t") for line in whole(path)[0].decode().splitlines()]
    table = pd.DataFrame([line for line in lines if len(line) == len(COLUMNS)], columns=COLUMNS)
    for name in ("seed", "job", "budget", "spent", "value", "start", "seconds"):
        table[name] = pd.to_numeric(table[name].replace("nan", ""))  # of a recommendation that failed
    return table


def whole(path: Path) -> tuple[bytes, int]:
    """What the complete members of a gzip file hold, and how many bytes of the file they are."""
    data, text, used = path.read_bytes(), b"", 0
    while used < len(data):
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(data[used:])
        except zlib.error:
            break
        if not member.eof:
            break
        text, used = text + part, len(data) - len(member.unused_data)
    return text, used


class Kept:
    """A file of rows; a context manager that writes what is left."""

    def __init__(self, path: Path, every: float = 60.0) -> None:
        self.path, self.every = path, every
        self._lines: list[str] = []
        self._last = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and (end := whole(path)[1]) < path.stat().st_size:
            os.truncate(path, end)  # without the member that was cut off

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *error: object) -> None:
        self.write()

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a job; they are written at the latest a minute later, with the next job."""
        for row in rows:
            cells = (str(row.get(name, "")).replace("\t", " ").replace("\n", " ") for name in COLUMNS)
            self._lines.append("\t".join(cells) + "\n")
        if time.monotonic() - self._last > self.every:
            self.write()

    def write(self) -> None:
        """Append what is not yet written."""
        if self._lines:
            with self.path.open("ab") as file:
                file.write(gzip.compress("".join(self._lines).encode()))
        self._lines, self._last = [], time.monotonic()


def done(table: pd.DataFrame) -> set[Job]:
    """The jobs that have rows."""
    columns = table[["problem", "method", "seed", "job"]]
    return {Job(*row) for row in columns.itertuples(index=False, name=None)}


def todo(wanted: Sequence[Job], folder: Path, part: int, parts: int) -> Iterator[Job]:
    """The jobs of a part that no file has."""
    known = done(read(folder))
    return (job for job in wanted[part - 1 :: parts] if job not in known)


def longest(pilot: pd.DataFrame, job: Job) -> int:
    """The largest budget of a job: 1,000 only where the pilot says that this takes less than `MAX_SECONDS`."""
    known = pilot[(pilot["problem"] == job.problem) & (pilot["method"] == job.method.partition("#")[0])]
    if known.empty:
        return BUDGETS[-2]
    seconds = float(known["seconds"].iloc[0]) * BUDGETS[-1] / float(known["spent"].iloc[0])
    return BUDGETS[-1] if seconds < MAX_SECONDS else BUDGETS[-2]


def problem_names(split: str) -> list[str]:
    """The problems of a part of the study."""
    chosen: list[Problem] = [problem for problem in problems().values() if split in (problem.split, "all")]
    return [problem.name for problem in chosen]
