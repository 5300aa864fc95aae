"""Commands that a reader can type to run a study, or a failed episode, again."""

import os
import shlex
import sys
from pathlib import Path

from policysearch.compare.run import Job
from policysearch.compare.saved import FAILURES_FILE, relative
from policysearch.compare.study import Study
from policysearch.deploy.files import Name
from policysearch.registry import package_of
from policysearch.tasks import outside


def replay_of(job: Job, study: Study, out: Path) -> str:
    """The command that shows the first failed episode of a run again."""
    name = str(Name(job.task, job.optimizer, job.run, 0))
    return replay_command(
        f"{out / FAILURES_FILE / name}", None, *outside(job.task, study.task(job.task).policy)
    )


def replay_command(file: str, out: Path | None = None, *modules: str) -> str:
    """The command that shows a failed episode again, to be run where modules outside any package are."""
    path = Path(file) if out is None else out / relative(file, out)
    here = "PYTHONPATH=. " * any(package_of(module) is None for module in modules)
    trust = ["--trust", *modules] if modules else []
    return here + shlex.join(["python", "-m", "policysearch.compare", "replay", str(path), *trust])


def command_line(arguments: list[str], module: str = "policysearch.compare") -> str:
    """The command that a reader can type again."""
    name = "python" if "python" in Path(sys.executable).name else sys.executable
    return shlex.join([name, "-m", module, *(os.fspath(argument) for argument in arguments)])
