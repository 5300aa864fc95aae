"""Progress of many runs: a bar in a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from policysearch.compare.run import Result
from policysearch.compare.study import Study
from policysearch.evaluators import CompiledEvaluator, EpisodeEvaluator, PoolEvaluator

KINDS: dict[type, str] = {
    CompiledEvaluator: "compiled rollouts",
    EpisodeEvaluator: "rollouts by the environment's step",
    PoolEvaluator: "rollouts in a pool of processes",
}

SECONDS_TO_FIRST_LINE, SECONDS_BETWEEN_LINES = 2.0, 10.0


def announce(study: Study) -> None:
    """Say how the rollouts are run, after compiling what is compiled."""
    console = Console(file=sys.stderr, highlight=False)
    began, anew, by_kind = time.monotonic(), 0, dict[str, list[str]]()
    doing = "compiling the rollouts, unless their code is on disk from before …"
    if not console.is_terminal:
        console.print(doing)
    with console.status(doing):
        for task in study.tasks:
            evaluators = {}
            for label in study.optimizers:
                problem = study.problem(task, label, run=0)
                evaluators[problem.policy] = problem.evaluator
            anew += sum(evaluator.compile() for evaluator in evaluators.values())
            by_kind.setdefault(KINDS[type(problem.evaluator)], []).append(task)
            for evaluator in evaluators.values():
                evaluator.close()
    if anew:
        console.print(f"compiled {anew} loops in {time.monotonic() - began:.1f} s; the next start is faster")
    console.print("; ".join(f"{kind}: {', '.join(tasks)}" for kind, tasks in by_kind.items()), soft_wrap=True)


def shown(results: Iterable[Result], total: int) -> Iterator[Result]:
    """The same results, with progress written to standard error."""
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("comparing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    rollouts, last_line = 0, time.monotonic() - SECONDS_BETWEEN_LINES + SECONDS_TO_FIRST_LINE
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=total)
        for done, result in enumerate(results, start=1):
            rollouts += result.row["rollouts"] + result.row["report_rollouts"]
            latest = f"{result.job.optimizer} on {result.job.task}: {result.row['final_return']:.4g}"
            bar.update(task, completed=done, description=latest)
            if not console.is_terminal and (
                time.monotonic() - last_line > SECONDS_BETWEEN_LINES or done == total
            ):
                last_line = time.monotonic()
                console.print(f"{done}/{total} runs, {rollouts:,} rollouts; {latest}", highlight=False)
            yield result
