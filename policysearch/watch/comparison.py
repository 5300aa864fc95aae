"""A comparison that is watched: how far its runs are, their curves, their final returns, and what failed.

Final returns and curves are those of the report, by the same statistics. No test is made while runs are missing, as
looking again and again would find differences that are none; the exception is sequential testing (`settle`), which
allows for its looks.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from policysearch.compare import statistics, tuning
from policysearch.compare.again import replay_command
from policysearch.compare.bodies import body_of
from policysearch.compare.journal import NAME, NO_VERSIONS
from policysearch.compare.rows import SAVED
from policysearch.compare.saved import FAILURES_FILE, RECOMMENDATIONS_FILE
from policysearch.compare.session import FINAL, TUNING, decisions_of, pairs
from policysearch.compare.study import Study
from policysearch.compare.tables import on_one_grid
from policysearch.deploy.files import Name
from policysearch.ledger import Event
from policysearch.tasks import known_task, outside
from policysearch.watch.follow import Parts
from policysearch.watch.plain import numbers, plain
from policysearch.watch.runs import Run, Runs

#: Failures that a page lists.
MAX_FAILURES = 50
#: Of a run's row of `runs.csv`, what its page shows.
FACTS = (
    "final_return", "claimed_return", "start_return", "rollouts", "steps", "wall_seconds", "remarks",
)  # fmt: skip


class WatchedStudy:
    """What is known of a comparison; a `policysearch.watch.follow.View`.

    Args:
        folder: of the study, which the commands name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._runs = folder, Runs(folder / NAME)
        self._study: Study | None = None
        self._sessions: list[dict[str, Any]] = []
        self._done_before = 0.0  # runs, in parts, when the latest session began
        self._stale: set[str] = set()  # tasks whose parts have to be made anew
        self._made: dict[str, Any] = {}
        self._intervals: dict[tuple[str, str], tuple[list[int], list[Any], list[Any]]] = {}

    def take(self, event: Event) -> None:
        """Take in the next event."""
        if event.kind == "generation" and self._study is None:
            raise ValueError("a generation before its study")
        body = {} if event.kind == "generation" else body_of(event)  # the many are read if they are asked for
        match event.kind:
            case "study":
                self._study = Study.model_validate(body, context=SAVED)
                self._stale |= set(self._study.tasks)
            case "session":
                self._sessions.append(body)
                self._done_before = self._runs.done(self._study) if self._study is not None else 0.0
            case "generation" | "run":
                stage, task, label, number = event.key
                run = self._runs.at(str(stage), str(task), str(label), int(number))
                run.over(body) if event.kind == "run" else run.add(event)
                self._stale.add(str(task))
            case "retry":
                self._intervals.clear()
                for (_, task, _), _, run in self._runs:
                    run.retry(time_only="hours" in body)
                    self._stale.add(task)

    def parts(self) -> Parts:
        """What is shown: the head, a part for each task, and the failures."""
        study = self._study
        if study is None:
            return {"head": {"kind": "compare", "tasks": [], "methods": []}}
        for number, task in enumerate(study.tasks):
            if task in self._stale:
                self._made[f"task {number}"] = self._task(study, task)
        if self._stale:
            self._made["failures"] = self._failures(study)
        self._stale = set()
        return {"head": self._head(study), **self._made}

    def _total(self, study: Study, task: str, label: str) -> int:
        """How many runs of a method there will be, as far as is known."""
        return max([study.runs, *(number + 1 for number in self._runs.of(FINAL, task, label))])

    def _head(self, study: Study) -> dict[str, Any]:
        pairs_of = [(task, label) for task in study.tasks for label in study.optimizers]
        total, done = sum(self._total(study, *pair) for pair in pairs_of), self._runs.count(FINAL)
        tuned = tuning.configurations(study) * tuning.repeats(study) * len(pairs_of) if study.tune else 0
        return {
            "kind": "compare",
            "tasks": list(study.tasks),
            "methods": list(study.optimizers),
            "done": done,
            "total": total,
            "tuning": [self._runs.count(TUNING), tuned],
            "rollouts": sum(run.rollouts for *_, run in self._runs),
            "left": self._seconds_left(study, total + tuned),
            "over": None if study.settle else done >= total,
            "settle": study.settle,
            **described(self._sessions),
        }

    def _seconds_left(self, study: Study, total: int) -> float | None:
        """By what the latest session has done so far; None before it has done anything."""
        done = self._runs.done(study)
        date = self._sessions[-1].get("date") if self._sessions else None
        if date is None or done <= self._done_before:
            return None
        began = time.mktime(time.strptime(str(date), "%Y-%m-%d %H:%M:%S"))
        return max(0.0, time.time() - began) * (total - done) / (done - self._done_before)

    def _task(self, study: Study, task: str) -> dict[str, Any]:
        (unit, grid), known = study.grid(task), study.task(task, known_task)
        results = [r for label in study.optimizers for r in self._runs.finished(FINAL, task, label).values()]
        starts = [float(result["row"].get("start_return", np.nan)) for result in results]
        return {
            "name": task,
            "unit": known.step if unit == "steps" else unit,
            "budget": grid[-1],
            "start": plain(np.mean(starts)) if starts else None,
            "references": {name: plain(value) for name, value in known.references.items()},
            "methods": [self._method(study, task, label, (unit, grid[-1])) for label in study.optimizers],
            "decided": self._decided(study, task) if study.settle else None,
        }

    def _method(self, study: Study, task: str, label: str, budget: tuple[str, int]) -> dict[str, Any]:
        mine = self._runs.of(FINAL, task, label)
        done = {n: run.result["row"]["final_return"] for n, run in mine.items() if run.result is not None}
        final, curve = self._summary(study, task, label, done)
        return {
            "label": label,
            "total": self._total(study, task, label),
            "done": len(done),
            "part": plain(sum(run.part(*budget) for run in mine.values())),
            "final": final,
            "finals": [[n, plain(value)] for n, value in done.items()],
            "running": [
                [n, plain(run.part(*budget)), plain((run.generations.means or [np.nan])[-1])]
                for n, run in mine.items()
                if run.result is None
            ],
            "curve": curve,
            "failed": sum(run.has_failed for run in mine.values()),
        }

    def _summary(
        self, study: Study, task: str, label: str, done: dict[int, float]
    ) -> tuple[list[Any], list[Any]]:
        """The IQM of the final returns with its interval, and the curve; computed when another run has finished."""
        if not done:
            return [None] * 3, []
        known = self._intervals.get((task, label))
        if known is None or known[0] != [*done]:
            values = np.array([*done.values()], dtype=float)
            ends = statistics.bootstrap_interval(values, study.seed, "bootstrap", task, label)
            final = numbers([float(statistics.iqm(values)), *ends])
            known = self._intervals[task, label] = [*done], final, self._curve(study, task, label)
        return known[1:]

    def _curve(self, study: Study, task: str, label: str) -> list[list[float | None]]:
        """What was spent, the IQM of the recommendation's return, and the ends of its 95 % interval."""
        unit, _ = study.grid(task)
        columns = [
            np.array([(point[unit], point["return_mean"]) for point in result["curve"]], dtype=float).T
            for result in self._runs.finished(FINAL, task, label).values()
        ]
        grid, values = on_one_grid([(spent, value) for spent, value in columns])
        low, high = statistics.curve_interval(values, study.seed, "curve", task, label, unit)
        return [numbers(row) for row in (grid, statistics.iqm(values), low, high)]

    def _decided(self, study: Study, task: str) -> dict[str, list[int]]:
        """How many others each method is better and worse than, and how many are open, by sequential testing."""
        labels = list(study.optimizers)
        final = {
            (label, number): float(result["row"]["final_return"])
            for label in labels
            for number, result in self._runs.finished(FINAL, task, label).items()
        }
        counts = {label: [0, 0, len(labels) - 1] for label in labels}
        signs: Any = decisions_of(study, task, final).direction if final else []
        for (x, y), sign in zip(pairs(labels), signs, strict=bool(final)):
            for label, better in ((x, sign > 0), (y, sign < 0)):
                if sign:
                    counts[label][0 if better else 1] += 1
                    counts[label][2] -= 1
        return counts

    def _failures(self, study: Study) -> list[dict[str, Any]]:
        """What failed: of finished runs with the command that shows it again, of others the first reason."""
        listed = []
        for (stage, task, label), number, run in self._runs:
            names = {"method": label, "task": task, "run": number, "stage": stage}
            if run.result is None and run.has_failed:
                first = next(filter(None, run.generations.failed))
                listed.append(names | {"purpose": "search", "reason": first, "command": ""})
            for i, example in enumerate(run.result["examples"] if run.result is not None else ()):
                file = f"{self._folder / FAILURES_FILE}/{Name(task, label, number, i)}"
                modules = outside(task, study.task(task, known_task).policy)
                command = replay_command(file, None, *modules) if stage == FINAL else ""
                reason = str(example["failure"][3])
                listed.append(names | {"purpose": example["purpose"], "reason": reason, "command": command})
        return listed[-MAX_FAILURES:]

    def table(self, name: str) -> list[dict[str, Any]]:
        """The finished runs, as `runs.csv` has them; or every generation of every run."""
        finals = sorted((key, n, run) for key, n, run in self._runs if key[0] == FINAL)
        if name == "runs":
            return [run.result["row"] for *_, run in finals if run.result is not None]
        if name != "generations":
            raise KeyError(name)
        return [
            {"task": task, "optimizer": label, "run": n, "generation": i, "rollouts": rollouts, "steps": steps,
             "mean_return": mean, "best_candidate": best, "failure": failed}
            for (_, task, label), n, run in finals
            for i, (rollouts, steps, mean, best, failed) in enumerate(run.generations.rows())
        ]  # fmt: skip

    def detail(self, key: tuple[str, ...]) -> dict[str, Any]:
        """A run: its generations, and the command that shows its recommendation again."""
        task, label, number = key
        run = self._runs.of(FINAL, task, label)[int(number)]
        return {"title": f"{label} on {task}, run {number}"} | _detail(
            run, f"{self._folder / RECOMMENDATIONS_FILE}/{Name(task, label, int(number))}"
        )


def _detail(run: Run, recommendation: str) -> dict[str, Any]:
    row, known = run.result["row"] if run.result is not None else {}, run.generations
    return {
        "rollouts": known.rollouts,
        "series": {"mean of the generation": numbers(known.means), "best candidate": numbers(known.bests)},
        "facts": {name: plain(row[name]) for name in FACTS if name in row},
        "command": replay_command(recommendation) if run.result is not None else "",
        "failures": [f"generation {i + 1}: {reason}" for i, reason in enumerate(known.failed) if reason][
            :MAX_FAILURES
        ],
    }


def described(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """With what a ledger was made: the versions of its sessions, each once, and their commands."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in session.items() if name not in NO_VERSIONS)
        for session in sessions
    ]
    commands = [str(session["command"]) for session in sessions if session.get("command")]
    return {"versions": list(dict.fromkeys(lines)), "commands": list(dict.fromkeys(commands))}
