"""The command `hitl console`: pages for a session, and an engine if none runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from starlette.routing import Route
from tyro.conf import Positional, arg

from policysearch.command_line import Refusal, import_from_here
from policysearch.errors import MACHINE_TROUBLE
from policysearch.flags import flag, parsed
from policysearch.hitl import LOG, flags
from policysearch.hitl.engine import client
from policysearch.hitl.flags import EngineFlags
from policysearch.hitl.folder import PROGRAM
from policysearch.watch.console.act import Act
from policysearch.watch.console.gateway import Gateway
from policysearch.watch.console.views import ALLOWED
from policysearch.watch.shell.address import AddressFlags, address
from policysearch.watch.shell.app import Site
from policysearch.watch.shell.roles import Roles
from policysearch.watch.shell.serve import links, serve

PORT = 8620
TOKENS = "console.json"
STATIC = Path(__file__).parent / "static"
PAGES = {role: STATIC / f"{role if role != 'blind' else 'operator'}.html" for role in ALLOWED}
NOT_A_STOP = (
    "STOP on these pages is not the emergency stop: keep the physical stop of the device within reach."
)


@dataclass(frozen=True, kw_only=True)
class ConsoleFlags(AddressFlags, EngineFlags):
    """Pages in a browser for a session with a person: for the operator, the participant, and viewers.

    The engine of the session in DIR is used, or started if none runs: then the flags of a device and of breaths are
    as for `run`, which also begins a session. Links with tokens are printed, one per role; they hold for this DIR.
    """

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """The folder of the session."""

    optimizer: Annotated[str, flag("MODULE:NAME")] = ""
    """The method of the session, if it is not one of this package."""


def command(argv: list[str], program: str) -> int:
    """Run the command; returns the exit code."""
    arguments = parsed(ConsoleFlags, argv, program)
    place, folder = address(arguments, PORT), arguments.folder
    if not (folder / LOG).is_file():
        raise Refusal([f"{folder}: no session is there; to begin one: {PROGRAM} run --out {folder}"])
    start = _starter(arguments)
    listener, place = place.bound()
    if client.there(folder) is None:
        start()
    gateway = Gateway(folder, start)
    act = Act(gateway, place)
    site = Site(PAGES, gateway, [Route("/act", act.__call__, methods=["POST"])], {"console": STATIC})
    try:
        roles = Roles.kept(folder / TOKENS, ALLOWED)
    except OSError as error:
        raise Refusal([f"{folder / TOKENS}: cannot be written: {error.strerror}"], MACHINE_TROUBLE) from error
    for role, link in links(place, roles).items():
        print(f"{role:12} {link}")
    print(f"{NOT_A_STOP} Ctrl-C ends the pages.", flush=True)
    serve(site, place, roles, listener)
    return 0


def _starter(arguments: ConsoleFlags) -> "Starter":
    inlet = flags.inlet(arguments)
    device = flags.device(arguments, arguments.folder / "records")
    import_from_here()
    log = str((arguments.folder / LOG).absolute())
    return Starter(
        {"log": log, "plan": None, "inlet": inlet, "device": device, "method": arguments.optimizer}
    )


class Starter:
    """What starts engines, and keeps the processes until they have ended.

    Args:
        told: what an engine is told.
    """

    def __init__(self, told: dict[str, object]) -> None:
        self._told, self._started = told, list[client.StartedEngine]()

    def __call__(self) -> None:
        """Start one; a Refusal says why it cannot."""
        self._started = [each for each in self._started if each.process and each.process.poll() is None]
        self._started.append(client.started(self._told))
