"""What was asked for on the command line, as a study; or a refusal that lists everything that is wrong."""

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

from policysearch.command_line import Refusal, setting_value
from policysearch.compare.study import QUICK, Study, StudyError
from policysearch.optimizers import OPTIMIZERS
from policysearch.plain_data import encode

#: Flags that are fields of the study.
FLAGS = (
    "policy", "rollouts", "steps", "episodes_per_candidate", "runs", "seed", "report_episodes", "evaluator",
    "rollout_timeout", "tune", "settle",
)  # fmt: skip


def resolve(arguments: Any) -> tuple[Study, list[str]]:
    """The study from the file and the flags, checked as a whole; and a line for each reason to leave methods out.

    Where nobody has named the methods, those that cannot search some task, or not with its budget, are left out; of
    `all`, only those that cannot search it.
    """
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
    for setting in arguments.set:
        problems += _apply(setting, data["optimizers"])
    by_default = arguments.study is None and arguments.optimizers is None
    named = {*(arguments.optimizers or ()), *(_target(setting)[0] for setting in arguments.set)}
    optional = _rows(data.get("optimizers")).keys() - named if by_default or "all" in named else set()
    try:
        study, lines = Study.resolve_without(data, unfit=optional, costly=optional if by_default else ())
    except StudyError as error:
        raise Refusal(problems + error.problems) from error
    if problems:
        raise Refusal(problems)
    return study, lines


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


def _target(setting: str) -> tuple[str, str, str | None]:
    """Label, field and value of `name.field=value`, as far as they are there."""
    target, equals, value = setting.partition("=")
    label, _, name = target.rpartition(".")
    return label, name, value if equals else None


def _apply(setting: str, rows: dict[str, Any]) -> list[str]:
    """Apply `name.field=value` to the rows; returns what is wrong with it."""
    label, name, value = _target(setting)
    if not (label and name and value is not None):
        return [f"--set {setting}: expected NAME.FIELD=VALUE, as in cma-es.sigma=0.3"]
    if label not in rows:
        return [f"--set {setting}: {label!r} is not in the comparison, which has {', '.join(rows)}"]
    rows[label] = {**_rows(rows[label]), name: setting_value(value)}
    return []


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        hint = "" if path.suffix == ".toml" else f"; to compare on a task of that name: --tasks {path}"
        raise Refusal([f"{path}: cannot read the study file: {error}{hint}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise Refusal([f"{path}: not valid TOML: {error}"]) from error


def file_name(*parts: Any) -> str:
    """Names and numbers as one file name; names with other than plain characters are distinguished by a digest."""
    name = "__".join(map(str, parts))
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".")
    if re.fullmatch(r"[A-Za-z0-9._:-]+", name):
        return plain
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
