"""The command line `python -m policysearch.watch`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from policysearch.command_line import Refusal, running
from policysearch.flags import parsed
from policysearch.registry import imported

MAX_FOLDERS = 2
PROGRAM = "python -m policysearch.watch"
DESCRIPTION = """Watch a comparison, a tuning or a session in a browser, while it runs or afterwards. Nothing is
changed, and nothing is sent anywhere.

  python -m policysearch.watch DIR           prints a link for a browser on this computer; Ctrl-C ends it
  python -m policysearch.watch DIR OTHER     two of them, next to each other

DIR is the folder in which results are kept, as --out has named it. Needs `pip install policysearch[lab]`.

Exit codes: 0 done, 2 not possible as asked, 3 the machine's fault, 4 the port is in use, 130 interrupted."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is watched, and where."""

    folders: Annotated[Positional[list[Path]], arg(metavar="DIR [DIR]")]
    """The folder of a comparison, a tuning or a session; of two folders the pages are next to each other."""

    port: Annotated[int, arg(metavar="PORT", help_behavior_hint="(default: any that is free)")] = 0
    """Port of the page on this computer."""


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = parsed(Arguments, sys.argv[1:] if argv is None else argv, PROGRAM, DESCRIPTION)
    return running(lambda: _watch(arguments))


def _watch(arguments: Arguments) -> int:
    """Serve the pages of folders until Ctrl-C; what serves them is heavy, and needs an extra."""
    if not 0 <= arguments.port < 1 << 16:
        raise Refusal([f"--port: expected 0 to 65535, got {arguments.port}"])
    if not 1 <= len(arguments.folders) <= MAX_FOLDERS:
        raise Refusal([f"expected one folder or {MAX_FOLDERS}, got {len(arguments.folders)}"])
    try:
        command = imported("policysearch.watch.command:command")
    except ValueError as error:
        raise Refusal([str(error)]) from error
    return int(command(arguments.folders, arguments.port))


if __name__ == "__main__":
    sys.exit(main())
