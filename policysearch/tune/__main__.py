"""The command line `python -m policysearch.tune`: a file that says what to tune, and how much better it became."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from policysearch.command_line import IN_USE, INTERRUPTED, MACHINE_TROUBLE, WRONG_REQUEST

PROGRAM = "python -m policysearch.tune"

DESCRIPTION = """Tune the parameters of a controller: a Python function, or any program that prints a number.

  python -m policysearch.tune gains.toml                         with the rollouts that the file allows
  python -m policysearch.tune gains.toml --rollouts 50 --workers 4

gains.toml:

  command = "./simulate --kp {kp} --kd {kd} --seed {seed}"   # prints its cost last; or function = "module:name"
  goal = "minimise"
  [parameters.kp]
  start = 1.0
  lower = 0.1
  upper = 100.0
  scale = "log"
  [parameters.kd]
  start = 0.0
  lower = 0.0
  upper = 10.0
  unit = "s"

Everything is kept in the folder --out as it happens; the same command goes on where it was.

Exit codes: 0 done, 2 not possible as asked, 3 the machine's fault, 4 in use, 130 interrupted."""


@dataclass(frozen=True)
class Arguments:
    """What was asked for."""

    file: Annotated[Positional[Path], arg(metavar="FILE.toml")]
    """What to tune."""

    rollouts: Annotated[int | None, arg(metavar="N")] = None
    """How often the search may try, instead of what the file says."""

    optimizer: Annotated[str | None, arg(metavar="NAME")] = None
    """The method, instead of what the file says."""

    seed: Annotated[int | None, arg(metavar="S")] = None
    """Of everything random, instead of what the file says."""

    workers: Annotated[int, arg(metavar="W")] = 1
    """Programs, or processes, at a time; the results do not depend on it."""

    out: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: policysearch-results/FILE)")
    ] = None
    """Where everything is kept."""


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = tyro.cli(Arguments, args=argv, prog=PROGRAM, description=DESCRIPTION)
    from policysearch.files import write_text  # noqa: PLC0415 - heavy
    from policysearch.ledger import LedgerBusy, LedgerError  # noqa: PLC0415
    from policysearch.tune import request  # noqa: PLC0415
    from policysearch.tune.api import progress, tune  # noqa: PLC0415

    flags = {name: getattr(arguments, name) for name in ("rollouts", "optimizer", "seed")}
    out = arguments.out or Path("policysearch-results") / arguments.file.stem
    try:
        asked = request.read(arguments.file, {k: v for k, v in flags.items() if v is not None})
        plain = asked.model_dump(exclude={"command", "function", "parameters"})
        result = tune(
            asked.target(),
            asked.space(),
            workers=arguments.workers,
            out=out,
            watch=progress(asked.goal),
            **plain,
        )
    except ValueError as error:
        return _refused(str(error), WRONG_REQUEST)
    except LedgerError as error:
        return _refused(str(error), IN_USE if isinstance(error, LedgerBusy) else MACHINE_TROUBLE)
    except OSError as error:
        return _refused(f"{error.filename or out}: {error.strerror or error}", MACHINE_TROUBLE)
    except KeyboardInterrupt:
        return _refused("interrupted; the same command goes on where it was", INTERRUPTED)
    result.history.to_csv(out / "history.csv", index=False, lineterminator="\n")
    write_text(out / "result.txt", f"{result}\n")
    result.plot().savefig(out / "tries.png", dpi=110, metadata={"Software": None})
    print(f"{result}\npicture: {out / 'tries.png'}\ntries:   {out / 'history.csv'}")
    return 0


def _refused(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
