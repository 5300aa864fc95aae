"""The command line `python -m policysearch.gradients`: how good are estimates of the policy gradient?

Only light modules are imported here, so that `--help` answers at once.
"""

import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional

from policysearch.command_line import Refusal, import_from_here, running
from policysearch.errors import MACHINE_TROUBLE
from policysearch.estimates.options import EstimateOptions
from policysearch.flags import flag, parsed

if TYPE_CHECKING:
    from policysearch.estimates.measurement import Estimates, Request
    from policysearch.tasks import Task

PROGRAM = "python -m policysearch.gradients"

DESCRIPTION = """Compare estimators of the policy gradient with the true gradient.

Every estimator makes many estimates from N rollouts each; bias, spread, signal-to-noise ratio and the cosine with the
truth are shown against N, as a table and a picture. The truth is exact for lqr, bandit, chain, aliased-gridworld and
rock-paper-scissors; for any other task it is the mean of many more rollouts, with its own error.

  python -m policysearch.gradients                       every estimator on lqr
  python -m policysearch.gradients chain --rollouts 10 100 1000 --discount 0.9
  python -m policysearch.gradients CartPole-v1 --estimators "reward-to-go" "SPSA, common" "smoothing (ES)"
  python -m policysearch.gradients lqr --at results/mine/recommendations.npz/reinforce/0
  python -m policysearch.gradients --list

Exit codes: 0 done, 2 not possible as asked, 3 the machine's fault, 130 interrupted."""


@dataclass(frozen=True, kw_only=True)
class Arguments(EstimateOptions):
    """The flags."""

    task: Annotated[Positional[str], flag("[TASK]", "lqr")] = "lqr"
    """A task of policysearch.compare, a Gymnasium id, module:EnvId or module:TASK."""

    policy: Annotated[str | None, flag("NAME", "what suits the task")] = None
    """linear, mlp:32,32, tabular, …"""

    at: Annotated[Path | None, flag("FILE.npz/METHOD/RUN", "where searches start")] = None
    """A recommendation of a comparison: the parameters at which the gradient is taken."""

    out: Annotated[Path | None, flag("DIR", "policysearch-results/gradients-TASK")] = None
    """Folder for estimates.csv, .md, .png and .svg."""

    list: Annotated[bool, flag("")] = False
    """Show the estimators, then stop."""


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parsed(Arguments, argv, PROGRAM, DESCRIPTION)
    return running(lambda: _run(arguments, argv), "interrupted; nothing is written")


def _run(arguments: Arguments, argv: "list[str]") -> int:
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    from policysearch.compare.again import command_line  # noqa: PLC0415
    from policysearch.estimates import report  # noqa: PLC0415
    from policysearch.provenance import environment  # noqa: PLC0415
    from policysearch.reporting.console import Console  # noqa: PLC0415 - heavy, as the others
    from policysearch.reporting.tables import terminal  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 110)  # a cut table says nothing
    if arguments.list:
        _list(console)
        return 0
    request = _request(arguments)
    out = arguments.out or Path("policysearch-results") / f"gradients-{request.task.name.replace('/', '-')}"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal([f"--out {out}: cannot write there: {error.strerror}"], MACHINE_TROUBLE) from error
    with threadpool_limits(1):
        found = _watched(request)
    try:
        command = command_line(argv, "policysearch.gradients")
        report.write(found, out, command, environment() | found.request.task.plug_ins())
    except OSError as error:
        why = f"{error.filename or out}: cannot write: {error.strerror}"
        raise Refusal([why], MACHINE_TROUBLE) from error
    text = report.readable(found)
    console.print(report.title(found), markup=False)
    console.print(terminal(text.columns, text.itertuples(index=False), left=text.columns, wrap=False))
    for line in report.verdict(found):
        console.print(line, markup=False)
    console.print(f"picture and tables: {out / 'estimates.md'}", markup=False)
    return 0


def _request(arguments: Arguments) -> "Request":
    from policysearch.estimates.measurement import NAMES, Request  # noqa: PLC0415 - heavy
    from policysearch.tasks import find_task  # noqa: PLC0415

    import_from_here()
    try:
        task, params = find_task(arguments.task), None
        if arguments.policy is not None:
            task = replace(task, policy=arguments.policy)
        if arguments.at is not None:
            task, params = _recommended(arguments, task)
        task.make_policy()  # or says why it cannot
        options = {field.name: getattr(arguments, field.name) for field in fields(EstimateOptions)}
        options["estimators"] = list(dict.fromkeys(arguments.estimators or NAMES))
        options["rollouts"] = sorted(set(arguments.rollouts))
        return Request(task=task, params=params, **options)
    except ValueError as error:
        raise Refusal([str(error)]) from error


def _recommended(arguments: Arguments, task: "Task") -> "tuple[Task, Any]":
    """The task with the policy of the recommendation, and its parameters; those the mode ignores at their start."""
    from policysearch.compare import saved  # noqa: PLC0415 - heavy
    from policysearch.seeding import stream  # noqa: PLC0415

    assert arguments.at is not None  # noqa: S101 - asked for
    header, known = saved.load(arguments.at)
    if header.task != task.name or arguments.policy not in (None, header.policy):
        asked = f"{task.name} with policy {arguments.policy or task.policy}"
        raise ValueError(
            f"{arguments.at}: expected parameters for {asked}, got {header.task} with {header.policy}"
        )
    if arguments.policy is None:
        header.check_trusted()
    task = replace(task, policy=header.policy)
    params = task.make_policy().start(stream(arguments.seed, "start", task.name, 0))
    params[: known.size] = known
    return task, params


def _watched(request: "Request") -> "Estimates":
    """The answer, with a progress bar in a terminal and a line every ten seconds elsewhere."""
    from rich.progress import Progress  # noqa: PLC0415

    from policysearch.estimates.measurement import CannotMeasure, Estimates, measured  # noqa: PLC0415
    from policysearch.reporting.console import Console  # noqa: PLC0415 - heavy

    console, said = Console(stderr=True), time.monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        job: Any = bar.add_task(f"gradients on {request.task.name}", total=1.0)
        try:
            for news in measured(request):
                if isinstance(news, Estimates):
                    return news
                bar.update(job, completed=news)
                if not console.is_terminal and time.monotonic() - said > 10:
                    said = time.monotonic()
                    print(f"{news:.0%} of the estimates are made", file=sys.stderr, flush=True)
        except CannotMeasure as error:
            raise Refusal([str(error)]) from error
    raise AssertionError("the last news is the answer")


def _list(console: Any) -> None:
    from policysearch.gradients.estimators import FROM_RETURNS, FROM_ROLLOUTS  # noqa: PLC0415 - heavy

    for title, known in (
        ("from recorded rollouts, by the score function", FROM_ROLLOUTS),
        ("from returns of perturbed parameters", FROM_RETURNS),
    ):
        console.print(f"[bold]{title}[/bold]")
        for name, estimator in known.items():
            console.print(
                f"  {name}: {'biased: ' + estimator.bias if estimator.bias else 'unbiased'}", soft_wrap=True
            )


if __name__ == "__main__":
    sys.exit(main())
