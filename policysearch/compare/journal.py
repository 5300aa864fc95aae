"""The ledger of a study: what has been run is read from it, what is run is written to it.

Kinds of events, their keys and bodies:

    study       ()                                the study document; again when it has grown
    runs        ()                                digests of what is run (`policysearch.digests`); again if new
    kept        ()                                what had changed, and why the results were kept
    retry       ()                                runs are known only to where they first failed, or to where the
                                                  time limit ended them, if there are `hours` in its body
    check       (task)                            the rollouts before the first run
    session     ()                                versions, machine, command of every process that has continued it
    generation  (stage, task, optimizer, run)     one evaluation (`policysearch.evaluators.recorded`)
    run         (stage, task, optimizer, run)     the result of a finished run

The stages are "tuning" and "final".
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from policysearch.compare.bodies import body_of, record_of
from policysearch.compare.log import RunLog
from policysearch.compare.run import Job, Result
from policysearch.compare.study import Study
from policysearch.compare.tuning import row_of
from policysearch.digests import Digests
from policysearch.digests.agreement import agreed, remarks, rollouts_name, scales_name
from policysearch.errors import WRONG_REQUEST
from policysearch.evaluators.recorded import Record
from policysearch.evaluators.repeatable import Check
from policysearch.ledger import Event, Ledger, LedgerError, LedgerRefused, Stored
from policysearch.limits import TIME_IS_UP
from policysearch.plain_data import decode, encode
from policysearch.provenance import changes, environment
from policysearch.reuse import Reuse
from policysearch.tasks import EvaluatorKind, is_compiled

NAME = "ledger.sqlite"
SECONDS_BETWEEN_COMMITS = 0.25
#: What a session says that is not the version of something.
NO_VERSIONS = ("command", "date", "process", "runs", "remark", "checks", "time", "engine")


class StudyChanged(LedgerError):  # noqa: N818 - it states what was found
    """The folder holds another study."""

    exit_code = WRONG_REQUEST


@dataclass
class Past:
    """What is known of a run."""

    generations: list[Event] | Stored = field(
        default_factory=list
    )  # of a run with a result left in the ledger
    result: Result | None = None

    @property
    def failed(self) -> int | None:
        """The index of the first generation with a failed rollout; None if there is none."""
        failed = (i for i, record in enumerate(self.records) if record.get("failures"))
        report = len(self.generations) if self.result is not None and self.result.examples else None
        return next(failed, report)

    @property
    def cut(self) -> bool:
        """Whether a time limit has ended its search."""
        return self.result is not None and any(said.startswith(TIME_IS_UP) for said in self.result.remarks)

    @property
    def seconds(self) -> float:
        """What it has taken, as far as that is written down."""
        if self.result is not None:
            return float(self.result.row["wall_seconds"])
        return sum(float(record_of(last).get("seconds", 0.0)) for last in self.generations[-1:])

    def without_failures(self) -> "Past":
        """What is known before the first failure."""
        return self if self.failed is None else Past([*self.generations[: self.failed]])

    @property
    def records(self) -> list[Record]:
        """The evaluations of its search.

        Raises:
            LedgerRefused: if the ledger has something else in their place.
        """
        return [record_of(event) for event in self.generations]


class StudyJournal:
    """The ledger of `study` in `folder`, or one in memory without a folder; also a context manager.

    Attributes:
        past: what is known of the runs, by stage and job.
        sessions: the versions, machine and command of every process that has continued it, this one last.
        grown: what this study has that the ledger's had not.
        checks: what the rollouts before the first run of a task have shown.

    Raises:
        StudyChanged: if it holds a study that this one does not continue.
        OtherRun: if what is run has changed.
        LedgerError: as `policysearch.ledger.Ledger` does.
    """

    def __init__(  # noqa: PLR0917 - all but the first two are seldom given
        self,
        folder: Path | None,
        study: Study,
        command: str = "",
        reuse: Reuse = Reuse(),
        runs: Digests = Digests(),
        log: RunLog | None = None,
    ) -> None:
        self.past: dict[tuple[str, Job], Past] = {}
        self.sessions: list[dict[str, Any]] = []
        self.grown: list[str] = []
        self.checks: dict[str, Check] = {}
        self._kept: list[Any] = []
        self._runs: list[Any] = []
        self._log = log
        self._known: dict[str, Any] | None = None  # the latest study document
        self._path = (folder or Path()) / NAME
        self._ledger = None if folder is None else Ledger(self._path, self._take)
        try:
            known = self._known
            session = environment() | study.plug_ins() | {"command": command}
            if self._ledger is not None:
                self._agree(known, study)
                session |= self._agree_on_runs(self._ledger, study, reuse, runs)
                self._ledger.append("session", (), session)
                self._ledger.commit()
            self.sessions.append(session)
            self._say_checks()
            if log is not None:
                log.begin(_in_order(self.past))
        except BaseException:
            self.close()
            raise
        self._committed = time.monotonic()

    def _take(self, event: Event) -> None:
        """Take in an event of the ledger."""
        try:
            if event.kind == "generation":
                self._of(event.key).generations.append(event)  # type: ignore[union-attr] # or it is refused
                return
            body = body_of(event)
            if event.kind == "study":
                self._known = body
            elif event.kind == "session":
                self.sessions.append(body)
            elif event.kind == "run":
                past = self._of(event.key)
                past.result = Result.from_document(body)
                past.generations = Stored(self._path, (each.number for each in past.generations))
            elif event.kind in ("runs", "kept"):
                (self._runs if event.kind == "runs" else self._kept).append(body)
            elif event.kind == "retry":
                self._forget_cut() if "hours" in body else self._forget_failures()
            else:
                self.checks[str(event.key[0])] = Check.of(body)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise LedgerRefused(
                f"{self._path}: event {event.number} is not one of a study: {error}"
            ) from error

    def _of(self, key: tuple[Any, ...]) -> Past:
        stage, task, optimizer, run = key
        return self.past.setdefault((stage, Job(task, optimizer, run)), Past())

    def _agree(self, known: dict[str, Any] | None, study: Study) -> None:
        """Compare the study with the ledger's, and write it down where it is new."""
        assert self._ledger is not None  # noqa: S101
        document = decode(encode(study.document()))
        if known is not None:
            alike = known | ({"evaluator": study.evaluator} if _rolls_alike(known, study) else {})
            self.grown, changed = compare_studies(alike, document)
            self.grown += changes((name, known[name], value) for name, value in alike.items())
            if changed:
                raise StudyChanged(
                    f"{self._ledger.path}: holds another study; " + "; ".join(changed) + "\n"
                    "choose another folder, or pass --fresh to start over (the old ledger is kept next to it)"
                )
        if document != known:
            self._ledger.append("study", (), document)
        before = (known or {}).get("hours")
        if before is not None and (study.hours is None or study.hours > before) and self._forget_cut():
            self._ledger.append("retry", (), {"hours": study.hours})

    def _agree_on_runs(self, ledger: Ledger, study: Study, reuse: Reuse, runs: Digests) -> dict[str, Any]:
        """Compare what is run with what was run; what the session says of it."""
        older = bool(self.past) and not self._runs
        if reuse.retry_failed and self._forget_failures():
            ledger.append("retry", (), {})
        begun = [who for who, past in self.past.items() if past.generations or past.result]
        labels = {row_of(job.optimizer) if stage == "tuning" else job.optimizer for stage, job in begun}
        results = {study.optimizers[label].method for label in labels}
        results |= {name(job.task) for _, job in begun for name in (scales_name, rollouts_name)}
        for kind, body in agreed(ledger.path, self._runs, runs, reuse, results=results, failed=False):
            ledger.append(kind, (), body)
            self._kept += [body] if kind == "kept" else []
        said = remarks(self._kept, unknown=older)
        return {"runs": dict(runs.known)} | ({"remark": "; ".join(said)} if said else {})

    def _forget_failures(self) -> bool:
        """Take back runs to where they first failed; returns whether there was one."""
        failed = {key: past.without_failures() for key, past in self.past.items() if past.failed is not None}
        self.past |= failed
        self.checks = {task: check for task, check in self.checks.items() if not check.failure}
        return bool(failed)

    def _forget_cut(self) -> bool:
        """Take back the results of searches that a time limit has ended; returns whether there was one."""
        cut = {key: Past([*past.generations]) for key, past in self.past.items() if past.cut}
        self.past |= cut
        return bool(cut)

    def _say_checks(self) -> None:
        """Let this session say what was run before the first run."""
        self.say("checks", "; ".join(f"{task}: {check.words}" for task, check in self.checks.items()))

    def say(self, name: str, words: str) -> None:
        """Let this session say something in results, if there are words."""
        self.sessions[-1] |= {name: words} if words else {}

    def checked(self, task: str, check: Check) -> None:
        """Write down what the rollouts before the first run have shown."""
        self.checks[task] = check
        self._say_checks()
        if self._ledger is not None:
            self._ledger.append("check", (task,), vars(check))

    def __enter__(self) -> "StudyJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def evaluated(self, stage: str, job: Job, record: str) -> None:
        """Write down a generation."""
        if self._ledger is not None:
            self._ledger.append_text("generation", (stage, job.task, job.optimizer, job.run), record)
        if self._log is not None:
            self._log.add(stage, job, decode(record))

    def finished(self, stage: str, result: Result) -> Result:
        """Write down a result; returns it as it will be read."""
        job, document = result.job, result.document()
        if self._ledger is not None:
            self._ledger.append("run", (stage, job.task, job.optimizer, job.run), document)
        return Result.from_document(decode(encode(document)))

    def tick(self) -> None:
        """Commit, if the last commit was a while ago."""
        if time.monotonic() - self._committed > SECONDS_BETWEEN_COMMITS:
            self.commit()

    def commit(self) -> None:
        """Make everything so far durable.

        Raises:
            LedgerError: if it cannot be written.
            LogFailed: if the log cannot.
        """
        if self._ledger is not None:
            self._ledger.commit()
        if self._log is not None:
            self._log.write()
        self._committed = time.monotonic()

    def close(self) -> None:
        """Commit what can be committed, and let others write."""
        try:
            if self._log is not None:
                self._log.write()
        finally:
            if self._ledger is not None:
                self._ledger.close()

    def drift(self) -> str:
        """How this session's versions differ from those of earlier ones, in words."""
        now = self.sessions[-1]
        values = (
            (name, value, now.get(name))
            for before in self.sessions[:-1]
            for name, value in before.items()
            if name not in NO_VERSIONS
        )
        return "; ".join(dict.fromkeys(changes(values)))


def _in_order(past: dict[tuple[str, Job], Past]) -> Iterator[tuple[str, Job, Record]]:
    """The generations that are known, in the order in which they were written down."""
    known = ((event, who) for who, each in past.items() for event in each.generations)
    for event, (stage, job) in sorted(known, key=lambda entry: entry[0].number):
        yield stage, job, record_of(event)


def _rolls_alike(known: dict[str, Any], study: Study) -> bool:
    """Whether the rollouts of the known evaluator have the same bits: if they are compiled on the same tasks."""
    before: Any = known.get("evaluator")
    if before not in get_args(EvaluatorKind):
        return False
    tasks = map(study.task, study.tasks)
    return before == study.evaluator or all(
        is_compiled(task, before) == is_compiled(task, study.evaluator) for task in tasks
    )


def compare_studies(old: dict[str, Any], new: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What a study has more than another, and what has changed, each in words.

    More runs, methods or tasks, a first time-out, or another limit in time leave every number that there is as it is,
    so they are growth; all else is change. With sequential testing more runs are a change: the number of looks is
    part of the promise. So is another time limit where methods are tuned first, as it may choose otherwise.
    """
    grown, changed = [], []
    known_to_grow = set() if new.get("settle") else {"runs"}
    later = {"hours"} if not new.get("settle") and not new.get("tune") else set[str]()
    if old.get("rollout_timeout") is None:  # every recorded rollout has ended by itself
        known_to_grow.add("rollout_timeout")
    for name in {**old, **new}:
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if name in ("tasks", "optimizers"):
            grown += [f"{name}.{label} is new" for label in after or {} if label not in (before or {})]
            changed += [f"{name}.{label} is missing" for label in before or {} if label not in (after or {})]
            for label in [label for label in before or {} if label in (after or {})]:
                changed += changes([(f"{name}.{label}", old[name][label], new[name][label])])
        elif name in later or (name in known_to_grow and (before is None or before < (after or 0))):
            grown += changes([(name, before, after)])
        else:
            changed += changes([(name, before, after)])
    return grown, changed
