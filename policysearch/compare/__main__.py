"""The command line: `python -m policysearch.compare`, and its subcommands `report`, `replay` and `export`.

Only light modules are imported here, so that `--help` answers at once.
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from policysearch.command_line import (
    Refusal,
    Trust,
    Whole,
    flag,
    flags_of,
    import_from_here,
    not_from_here,
    parsed,
    running,
    trusted,
)
from policysearch.compare import export
from policysearch.compare.options import EnvironmentFlags, StudySettings
from policysearch.errors import INTERRUPTED, MACHINE_TROUBLE
from policysearch.reuse import Reuse

if TYPE_CHECKING:
    from policysearch.compare.session import Shard
    from policysearch.compare.study import Study

PROGRAM = "python -m policysearch.compare"

DESCRIPTION = """Compare methods of policy search on equal budgets of rollouts.

Without flags, runs the quick study: the general methods that need no extra on two small tasks, within two
minutes. A study file and flags may be mixed; flags win. Everything is kept in DIR/ledger.sqlite as it
happens: whatever ends a comparison (Ctrl-C, kill -9, a power cut), the same command continues where it
stopped, with the same numbers. A study file is a program: it runs the modules that it names, also those of
the present folder. `report`, `replay` and `export` import none that is not part of policysearch,
unless --trust names it.

  python -m policysearch.compare --tasks Pendulum-v1 --optimizers cma-es ars reinforce --rollouts 1000
  python -m policysearch.compare --tasks CartPole-v1 --optimizers all --set cma-es.sigma=0.5 --runs 10
  python -m policysearch.compare experiments/classic_control/study.toml --out DIR
  python -m policysearch.compare --tasks Hopper-v5 --steps 1000000 --tune 30
  python -m policysearch.compare --tasks CartPole-v1 --optimizers cma-es ars --runs 5 --plan
  python -m policysearch.compare --tasks CartPole-v1 --optimizers cma-es ars --runs 5 --settle 6
  python -m policysearch.compare report DIR1 DIR2 --out BOTH
  python -m policysearch.compare replay DIR/recommendations.npz/TASK/METHOD/RUN --video clip.gif
  python -m policysearch.compare export DIR/recommendations.npz/TASK/METHOD/RUN --out policy.h

A method is called better where the paired runs are not exchangeable (a sign-flip test of all pairs, with an
error in at most 5 % of studies on a task). That is no statement about means; the report says where these differ.

Open DIR/report.html (all of it on one page) or summary.md; there are also curves.png, tables (runs.csv,
curves.csv, summary.csv, pairs.csv, …), study.toml (runs the same study again), recommendations.npz and
failures.npz (parameters that replay reproduces).

Exit codes: 0 done, 1 nothing usable was found, 2 not possible as asked, 3 the machine's fault (disk, lost
processes, damaged file), 4 another process is at work in DIR, 130 interrupted."""


@flags_of(Reuse)
@flags_of(EnvironmentFlags)
@flags_of(StudySettings)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """The flags, with those of `StudySettings`; None leaves the study file's or the quick study's value."""

    study: Annotated[Positional[Path | None], flag("[STUDY.toml]", "the quick study")] = None
    """A study file; every comparison writes its own as DIR/study.toml."""

    tasks: Annotated[list[str] | None, flag("TASK …", "CartPole-v1 lqr")] = None
    """Gymnasium ids, also module:EnvId; names from --list; or module:TASK, a Task of your own. Arguments of an
    environment's constructor stand in a study file: [tasks.ID] and env = {mass = 2.0}."""

    optimizers: Annotated[list[str] | None, flag("NAME …", "all of them")] = None
    """Methods from --list, all of them (those that can search the tasks), or module:CLASS, one of your own.
    whitened:ars normalises the observations for ars; so for any method."""

    plan: Annotated[bool, flag("")] = False
    """After the runs, say how many more would settle what they leave open."""

    set: Annotated[list[str], flag("NAME.FIELD=VALUE …")] = dataclasses.field(default_factory=list)
    """Hyperparameters, as in cma-es.sigma=0.3; --list shows the fields."""

    workers: Annotated[Whole, flag("W", "one per processor")] = None
    """Worker processes; the tables do not depend on their number."""

    engine: Annotated[str | None, flag("ENGINE", "none")] = None
    """Make the runs on other machines: dask=tcp://HOST:PORT, dask=tls://HOST:PORT, dask=FILE.json, dask (its own
    configuration), or module:function, which returns an executor."""

    out: Annotated[Path | None, flag("DIR", "policysearch-results/NAME")] = None
    """Folder that keeps everything; by default a folder of its own for every study."""

    shard: Annotated[str | None, flag("I/N")] = None
    """Make only the I-th of N parts of the runs; `report` puts the parts together."""

    log: Annotated[Path | None, flag("FILE.csv")] = None
    """A file to which the rollouts of the searches are appended while they run, a row each."""

    latex: Annotated[bool, flag("")] = False
    """Also write table.tex."""

    list: Annotated[bool, flag("")] = False
    """Show tasks, policies, and methods with their hyperparameters, then stop."""


@dataclasses.dataclass(frozen=True)
class ReplayArguments:
    """Run the recommendation of a finished run again, on the very episodes of its report; or a failed episode.

    Says whether the return is the same to the last digit, or the failure; the exit code is 1 if it is not.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE.npz/TASK/METHOD/RUN")]
    """DIR/recommendations.npz and the run, as in DIR/recommendations.npz/CartPole-v1/cma-es/3; a part of that
    which no other run has is enough. Failed episodes as failures.csv names them. Files of earlier versions hold
    a single run."""

    video: Path | None = None
    """Also record the first of these episodes as an animated GIF."""

    trust: Trust = dataclasses.field(default_factory=list)
    """Modules outside policysearch that may be imported because the file names them; not from the present folder."""


@dataclasses.dataclass(frozen=True)
class ReportArguments:
    """Write the report again from the tables in one or more folders, merging them.

    The folders may hold shards of one study, or studies that differ in tasks, methods or runs only.
    """

    folders: Annotated[Positional[list[Path]], arg(metavar="DIR …")]
    """Folders that a comparison has written."""

    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: the only folder)")] = None
    """Where the report goes."""

    latex: Annotated[bool, flag("")] = False
    """Also write table.tex."""

    trust: Trust = dataclasses.field(default_factory=list)
    """Modules outside policysearch whose tasks declare reference returns; not from the present folder."""


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv

    def command() -> int:
        match argv[:1]:
            case ["replay"]:
                with not_from_here():
                    return _replay(parsed(ReplayArguments, argv[1:], f"{PROGRAM} replay"))
            case ["report"]:
                with not_from_here():
                    return _report(parsed(ReportArguments, argv[1:], f"{PROGRAM} report"))
            case ["export"]:
                with not_from_here():
                    print(export.written(parsed(export.ExportArguments, argv[1:], f"{PROGRAM} export")))
                    return 0
        import_from_here()
        given = Arguments(list=True) if argv == ["--list"] else parsed(Arguments, argv, PROGRAM, DESCRIPTION)
        return _compare(given, argv)

    return running(command, "interrupted; the same command continues where it stopped")


def _compare(arguments: Arguments, argv: "list[str]") -> int:
    if arguments.list:
        from policysearch.compare.listing import listing  # noqa: PLC0415 - heavy

        listing()
        return 0
    workers = (os.cpu_count() or 1) if arguments.workers is None else arguments.workers
    if workers < 1:
        raise Refusal([f"workers: expected at least 1, got {workers}"])
    from policysearch.compare import request  # noqa: PLC0415 - heavy

    study, lines = request.resolve(arguments)
    for line in lines:
        print(line, file=sys.stderr)
    _shard(arguments.shard, study)  # or says what is wrong with it, before a folder is made
    out = arguments.out or request.default_folder(arguments, study)
    _prepare(out, study, fresh=arguments.fresh)  # type: ignore[attr-defined]
    return _run(arguments, study, out, workers, argv)


def _shard(text: str | None, study: "Study") -> "Shard":
    from policysearch.compare.session import Shard  # noqa: PLC0415 - heavy

    if text is None:
        return Shard()
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise Refusal([f"--shard {text}: expected I/N with 1 <= I <= N, as in 1/4"])
    if study.settle:
        raise Refusal(["--shard: with --settle the runs depend on the results of all others; leave one out"])
    return Shard(int(number), int(of))


def _prepare(out: Path, study: "Study", *, fresh: bool) -> None:
    """Make the folder, if it may be written and holds no other study's results."""
    import tomli_w  # noqa: PLC0415

    from policysearch.compare import journal  # noqa: PLC0415 - heavy
    from policysearch.files import check_writable  # noqa: PLC0415
    from policysearch.ledger import set_aside  # noqa: PLC0415

    existing = out / "study.toml"
    try:
        out.mkdir(parents=True, exist_ok=True)
        check_writable(out)
        written = existing.read_text(encoding="utf-8") if existing.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal([f"--out {out}: cannot write there: {error}"]) from error
    if fresh:
        if kept := set_aside(existing.with_name(journal.NAME)):
            print(f"the ledger that was there is kept as {kept}", file=sys.stderr)
        return
    without_ledger = not (out / journal.NAME).exists()
    if without_ledger and written is not None and written != tomli_w.dumps(study.document()):
        message = "holds the tables of another study; choose another folder, or pass --fresh to replace them"
        raise Refusal([f"--out {out}: {message}"])


def _run(arguments: Arguments, study: "Study", out: Path, workers: int, argv: "list[str]") -> int:
    """Make the runs, show what has come of them, and say how it ended."""
    from policysearch.compare.again import command_line, replay_of  # noqa: PLC0415 - heavy
    from policysearch.compare.driver import Shown, run_study  # noqa: PLC0415
    from policysearch.compare.study import StudyError  # noqa: PLC0415
    from policysearch.ledger import LedgerRefused  # noqa: PLC0415

    again = command_line([argument for argument in argv if argument not in ("--fresh", "--retry-failed")])
    reuse = Reuse(**{name: getattr(arguments, name) for name in Reuse.model_fields})
    shard, shown = _shard(arguments.shard, study), Shown(log=arguments.log, latex=arguments.latex)
    try:
        places: dict[str, Any] = {"shard": shard, "engine": arguments.engine}
        outcome = run_study(study, out, workers, command=again, shown=shown, reuse=reuse, **places)
    except StudyError as error:
        raise Refusal(error.problems) from error
    except LedgerRefused as error:
        raise Refusal([f"{error}; or pass --fresh to start over next to it"], MACHINE_TROUBLE) from error
    from policysearch.compare import show  # noqa: PLC0415 - heavy, and not needed before

    show.outcome(outcome, out, with_plan=arguments.plan)
    if outcome.interrupted:
        when = "interrupted" if outcome.result else "interrupted before a run of the comparison had finished"
        raise Refusal([f"{when}; what was run is kept. To continue: {again}"], INTERRUPTED)
    if outcome.result is None:
        none_here = f"--shard {arguments.shard}: no run of the study belongs to this part"
        none_yet = "no run of the comparison has finished yet"
        print(f"{none_yet if shard.part(study) else none_here}; there is nothing to report", file=sys.stderr)
    if outcome.died:
        lines = [f"{died.job} has no result: {died.reason}" for died in outcome.died]
        lines += [
            f"{died.job}: {died.crash}; to see it again: {replay_of(died.job, study, out)}"
            for died in outcome.died
            if died.crash is not None
        ]
        raise Refusal([*lines, f"the other runs are written. To try these again: {again}"], MACHINE_TROUBLE)
    if outcome.result is None and outcome.unfinished:
        return 1
    if outcome.result is not None and outcome.result.nothing_usable:
        hint = "mend what fails and run the same again with --retry-failed"
        said = f"nothing usable was found: no recommendation has a return, as the remarks say; {hint}"
        raise Refusal([said], 1)
    return 0


def _report(arguments: ReportArguments) -> int:
    from policysearch.compare import report, show  # noqa: PLC0415 - heavy
    from policysearch.compare.comparison import Comparison  # noqa: PLC0415
    from policysearch.tasks import TASKS  # noqa: PLC0415

    out, many = arguments.out or arguments.folders[0], len(arguments.folders)
    if arguments.out is None and many > 1:
        raise Refusal([f"--out: expected a folder for the report of {many} folders, got none"])
    trusted(arguments.trust)
    try:
        comparison = Comparison.merge([Comparison.read(folder) for folder in arguments.folders])
        report.write(comparison, out, latex=arguments.latex)
    except ValueError as error:
        raise Refusal([str(error)]) from error
    except OSError as error:
        said = f"{error.filename or out}: cannot write: {error.strerror or error}"
        raise Refusal([said], MACHINE_TROUBLE) from error
    show.results(comparison, out)
    for name in comparison.tasks:
        if (module := TASKS.module_of(name)) and not TASKS.is_at_hand(name):
            hint = f"reference returns that it may declare are left out; with --trust {module} they are not"
            print(f"note: {name} was not imported; {hint}", file=sys.stderr)
    return 0


def _replay(arguments: ReplayArguments) -> int:
    from policysearch.compare import recommendation, saved, video  # noqa: PLC0415 - heavy

    trusted(arguments.trust)
    try:
        found = saved.load(arguments.file)
        if found[0].failed is not None:
            return _replay_failure(arguments)
        replayed = recommendation.replay(arguments.file)
        header = replayed.header
        who = f"{header.optimizer} on {header.task}, run {header.run} of seed {header.seed}"
        print(f"{who}, {header.policy} policy")
        print(f"reported return {header.final_return!r} ± {header.final_return_se:.4g} (standard error)")
        print(f"replayed return {replayed.final_return!r}")
        if header.failed_episodes or replayed.failed_episodes:
            print(f"failed report episodes {header.failed_episodes}, now {replayed.failed_episodes}")
        for line in recommendation.in_words(*found):
            print(f"  {line}")
        said = "the same to the last digit", "DIFFERENT: another version, machine or environment?"
        print(said[not replayed.same])
        if arguments.video is not None:
            steps = video.record(arguments.file, arguments.video)
            print(f"video of the first episode, {steps} steps: {arguments.video}")
    except ValueError as error:
        raise Refusal([str(error)]) from error
    except OSError as error:
        raise Refusal([f"{arguments.video}: cannot write: {error}"], MACHINE_TROUBLE) from error
    return 0 if replayed.same else 1


def _replay_failure(arguments: ReplayArguments) -> int:
    from policysearch.compare import recommendation  # noqa: PLC0415 - heavy

    if arguments.video is not None:
        raise Refusal([f"{arguments.file}: a failed episode, of which no video is made"])
    failed, now = recommendation.replay_failure(arguments.file)
    print(f"it failed: {failed.reason}")
    if now is None:
        print("it does NOT fail now: another version, machine or environment?")
        return 1
    print(f"it fails:  {now.reason}")
    if now.traceback:
        print(now.traceback.rstrip())
    return 0 if now.reason == failed.reason else 1


if __name__ == "__main__":
    sys.exit(main())
