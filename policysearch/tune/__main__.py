"""The command line `python -m policysearch.tune`."""

import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from policysearch.command_line import Refusal, import_from_here, running
from policysearch.errors import MACHINE_TROUBLE
from policysearch.flags import flag, flags_of, parsed, settings
from policysearch.interrupts import Interrupted
from policysearch.reuse import Reuse
from policysearch.tune.options import TuneSettings

if TYPE_CHECKING:
    from policysearch.tune.result import TuneResult

PROGRAM = "python -m policysearch.tune"

DESCRIPTION = """Tune the parameters of a controller: of a Python function, of any program that prints a number, or
of a machine at which a person reads one.

  python -m policysearch.tune gains.toml                         what the file describes
  python -m policysearch.tune gains.toml --rollouts 50 --workers 4
  python -m policysearch.tune my_module:cost --goal minimise     a function of a dataclass of parameters, and a seed
  python -m policysearch.tune gains.toml --ask                   a person tries each setting and types the result

gains.toml:

  command = "./simulate --kp {kp} --kd {kd} --seed {seed}"   # prints its cost last; or function = "module:name"
  goal = "minimise"
  constraints = ["kd <= kp / 2"]
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
  [perturb]                                    # changed plants, on which the result is evaluated too
  "twice the load" = "./simulate --load 2 --kp {kp} --kd {kd} --seed {seed}"

A program that reads or writes files of fixed names needs a folder of its own for each run, {dir}; then the results do
not depend on --workers. The folder is removed after the run; that of the first run that fails is kept.

  command = "python3 {here}/solve.py"          # {here}: the present folder; {worker}: 0, 1, … below --workers
  directory = "{dir}"                          # where it runs, if not in the present folder
  template = "input.txt.in"                    # copied to {dir}/input.txt, with its {kp} and {kd} filled

Names of files, folders and programs are relative to the present folder, not to that of gains.toml.

Everything is kept in the folder --out as it happens; the same command continues where it stopped.

Exit codes: 0 done, 1 nothing usable was found, 2 not possible as asked, 3 the machine's fault, 4 in use,
130 interrupted."""


@flags_of(Reuse)
@flags_of(TuneSettings)
@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What was asked for; a flag that is left out leaves it to the file."""

    what: Annotated[Positional[str], arg(metavar="FILE.toml|module:function")]
    """What to tune."""

    set: Annotated[list[str], flag("FIELD=VALUE …")] = field(default_factory=list)
    """Hyperparameters of the method, as in sigma=0.2, in place of all of the file's."""

    known: Annotated[str | None, arg(name="from", metavar="PATH", help_behavior_hint="(default: none)")] = (
        None
    )
    """Earlier tries, not charged: a CSV file, or the folder of a tuning."""

    fix: Annotated[list[str], flag("NAME=VALUE …")] = field(default_factory=list)
    """Parameters that keep a value, as in kp=3; the others are searched."""

    scenarios: Annotated[list[str], flag("NAME=VALUES …")] = field(default_factory=list)
    """Values that the plant may have, as in mass=[0.8,1.0,1.2]; every candidate is run with each of them."""

    ask: bool = False
    """A person tries each setting and types what was measured; amend, undo, skip and others correct it."""

    workers: Annotated[int, arg(metavar="W")] = 1
    """Programs, or processes, at a time; the results do not depend on it."""

    engine: Annotated[str | None, arg(metavar="ENGINE", help_behavior_hint="(default: none)")] = None
    """Run the rollouts of a function on other machines: dask=tcp://HOST:PORT, dask=tls://HOST:PORT, dask=FILE.json,
    dask (its own configuration), or module:function, which returns an executor."""

    out: Annotated[Path | None, flag("DIR", "policysearch-results/NAME")] = None
    """Where everything is kept."""

    log: Annotated[Path | None, flag("FILE.csv")] = None
    """A file to which the rollouts of the search are appended while it runs, a row each."""


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = parsed(Arguments, sys.argv[1:] if argv is None else argv, PROGRAM, DESCRIPTION)
    what = Path(arguments.what)
    name = what.stem if what.suffix == ".toml" else arguments.what.replace(":", "-")
    out = (arguments.out or Path("policysearch-results") / name).absolute()  # wherever the function may go
    return running(lambda: _run(arguments, out), "stopped; the same command continues where it stopped")


def _run(arguments: Arguments, out: Path) -> int:
    from policysearch.asking.prompt import Stopped  # noqa: PLC0415
    from policysearch.evaluators.recorded import ReplayDiffers  # noqa: PLC0415 - heavy
    from policysearch.tune.written import places  # noqa: PLC0415

    try:
        result = _tuned(arguments, out)
        print(f"{result}\n{places(out)}")
        return 0 if result.usable else 1
    except Interrupted as stopped:
        print(f"{stopped.result}\n{places(out)}")
        raise
    except ValueError as error:
        raise Refusal([str(error)]) from error
    except ReplayDiffers as error:
        raise Refusal([f"{out}: {error}; choose another folder with --out"], MACHINE_TROUBLE) from error
    except OSError as error:
        raise Refusal([f"{error.filename or out}: {error.strerror or error}"], MACHINE_TROUBLE) from error
    except (EOFError, Stopped):
        raise KeyboardInterrupt from None


def _tuned(arguments: Arguments, out: Path) -> "TuneResult":
    """The result of the request.

    Raises:
        ValueError: if it is not possible as asked.
    """
    from policysearch.tune import request  # noqa: PLC0415 - heavy
    from policysearch.tune.api import tune  # noqa: PLC0415

    import_from_here()
    names = {field.name for field in fields(Arguments)} & set(request.TuneRequest.model_fields)
    overruled = {name: getattr(arguments, name) for name in names}
    overruled |= {
        "options": settings(arguments.set) or None,
        "fixed": settings(arguments.fix, "--fix", "NAME=VALUE, as in kp=3") or None,
    }
    example = "NAME=VALUES, as in mass=[0.8,1.0,1.2]"
    overruled["scenarios"] = settings(arguments.scenarios, "--scenarios", example) or None
    overruled = {name: value for name, value in overruled.items() if value is not None and value is not False}
    asked = request.read(arguments.what, overruled)
    return tune(
        asked.plant(),
        asked.space(),
        known=asked.known,
        perturb=asked.plants(),
        workers=arguments.workers,
        engine=arguments.engine,
        out=out,
        log=arguments.log,
        **{name: getattr(arguments, name) for name in Reuse.model_fields},
        progress=lambda line: print(line, file=sys.stderr, flush=True),
        **asked.keywords,
    )


if __name__ == "__main__":
    sys.exit(main())
