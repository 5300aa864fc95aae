"""Runs in worker processes; the death of a process loses nothing.

A worker is handed a run and what is recorded of it, and sends back what happens: the records of its
generations, in groups a fifth of a second apart, and in the end its result. The run of a worker that died is
handed to another, which replays it up to where it was, at most `RETRIES` times.
"""

import contextlib
import signal
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from policysearch.compare.crash import Crash, find
from policysearch.compare.run import Job, Progress, Result, run_job
from policysearch.compare.study import Study
from policysearch.errors import EndsStudy
from policysearch.evaluators.recorded import Record
from policysearch.evaluators.worker_process import Run
from policysearch.evaluators.workers import Limits, Lost, Workers
from policysearch.plain_data import decode
from policysearch.tasks import Problem, is_compiled

RETRIES = 2
#: How long a worker may keep records to itself, and how often the parent is given a moment, in seconds.
SECONDS_TO_SEND, SECONDS_TO_WAIT = 0.2, 0.2
#: A generation that took longer is sent at once: running it again would take long.
SLOW_GENERATION = 0.02


@dataclass(frozen=True)
class Work:
    """A run that is to be made, and what is known of it."""

    study: Study
    job: Job
    known: Sequence[Record] = ()

    def read(self) -> "Work":
        """The same, which is no text."""
        return self

    def after(self, records: Sequence[str]) -> "Work":
        """The same with these records after those that are known."""
        return replace(self, known=[*self.known, *map(decode, records)]) if records else self


class Sent(Protocol):
    """A run as it is sent to the process that makes it."""

    def read(self) -> Work:
        """The run."""

    def after(self, records: Sequence[str]) -> "Sent":
        """The same with these records after those that are known."""


@dataclass(frozen=True)
class Died:
    """A run that ended its worker again and again, or raised: it has no result."""

    job: Job
    reason: str
    crash: Crash | None = None  # the episode that did it, if it was found

    def result(self, study: Study) -> Result:
        """The rows of the run, which counts as worse than any other, with the episode that ended it."""
        without = Result.without(study, self.job, self.reason)
        if self.crash is None:
            return without
        example = self.crash.example
        return replace(without, params=example.params, param_names=self.crash.names, examples=(example,))


Event = list[Progress] | Result | Died | None


class Maker(Protocol):
    """What makes runs, here or elsewhere."""

    @property
    def at_a_time(self) -> int:
        """Runs that are made at a time."""

    def make(self, work: Sequence[Work]) -> Generator[Event, None, None]:
        """What happens while the runs are made; None when nothing has for a moment."""

    def words(self) -> str:
        """Where they are made now, for people; nothing for this machine."""

    def machines(self) -> str:
        """All places where some were made, for the results; nothing for this machine."""


def run_in_workers(work: dict[Job, Work], workers: int) -> Iterator[Event]:
    """What happens while runs are made in so many processes; few runs share the processors by threads.

    Raises:
        ReplayDiffers: if a search does not go the way that is recorded.
        CannotStart: if no worker can start.
    """
    preload = ["policysearch.evaluators.ready"] if _any_compiled(work) else []
    size, threads = min(workers, len(work)), max(1, workers // len(work))
    with crew_of(_runs, registered({job.task for job in work}), size, preload) as crew:
        yield from happenings(crew, work, threads, set())


def crew_of(
    setup: Callable[[Any], AbstractContextManager[Run]], environments: Any, size: int, preload: Iterable[str]
) -> Workers[Job]:
    """Processes that make runs by `run_sent`, which `setup` gives after it has registered the environments."""
    return Workers(
        setup,
        (environments,),
        size,
        limits=Limits(retries_lost=RETRIES, retries_crashed=RETRIES),
        hint="what it printed says why; one worker needs no processes",
        preload=preload,
    )


def happenings(
    crew: Workers[Job],
    work: Mapping[Job, Sent],
    threads: int,
    explained: set[str],
    idle_seconds: float = SECONDS_TO_WAIT,
) -> Generator[Event, None, None]:
    """What happens while a crew makes runs, each with so many threads.

    The episode that ends the process of a run is looked for, once for every task: those are added to `explained`.
    """
    new: dict[Job, list[str]] = {job: [] for job in work}  # records, in case that the worker of a run dies

    def with_records(job: Job) -> Sent:
        return work[job].after(new[job])

    running = crew.run(work, context=threads, payload=with_records, idle_seconds=idle_seconds)
    with contextlib.closing(running) as events:
        for event in events:
            if event is None:
                yield None
            elif isinstance(event, Lost):
                if not event.again:
                    last = with_records(event.task).read()
                    again = event.task.task in explained  # to find one of the same kind takes long
                    yield _died(event, None if again else find(last.study, last.job, last.known))
                    explained.add(event.task.task)
            else:
                if event.done:
                    new[event.task].clear()
                else:
                    new[event.task] += [step.record for step in event.value if step.record is not None]
                yield event.value


def _any_compiled(work: dict[Job, Work]) -> bool:
    """Whether the rollouts of some run are compiled."""
    studies = {job.task: item.study for job, item in work.items()}
    return any(is_compiled(study.task(task), study.evaluator) for task, study in studies.items())


def _died(lost: Lost[Job], crash: Crash | None) -> Died:
    code = lost.code
    return Died(
        lost.task,
        f"its process ended {lost.times} times (exit code {code}; "
        f"{signal.Signals(-code).name if code and code < 0 else 'the environment ended it'}); "
        "with --evaluator pool a rollout that ends its process counts as failed, and this study continues",
        crash,
    )


def registered(tasks: Iterable[str]) -> dict[str, EnvSpec]:
    """The environments among the tasks that were registered with a class or a function, and not with its place."""
    specs = {name: gym.registry[name] for name in tasks if name in gym.registry}
    return {name: spec for name, spec in specs.items() if callable(spec.entry_point)}


def _runs(environments: dict[str, EnvSpec]) -> AbstractContextManager[Run]:
    """Makes runs, in a worker."""
    gym.registry.update(environments)
    return contextlib.nullcontext(run_sent)


def run_sent(work: Sent, threads: int, tell: Callable[[Any], None]) -> Event:
    """Make a run in a worker; tells its progress, and gives what came of it."""
    event: Event = None
    for event in run_events(work.read(), threads, SECONDS_TO_SEND):
        if isinstance(event, list):
            tell(event)
    return event


def run_events(
    work: Work, threads: int = 1, seconds: float = 0.0, problem: Problem | None = None
) -> Generator[Event, None, None]:
    """A run being made: its generations, in groups that are `seconds` apart, and in the end what came of it."""
    steps = run_job(work.study, work.job, threads, work.known, problem)
    waiting: list[Progress] = []
    sent = began = time.monotonic()
    try:
        while True:
            waiting.append(next(steps))
            now = time.monotonic()
            if now - sent >= seconds or now - began > SLOW_GENERATION:
                yield waiting
                waiting, sent = [], now
            began = now
    except StopIteration as end:
        result: Result | Died = end.value
    except EndsStudy:
        raise
    except Exception:  # a bug, or an environment that breaks outside its episodes
        result = Died(work.job, traceback.format_exc(limit=-6).strip())
    if waiting:
        yield waiting
    yield result
