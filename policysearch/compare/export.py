"""The subcommand `export`: a recommendation for another program, or as a file of its own."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from policysearch.command_line import Refusal, trusted
from policysearch.errors import MACHINE_TROUBLE
from policysearch.flags import Trust


@dataclasses.dataclass(frozen=True)
class ExportArguments:
    """Write the recommendation of a finished run for another program.

    From Python, `policysearch.load(FILE).act(obs)` acts without the environment.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE.npz/TASK/METHOD/RUN")]
    """DIR/recommendations.npz and the run, as for replay."""

    out: Annotated[Path, arg(metavar="FILE")]
    """Its ending says what is written: .h (C), .json, .mat (MATLAB), or .npz (for `policysearch.load`)."""

    trust: Trust = dataclasses.field(default_factory=list)
    """Modules outside policysearch that may be imported because the file names them; not from the present folder."""


def written(arguments: ExportArguments) -> str:
    """Run the subcommand; returns a line that says where the file is.

    Raises:
        Refusal: if there is no such recommendation, or it cannot be written.
    """
    trusted(arguments.trust)
    try:
        return f"written: {export(arguments.file, arguments.out)}"
    except ValueError as error:
        raise Refusal([str(error)]) from error
    except OSError as error:
        where = error.filename or arguments.out
        raise Refusal([f"{where}: cannot write: {error.strerror or error}"], MACHINE_TROUBLE) from error


def export(file: Path, out: Path) -> Path:
    """Write a recommendation, of which the environment is asked only where the file does not say how it acts.

    Raises:
        ValueError: if there is none, or it has no form of its own.
        OSError: if it cannot be written.
    """
    from policysearch.compare import saved  # noqa: PLC0415 - heavy
    from policysearch.deploy.forms import form_of  # noqa: PLC0415
    from policysearch.deploy.policy import SavedPolicy  # noqa: PLC0415
    from policysearch.plain_data import decode  # noqa: PLC0415

    header, params = saved.load(file)
    if header.failed is not None:
        raise ValueError(f"{file}: expected a recommendation, got a failed episode")
    form = decode(header.form) if header.form else None
    if form is None:
        task = header.task_with_environment()
        form = form_of(task.make_policy(), task.meet().interface, header.deploy)
    if form is None:
        raise ValueError(f"{file}: policy {header.policy!r} has no form of its own; act with it from Python")
    facts = json.loads(header.model_dump_json(exclude_none=True, exclude={"form"}))
    return SavedPolicy(form, params, facts).export(out)
