"""The time limit of a comparison, `--hours`: every search gets the same share of it.

With W workers and J searches, at most W at a time, the searches take turns in ⌈J/W⌉ rounds, and the share of each
is the ⌈J/W⌉-th part of the limit; it includes the evaluation of the recommendations. So no method gets more time
than another, whatever the order, and time that a search leaves is left.

A search whose first generation and report take longer than its share is not ended by that. When the whole time is
over, no further search is begun, and those that run are stopped.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from policysearch import limits
from policysearch.compare.run import Job
from policysearch.compare.study import Study

if TYPE_CHECKING:
    from policysearch.compare.journal import Past


@dataclass(eq=False)
class TimeLimit:
    """The time that a comparison may take, in all sessions together.

    Attributes:
        hours: the limit; None without one.
        rounds: in which the searches take turns.
        searches: how many there are at most.
        workers: searches at a time.
        used: seconds that earlier sessions have used.
        began: when this session began to run, on the clock.
    """

    hours: float | None
    rounds: int = 1
    searches: int = 1
    workers: int = 1
    used: float = 0.0
    began: float = 0.0

    @classmethod
    def of(cls, study: Study, stages: Collection[int], workers: int, past: "Iterable[Past]") -> "TimeLimit":
        """That of a study with so many searches in each of its stages."""
        rounds = sum(math.ceil(count / workers) for count in stages)
        used = sum(each.seconds for each in past) / workers if study.hours else 0.0
        return cls(study.hours, max(rounds, 1), sum(stages), workers, used, limits.clock())

    def shared(self, study: Study) -> Study:
        """The study with the share of each of its searches in place of the limit for all."""
        return study if self.hours is None else study.model_copy(update={"hours": self.hours / self.rounds})

    @property
    def over(self) -> bool:
        """Whether the time is used up."""
        return self.hours is not None and limits.clock() - self.began + self.used >= 3600 * self.hours

    def words(self, unfinished: Iterable[Job], begun: Collection[Job]) -> str:
        """The limit, the share of every search, and the searches that time has cut off; nothing without a limit."""
        if self.hours is None:
            return ""
        each = limits.in_words(3600 * self.hours / self.rounds)
        whole = f"{limits.in_words(3600 * self.hours)} for {self.searches} searches, {self.workers} at a time"
        late: dict[str, list[Job]] = {"cut off": [], "not begun": []}
        for job in unfinished:
            late["cut off" if job in begun else "not begun"].append(job)
        ends = [f"{what}: {in_short(jobs)}" for what, jobs in late.items() if jobs]
        return "; ".join([f"{whole}: {each} each", *ends])


def in_short(jobs: Iterable[Job]) -> str:
    """The runs by method and task, as in `ars on lqr, runs 2, 3`."""
    runs: dict[tuple[str, str], list[int]] = {}
    for job in jobs:
        runs.setdefault((job.optimizer, job.task), []).append(job.run)
    return "; ".join(
        f"{label} on {task}, run{'s' * (len(numbers) > 1)} {', '.join(map(str, sorted(numbers)))}"
        for (label, task), numbers in runs.items()
    )
