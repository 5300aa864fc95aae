"""The command line: `python -m policysearch.compare` and `python -m policysearch.compare replay`.

Only light modules are imported here, so that `--help` answers at once.
"""

import dataclasses
import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg
from tyro.constructors import PrimitiveConstructorSpec

if TYPE_CHECKING:
    from policysearch.compare.run import Result
    from policysearch.compare.study import Study

PROGRAM = "python -m policysearch.compare"
DEFAULT_OUT = Path("policysearch-results/quick")
WRONG_REQUEST, MACHINE_TROUBLE, INTERRUPTED = 2, 3, 130


#: Flags that are fields of the study.
FLAGS = ("policy", "rollouts", "episodes_per_candidate", "runs", "seed", "report_episodes", "evaluator",
         "rollout_timeout")  # fmt: skip

DESCRIPTION = """Compare methods of policy search on equal rollout budgets.

Without flags, runs the quick study: every method on two small tasks, within two minutes. A study file and
flags may be mixed; flags win. Ctrl-C writes the runs that have finished.

  python -m policysearch.compare --tasks Pendulum-v1 --optimizers cma-es ars reinforce --rollouts 1000
  python -m policysearch.compare --tasks CartPole-v1 --optimizers all --set cma-es.sigma=0.5 --runs 10
  python -m policysearch.compare experiments/classic_control/study.toml --out DIR
  python -m policysearch.compare replay DIR/recommendations/FILE.npz --video clip.gif

Look into DIR for summary.md (tables), curves.png (picture), runs.csv, curves.csv, summary.csv, study.toml
(runs the same study again) and recommendations/ (parameters that replay reproduces)."""


def _flag(metavar: str, default: str = "") -> Any:
    """How a flag that overrides the study is shown."""
    return arg(metavar=metavar, help_behavior_hint=f"(default: {default})" if default else "")


def _whole(arguments: "list[str]") -> int:
    if not arguments[0].removeprefix("-").isdecimal():
        raise ValueError(f"expected a whole number, got {arguments[0]!r}")
    return int(arguments[0])


#: A whole number that may be absent, with one clear message when it is not a number.
Whole = Annotated[
    int | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="N",
        instance_from_str=_whole,
        is_instance=lambda value: value is None or isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The flags; None leaves the study file's or the quick study's value."""

    study: Annotated[Positional[Path | None], _flag("[STUDY.toml]", "the quick study")] = None
    """A study file; every comparison writes its own as DIR/study.toml."""

    tasks: Annotated[list[str] | None, _flag("TASK …", "CartPole-v1 lqr")] = None
    """Gymnasium ids, also module:EnvId, or names from --list."""

    optimizers: Annotated[list[str] | None, _flag("NAME …", "all of them")] = None
    """Methods from --list, or all. whitened:ars normalises the observations for ars; so for any method."""

    policy: Annotated[str | None, _flag("NAME", "what suits the task")] = None
    """linear, mlp, mlp:32,32, tabular, … (see --list)."""

    rollouts: Annotated[Whole, _flag("N", "300")] = None
    """The budget of every search: episodes that it may spend."""

    episodes_per_candidate: Annotated[Whole, _flag("K", "1")] = None
    """Episodes averaged for each candidate; all are charged."""

    runs: Annotated[Whole, _flag("R", "5")] = None
    """Repetitions of every search, each on its own episodes."""

    seed: Annotated[Whole, _flag("S", "0")] = None
    """Seed of the study; the same seed gives the same tables."""

    report_episodes: Annotated[Whole, _flag("N", "20")] = None
    """Fresh episodes on which a recommendation is reported; not charged to the search."""

    evaluator: Annotated[str | None, _flag("KIND", "auto")] = None
    """auto (compiled rollouts where there are any), compiled, episodes, or pool (of processes)."""

    rollout_timeout: Annotated[float | None, _flag("S", "none")] = None
    """Seconds after which a pool ends a rollout."""

    set: Annotated[list[str], _flag("NAME.FIELD=VALUE …")] = dataclasses.field(default_factory=list)
    """Hyperparameters, as in cma-es.sigma=0.3; --list shows the fields."""

    workers: Annotated[Whole, _flag("W", "one per processor")] = None
    """Worker processes; the tables do not depend on their number."""

    out: Annotated[Path, arg(metavar="DIR")] = DEFAULT_OUT
    """Folder for tables, pictures and recommendations."""

    overwrite: Annotated[bool, _flag("")] = False
    """Replace the results of a different study in that folder."""

    list: Annotated[bool, _flag("")] = False
    """Show tasks, policies, and methods with their hyperparameters, then stop."""


@dataclasses.dataclass(frozen=True)
class ReplayArguments:
    """Run the recommendation of a finished run again, on the very episodes of its report.

    Says whether the return is the same to the last digit; the exit code is 1 if it is not.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE.npz")]
    """A file from DIR/recommendations."""

    video: Path | None = None
    """Also record the first of these episodes as an animated GIF."""


class Refusal(Exception):  # noqa: N818 - it is an answer
    """What was asked for cannot be done: the messages, and the exit code."""

    def __init__(self, messages: list[str], code: int = WRONG_REQUEST) -> None:
        self.messages, self.code = messages, code
        super().__init__("\n".join(messages))


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv[:1] == ["replay"]:
            arguments = tyro.cli(ReplayArguments, args=argv[1:], prog=f"{PROGRAM} replay")
            return _replay(arguments)
        return _compare(
            tyro.cli(
                Arguments, args=argv, prog=PROGRAM, description=DESCRIPTION, config=(FlagCreatePairsOff,)
            ),
            argv,
        )
    except Refusal as refusal:
        for message in refusal.messages:
            print(f"error: {message}", file=sys.stderr)
        return refusal.code


def _compare(arguments: Arguments, argv: "list[str]") -> int:
    if arguments.list:
        from policysearch.compare import show  # noqa: PLC0415 - heavy

        show.registry()
        return 0
    workers = (os.cpu_count() or 1) if arguments.workers is None else arguments.workers
    if workers < 1:
        raise Refusal([f"workers: expected at least 1, got {workers}"])
    study = _study(arguments)
    _prepare(arguments.out, study, overwrite=arguments.overwrite)
    from policysearch.compare import progress, report, show  # noqa: PLC0415 - heavy

    progress.announce(study)
    results, interrupted = _run(study, workers)
    if not results:
        raise Refusal(["interrupted before the first run had finished; nothing was written"], INTERRUPTED)
    try:
        table = report.write(study, results, arguments.out, report.command_line(argv))
    except OSError as error:
        raise Refusal([f"{arguments.out}: cannot write: {error}"], MACHINE_TROUBLE) from error
    show.results(study, results, table, arguments.out)
    if interrupted:
        total = len(study.tasks) * len(study.optimizers) * study.runs
        raise Refusal([f"interrupted after {len(results)} of {total} runs; those are written"], INTERRUPTED)
    return 0


def _study(arguments: Arguments) -> "Study":
    """The study from the file and the flags, checked as a whole."""
    from policysearch.compare.study import QUICK, Study, StudyError  # noqa: PLC0415 - heavy

    data = dict(QUICK) if arguments.study is None else _read(arguments.study)
    problems: list[str] = []
    flags = {name: getattr(arguments, name) for name in FLAGS if getattr(arguments, name) is not None}
    data |= flags
    if arguments.tasks is not None:
        data["tasks"] = {name: _rows(data.get("tasks")).get(name, {}) for name in arguments.tasks}
    if isinstance(data.get("tasks"), dict):  # a flag also wins over what the file says of a single task
        data["tasks"] = {name: _without(choice, flags) for name, choice in data["tasks"].items()}
    if arguments.optimizers is not None or arguments.set:
        data["optimizers"] = _chosen_optimizers(arguments, _rows(data.get("optimizers")))
    for setting in arguments.set:
        problems += _apply(setting, data["optimizers"])
    try:
        study = Study.resolve(data)
    except StudyError as error:
        raise Refusal(problems + error.problems) from error
    if problems:
        raise Refusal(problems)
    return study


def _rows(section: Any) -> dict[str, Any]:
    """A section of a study file, which may be a list of names."""
    if isinstance(section, list):
        return {name: {} for name in section if isinstance(name, str)}
    return dict(section) if isinstance(section, dict) else {}


def _without(choice: Any, flags: dict[str, Any]) -> Any:
    """The choices for one task, less those that flags decide."""
    return {k: v for k, v in choice.items() if k not in flags} if isinstance(choice, dict) else choice


def _chosen_optimizers(arguments: Arguments, rows: dict[str, Any]) -> dict[str, Any]:
    from policysearch.optimizers import OPTIMIZERS  # noqa: PLC0415 - heavy

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
        raise Refusal([f"{path}: cannot read the study file: {error}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise Refusal([f"{path}: not valid TOML: {error}"]) from error


def _prepare(out: Path, study: "Study", *, overwrite: bool) -> None:
    """Make the folder, if it may be written and holds no other study's results."""
    import tomli_w  # noqa: PLC0415

    existing = out / "study.toml"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".policysearch-write-test"
        probe.write_text("")
        probe.unlink()
        other = existing.exists() and existing.read_text(encoding="utf-8") != tomli_w.dumps(study.document())
    except OSError as error:
        raise Refusal([f"--out {out}: cannot write there: {error}"]) from error
    if other and not overwrite:
        raise Refusal([f"--out {out}: holds another study; choose another folder or pass --overwrite"])


def _run(study: "Study", workers: int) -> "tuple[list[Result], bool]":
    """All results, with progress shown; and whether Ctrl-C ended them early."""
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415

    from policysearch.compare.progress import shown  # noqa: PLC0415
    from policysearch.compare.run import execute_all, jobs  # noqa: PLC0415

    results: list[Result] = []
    try:
        for result in shown(execute_all(study, workers), total=len(jobs(study))):
            results.append(result)
    except KeyboardInterrupt:
        return results, True
    except BrokenProcessPool as error:
        raise Refusal([f"a worker process was killed (out of memory?): {error}"], MACHINE_TROUBLE) from error
    return results, False


def _replay(arguments: ReplayArguments) -> int:
    from policysearch.compare import recommendation  # noqa: PLC0415 - heavy

    try:
        header, now = recommendation.replay(arguments.file)
        print(
            f"{header.optimizer} on {header.task}, run {header.run} of seed {header.seed}, "
            f"{header.policy} policy"
        )
        print(f"reported return {header.final_return!r} ± {header.final_return_se:.4g} (standard error)")
        print(f"replayed return {now!r}")
        equal = recommendation.same(header.final_return, now)
        print(
            "the same to the last digit" if equal else "DIFFERENT: another version, machine or environment?"
        )
        if arguments.video is not None:
            steps = recommendation.record_video(arguments.file, arguments.video)
            print(f"video of the first episode, {steps} steps: {arguments.video}")
    except ValueError as error:
        raise Refusal([str(error)]) from error
    except OSError as error:
        raise Refusal([f"{arguments.video}: cannot write: {error}"], MACHINE_TROUBLE) from error
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
