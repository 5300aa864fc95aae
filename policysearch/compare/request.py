"""What was asked for on the command line, as a study; or a refusal that lists everything that is wrong."""

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from policysearch.compare.comparison import file_name
from policysearch.compare.study import QUICK, Study, StudyError
from policysearch.ledger import encode
from policysearch.optimizers import OPTIMIZERS

#: Flags that are fields of the study.
FLAGS = (
    "policy", "rollouts", "steps", "episodes_per_candidate", "runs", "seed", "report_episodes", "evaluator",
    "rollout_timeout", "tune", "settle",
)  # fmt: skip


class Refused(Exception):  # noqa: N818 - it is an answer
    """What was asked for makes no study: the messages."""

    def __init__(self, messages: list[str]) -> None:
        self.messages = messages
        super().__init__("\n".join(messages))


def resolve(arguments: Any) -> Study:
    """The study from the file and the flags, checked as a whole."""
    data = dict(QUICK) if arguments.study is None else _read(arguments.study)
    problems: list[str] = []
    flags = {name: getattr(arguments, name) for name in FLAGS if getattr(arguments, name) is not None}
    # a budget by flag replaces the file's, whatever its unit
    overruled = flags.keys() | ({"rollouts", "steps"} if flags.keys() & {"rollouts", "steps"} else set())
    data = {name: value for name, value in data.items() if name not in overruled} | flags
    if arguments.tasks is not None:
        data["tasks"] = {name: _rows(data.get("tasks")).get(name, {}) for name in arguments.tasks}
    if isinstance(data.get("tasks"), dict):  # a flag also wins over what the file says of a single task
        data["tasks"] = {name: _without(choice, overruled) for name, choice in data["tasks"].items()}
    if arguments.optimizers is not None or arguments.set:
        data["optimizers"] = _chosen_optimizers(arguments, _rows(data.get("optimizers")))
    if arguments.study is None and arguments.optimizers is None:
        data["optimizers"] = _without_misfits(data)
    for setting in arguments.set:
        problems += _apply(setting, data["optimizers"])
    try:
        study = Study.resolve(data)
    except StudyError as error:
        raise Refused(problems + error.problems) from error
    if problems:
        raise Refused(problems)
    return study


def left_out(study: Study) -> list[str]:
    """Which methods of the default comparison cannot search all of these tasks, and why."""
    if study.optimizers.keys() >= QUICK["optimizers"].keys():
        return []
    given = {
        "tasks": {name: choice.model_dump() for name, choice in study.tasks.items()},
        "policy": study.policy,
    }
    grouped: dict[str, list[str]] = {}
    for label, reason in Study(**QUICK | given).misfits().items():
        grouped.setdefault(reason, []).append(label)
    return [f"left out: {', '.join(labels)}: {reason}" for reason, labels in grouped.items()]


def _without_misfits(data: dict[str, Any]) -> dict[str, Any]:
    """The rows that can search the policies of all tasks; all of them, where the request has mistakes."""
    try:
        misfits = Study(**data).misfits()
    except ValueError:
        misfits = {}
    return {label: row for label, row in data["optimizers"].items() if label not in misfits}


def default_folder(arguments: Any, study: Study) -> Path:
    """A folder for the study: its file's name, or its first task; and a digest where flags have changed it.

    More runs stay in the same folder.
    """
    name = "quick" if arguments.study is None else arguments.study.stem
    changed = [getattr(arguments, flag) for flag in (*FLAGS, "tasks", "optimizers") if flag != "runs"]
    if arguments.set or any(value is not None for value in changed):
        document = encode({key: value for key, value in study.document().items() if key != "runs"})
        name = file_name(next(iter(study.tasks)), hashlib.sha256(document.encode()).hexdigest()[:6])
    return Path("policysearch-results") / name


def _rows(section: Any) -> dict[str, Any]:
    """A section of a study file, which may be a list of names."""
    if isinstance(section, list):
        return {name: {} for name in section if isinstance(name, str)}
    return dict(section) if isinstance(section, dict) else {}


def _without(choice: Any, flags: set[str]) -> Any:
    """The choices for one task, less those that flags decide."""
    return {k: v for k, v in choice.items() if k not in flags} if isinstance(choice, dict) else choice


def _chosen_optimizers(arguments: Any, rows: dict[str, Any]) -> dict[str, Any]:
    if arguments.optimizers is None:
        return rows
    names = [n for name in arguments.optimizers for n in (OPTIMIZERS if name == "all" else [name])]
    return {name: rows.get(name, {}) for name in names}


def _apply(setting: str, rows: dict[str, Any]) -> list[str]:
    """Apply `name.field=value` to the rows; returns what is wrong with it."""
    target, equals, value = setting.partition("=")
    label, dot, name = target.rpartition(".")
    if not (equals and dot and label and name):
        return [f"--set {setting}: expected NAME.FIELD=VALUE, as in cma-es.sigma=0.3"]
    if label not in rows:
        return [f"--set {setting}: {label!r} is not in the comparison, which has {', '.join(rows)}"]
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    rows[label] = {**_rows(rows[label]), name: parsed}
    return []


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Refused([f"{path}: cannot read the study file: {error}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise Refused([f"{path}: not valid TOML: {error}"]) from error
