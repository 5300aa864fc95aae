"""The command line `python -m policysearch.hitl`: a session with a person, or with simulated people.

Only light modules are imported here, so that `--help` answers at once.
"""

import os
import shlex
import sys
from typing import TYPE_CHECKING, TypeVar

from policysearch.command_line import Refusal, import_from_here, not_from_here, running, show_version, trusted
from policysearch.errors import MACHINE_TROUBLE
from policysearch.flags import parsed
from policysearch.hitl import LOG, flags
from policysearch.hitl.flags import PlanFlags, RehearseFlags, ReportFlags, RunFlags, SimulateFlags
from policysearch.hitl.folder import (
    PROGRAM,
    interrupted,
    line_typed,
    made,
    planned,
    rehearsed,
    same_command,
    walked_session,
    written,
)
from policysearch.provenance import changes
from policysearch.registry import did_you_mean, imported

if TYPE_CHECKING:
    import pandas as pd

    from policysearch.hitl.plan import SessionPlan
    from policysearch.hitl.view import SessionView

T = TypeVar("T")
SPEED = 150.0  # times as fast as people walk: the default protocol takes 42 s

DESCRIPTION = """Human-in-the-loop optimization of an exoskeleton, as in Zhang et al. 2017.

  python -m policysearch.hitl simulate                            the protocol on a simulated person, live
  python -m policysearch.hitl simulate --participants 200         what a study would find, and what is true
  python -m policysearch.hitl run --out DIR --mass 72             a session with a person, also to continue it
  python -m policysearch.hitl run --out DIR --breaths 'bout-{number}.csv'
  python -m policysearch.hitl run --out DIR --protocol FILE       the same by a protocol file
  python -m policysearch.hitl plan --protocol FILE                what it plans, or everything that is wrong with it
  python -m policysearch.hitl rehearse --protocol FILE            its whole day in minutes, with a simulated person
  python -m policysearch.hitl console DIR                         pages in a browser for operator and participant
  python -m policysearch.hitl report DIR                          the report, also of an unfinished session
  python -m policysearch.hitl group DIR DIR …                     the conditions of several participants, in pairs
  python -m policysearch.hitl device-check module:name            what the torque guard does about faults of a device

Each has its own --help. Everything is kept in DIR/session.sqlite as it happens: whatever ends a session (Ctrl-C,
kill -9, a power cut), the same command continues with the same law. Open DIR/report.html.

The limits in this software do not replace those of the device's firmware, nor its physical stop.

Exit codes: 0 done or stopped, 2 not possible as asked, 3 the machine's fault (disk, damaged file),
4 another process is at work in DIR, 130 interrupted."""
PEOPLE = "zhang2017"
QUANTITIES = {
    "measured": "optimized law, as its validation measured it",
    "true": "optimized law, true",
    "measured reference": "reference law, as its validation measured it",
    "true reference": "reference law, true",
    "true best": "best law of each person, true",
    "claimed": "best single estimate of the search (luck included)",
    "claimed true": "the law of that estimate, true",
}
PUBLISHED = """True: without noise, as adapted as at the end of the search. The published 24.2 ± 7.4 % are of 11
people and one ankle; they are shown for comparison, and the simulated people do not reproduce them."""
ELSEWHERE = {
    "console": "policysearch.watch.console.command:command",
    "group": "policysearch.hitl.group:command",
    "device-check": "policysearch.hitl.guard.check:command",
}
COMMANDS = ("run", "plan", "rehearse", "console", "simulate", "report", "group", "device-check")


def main(argv: "list[str] | None" = None) -> int:
    """Run the command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    return running(lambda: _command(argv))


def _command(argv: list[str]) -> int:
    match argv[:1]:
        case ["run"]:
            return _run(_parsed(RunFlags, argv), argv)
        case ["plan" | "rehearse" as name]:
            return _plan(argv) if name == "plan" else rehearsed(_parsed(RehearseFlags, argv), argv, _typed)
        case ["simulate"]:
            return _simulate(_parsed(SimulateFlags, argv), argv)
        case ["report"]:
            with not_from_here():
                return _report(_parsed(ReportFlags, argv))
        case ["console" | "group" | "device-check" as name]:
            return _elsewhere(name, argv[1:])
        case [] | ["-h"] | ["--help"] | ["--version"]:
            show_version() if "--version" in argv[:1] else print(DESCRIPTION)
            return 0
    expected = f"expected one of {', '.join(COMMANDS)}, got {argv[0]!r}"
    raise Refusal([f"{expected}; {hint}" if (hint := did_you_mean(argv[0], COMMANDS)) else expected])


def _parsed(cls: type[T], argv: list[str]) -> T:
    return parsed(cls, argv[1:], f"{PROGRAM} {argv[0]}")


# ---------------------------------------------------------------------------------------------- a real person


def _run(arguments: RunFlags, argv: list[str]) -> int:
    from policysearch.asking.prompt import Prompt, Stopped  # noqa: PLC0415
    from policysearch.hitl.engine import client  # noqa: PLC0415
    from policysearch.hitl.live import PersonName  # noqa: PLC0415
    from policysearch.hitl.terminal import Terminal  # noqa: PLC0415
    from policysearch.hitl.view import SessionView  # noqa: PLC0415

    out, inlet = arguments.out, flags.inlet(arguments)
    device = flags.device(arguments, out / "records")
    import_from_here()

    def other(session: "SessionView") -> list[str]:
        return ["the session there is one of a simulated person"] if PersonName.of(session) else []

    engine = client.there(out)
    plan = planned(arguments, {}, other)
    if engine is None:
        document = plan and plan.document()
        told = {"log": str((out / LOG).absolute()), "plan": document, "inlet": inlet, "device": device}
        engine = client.started(told | {"method": flags.given(arguments).get("optimizer", "")})
    try:
        with client.EngineConnection(engine) as connection:
            Terminal(connection, Prompt(line_typed), _typed).run()
    except (Stopped, EOFError):
        print(f"\nstopped; to continue: {same_command(argv)}")
    except KeyboardInterrupt:
        interrupted(SessionView.of(out / LOG), out, argv)
    print(f"report: {written(SessionView.of(out / LOG), out)}")
    return 0


def _plan(argv: list[str]) -> int:
    from policysearch.hitl import protocol  # noqa: PLC0415 - heavy

    arguments = _parsed(PlanFlags, argv)
    if arguments.protocol is None:
        for name in protocol.packaged():
            print(f"{name:16} {protocol.read(name).texts['title']}")
        return 0
    found, person = (
        protocol.read(arguments.protocol),
        {} if arguments.mass is None else {"mass": arguments.mass},
    )
    import_from_here()
    plan = flags.plan(dict(found.said) | person | {"sources": dict(found.sources)}, {}, found.wrong)
    for line in protocol.described(found, protocol.warmed(plan, found.warm_start)):
        print(line)
    return 0


def _elsewhere(name: str, argv: list[str]) -> int:
    """A command that is imported by its name: it is heavy, or in a part that imports this one."""
    try:
        command = imported(ELSEWHERE[name])
    except ValueError as error:
        raise Refusal([str(error)]) from error
    return int(command(argv, f"{PROGRAM} {name}"))


def _typed() -> str | None:
    """A line that was typed in a terminal while nothing was asked."""
    import select  # noqa: PLC0415

    if not sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0.0)[0]:
        return None
    return sys.stdin.readline()


# ------------------------------------------------------------------------------------------- simulated people


def _simulate(arguments: SimulateFlags, argv: list[str]) -> int:
    wrong = [
        f"{name}: expected at least {least}, got {value:g}"
        for name, least in (("number", 0), ("participants", 1), ("workers", 1), ("speed", 0))
        if (value := getattr(arguments, name)) is not None and not value >= least
    ]
    wrong += [
        f"{name}: expected 0, or at least 1 minute, so that there are breaths enough, got {value:g}"
        for name in ("baseline", "validation")
        if (value := getattr(arguments, name)) is not None and 0.0 < value < 1.0
    ]
    from policysearch.exoskeleton.human import PRESETS  # noqa: PLC0415 - heavy

    if arguments.people not in (None, *PRESETS):
        hint = did_you_mean(arguments.people or "", PRESETS, f"there are {', '.join(PRESETS)}")
        wrong.append(f"people: unknown preset {arguments.people!r}; {hint}")
    if wrong:
        raise Refusal(wrong)
    import_from_here()
    return _simulate_one(arguments, argv) if arguments.participants is None else _simulate_many(arguments)


def _simulate_one(arguments: SimulateFlags, argv: list[str]) -> int:
    from policysearch.hitl import live, report  # noqa: PLC0415
    from policysearch.reporting.console import Console  # noqa: PLC0415 - heavy

    seed = flags.given(arguments).get("seed", 0)
    new = live.PersonName(arguments.people or PEOPLE, arguments.number or 0, seed)
    walks = {"participant": str(new.number), "standing_rate": new.person().person.standing_rate}

    def other(session: "SessionView") -> list[str]:
        walker = live.PersonName.of(session)
        if walker is None:
            begun = bool(session.history) or session.plan.participant != walks["participant"]
            return ["the session there is not one of a simulated person"] if begun else []  # it was just made
        asked = {name: getattr(arguments, name) for name in ("people", "number")}
        return changes((name, getattr(walker, name), now) for name, now in asked.items() if now is not None)

    with walked_session(arguments, argv, walks, other) as session:
        name = live.PersonName.of(session) or new
        if session.history:
            print(f"continuing after {len(session.history)} bouts")
        elif live.PersonName.of(session) is None:
            session.note(name.note)
        speed = arguments.speed
        if speed is None:
            speed = SPEED if sys.stdout.isatty() else 0.0
        live.walk(session, name.person(session.history), speed, Console(highlight=False))
        print()
        for line in report.findings(session):
            print(line)
        true = live.truth(session, name)
        print(
            "True of this person, without noise, as adapted as at the end of the search: "
            f"{true.optimized:.1f} % less under the optimized law, {true.reference:.1f} % under the reference law, "
            f"{true.best:.1f} % under the best law that there is."
        )
    return 0


def _simulate_many(arguments: SimulateFlags) -> int:
    import pandas as pd  # noqa: PLC0415 - heavy
    from rich.progress import track  # noqa: PLC0415

    from policysearch.files import write_text  # noqa: PLC0415
    from policysearch.hitl import simulate  # noqa: PLC0415
    from policysearch.reporting.console import Console  # noqa: PLC0415
    from policysearch.reporting.tables import csv  # noqa: PLC0415

    plan, count = flags.plan(flags.given(arguments), {}), arguments.participants or 0
    people, workers = arguments.people or PEOPLE, arguments.workers or os.cpu_count() or 1
    made(arguments.out)
    arm = simulate.StudyArm(plan.optimizer, plan, people)
    found = simulate.outcomes([arm], count, plan.seed, min(workers, count), arguments.number or 0)
    outcomes = list(track(found, f"{count} of {people}", count, console=Console(stderr=True), transient=True))
    rows = pd.DataFrame([outcome.row for outcome in outcomes])
    curve = pd.DataFrame([point for outcome in outcomes for point in outcome.curve])
    table = simulate.summary(rows)
    for name, frame in (("participants", rows), ("curve", curve), ("summary", table)):
        try:
            write_text(arguments.out / f"{name}.csv", csv(frame))
        except OSError as error:
            raise Refusal([f"{arguments.out / name}.csv: cannot write: {error}"], MACHINE_TROUBLE) from error
    _show_study(table, plan, people, count)
    print(f"tables: {arguments.out / 'participants.csv'}, curve.csv, summary.csv")
    return 0


def _show_study(table: "pd.DataFrame", plan: "SessionPlan", people: str, count: int) -> None:
    from policysearch.reporting.console import Console  # noqa: PLC0415
    from policysearch.reporting.tables import terminal  # noqa: PLC0415

    title = f"{count} of {people}, {plan.optimizer}, {plan.bouts} bouts of {plan.minutes:g} min"
    header = ("% less net energy than without torque", "mean", "± sd", "95 % interval of the mean")
    rows, found = [], table.set_index("quantity")
    for quantity, words in QUANTITIES.items():
        if quantity in found.index:
            mean, sd, low, high = found.loc[quantity, ["mean", "sd", "low", "high"]].astype(float)
            rows.append((words, f"{mean:.1f}", f"{sd:.1f}", f"{low:.1f} … {high:.1f}"))
    rows.append(("optimized law, Zhang et al. 2017", "24.2", "7.4", ""))
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(terminal(header, rows, title=title, left=header[:1]))
    console.print(PUBLISHED, markup=False)


# ------------------------------------------------------------------------------------------------- both of them


def _report(arguments: ReportFlags) -> int:
    from policysearch.hitl.log import has_begun  # noqa: PLC0415 - heavy
    from policysearch.hitl.view import SessionView  # noqa: PLC0415

    trusted(arguments.trust)
    if not has_begun(arguments.folder / LOG):
        begin = f"{PROGRAM} run --out {shlex.quote(str(arguments.folder))}"
        raise Refusal([f"{arguments.folder}: no session is there; to begin one: {begin}"])
    print(f"report: {written(SessionView.of(arguments.folder / LOG), arguments.folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
