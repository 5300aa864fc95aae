"""The folder of a session on the command line: the plan of a new one, what is asked for it, and its report.

Only light modules are imported here, so that `--help` answers at once.
"""

import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policysearch.command_line import Refusal
from policysearch.errors import INTERRUPTED, MACHINE_TROUBLE
from policysearch.hitl import flags
from policysearch.hitl.flags import RunFlags, SimulateFlags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from policysearch.hitl.plan import SessionPlan
    from policysearch.hitl.session import Session
    from policysearch.hitl.view import SessionView

PROGRAM = "python -m policysearch.hitl"
LOG = "session.sqlite"
#: What a session with a person has to be told.
PERSON = {
    "participant": "the code of the participant, not a name",
    "mass": "body mass (kg)",
    "standing_rate": "metabolic rate standing still (W/kg)",
}


def same_command(argv: list[str]) -> str:
    """The command that continues."""
    return f"{PROGRAM} {shlex.join(argument for argument in argv if argument != '--fresh')}"


def line_typed(prompt: str) -> str:
    """The next line, which is shown unless it is typed in a terminal; what was typed before the prompt is dropped."""
    if not sys.stdin.isatty():
        line = input(prompt)
        print(line)
        return line
    import termios  # noqa: PLC0415 - not everywhere

    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    return input(prompt)


@contextmanager
def walked_session(
    arguments: SimulateFlags,
    argv: list[str],
    others: dict[str, Any],
    other: "Callable[[SessionView], list[str]]",
) -> "Iterator[Session]":
    """The session in a folder, see `planned`; a report at its end."""
    from policysearch.hitl.session import Session  # noqa: PLC0415 - heavy

    out = arguments.out
    plan, path = planned(arguments, others, other), out / LOG
    with Session.resume(path) if plan is None else Session.begin(plan, path) as session:
        try:
            yield session
        except KeyboardInterrupt:
            interrupted(session, out, argv)
        print(f"report: {written(session, out)}")


def planned(
    arguments: RunFlags | SimulateFlags, others: dict[str, Any], other: "Callable[[SessionView], list[str]]"
) -> "SessionPlan | None":
    """The plan of a new session; None to continue the one in the folder, if the flags agree with it.

    Args:
        arguments: the flags.
        others: what a new plan has that is not in the flags.
        other: how the session in the folder is another one than that of the flags.
    """
    from policysearch.hitl.log import has_begun  # noqa: PLC0415 - heavy
    from policysearch.hitl.view import SessionView  # noqa: PLC0415
    from policysearch.ledger import set_aside  # noqa: PLC0415

    out, said = arguments.out, flags.given(arguments)
    path = out / LOG
    if arguments.fresh or not has_begun(path):
        if isinstance(arguments, RunFlags):
            flags.plan(said, others)  # or refused, before anything is asked
            said = {"order": "balanced"} | said | told_of_the_person(said)
        plan = flags.plan(said, others)
        made(out)
        if arguments.fresh and (kept := set_aside(path)):
            print(f"the log that was there is kept as {kept}", file=sys.stderr)
        return plan
    flags.import_method(said)
    old = SessionView.of(path)
    if wrong := flags.differences(old.plan, said) + other(old):
        hint = f"{out} has another session: leave these flags out, choose another folder, or pass --fresh"
        raise Refusal([*wrong, hint])
    return None


def told_of_the_person(said: dict[str, Any]) -> dict[str, Any]:
    """What a new session has to be told of the person and no flag says; asked for in a terminal.

    Raises:
        Refusal: where nothing can be asked.
    """
    from policysearch.asking.prompt import number  # noqa: PLC0415

    left = {name: words for name, words in PERSON.items() if name not in said}
    if left and not sys.stdin.isatty():
        why = "a new session has to be told it, as no default fits everybody"
        raise Refusal([f"--{name.replace('_', '-')}: {why}" for name in left])
    told: dict[str, Any] = {}
    for name, words in left.items():
        while name not in told:
            text = line_typed(f"{words} > ").strip()
            value = text if name == "participant" else number(text)
            if value in ("", None):
                print(f"  expected {words}, got {text!r}")
            else:
                told[name] = value
    return told


def made(out: Path) -> None:
    """Make a folder, if it is not there.

    Raises:
        Refusal: if it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal([f"--out {out}: cannot write there: {error}"]) from error


def written(session: "SessionView", out: Path) -> Path:
    """Write the report of a session; returns its path.

    Raises:
        Refusal: if it cannot be written.
    """
    from policysearch.hitl import report  # noqa: PLC0415 - heavy

    try:
        return report.write(session, out)
    except OSError as error:
        place = error.filename or out
        why = f"{place}: cannot write: {error.strerror or error}; the session is safe in {out / LOG}"
        raise Refusal([why], MACHINE_TROUBLE) from error


def interrupted(session: "SessionView", out: Path, argv: list[str]) -> "NoReturn":
    """Write the report, and say how to continue."""
    print(f"\nreport: {written(session, out)}")
    why = f"interrupted; what was written down is kept. To continue: {same_command(argv)}"
    raise Refusal([why], INTERRUPTED) from None
