"""Runs on this machine: in this process while that is quicker than to start workers, then in workers.

A worker takes seconds before it begins: it imports the package and loads compiled code. So runs begin in this
process, one after the other, each with all processors for its rollouts. Workers get what is left when they would save
more than `WORTH_WORKERS`: with n of them, n/(n − 1) of that in work, judged by what has been done so far. A run that
has begun is replayed there up to where it was. Numbers do not depend on where a run is made.

Only runs without foreign code are made here, as other code may end or block its process: rollouts that the package
itself compiles to arithmetic, and its own methods.
"""

import contextlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from policysearch.compare.run import Job, Progress, Result
from policysearch.compare.study import Study
from policysearch.compare.workers import SECONDS_TO_SEND, Died, Event, Work, run_events, run_in_workers
from policysearch.optimizers import find_method
from policysearch.tasks import is_compiled

#: Seconds that workers must save, and of work after which that is first judged (choice).
WORTH_WORKERS, FIRST_LOOK = 3.0, 0.5


@dataclass(frozen=True)
class Here:
    """Makes runs with so many processors of this machine."""

    at_a_time: int

    def make(self, work: Sequence[Work]) -> Generator[Event, None, None]:
        """What happens while the runs are made."""
        return run_all(work, self.at_a_time)

    def words(self) -> str:
        """Nothing."""
        return ""

    machines = words


def run_all(work: Sequence[Work], workers: int) -> Generator[Event, None, None]:
    """What happens while the runs are made; None when nothing has for a moment.

    BLAS has one thread everywhere: its sums depend on the number.

    Raises:
        ReplayDiffers: if a search does not go the way that is recorded.
    """
    if workers == 1:
        with threadpool_limits(1):
            for item in work:
                yield from run_events(item)
        return
    left = {item.job: item for item in work}
    if all(is_own(item.study, item.job) for item in work):
        with threadpool_limits(1):
            left = yield from _begun_here(left, workers)
    if left:
        yield from run_in_workers(left, workers)


def is_own(study: Study, job: Job) -> bool:
    """Whether a run has no code of others: a plant of the package that is arithmetic on arrays, and its own method.

    With a limit of time workers make all runs, as its shares are those of so many runs at a time.
    """
    task, choice = study.task(job.task), study.optimizers[job.optimizer]
    if study.hours is not None or not is_compiled(task, study.evaluator):
        return False
    simulator = task.meet().simulator
    if simulator is None:
        return False
    parts, world = (
        (simulator.step, type(task.make_policy()), find_method(choice.method)),
        simulator.make_world(),
    )
    numbers = world if isinstance(world, tuple) else (world,)
    return all(part.__module__.startswith("policysearch.") for part in parts) and all(
        isinstance(part, np.ndarray) for part in numbers
    )


def _begun_here(work: dict[Job, Work], threads: int) -> Generator[Event, None, dict[Job, Work]]:
    """What happens while runs are made in this process; returns those that are left for workers."""
    left, began = dict(work), time.process_time()
    for job, item in work.items():
        records: list[str] = []
        with contextlib.closing(run_events(item, threads, SECONDS_TO_SEND)) as events:
            for event in events:
                yield event
                if isinstance(event, Result | Died):
                    del left[job]
                    part = 0.0
                elif event:
                    records += [step.record for step in event if step.record is not None]
                    part = _part(item.study, event[-1])
                done = len(work) - len(left) + part
                seconds = time.process_time() - began
                if seconds > FIRST_LOOK and worth_workers(seconds, done, len(work) - done, threads):
                    return left | ({job: item.after(records)} if job in left else {})
    return left


def worth_workers(seconds: float, done: float, left: float, workers: int) -> bool:
    """Whether so many workers would save `WORTH_WORKERS` of the runs left, where those done took `seconds`."""
    return seconds * left * (1 - 1 / workers) > WORTH_WORKERS * done


def _part(study: Study, progress: Progress) -> float:
    """What part of its budget a run has spent."""
    unit, grid = study.grid(progress.job.task)
    return min(1.0, (progress.rollouts if unit == "rollouts" else progress.steps) / grid[-1])
