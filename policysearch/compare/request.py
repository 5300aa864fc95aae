"""What was asked for on the command line or from Python, as a study; or an error that lists everything wrong."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policysearch import flags
from policysearch.compare.options import StudySettings
from policysearch.compare.study import QUICK, Study, StudyError, quick
from policysearch.configuration import read_json, read_toml
from policysearch.core import Optimizer
from policysearch.optimizers import OPTIMIZERS, method_of
from policysearch.plain_data import encode
from policysearch.tasks import find_task

#: Options of which more leaves the numbers that there are.
GROWING = {"runs", "hours"}


def options_of(arguments: Any) -> dict[str, Any]:
    """The options of a study among the flags, less those that were left out."""
    names = ("tasks", "optimizers", *StudySettings.model_fields)
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}


def resolve(arguments: Any) -> tuple[Study, list[str]]:
    """The study of a command line; see `resolved`. Errors name the plug-ins of the results that it continues."""
    data = None if arguments.study is None else read(arguments.study)
    try:
        return resolved(data, options_of(arguments), arguments.set, _everywhere(arguments))
    except StudyError as error:
        folder = arguments.out or (arguments.study or Path()).parent
        raise StudyError(error.problems + plug_ins_of(folder)) from error


def resolved(
    data: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    settings: Sequence[str] = (),
    everywhere: Mapping[str, Any] = {},
) -> tuple[Study, list[str]]:
    """The checked study, and a line for each reason to leave methods out.

    Where no methods are named, those that cannot search some task, or not with its budget, are left out; of `all`,
    only those that cannot search it.

    Args:
        data: what a study file holds; None: the quick study.
        options: options of a study by name, which replace those of `data`.
        settings: hyperparameters as `NAME.FIELD=VALUE`.
        everywhere: arguments and wrappers of the environments of all tasks.

    Raises:
        StudyError: listing everything that is wrong.
    """
    data, options = None if data is None else _plain(data), _plain(options)
    tasks, chosen = options.get("tasks"), options.get("optimizers")
    by_default = data is None and chosen is None
    flags = {name: value for name, value in options.items() if name not in ("tasks", "optimizers")}
    # a budget among the options replaces the file's, whatever its unit
    overruled = flags.keys() | ({"rollouts", "steps"} if flags.keys() & {"rollouts", "steps"} else set())
    before = data if data is not None else quick() if by_default else QUICK
    data = {name: value for name, value in before.items() if name not in overruled} | flags
    if "tasks" in data or tasks is not None:
        data["tasks"] = _with(everywhere, _tasks(data.get("tasks"), tasks, overruled))
    if chosen is not None or settings:
        data["optimizers"] = _chosen_optimizers(chosen, _rows(data.get("optimizers")))
    problems = [line for setting in settings for line in _apply(setting, data["optimizers"])]
    named = {*(chosen or ()), *(_target(setting)[0] for setting in settings)}
    optional = _rows(data.get("optimizers")).keys() - named if by_default or "all" in named else set()
    try:
        study, lines = Study.resolve_without(data, unfit=optional, costly=optional if by_default else ())
    except StudyError as error:
        raise StudyError(problems + error.problems) from error
    if problems:
        raise StudyError(problems)
    return study, lines


def _plain(data: Any) -> dict[str, Any]:
    """What a study file would hold in place of this.

    Raises:
        StudyError: for what is no mapping.
    """
    if not isinstance(data, Mapping):
        raise StudyError([f'study: expected a Study, a study file, or {{"tasks": [...], …}}, got {data!r}'])
    return {name: _names(name, value) for name, value in _of_environment(data).items()}


def _of_environment(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data of a study, its section `[env]` (id, kwargs, wrappers) as the task that it stands for.

    Raises:
        StudyError: for a section that holds something else, or stands next to tasks.
    """
    if "env" not in data:
        return data
    env, known = data["env"], {"id", "kwargs", "wrappers"}
    if "tasks" in data:
        raise StudyError(
            ["env: expected this section or tasks, got both; tasks.ID has env and wrappers of its own"]
        )
    if not isinstance(env, Mapping) or "id" not in env or env.keys() - known:
        expected = 'id = "CartPole-v1", and maybe kwargs = {NAME = VALUE} and wrappers = ["module:Class"]'
        raise StudyError([f"env: expected {expected}, got {env!r}"])
    choice = {name: env[key] for name, key in (("env", "kwargs"), ("wrappers", "wrappers")) if key in env}
    return {name: value for name, value in data.items() if name != "env"} | {"tasks": {env["id"]: choice}}


def _everywhere(arguments: Any) -> dict[str, Any]:
    """What the flags --env-kwargs and --wrappers say.

    Raises:
        Refusal: for what is not NAME=VALUE.
    """
    env = flags.settings(
        getattr(arguments, "env_kwargs", None) or [], "--env-kwargs", "NAME=VALUE, as in gravity=5.0"
    )
    wrappers = getattr(arguments, "wrappers", None)
    return ({"env": env} if env else {}) | ({"wrappers": wrappers} if wrappers else {})


def _with(everywhere: Mapping[str, Any], section: Any) -> Any:
    """A section of tasks, each with what holds for all of them; flags win over its own arguments."""
    if not everywhere:
        return section
    found = {}
    for name, choice in _rows(section).items():
        env = {**_rows(choice).get("env", {}), **everywhere.get("env", {})}
        found[name] = {**_rows(choice), **everywhere, **({"env": env} if env else {})}
    return found


def _names(option: str, value: Any) -> Any:
    """An option of a study: a single name stands for a list, and a method for its name and hyperparameters.

    Raises:
        StudyError: for what is no name, or a method that no name stands for.
    """
    if option not in ("tasks", "optimizers"):
        return value
    value = [value] if isinstance(value, str | Optimizer) else value
    try:
        if isinstance(value, Mapping):
            return {label: _row_of(x) if isinstance(x, Optimizer) else x for label, x in value.items()}
        if not isinstance(value, list | tuple) or all(isinstance(item, str) for item in value):
            return value
        if option == "tasks":
            raise ValueError(f"tasks: expected names, got {value}")
        rows = [(item, {}) if isinstance(item, str) else method_of(item) for item in value]
    except ValueError as error:
        raise StudyError([str(error)]) from error
    names = [name for name, _ in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        hint = 'give labels, as in {"small": CMAES(sigma=0.1)}'
        raise StudyError([f"optimizers: {twice[0]} is there more than once; {hint}"])
    return dict(rows)


def _row_of(optimizer: Optimizer) -> dict[str, Any]:
    method, hyperparameters = method_of(optimizer)
    return {"method": method, **hyperparameters}


def plug_ins_of(folder: Path) -> list[str]:
    """A line that names the plug-ins with which the results in a folder were made, if there were any."""
    try:
        sessions = read_json(folder / "environment.json")
        named = {f"{name} ({version})": None for session in sessions for name, version in session.items()
                 if name.startswith("plug-in ")}  # fmt: skip
    except (OSError, ValueError, AttributeError, TypeError):
        return []
    return [f"the results in {folder} were made with {', '.join(named)}"] if named else []


def default_folder(arguments: Any, study: Study) -> Path:
    """A folder for the study: its file's name, or its first task; and a digest where flags have changed it.

    More runs, and another limit in time, stay in the same folder.
    """
    name = "quick" if arguments.study is None else arguments.study.stem
    if arguments.set or _everywhere(arguments) or options_of(arguments).keys() - GROWING:
        document = encode({key: value for key, value in study.document().items() if key not in GROWING})
        name = file_name(next(iter(study.tasks)), hashlib.sha256(document.encode()).hexdigest()[:6])
    return Path("policysearch-results") / name


def _rows(section: Any) -> dict[str, Any]:
    """A section of a study file, which may be a list of names."""
    if isinstance(section, list | tuple):
        return {name: {} for name in section if isinstance(name, str)}
    return dict(section) if isinstance(section, Mapping) else {}


def _tasks(section: Any, chosen: Any, overruled: set[str]) -> Any:
    """The section of tasks: the chosen ones, without what options overrule in the file's choices for one task."""
    if isinstance(section, Mapping):
        section = {
            name: {k: v for k, v in choice.items() if k not in overruled}
            if isinstance(choice, dict)
            else choice
            for name, choice in section.items()
        }
    if isinstance(chosen, list | tuple):
        return {name: _rows(section).get(name, {}) for name in chosen}
    return section if chosen is None else chosen


def _chosen_optimizers(chosen: Any, rows: dict[str, Any]) -> Any:
    if chosen is None:
        return rows
    if not isinstance(chosen, list | tuple):
        return dict(chosen) if isinstance(chosen, Mapping) else chosen
    names = [n for name in chosen for n in (OPTIMIZERS if name == "all" else [name])]
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
    rows[label] = {**_rows(rows[label]), name: flags.setting_value(value)}
    return []


def read(path: Path) -> dict[str, Any]:
    """What a study file holds.

    Raises:
        StudyError: if it cannot be read or is not TOML.
    """
    try:
        return read_toml(path)
    except FileNotFoundError as error:
        hint = f"; did you mean --tasks {path}?" if _is_task(str(path)) else ""
        raise StudyError([f"{path}: there is no such study file in {Path.cwd()}{hint}"]) from error
    except OSError as error:
        raise StudyError([f"{path}: cannot read the study file: {error}"]) from error
    except ValueError as error:
        raise StudyError([f"{path}: {error}"]) from error


def _is_task(name: str) -> bool:
    try:
        find_task(name)
    except ValueError:
        return False
    return True


def file_name(*parts: Any) -> str:
    """Names and numbers as one file name; names with other than plain characters are distinguished by a digest."""
    name = "__".join(map(str, parts))
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".")
    if re.fullmatch(r"[A-Za-z0-9._:-]+", name):
        return plain
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
