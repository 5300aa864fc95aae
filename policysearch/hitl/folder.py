"""The folder of a session on the command line: the plan of a new one, what is asked for it, and its report.

Only light modules are imported here, so that `--help` answers at once.
"""

import shlex
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policysearch.command_line import Refusal
from policysearch.errors import INTERRUPTED, MACHINE_TROUBLE
from policysearch.hitl import LOG, flags
from policysearch.hitl.flags import RehearseFlags, RunFlags, SimulateFlags
from policysearch.provenance import changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from policysearch.hitl.live import PersonName
    from policysearch.hitl.plan import SessionPlan
    from policysearch.hitl.protocol import Protocol
    from policysearch.hitl.session import Session
    from policysearch.hitl.view import SessionView

PROGRAM = "python -m policysearch.hitl"
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

    out, said = arguments.out, flags.given(arguments)
    path = out / LOG
    if arguments.fresh or not has_begun(path):
        if isinstance(arguments, RunFlags):
            return begun(arguments, said, others)
        plan = flags.plan(said, others)
        ready(arguments)
        return plan
    flags.import_method(said)
    old = SessionView.of(path)
    wrong = flags.differences(old.plan, said) + other(old)
    if isinstance(arguments, RunFlags):
        check_device(arguments, old.plan)
    if isinstance(arguments, RunFlags) and arguments.protocol:
        wrong += changes(
            ("protocol", old.plan.sources.get(name), digest)
            for name, digest in of_file(arguments, said).sources.items()
        )
    if wrong:
        hint = f"{out} has another session: leave these flags out, choose another folder, or pass --fresh"
        raise Refusal([*wrong, hint])
    return None


def begun(arguments: RunFlags, said: dict[str, Any], others: dict[str, Any]) -> "SessionPlan":
    """The plan of a new session with a person: of flags, or of a protocol file.

    Raises:
        Refusal: with all that is wrong with it.
    """
    from policysearch.hitl import protocol  # noqa: PLC0415 - heavy

    found = of_file(arguments, said)
    said = dict(found.said) | said
    check_device(arguments, flags.plan(said, others, found.wrong))  # or refused, before anything is asked
    order = {} if arguments.protocol else {"order": "balanced"}
    said = order | said | told_of_the_person(said)
    plan = flags.plan(said | {"sources": dict(found.sources)}, others)
    try:
        plan = protocol.warmed(plan, [*found.warm_start, *arguments.warm_start])
    except ValueError as error:
        raise Refusal([str(error)]) from error
    ready(arguments)
    return plan


def check_device(arguments: RunFlags, plan: "SessionPlan") -> None:
    """Whether the torque guard can drive a device by the laws of a plan.

    Raises:
        Refusal: if it knows no laws of these parameters.
    """
    if arguments.device is not None and not plan.laws.is_ankle:
        got = ", ".join(plan.laws.space.names)
        why = "leave it out, and set the laws elsewhere"
        raise Refusal([f"--device: the torque guard knows the ankle's laws only, got laws of {got}; {why}"])


def of_file(arguments: RunFlags, said: dict[str, Any]) -> "Protocol":
    """What the protocol file says; flags say who walks.

    Raises:
        Refusal: for other flags next to a file.
    """
    from policysearch.hitl import protocol  # noqa: PLC0415 - heavy

    if arguments.protocol is None:
        return protocol.Protocol({})
    if wrong := [name for name in said if name not in protocol.PERSON]:
        raise Refusal([f"--{name.replace('_', '-')}: the protocol file says it" for name in wrong])
    return protocol.read(arguments.protocol)


def ready(arguments: "RehearseFlags | RunFlags | SimulateFlags") -> None:
    """Make the folder of a session; with --fresh the log that is there is kept under another name."""
    from policysearch.ledger import set_aside  # noqa: PLC0415 - heavy

    made(arguments.out)
    if arguments.fresh and (kept := set_aside(arguments.out / LOG)):
        print(f"the log that was there is kept as {kept}", file=sys.stderr)


def rehearsed(arguments: RehearseFlags, argv: list[str], typed: "Callable[[], str | None]") -> int:
    """Rehearse a protocol; a report at its end.

    Args:
        arguments: the flags.
        argv: the command.
        typed: a line that was typed while nothing was asked.
    """
    from policysearch.asking.prompt import Prompt, Stopped  # noqa: PLC0415 - heavy
    from policysearch.hitl import carts, rehearse  # noqa: PLC0415
    from policysearch.hitl.engine.course import Inlet  # noqa: PLC0415
    from policysearch.hitl.engine.engine import Engine  # noqa: PLC0415
    from policysearch.hitl.live import PersonName  # noqa: PLC0415
    from policysearch.hitl.terminal import Terminal  # noqa: PLC0415

    out, name = arguments.out, PersonName(arguments.people, arguments.number, arguments.seed)
    plan = _plan_of_rehearsal(arguments, name)
    ready(arguments)
    session, clock = rehearse.begun_or_continued(plan, out / LOG, name)
    speed = rehearse.size(plan)[0] / rehearse.MINUTES if arguments.speed is None else arguments.speed
    device, lines = plan.laws.is_ankle and not arguments.no_device, list[str]()
    file = out / f"cart-{len(list(out.glob('cart-*')))}.csv"
    cart = carts.Cart(file, arguments.cart, plan.mass, clock.wall())
    with session, closing(cart), rehearse.driven(out / "records", device=device) as drive:
        breaths = str(cart.path) if plan.is_breathed else ""
        engine = Engine(session, Inlet(breaths, True, clock.now), drive)
        rehearsal = rehearse.Rehearsal(engine, clock, cart, name, speed=speed)
        operator = rehearse.Operator(rehearsal, print)

        def read(prompt: str) -> str:
            lines.append(operator.read(prompt) if arguments.unattended else line_typed(prompt))
            return lines[-1]

        try:
            Terminal(
                rehearsal, Prompt(read, operator.say), (lambda: None) if arguments.unattended else typed
            ).run()
        except (Stopped, EOFError):
            print(f"\nstopped; to continue: {same_command(argv)}")
        except KeyboardInterrupt:
            engine.close()
            interrupted(session, out, argv)
        engine.close()
        print(
            f"typed: {len(lines)} lines, {sum(map(len, lines))} characters, for {len(session.entries)} bouts"
        )
        print(f"report: {written(session, out)}")
    return 0


def _plan_of_rehearsal(arguments: RehearseFlags, name: "PersonName") -> "SessionPlan":
    from policysearch.exoskeleton.human import PRESETS  # noqa: PLC0415 - heavy
    from policysearch.hitl import protocol  # noqa: PLC0415
    from policysearch.hitl.carts import LAYOUTS  # noqa: PLC0415

    found = protocol.read(arguments.protocol)
    wrong = list(found.wrong)
    for flag, value, known in (("cart", arguments.cart, LAYOUTS), ("people", arguments.people, PRESETS)):
        if value not in known:
            wrong.append(f"{flag}: expected one of {', '.join(known)}, got {value!r}")
    if arguments.people not in PRESETS:
        raise Refusal(wrong)
    person = {each: getattr(arguments, each) for each in ("participant", "mass", "seed")}
    person |= {"standing_rate": name.person().person.standing_rate, "sources": dict(found.sources)}
    plan = flags.plan(dict(found.said) | person, {}, wrong)
    try:
        return protocol.warmed(plan, [*found.warm_start, *arguments.warm_start])
    except ValueError as error:
        raise Refusal([str(error)]) from error


def told_of_the_person(said: dict[str, Any]) -> dict[str, Any]:
    """What a new session has to be told of the person and no flag says; asked for in a terminal.

    Raises:
        Refusal: where nothing can be asked.
    """
    from policysearch.asking.prompt import number  # noqa: PLC0415

    known = {*said} | (
        {"standing_rate"}
        if said.get("standing") or said.get("objective", "metabolic") != "metabolic"
        else set()
    )
    left = {name: words for name, words in PERSON.items() if name not in known}
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
