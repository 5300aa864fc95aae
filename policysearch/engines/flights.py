"""Tasks that were handed out to an engine: which are late, which were lost, and when more are due.

A task is a pure function of what it is sent. So one that is lost is handed out again, and one that is late is run
twice, whether a slot is free or not: the first answer is as good as any.
"""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from policysearch.engines.engine import Engine, EngineLost, WorkerDiffers, WorkerFailed, workers
from policysearch.engines.guarded import Refused

T = TypeVar("T", bound=Hashable)
Say = Callable[[str], None]

#: How often the slots are counted, and the longest that an answer is waited for at a time.
COUNT_SECONDS, WAIT_SECONDS = 1.0, 0.1
#: A task that was lost so often has failed.
MAX_LOSSES = 3
#: How the reason of such a failure ends.
LOST = f"the engine lost its worker, {MAX_LOSSES} times"


@dataclass(eq=False)
class Flight(Generic[T]):
    """Some tasks that were handed out together."""

    tasks: list[T]
    began: float
    seconds: float  # that they were given, if they were given a time
    copies: int = 0  # of these tasks that were handed out before, and were late
    doubled: bool = False
    cancelled: bool = False  # by the engine, which did not run it


@dataclass(eq=False)
class Flights(Generic[T]):
    """The tasks that wait, and those that were handed out."""

    engine: Engine
    say: Say
    pending: deque[T]
    slots: int = 0
    counted: float = -COUNT_SECONDS
    flying: dict["Future[Any]", Flight[T]] = field(default_factory=dict)
    losses: Counter[T] = field(default_factory=Counter)

    def count(self) -> None:
        """Ask for the slots, unless that was a moment ago; workers that join late count.

        Raises:
            EngineLost: if the engine is.
        """
        now = time.monotonic()
        if now - self.counted < COUNT_SECONDS:
            return
        before, first = self.slots, self.counted < 0
        self.slots, self.counted = self.engine.slots(), now
        if not self.slots and (before or first):
            self.say("waiting for workers")
        elif self.slots != before and not first:
            self.say(f"engine: {workers(self.slots)}")

    @property
    def busy(self) -> int:
        """Flights that are not run twice."""
        return sum(not flight.doubled for flight in self.flying.values())

    def submit(
        self,
        run: Callable[[Any], Any],
        order: Any,
        tasks: list[T],
        seconds: float = 0.0,
        copy_of: Flight[T] | None = None,
    ) -> None:
        """Hand out tasks.

        Raises:
            EngineLost: if the engine takes none.
        """
        try:
            future = self.engine.executor.submit(run, order)
        except (BrokenExecutor, OSError) as error:
            raise EngineLost(error) from error
        except Exception as error:
            if "shutdown" not in str(error):  # an executor that was shut down says so
                self.engine.slots()  # or it is lost
                raise
            raise EngineLost(error) from error
        copies = 0 if copy_of is None else copy_of.copies + 1
        self.flying[future] = Flight(tasks, time.monotonic(), seconds, copies)

    def overdue(self, late: Callable[[Flight[T]], float]) -> Iterator[Flight[T]]:
        """Those that are late now, after so many seconds, each once; from the second copy on, twice as late each."""
        now = time.monotonic()
        for flight in [each for each in self.flying.values() if not each.doubled]:
            if now - flight.began > late(flight) * max(1, 2 ** (flight.copies - 1)):
                flight.doubled = True
                yield flight

    def landed(self) -> Iterator[tuple[Flight[T], Any]]:
        """Flights that have ended with their answers; that of one which the engine has lost is None.

        Raises:
            WorkerDiffers, WorkerFailed: if a worker has refused one.
            EngineLost: if the engine is.
        """
        if not self.flying:
            time.sleep(WAIT_SECONDS)
        done, _ = wait(self.flying, timeout=WAIT_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            flight = self.flying.pop(future)
            flight.cancelled = future.cancelled()
            yield flight, self._answer(future)

    def _answer(self, future: "Future[Any]") -> Any:
        try:
            answer = future.result()
        except BrokenExecutor as error:
            raise EngineLost(error) from error
        except BaseException as error:  # the engine's own trouble: a task raises nothing
            if isinstance(error, KeyboardInterrupt):
                raise
            self.engine.slots()  # or it is lost
            # What it is sent cannot be read there, as without this package; a scheduler of Dask says the second.
            if isinstance(error, ImportError) or "deserializ" in str(error):
                reason = f"{type(error).__name__}: {error}"
                raise WorkerFailed(f"what it is sent cannot be read there ({reason})") from error
            return None
        if isinstance(answer, Refused):
            raise (WorkerDiffers if answer.differs else WorkerFailed)(answer.reason)
        self.engine.seen[answer.place.host] = answer.place
        return answer

    def give_back(self, flight: Flight[T], done: Collection[T]) -> list[T]:
        """Put the tasks of a flight that are not done, in the queue or elsewhere, first in the queue; gives them."""
        elsewhere = {task for other in self.flying.values() if not other.doubled for task in other.tasks}
        elsewhere.update(self.pending)
        left = [task for task in flight.tasks if task not in done and task not in elsewhere]
        self.pending.extendleft(reversed(left))
        return left

    def lose(self, flight: Flight[T], done: Collection[T]) -> list[T]:
        """Hand out the tasks of a lost flight again; gives those that were lost too often, which are not.

        Those of one that was cancelled do not count: Dask cancels all when the connection was away for a moment.
        """
        left = self.give_back(flight, done)
        self.losses.update([] if flight.cancelled else left)
        given_up = [task for task in left if self.losses[task] >= MAX_LOSSES]
        for task in given_up:
            self.pending.remove(task)
        return given_up

    def cancel(self) -> None:
        """Take back what has not come."""
        for future in self.flying:
            with contextlib.suppress(Exception):  # the engine may be lost
                future.cancel()
