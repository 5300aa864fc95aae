"""A process of ours, which runs one function of the package."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from policysearch.hitl.{} import {} as start; start(**json.loads(sys.argv[2]))"
)


def child_process(
    module: str,
    name: str,
    told: Mapping[str, Any],
    *,
    files: Sequence[int] = (),
    stdout: int = subprocess.DEVNULL,
    stderr: int | None = None,
) -> "subprocess.Popen[bytes]":
    """Call a function in a process in a session of its own.

    Args:
        module: of the function, within `policysearch.hitl`.
        name: of the function.
        told: its arguments, as JSON can carry them.
        files: descriptors that it inherits.
        stdout: as `subprocess.Popen` takes it.
        stderr: as `subprocess.Popen` takes it.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-c", _START.format(module, name), json.dumps(sys.path), json.dumps(told)],
        pass_fds=files,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )
