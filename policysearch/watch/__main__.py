"""The command line `python -m policysearch.watch`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from policysearch.command_line import Refusal, parsed, running

PROGRAM = "python -m policysearch.watch"
DESCRIPTION = """Watch a comparison, a tuning or a session in a browser, while it runs or afterwards. Nothing is
changed, and nothing is sent anywhere.

  python -m policysearch.watch DIR     prints a link for a browser on this computer; Ctrl-C ends it

DIR is the folder in which results are kept, as --out has named it. Needs `pip install policysearch[lab]`.

Exit codes: 0 done, 2 not possible as asked, 3 the machine's fault, 4 the port is in use, 130 interrupted."""
EXTRA = (
    "watch needs starlette, uvicorn and websockets, which are not installed: pip install 'policysearch[lab]'"
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is watched, and where."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """The folder of a comparison, a tuning or a session."""

    port: Annotated[int, arg(metavar="PORT", help_behavior_hint="(default: any that is free)")] = 0
    """Port of the page on this computer."""


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = parsed(Arguments, sys.argv[1:] if argv is None else argv, PROGRAM, DESCRIPTION)
    return running(lambda: _watch(arguments))


def _watch(arguments: Arguments) -> int:
    """Serve the pages of a folder until Ctrl-C."""
    try:
        from policysearch.watch.routes import PAGES, routes  # noqa: PLC0415 - heavy, and an extra
        from policysearch.watch.shell.address import Address  # noqa: PLC0415
        from policysearch.watch.shell.app import Site  # noqa: PLC0415
        from policysearch.watch.shell.roles import Roles  # noqa: PLC0415
        from policysearch.watch.shell.serve import links, serve  # noqa: PLC0415
        from policysearch.watch.source import Watched, ledger_of  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("starlette", "uvicorn", "websockets"):
            raise Refusal([EXTRA]) from error
        raise
    if not 0 <= arguments.port < 1 << 16:
        raise Refusal([f"--port: expected 0 to 65535, got {arguments.port}"])
    watched = Watched(ledger_of(arguments.folder))
    listener, address = Address(port=arguments.port).bound()
    roles = Roles.new(["viewer"])
    site = Site({"viewer": PAGES / "watch.html"}, watched, routes(watched), {"pages": PAGES})
    print(f"{arguments.folder}: {links(address, roles)['viewer']}")
    print("Ctrl-C ends the page; the study does not notice.", flush=True)
    serve(site, address, roles, listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
