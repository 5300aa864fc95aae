"""The flags of the command line. None keeps the value of the plan, or of a session that is continued.

Only light modules are imported here, so that `--help` answers at once.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from policysearch.command_line import Refusal
from policysearch.flags import Number, Trust, Whole, flag, flags_of, settings
from policysearch.hitl.engine import NUMBER
from policysearch.hitl.options import LSL, PlanOptions
from policysearch.provenance import changes

if TYPE_CHECKING:
    from policysearch.hitl.plan import SessionPlan


@dataclasses.dataclass(frozen=True, kw_only=True)
class SessionFlags:
    """What a session with a person and a simulated one have in common."""

    set: Annotated[list[str], flag("FIELD=VALUE …")] = dataclasses.field(default_factory=list)
    """Hyperparameters of the method, as in sigma=0.2."""

    no_shuffle: Annotated[bool, flag("")] = False
    """Walk the laws of a generation in the order in which they were proposed."""

    fresh: Annotated[bool, flag("")] = False
    """Start over; the present log is kept under another name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineFlags:
    """Where an engine has its breaths from, and what it drives."""

    breaths: Annotated[str | None, flag("FILE")] = None
    """A file of the metabolic cart that grows while the person walks, read for an early estimate; one file per bout,
    with {number} in its name; or lsl:SOURCE_ID, a stream of the Lab Streaming Layer with VO2, VCO2 and perhaps HR."""

    markers: Annotated[str | None, flag("SOURCE_ID")] = None
    """Send events and torques to the Lab Streaming Layer, in streams whose source_id begins so. Off unless it is
    given: streams are open to everybody in the network, and cannot be bound to the loopback interface."""

    no_countdown: Annotated[bool, flag("")] = False
    """Ask for rates at once; the time is kept elsewhere."""

    delay: Annotated[Number, flag("S", "0")] = None
    """Seconds from a breath to its row in the cart's file, 60 at most."""

    breath_units: Annotated[str | None, flag("TIME,VOLUME")] = None
    """Units of times and volumes, as in s,mL/min or min,L/min, for files that have no row of units."""

    cart_start: Annotated[str | None, flag("HH:MM:SS")] = None
    """Time of day at which the recording of the cart began, for files of a whole session that do not say it; 0:00:00
    where their times are times of day."""

    device: Annotated[str | None, flag("MODULE:NAME")] = None
    """The device that the torque guard drives; without one the laws are set elsewhere."""

    device_options: Annotated[list[str], flag("FIELD=VALUE …")] = dataclasses.field(default_factory=list)
    """Arguments of the device."""

    slope: Annotated[Number, flag("SLOPE", "10")] = None
    """Steepest change of torque that the guard lets through (N·m/kg per s)."""

    stop_time: Annotated[Number, flag("S", "0.3")] = None
    """Seconds from any torque to zero after a stop."""


@flags_of(PlanOptions)
@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags(EngineFlags, SessionFlags):
    """Begin a session with a person, or continue the one in DIR: the same command does both.

    Flags that are left out have the values of the log; given ones have to agree with it. At every prompt, help lists
    the commands.
    """

    out: Annotated[Path, flag("DIR")]
    """Folder of the session: its log session.sqlite, and the report."""

    protocol: Annotated[str | None, flag("FILE")] = None
    """A protocol file (TOML), or the name of one in the package, which plan lists; it says all but who walks."""

    warm_start: Annotated[list[Path], flag("DIR …")] = dataclasses.field(default_factory=list)
    """Folders of earlier sessions, whose mean recommendation is where the search starts."""


@flags_of(
    PlanOptions, without=("participant", "standing_rate", "standing", "day_bouts", "objective", "better")
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulateFlags(SessionFlags):
    """The protocol on a simulated person, live; with --participants, on many of them, and what a study would find."""

    out: Annotated[Path, flag("DIR")] = Path("policysearch-results/exoskeleton")
    """Folder of the log, the report and the tables; a session that was killed is continued."""

    people: Annotated[str | None, flag("PRESET", "zhang2017")] = None
    """Kind of people: zhang2017, novice, half-trained or expert."""

    number: Annotated[Whole, flag("N", "0")] = None
    """Number of the person; with --participants, of the first one."""

    speed: Annotated[Number, flag("X", "150 in a terminal, else 0")] = None
    """Speed as a multiple of real time; 0: as fast as possible."""

    participants: Annotated[Whole, flag("N", "one, live")] = None
    """Simulate this many people, each in a separate session."""

    workers: Annotated[Whole, flag("W", "one per processor")] = None
    """Worker processes of --participants; the tables do not depend on their number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RehearseFlags:
    """Rehearse a protocol in minutes: the same prompts and engine, a simulated person, an emulated cart and device.

    The same command continues a rehearsal that was stopped.
    """

    protocol: Annotated[str, flag("FILE")] = "zhang2017"
    """A protocol file (TOML), or the name of one in the package."""

    out: Annotated[Path, flag("DIR")] = Path("rehearsal")
    """Folder of the session: its log, the file of the cart, and the report."""

    participant: Annotated[str, flag("CODE")] = "1"
    """Code of the participant, which decides a balanced order."""

    mass: Annotated[float, flag("KG")] = 70.0
    """Body mass (kg)."""

    seed: Annotated[int, flag("S")] = 0
    """Seed of the search, of all orders, and of the person."""

    people: Annotated[str, flag("PRESET")] = "zhang2017"
    """Kind of people: zhang2017, novice, half-trained or expert."""

    number: Annotated[int, flag("N")] = 0
    """Number of the person."""

    cart: Annotated[str, flag("LAYOUT")] = "cosmed"
    """Layout of the file that the emulated cart writes: cosmed, parvo or plain."""

    speed: Annotated[Number, flag("X", "so that walking takes five minutes")] = None
    """Speed as a multiple of real time; 0: as fast as possible."""

    unattended: Annotated[bool, flag("")] = False
    """Answer the prompts, too."""

    no_device: Annotated[bool, flag("")] = False
    """Without the guard and an emulated device, as if laws were set elsewhere."""

    warm_start: Annotated[list[Path], flag("DIR …")] = dataclasses.field(default_factory=list)
    """Folders of earlier sessions, whose mean recommendation is where the search starts."""

    fresh: Annotated[bool, flag("")] = False
    """Start over; the present log is kept under another name."""


@dataclasses.dataclass(frozen=True)
class PlanFlags:
    """Check a protocol file, and show what it plans; without one, list those in the package."""

    protocol: Annotated[str | None, flag("FILE")] = None
    """A protocol file (TOML), or the name of one in the package."""

    mass: Annotated[Number, flag("KG", "70")] = None
    """Body mass (kg), for torques in N·m."""


@dataclasses.dataclass(frozen=True)
class ReportFlags:
    """Write the report of a session, also of an unfinished one."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """The folder of the session."""

    trust: Trust = dataclasses.field(default_factory=list)
    """Modules outside policysearch that may be imported because the plan names them; not from the present folder."""


def given(flags: SessionFlags) -> dict[str, Any]:
    """The fields of the plan that the flags set.

    Raises:
        Refusal: for a hyperparameter that is not FIELD=VALUE.
    """
    names = (field.name for field in dataclasses.fields(PlanOptions))
    said = {name: value for name in names if (value := getattr(flags, name, None)) is not None}
    options = settings(flags.set)
    return said | ({"shuffle": False} if flags.no_shuffle else {}) | ({"options": options} if options else {})


def inlet(flags: EngineFlags) -> dict[str, Any]:
    """Where an engine has its breaths from.

    Raises:
        Refusal: for one file where every bout needs its own, a workbook that would have to be followed, or values of
            the cart that cannot be.
    """
    breaths, timed = flags.breaths or "", not flags.no_countdown
    if breaths and not timed and NUMBER not in breaths:
        expected = f"without a countdown expected a file for every bout, with {NUMBER} in its name"
        raise Refusal([f"--breaths {breaths}: {expected}"])
    if timed and breaths.endswith((".xlsx", ".xml")):
        why = "a workbook cannot be read while it is written; leave the flag out, and give the file after the bout"
        raise Refusal([f"--breaths {breaths}: {why}"])
    walk_on = flags.device is not None  # else somebody has to set the next law first
    place = breaths if breaths.startswith(LSL) or not breaths else str(Path(breaths).absolute())
    told = {"breaths": place, "timed": timed, "walk_on": walk_on, "markers": flags.markers or ""}
    return told | _cart(flags)


def _cart(flags: EngineFlags) -> dict[str, Any]:
    """What the files do not say of the cart.

    Raises:
        Refusal: for values that cannot be.
    """
    from policysearch.exoskeleton.breath_columns import Cart  # noqa: PLC0415 - heavy

    try:
        return vars(Cart(flags.delay or 0.0, flags.breath_units or "", flags.cart_start or ""))
    except ValueError as error:
        name, _, why = str(error).partition(":")
        raise Refusal([f"--{name.replace('_', '-')}:{why}"]) from error


def device(flags: EngineFlags, records: Path) -> dict[str, Any]:
    """What starts the guard; empty without a device.

    Raises:
        Refusal: for flags that need a device, or one that is not module:name.
    """
    slope, stop_time = (10.0 if flags.slope is None else flags.slope), (flags.stop_time or 0.3)
    if flags.device is None:
        given = [name for name in ("device_options", "slope", "stop_time") if getattr(flags, name)]
        if given:
            raise Refusal([f"--{name.replace('_', '-')}: it needs --device" for name in given])
        return {}
    if not all(flags.device.partition(":")):
        raise Refusal([f"--device: expected module:name, got {flags.device!r}"])
    options = settings(flags.device_options, "--device-options")
    return {
        "device": flags.device, "slope": slope, "stop_time": stop_time, "options": options, "records": str(records)
    }  # fmt: skip


def import_method(said: dict[str, Any]) -> None:
    """Import the method that the flags name, if there is one: that the log names a plug-in is not enough."""
    from policysearch.optimizers import find_method  # noqa: PLC0415 - heavy

    with contextlib.suppress(ValueError):  # it is no part of the log either
        find_method(said.get("optimizer", ""))


def plan(said: dict[str, Any], others: dict[str, Any], known: Sequence[str] = ()) -> "SessionPlan":
    """The plan that the flags and `others` make.

    Raises:
        Refusal: with all that is wrong with it, one flag at a time, after the mistakes that are `known`.
    """
    from policysearch.hitl import protocol  # noqa: PLC0415 - heavy
    from policysearch.hitl.plan import SessionPlan  # noqa: PLC0415

    wrong, left = list(known), dict(said)
    while True:
        try:
            found = SessionPlan(**left | others)
            break
        except ValueError as error:
            wrong += str(error).splitlines()
            if not protocol.without(left, str(error).partition(":")[0]):
                raise Refusal(wrong) from error
    if wrong := [*wrong, *filter(None, [found.too_short])]:
        raise Refusal(wrong)
    return found


def differences(plan: "SessionPlan", said: dict[str, Any]) -> list[str]:
    """Where the flags differ from the plan of a session that is continued."""
    values = [(name, getattr(plan, name), value) for name, value in said.items() if name != "options"]
    method = plan.method()
    values += [(name, getattr(method, name, None), value) for name, value in said.get("options", {}).items()]
    return changes(values)
