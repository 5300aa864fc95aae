"""The command line: `python -m policysearch.compare`, and its subcommands `report`, `replay` and `export`.

Only light modules are imported here, so that `--list` and `--help` answer at once.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policysearch.command_line import Refusal, import_from_here, not_from_here, running, trusted
from policysearch.errors import INTERRUPTED, MACHINE_TROUBLE

if TYPE_CHECKING:
    from policysearch.compare.flags import Arguments, ReplayArguments, ReportArguments
    from policysearch.compare.session import Shard
    from policysearch.compare.study import Study


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    return running(lambda: _command(argv), "interrupted; the same command continues where it stopped")


def _command(argv: "list[str]") -> int:
    if argv == ["--list"]:
        return _list()
    from policysearch.compare import export, flags  # noqa: PLC0415 - not needed for `--list`
    from policysearch.flags import parsed  # noqa: PLC0415

    match argv[:1]:
        case ["replay"]:
            with not_from_here():
                return _replay(parsed(flags.ReplayArguments, argv[1:], f"{flags.PROGRAM} replay"))
        case ["report"]:
            with not_from_here():
                return _report(parsed(flags.ReportArguments, argv[1:], f"{flags.PROGRAM} report"))
        case ["export"]:
            with not_from_here():
                print(export.written(parsed(export.ExportArguments, argv[1:], f"{flags.PROGRAM} export")))
                return 0
    import_from_here()
    return _compare(parsed(flags.Arguments, argv, flags.PROGRAM, flags.DESCRIPTION), argv)


def _list() -> int:
    from policysearch.compare.listing import listing  # noqa: PLC0415 - not needed otherwise

    listing()
    return 0


def _compare(arguments: "Arguments", argv: "list[str]") -> int:
    if arguments.list:
        return _list()
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


def _run(arguments: "Arguments", study: "Study", out: Path, workers: int, argv: "list[str]") -> int:
    """Make the runs, show what has come of them, and say how it ended."""
    from policysearch.compare.again import command_line, replay_of  # noqa: PLC0415 - heavy
    from policysearch.compare.driver import Shown, run_study  # noqa: PLC0415
    from policysearch.compare.study import StudyError  # noqa: PLC0415
    from policysearch.ledger import LedgerRefused  # noqa: PLC0415
    from policysearch.reuse import Reuse  # noqa: PLC0415

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


def _report(arguments: "ReportArguments") -> int:
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


def _replay(arguments: "ReplayArguments") -> int:
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


def _replay_failure(arguments: "ReplayArguments") -> int:
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
