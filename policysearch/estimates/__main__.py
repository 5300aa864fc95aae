"""The command line `python -m policysearch.gradients`: how good are estimates of the policy gradient?

Only light modules are imported here, so that `--help` answers at once.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from policysearch.estimates.measurement import Estimates, Request
    from policysearch.tasks import Task

PROGRAM = "python -m policysearch.gradients"
WRONG_REQUEST, MACHINE_TROUBLE, INTERRUPTED = 2, 3, 130

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


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The flags."""

    task: Annotated[Positional[str], arg(metavar="[TASK]", help_behavior_hint="(default: lqr)")] = "lqr"
    """A task of policysearch.compare, a Gymnasium id, or module:EnvId."""

    estimators: Annotated[list[str] | None, arg(metavar="NAME …", help_behavior_hint="(default: all)")] = None
    """Names from --list."""

    rollouts: Annotated[list[int], arg(metavar="N …")] = dataclasses.field(
        default_factory=lambda: [10, 30, 100, 300]
    )
    """Rollouts per estimate."""

    repeats: Annotated[int, arg(metavar="M")] = 50
    """Estimates of each kind."""

    policy: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: what suits the task)")
    ] = None
    """linear, mlp:32,32, tabular, …"""

    at: Annotated[
        Path | None, arg(metavar="FILE.npz/METHOD/RUN", help_behavior_hint="(default: where searches start)")
    ] = None
    """A recommendation of a comparison: the parameters at which the gradient is taken."""

    discount: Annotated[float, arg(metavar="GAMMA")] = 1.0
    """Of the return whose gradient is estimated."""

    perturbation: Annotated[float, arg(metavar="EPS")] = 0.02
    """Of the parameters, for the estimators that see returns only."""

    reference: Annotated[int, arg(metavar="R")] = 20_000
    """Rollouts that stand for the truth where there is no closed form."""

    seed: Annotated[int, arg(metavar="S")] = 0
    """The same seed gives the same numbers."""

    out: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: policysearch-results/gradients-TASK)")
    ] = None
    """Folder for estimates.csv, .md, .png and .svg."""

    list: Annotated[bool, arg(metavar="", help_behavior_hint="")] = False
    """Show the estimators, and end."""


class Refusal(Exception):  # noqa: N818 - it is an answer
    """Why it ends: a message and an exit code."""

    def __init__(self, message: str, code: int = WRONG_REQUEST) -> None:
        self.code = code
        super().__init__(message)


def main(argv: "list[str] | None" = None) -> int:
    """Answer the command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = tyro.cli(Arguments, prog=PROGRAM, description=DESCRIPTION, args=argv)
    try:
        return _run(arguments, argv)
    except KeyboardInterrupt:
        print("interrupted; nothing is written", file=sys.stderr)
        return INTERRUPTED
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return refusal.code


def _run(arguments: Arguments, argv: "list[str]") -> int:
    from rich.console import Console  # noqa: PLC0415 - heavy, as the others
    from rich.table import Table  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    from policysearch.compare import journal, report  # noqa: PLC0415
    from policysearch.estimates import report as estimates_report  # noqa: PLC0415

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
        raise Refusal(f"--out {out}: cannot write there: {error.strerror}", MACHINE_TROUBLE) from error
    with threadpool_limits(1):
        found = _watched(request)
    try:
        command = report.command_line(argv, "policysearch.gradients")
        estimates_report.write(found, out, command, journal.environment())
    except OSError as error:
        raise Refusal(f"{error.filename or out}: cannot write: {error.strerror}", MACHINE_TROUBLE) from error
    text = estimates_report.readable(found)
    console.print(estimates_report.title(found))
    table = Table(box=None, pad_edge=False)
    for column in text.columns:
        table.add_column(column, no_wrap=True)
    for row in text.itertuples(index=False):
        table.add_row(*map(str, row))
    console.print(table)
    for line in estimates_report.verdict(found):
        console.print(line)
    console.print(f"picture and tables: {out / 'estimates.md'}")
    return 0


def _request(arguments: Arguments) -> "Request":
    from policysearch.estimates.measurement import NAMES, Request  # noqa: PLC0415 - heavy
    from policysearch.tasks import find_task  # noqa: PLC0415

    try:
        task, params = find_task(arguments.task), None
        if arguments.policy is not None:
            task = dataclasses.replace(task, policy=arguments.policy)
        if arguments.at is not None:
            task, params = _recommended(arguments, task)
        task.make_policy()  # or says why it cannot
        return Request(
            task=task,
            estimators=list(dict.fromkeys(arguments.estimators or NAMES)),
            rollouts=sorted(set(arguments.rollouts)),
            repeats=arguments.repeats,
            discount=arguments.discount,
            epsilon=arguments.perturbation,
            seed=arguments.seed,
            reference=arguments.reference,
            params=params,
        )
    except ValueError as error:
        raise Refusal(str(error)) from error


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
    task = dataclasses.replace(task, policy=header.policy)
    params = task.make_policy().start(stream(arguments.seed, "start", task.name, 0))
    params[: known.size] = known
    return task, params


def _watched(request: "Request") -> "Estimates":
    """The answer, with a progress bar in a terminal and a line every ten seconds elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - heavy
    from rich.progress import Progress  # noqa: PLC0415

    from policysearch.estimates import measurement as estimates  # noqa: PLC0415

    console, said = Console(stderr=True), time.monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        job: Any = bar.add_task(f"gradients on {request.task.name}", total=1.0)
        try:
            for news in estimates.measured(request):
                if isinstance(news, estimates.Estimates):
                    return news
                bar.update(job, completed=news)
                if not console.is_terminal and time.monotonic() - said > 10:
                    said = time.monotonic()
                    print(f"{news:.0%} of the estimates are made", file=sys.stderr, flush=True)
        except estimates.CannotMeasure as error:
            raise Refusal(str(error)) from error
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
