"""The command line of the session with a person: operators who type, files of breaths, kills, and simulated people."""

import dataclasses
import io
import os
import pty
import queue
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from unittest import mock

import in_process
import numpy as np
import pandas as pd
import pytest
from in_process import Finished
from rich.console import Console

from policysearch.asking.prompt import Prompt, Stopped
from policysearch.command_line import Refusal
from policysearch.exoskeleton.breath_file import read_breaths
from policysearch.exoskeleton.respirometry import TAU, running
from policysearch.exoskeleton.torque_profile import UPPER_TORQUE
from policysearch.hitl import flags, live, simulate
from policysearch.hitl.__main__ import main
from policysearch.hitl.agenda import Bout
from policysearch.hitl.countdown import Countdown
from policysearch.hitl.engine import actions, client, server
from policysearch.hitl.engine.course import Inlet
from policysearch.hitl.engine.engine import Engine
from policysearch.hitl.flags import RunFlags, SimulateFlags
from policysearch.hitl.options import PlanOptions
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.hitl.terminal import Terminal
from policysearch.hitl.view import SessionView
from policysearch.seeding import stream

pytestmark = pytest.mark.usefixtures("blank_pictures", "engines_in_threads")

ROOT = Path(__file__).parent.parent.parent
SHORT = SessionPlan(bouts=8, minutes=1.0, baseline=0.5, validation=0.5, averaged=0.5)
PERSON = ["--participant", "1", "--mass", "70", "--standing-rate", "1.4"]
FLAGS = [
    *PERSON,
    "--bouts",
    "8",
    "--minutes",
    "1",
    "--baseline",
    "0.5",
    "--validation",
    "0.5",
    "--averaged",
    "0.5",
]
LOG = "session.sqlite"
#: Options of a plan that only a protocol file has.
BY_FILE = (
    "measure",
    "other_laws",
    "parameters",
    "reversal",
    "sources",
    "unit",
    "validated",
    "validation_day",
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "policysearch.hitl", *arguments]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def run(*arguments: str, typed: str = "") -> Finished:
    return in_process.run(main, *arguments, typed=typed)


class Clock:
    """Clocks that advance by a second at every wait; then `happens` may do something."""

    def __init__(self, happens: Callable[[float], None] = lambda seconds: None) -> None:
        self.seconds, self.wall, self.happens = 0.0, 1e9, happens

    def now(self) -> tuple[float, float]:
        return self.seconds, self.wall

    def sleep(self, _: float) -> None:
        self.seconds, self.wall = self.seconds + 1.0, self.wall + 1.0
        self.happens(self.seconds)


class Connection:
    """An engine in this process; a wait is one of its clock."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine, self.clock = engine, clock

    @property
    def state(self) -> dict[str, typing.Any]:
        return actions.state(self.engine)

    def act(self, do: str, **arguments: typing.Any) -> dict[str, typing.Any]:
        return actions.act(self.engine, {"do": do} | arguments)

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.engine.tick()


def operated(session: Session, *lines: str, clock: Clock | None = None, breaths: str = "") -> list[str]:
    """All that is shown while these lines are typed; without a clock the time is kept elsewhere."""
    left, said = iter(lines), list[str]()

    def read(prompt: str) -> str:
        said.append(prompt)
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    engine = Engine(session, Inlet(breaths, clock is not None, (clock or Clock()).now))
    with suppress(EOFError, Stopped):
        Terminal(Connection(engine, clock or Clock()), Prompt(read, said.append)).run()
    engine.close()
    return said


def searching() -> Session:
    """A session whose next bout is the first of the search, confirmed."""
    session = Session.begin(SHORT)
    session.measured(4.4)
    session.confirm()
    return session


def write_breaths(path: Path, rates: list[float], period: float = 3.0) -> Path:
    rows = [f"{period * i},{rate!r}" for i, rate in enumerate(rates)]
    path.write_text("\n".join(["time_s,power_W_per_kg", *rows]) + "\n")
    return path


def restless(rate: float, count: int = 21, first: float = 0.0) -> list[float]:
    """Breaths around a constant mean rate."""
    return [rate + first * 0.9**i + 0.2 * (-1) ** i for i in range(count)]


def started(arguments: Mapping[str, typing.Any]) -> client.StartedEngine:
    """An engine in a thread: what a process does, without its imports."""
    told: queue.Queue[Mapping[str, typing.Any]] = queue.Queue()
    threading.Thread(target=server.serve, kwargs={**arguments, "tell": told.put}, daemon=True).start()
    answer = told.get(timeout=60)
    if "error" in answer:
        raise Refusal([answer["error"]], answer["code"])
    return client.StartedEngine(Path(answer["socket"]))


@pytest.fixture(scope="module")
def engines_in_threads() -> Iterator[None]:
    with mock.patch.object(client, "started", started):
        yield


# ---------------------------------------------------------------------------------------------- a whole session

TYPED = """44
44.0
4.4
viod x
yes
note she is in a good mood
39
3.9
3.9
void a shoe lace
3.95
yes
skip tired
yes
3.8
amend 4 3.85 read off the wrong line
amend 77 4 nobody
undo
undo it was right
retest
yes
3.7
limit 0.9 the calf hurts
limit 0.95 better now
table
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, engines_in_threads: None) -> tuple[Path, Finished]:
    out = tmp_path_factory.mktemp("hitl") / "out"
    rest = "".join(f"yes\n{3.5 + 0.1 * i}\n" for i in range(4)) + "4.3\n3.6\n3.7\n3.71\n3.61\n4.31\n\n"
    return out, run("run", "--out", str(out), *FLAGS, "--no-countdown", typed=TYPED + rest)


def test_a_session_with_typed_rates_ends_with_a_report(
    done: tuple[Path, Finished],
) -> None:
    out, finished = done
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    session = SessionView.of(out / LOG)
    assert session.next is None
    assert f"report: {out / 'report.html'}" in finished.stdout
    assert "stopped" not in finished.stdout
    assert len(pd.read_csv(out / "bouts.csv")) == len(session.entries)
    table = session.table()
    assert table["status"].value_counts().to_dict() == {"measured": 15, "void": 1, "skipped": 1}
    assert table["rate"].dropna().tolist()[:4] == [4.4, 3.9, 3.95, 3.8]
    assert session.upper_torque == 0.9
    assert ("note", "she is in a good mood") in [(kind, body.get("text")) for kind, body in session.events]


def test_every_law_is_shown_with_names_and_units(
    done: tuple[Path, Finished],
) -> None:
    entry = SessionView.of(done[0] / LOG).entries[1]
    torque, peak, rise, fall = entry.law.tolist()
    shown = (
        f"bout 2: generation 1, bout 1 of 8, 1 min; of the search 0 of 8 bouts are done\n"
        f"  peak torque  {torque:6.3f} N·m/kg = {70.0 * torque:.1f} N·m\n  peak time    {peak:6.2f} % stride\n"
        f"  rise time    {rise:6.2f} % stride\n  fall time    {fall:6.2f} % stride\n"
    )
    assert shown in done[1].stdout


def test_a_refused_line_gets_one_message_and_another_prompt(
    done: tuple[Path, Finished],
) -> None:
    said = done[1].stdout
    for line in (
        "44 W/kg is not between 0.5 and 20 W/kg; if it is right, type 44",
        "not '44': nothing is written",
        "did you mean void?",
        "39 W/kg is not between 0.5 and 20 W/kg; if it is right, type 39",
        "not '39': nothing is written",
        "bout: expected the number of a measured one (1, 2, 4, 6), got 77",
        "reason: expected a few words, got none",
        "upper_torque: expected above 0 and at most 0.9 N·m/kg, as limits are only ever lowered, got 0.95",
    ):
        assert said.count(f"  {line}\n") == 1 or line.startswith("did"), line


# --------------------------------------------------------------------------------------------------- commands


def test_an_amended_rate_is_undone_by_undo() -> None:
    session = searching()
    operated(session, "3.9", "amend 2 3.5 misread")
    assert session.entries[1].rate == 3.5
    assert "  taken back: the last amend" in operated(session, "undo 3.9 was right")
    assert session.entries[1].rate == 3.9


def test_a_doubtful_amendment_has_to_be_typed_again() -> None:
    session = searching()
    operated(session, "3.9", "amend 2 39 misread", "amend 2 3.9 misread")
    assert "amend" not in [kind for kind, _ in session.events]
    operated(session, "amend 2 39 misread", "amend 2 39 misread")
    assert session.entries[1].rate == 39.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("amend 2 4,1 misread", "expected amend N RATE REASON, got 'amend 2 4,1 misread'"),
        ("amend 2 4.1", "expected amend N RATE REASON, got 'amend 2 4.1'"),
        ("amend 1.5 4.1 misread", "bout: expected a whole number, got 1.5"),
        ("limit", "expected limit TORQUE REASON, got 'limit'"),
        ("skip", "reason: expected a few words, got none"),
        ("0", "rate: expected a positive number of W/kg, got 0"),
        ("-4", "rate: expected a positive number of W/kg, got -4"),
    ],
)
def test_a_command_that_cannot_be_done_gets_one_line_and_changes_nothing(line: str, message: str) -> None:
    session = searching()
    events = session.events
    said = operated(session, line)
    assert said.count(f"  {message}") == 1
    assert session.events == events


def test_a_written_rate_is_shown_with_its_net_reduction() -> None:
    said = operated(searching(), "3.9", "yes", "4.55")
    assert "  written: 3.90 W/kg, 16.7 % less net than without torque" in said  # 1 − (3.9 − 1.4)/(4.4 − 1.4)
    assert "  written: 4.55 W/kg, 5.0 % more net than without torque" in said


def test_a_region_is_entered_only_after_yes() -> None:
    session = Session.begin(SHORT)
    session.measured(4.4)
    said = operated(session, "3.9", "no", "")
    assert len(session.entries) == 1
    assert said.count("  expected yes, or a command, got '3.9'") == 1
    operated(session, "yes", "3.9")
    assert [entry.rate for entry in session.entries] == [4.4, 3.9]


def test_a_full_disk_is_said_once_and_enter_tries_again(tmp_path: Path) -> None:
    session, said = Session.begin(SHORT, tmp_path / LOG), list[str]()
    engine = Engine(session, Inlet(timed=False))
    pages = session._log._ledger._db  # type: ignore[union-attr]
    pages.execute("PRAGMA max_page_count = 1")  # no more than there are

    def read(prompt: str) -> str:
        said.append(prompt)
        if not engine.failed:
            if said.count("  Enter tries to write the log again > "):
                raise EOFError
            return "note " + "x" * 4000
        if said.count(prompt) == 2:
            pages.execute("PRAGMA max_page_count = 1000000")
        return ""

    with suppress(EOFError):
        Terminal(Connection(engine, Clock()), Prompt(read, said.append)).run()
    engine.session.close()
    assert (
        sum("make room" in line for line in said) == 3
    )  # when it happens, its answer, and when it is tried too early
    assert "  the log can be written again, and nothing in it is lost" in said
    assert said.count("  Enter tries to write the log again > ") == 2


def test_a_rate_is_typed_while_the_next_bout_is_walked(tmp_path: Path) -> None:
    typed = {
        70: "12.8",
        80: "nonsense",
        90: "3.9",
        100: "3.8",
        110: str(write_breaths(tmp_path / "a.csv", restless(4.0))),
    }
    typed |= {130: str(tmp_path / "a.csv")}
    clock, session = Clock(), Session.begin(dataclasses.replace(SHORT, baseline=0.0, options={"sigma": 0.05}))
    engine, said, lines = (
        Engine(session, Inlet(now=clock.now, walk_on=True)),
        list[str](),
        iter(["yes", "", "no"]),
    )

    def read(prompt: str) -> str:
        said.append(prompt)
        return next(lines)

    def interjected() -> str | None:
        if clock.seconds > 131.0:
            raise EOFError
        return typed.pop(int(clock.seconds), None)

    with suppress(EOFError):
        Terminal(Connection(engine, clock), Prompt(read, said.append), interjected).run()
    assert session.entries[0].rate == 3.9
    assert session.entries[1].rate == pytest.approx(4.0, abs=0.2)
    assert any("not mL/kg/min" in line and line.endswith("type 12.8") for line in said)
    expected = "the rate of a bout that was walked, or a command while the bout is walked"
    assert any(f"expected {expected}, got 'nonsense'" in line for line in said)
    assert any(
        "rate: expected a bout that was walked and wants a rate, got the phase 'walking'" in line
        for line in said
    )
    assert "  bout 1 written: 3.90 W/kg" in said
    assert said.count("\a") == 2  # bouts 2 and 3
    assert sum(line.startswith("\nbout ") for line in said) == 3


def test_a_far_law_is_reached_in_small_steps_that_are_shown() -> None:
    session = Session.begin(SHORT)
    session.measured(4.4)
    session.retest()
    shown = next(line for line in operated(session) if "small steps" in line)
    assert shown.startswith("  in 3 small steps: 0.179 N·m/kg 52.91 26.20 9.80 %; 0.357 N·m/kg")
    assert shown.endswith("0.536 N·m/kg 52.91 26.20 9.80 %")


def test_a_limit_that_changes_the_next_law_announces_it_again() -> None:
    session = Session.begin(SHORT)
    session.measured(4.4)
    session.retest()
    said = operated(session, "yes", "limit 0.4 the calf hurts")
    assert [line for line in said if "peak torque  " in line] == [
        "  peak torque   0.536 N·m/kg = 37.5 N·m",
        "  peak torque   0.400 N·m/kg = 28.0 N·m",
    ]


def test_the_last_bout_of_a_session_can_still_be_amended() -> None:
    session = Session.begin(dataclasses.replace(SHORT, validation=0.0))
    rates = ["4.4", *["yes", "3.9"] * 8]
    said = operated(session, *rates, "amend 9 3.7 misread", "void x", "")
    assert session.entries[-1].rate == 3.7
    assert "  the session is over" in said
    assert session.next is None
    operated(session, "undo misread after all", "undo the bout too")
    assert session.next is not None


def test_help_lists_every_command_and_the_table_every_bout() -> None:
    session = searching()
    said = "\n".join(operated(session, "3.9", "help", "table"))
    for name in ("void", "skip", "amend", "undo", "retest", "limit", "note", "finish", "pause", "stop"):
        assert re.search(rf"^  {name} ", said, re.MULTILINE)
    assert re.search(r"^   2 +search .* 3\.90 +\d+\.\d %  measured$", said, re.MULTILINE)


def test_after_finish_the_validation_is_next_and_a_pause_is_noted() -> None:
    session = searching()
    operated(session, "pause", "", "finish she is tired")
    assert session.next is not None
    assert session.next.purpose == "validation"
    notes = [body["text"] for kind, body in session.events if kind == "note"]
    assert notes == ["pause", "end of the pause"]


# ------------------------------------------------------------------------------------------------ breath files


def test_the_estimate_of_a_breath_file_is_shown_and_taken_after_yes(tmp_path: Path) -> None:
    session, path = searching(), write_breaths(tmp_path / "a.csv", restless(3.9))
    expected = session.estimate(read_breaths(path), 1.0)
    shown = f"  {expected.rate:.2f} ± {expected.standard_error:.2f} W/kg from 21 breaths over 60 s"
    said = operated(session, str(path), "no", str(path), "4", "yes")
    assert said.count(shown) == 2
    assert "  expected yes, no, or a command, got '4'" in said
    assert [entry.number for entry in session.entries] == [1, 2]
    entry = session.entries[1]
    assert (entry.rate, entry.standard_error) == expected
    assert entry.breaths is not None
    assert len(entry.breaths.time) == 21


def test_an_estimate_that_leans_on_the_time_constant_says_so(tmp_path: Path) -> None:
    steady, slow = write_breaths(tmp_path / "a.csv", restless(3.9)), tmp_path / "b.csv"
    write_breaths(slow, restless(3.9, first=-2.0))
    warning = "  it depends on the time constant of breathing: "
    assert not any(line.startswith(warning) for line in operated(searching(), str(steady)))
    said = [line for line in operated(searching(), str(slow)) if line.startswith(warning)]
    assert len(said) == 1
    assert re.search(r": \d\.\d\d at 30 s, \d\.\d\d at 42 s, \d\.\d\d at 54 s$", said[0])


def test_the_breaths_of_the_baseline_are_averaged_and_lean_on_no_time_constant(tmp_path: Path) -> None:
    session = Session.begin(SHORT)
    path = write_breaths(tmp_path / "a.csv", restless(4.4, 11, first=-2.0))
    said = operated(session, str(path), "yes")
    assert not any("time constant" in line for line in said)
    assert session.entries[0].rate == pytest.approx(np.mean(restless(4.4, 11, first=-2.0)[1:]))


@pytest.mark.parametrize(
    ("line", "replacement", "message", "rate"),
    [
        (6, "40.0,3.9", "9 of 21 rows are no breaths, at most a tenth may be; line 7: expected a time later than 40 s", 3.9),
        (6, "12.0,cough", "1 of 21 rows were skipped; line 6: expected power_W_per_kg to be a number > 0, got 'cough'", None),
        (1, "time,watts", "line 1: expected the columns time_s and either power_W_per_kg", 3.9),
    ],
)  # fmt: skip
def test_a_spoilt_breath_file_gets_one_line_and_one_that_is_refused_is_not_written(
    line: int, replacement: str, message: str, rate: float | None, tmp_path: Path
) -> None:
    session, path = searching(), write_breaths(tmp_path / "a.csv", restless(3.9))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[: line - 1], replacement, *lines[line:]]))
    said = operated(session, str(path), "3.9" if rate else "yes")
    assert sum(message in each for each in said) == 1
    assert [entry.breaths is None for entry in session.entries] == [True, rate is not None]
    assert session.entries[1].rate == (rate or pytest.approx(3.9, abs=0.2))


def test_breaths_of_another_bout_are_refused_and_those_of_part_of_one_are_asked_about_again(
    tmp_path: Path,
) -> None:
    session, path = searching(), write_breaths(tmp_path / "a.csv", restless(3.9))
    less, short = write_breaths(tmp_path / "b.csv", restless(3.9)[:-1]), tmp_path / "c.csv"
    operated(session, str(path), "yes")
    said = operated(session, "yes", str(path), str(less))
    assert said.count("  bout 2 has some of these breaths; give the file of this bout") == 2
    assert len(session.entries) == 2
    write_breaths(short, restless(3.8, 12))
    said = operated(session, str(short), "yes")
    assert any("33 s is short for a bout of 60 s; if it is right, type" in line for line in said)
    assert len(session.entries) == 2


def test_enter_reads_the_file_of_the_bout(tmp_path: Path) -> None:
    session = searching()
    write_breaths(tmp_path / "bout-2.csv", restless(3.9))
    said = operated(session, "", "yes", "yes", "", breaths=str(tmp_path / "bout-{number}.csv"))
    assert session.entries[1].rate == pytest.approx(3.9, abs=0.2)
    assert any(f"Enter reads {tmp_path / 'bout-3.csv'}" in line for line in said)
    assert any("No such file" in line for line in said)
    assert len(session.entries) == 2


# ---------------------------------------------------------------------------------------------- the countdown


def test_breaths_that_come_in_during_the_bout_become_the_rate(tmp_path: Path) -> None:
    path = write_breaths(tmp_path / "stream.csv", [9.0])

    def breathe(seconds: float) -> None:
        if seconds > 61.0:  # in the next bout, which has begun by itself
            raise EOFError
        if seconds % 3.0 == 0.0:
            with path.open("a") as file:
                file.write(f"{3.0 + seconds},{restless(3.9)[int(seconds / 3.0)]!r}\n")

    session, clock = searching(), Clock(breathe)
    said = operated(session, "", clock=clock, breaths=str(path))
    assert any(re.search(r"0:\d\d left, walking; \d+ breaths, so far \d\.\d\d ± ", line) for line in said)
    entry, following = session.entries[1:]
    assert (following.status, following.minutes) == ("void", pytest.approx(1.0 / 60.0))
    assert [kind for kind, _ in session.events].count("started") == 2
    assert entry.breaths is not None
    assert (
        entry.breaths.rate.tolist() == restless(3.9)[1:]
    )  # what was there before the start is not among them
    assert (entry.rate, entry.standard_error) == session.estimate(entry.breaths, 1.0)


def test_a_clock_that_jumps_or_breaths_that_stop_end_the_bout_which_enter_voids(tmp_path: Path) -> None:
    path = write_breaths(tmp_path / "stream.csv", [])

    def jump(seconds: float) -> None:
        clock.seconds += 20.0 * (seconds == 30.0)

    def cough(seconds: float) -> None:
        if seconds <= 30.0:
            with path.open("a") as file:
                file.write(f"{seconds},3.9\n")

    for bout, happens, breaths, why, minutes in (
        (1, jump, "", "void: 21 s passed between two looks at the clock", 50.0 / 60.0),
        (0, cough, str(path), "paused: no breath has come for 16 s", 46.0 / 60.0),
    ):
        clock = Clock(happens)
        session = searching() if bout else Session.begin(dataclasses.replace(SHORT, baseline=1.0))
        operated(session, "", "", clock=clock, breaths=breaths)
        entry = session.entries[bout]
        assert (entry.status, entry.minutes) == ("void", pytest.approx(minutes))
        assert entry.reason.startswith(why)
        assert session.next is not None
        assert session.next.item == entry.item


def test_a_bout_that_is_walked_and_has_no_rate_yet_keeps_its_place() -> None:
    session = searching()
    said = operated(session, "", "retest", "skip tired", "amend 1 4.5 misread", "stop", clock=Clock())
    assert sum("this bout is walked and has no rate yet" in line for line in said) == 3
    assert session.events[-1][1]["text"].startswith("stopped after generation 1, bout 1 of 8 was walked")
    operated(session, "3.9", clock=Clock())  # the rate may come later
    assert session.entries[1].rate == 3.9


def test_a_bout_that_is_stopped_half_way_is_void_and_was_walked_so_far() -> None:
    def interrupt(seconds: float) -> None:
        if seconds == 15.0:
            raise KeyboardInterrupt

    session = searching()
    operated(session, "void nothing yet", "", "stop", clock=Clock(interrupt))
    assert [(walked.purpose, walked.minutes) for walked in session.history] == [
        ("baseline", 0.5),
        ("search", 0.25 - 1 / 60),
    ]
    assert session.entries[1].reason == "stopped while it was walked"


def test_minutes_that_are_averaged_and_standing_are_shown_as_such() -> None:
    averaged = Countdown(Bout("v", "validation", 1.0, np.zeros(4), ""), 0.5, None, now=Clock().now)
    assert averaged.line() == "1:00 left, walking"
    clock = Clock()
    later = Countdown(Bout("v", "validation", 1.0, np.zeros(4), ""), 0.5, None, now=clock.now)
    for _ in range(30):
        clock.sleep(1.0)
        later.look()
    assert later.line() == "0:30 left, walking, averaged"
    assert (
        Countdown(Bout("r", "rest", 1.0, np.zeros(4), ""), 0.0, None, now=Clock().now).line()
        == "1:00 left, standing"
    )


def in_terminal(*arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """The command line in a terminal of its own."""
    ours, theirs = pty.openpty()
    code = (
        "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "from policysearch.hitl.__main__ import main; sys.exit(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    return process, ours


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A session in a terminal of its own."""
    process, ours = in_terminal("run", "--out", str(tmp_path / "out"), *FLAGS)
    yield process, ours
    process.kill()
    process.wait()
    os.close(ours)


def seen(terminal: int, text: str) -> str:
    """What the terminal shows, until it shows this text."""
    shown = ""
    while text not in shown:
        assert select.select([terminal], [], [], 60)[0], shown
        shown += os.read(terminal, 1 << 16).decode(errors="replace")
    return shown


def test_ctrl_c_during_the_countdown_asks_what_to_do_with_the_bout(
    terminal: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    process, screen = terminal
    os.write(screen, b"\n\nundo it\n\n")  # what is typed before a prompt answers none
    seen(screen, "Enter starts it > ")
    time.sleep(0.5)
    assert "started" not in [kind for kind, _ in SessionView.of(tmp_path / "out" / LOG).events]
    os.write(screen, b"\n")
    seen(screen, "0:29 left, walking, averaged")
    os.write(screen, b"\x03")
    seen(screen, "void REASON, stop, or Enter to continue > ")
    os.write(screen, b"void the mask slipped\n")
    again = seen(screen, "Enter starts it > ")
    assert "bout 2: baseline without torque" in again
    time.sleep(1)  # readline misses a Ctrl-C between its prompt and its first look at the keyboard
    os.write(screen, b"\x03")
    shown = seen(screen, "To continue: python -m policysearch.hitl run --out")
    assert "report: " in shown
    assert "Traceback" not in shown
    assert process.wait(60) == 130
    (entry,) = SessionView.of(tmp_path / "out" / LOG).entries
    assert (entry.status, entry.reason) == ("void", "the mask slipped")
    assert 0.0 < entry.minutes < 0.5


#: What an operator types at the prompts, and the same as actions: bouts 2 to 9 are the first generation.
OPERATED: list[tuple[str, dict[str, typing.Any]]] = [
    ("4.4", {"do": "rate", "rate": 4.4}),
    ("yes", {"do": "confirm"}),
    ("3.9", {"do": "rate", "rate": 3.9}),
    ("skip a strap broke", {"do": "skip", "reason": "a strap broke"}),
    ("note a cough", {"do": "note", "text": "a cough"}),
    ("3.8", {"do": "rate", "rate": 3.8}),
    ("amend 2 3.7 misread", {"do": "amend", "bout": 2, "rate": 3.7, "reason": "misread"}),
    ("void a shoe lace", {"do": "void", "reason": "a shoe lace"}),
    ("3.95", {"do": "rate", "rate": 3.95}),
    ("undo misread", {"do": "undo", "reason": "misread"}),
    ("3.96", {"do": "rate", "rate": 3.96}),
    ("limit 0.7 it hurts", {"do": "limit", "torque": 0.7, "reason": "it hurts"}),
    ("exclude 4 the mask leaked", {"do": "exclude", "bout": 4, "reason": "the mask leaked"}),
    ("retest", {"do": "retest"}),
]


@pytest.mark.nightly
def test_a_session_that_is_typed_has_the_laws_of_the_same_one_by_the_protocol(tmp_path: Path) -> None:
    flags = [*FLAGS, "--no-countdown", "--set", "sigma=0.05"]
    process, screen = in_terminal("run", "--out", str(tmp_path / "typed"), *flags)
    try:
        for line, _ in OPERATED:
            seen(screen, " > ")
            os.write(screen, line.encode() + b"\n")
        for number in range(30):
            shown = seen(screen, " > ")
            if "The session is over" in shown:
                break
            os.write(
                screen, b"yes\n" if "yes walks there" in shown else f"{3.6 + 0.01 * number:.2f}\n".encode()
            )
        os.write(screen, b"\n")
        seen(screen, "report: ")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(screen)
    typed = SessionView.of(tmp_path / "typed" / LOG)
    inlet, log = {"timed": False}, tmp_path / "told" / LOG
    log.parent.mkdir()
    told = {"log": str(log), "plan": typed.plan.document(), "inlet": inlet, "device": {}}
    with client.EngineConnection(started(told)) as connection:
        for _, action in OPERATED:
            assert connection.act(**action)["code"] == 200, action
        for number in range(30):
            match connection.state["phase"]:
                case "over":
                    break
                case "confirm":
                    connection.act("confirm")
                case _:
                    connection.act("rate", rate=round(3.6 + 0.01 * number, 2))
    by_protocol = SessionView.of(log)
    assert typed.next is None
    pd.testing.assert_frame_equal(typed.table(), by_protocol.table(), check_exact=True)


# --------------------------------------------------------------------------------------- kills and second openers


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    said = ""
    while not said.endswith(text):
        piece = process.stdout.read(1)
        assert piece, said
        said += piece
    return said


def test_a_session_killed_at_a_prompt_continues_with_the_same_law_and_has_one_operator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    first = start("run", "--out", str(out), *FLAGS, "--no-countdown", "--mass", "80")
    assert first.stdin is not None
    first.stdin.write("4.4\nyes\n3.9\nyes\nskip tired\nyes\n")
    first.stdin.flush()
    asked = read_until(first, "bout 4: ") + read_until(first, "breath file > ")
    law = asked[asked.index("bout 4: ") :].split("  it enters")[0].split("  a rate")[0]
    assert "% stride" in law

    assert main(["run", "--out", str(out)]) == 4
    assert f"process {first.pid} on " in capsys.readouterr().err
    assert main(["report", str(out)]) == 0  # a session that is being written can be read
    assert (out / "report.html").exists()
    assert main(["run", "--out", str(out), "--minutes", "3", "--mass", "80", "--set", "sigma=0.2"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["error: minutes was 1, is 3", "error: sigma was 0.3, is 0.2"]
    assert len(said) == 3

    first.send_signal(signal.SIGKILL)
    first.communicate()
    events = repr(SessionView.of(out / LOG).events)[1:-1]
    again = run("run", "--out", str(out), "--no-countdown", "--mass", "80")
    assert again.returncode == 0, again.stderr
    assert law in again.stdout
    assert (
        f"stopped; to continue: python -m policysearch.hitl run --out {out} --no-countdown --mass 80"
        in again.stdout
    )
    assert repr(SessionView.of(out / LOG).events).startswith(f"({events}")


# ------------------------------------------------------------------------------------------- simulated people

FEW = shlex.split("--bouts 8 --minutes 1 --baseline 1 --validation 1 --averaged 1 --seed 3")


def test_a_simulated_session_killed_at_a_bout_continues_with_the_same_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    assert main(["simulate", *FEW, "--number", "2", "--out", str(calm)]) == 0
    said = capsys.readouterr().out
    assert f"report: {calm / 'report.html'}" in said
    assert (calm / "report.html").exists()

    bouts = int(stream(1, "kill").integers(2, 14))
    process = start("simulate", *FEW, "--number", "2", "--out", str(killed), "--speed", "300")
    read_until(process, f"bout {bouts}  ")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert bouts <= len(SessionView.of(killed / LOG).entries) < 15
    assert main(["simulate", "--out", str(killed)]) == 0  # the log knows who it is
    again = capsys.readouterr().out
    assert "continuing after" in again
    one, other = (SessionView.of(folder / LOG).table() for folder in (calm, killed))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert again.split("\n\n")[1].splitlines()[:-1] == said.split("\n\n")[1].splitlines()[:-1]

    plan = SessionPlan(bouts=8, minutes=1.0, baseline=1.0, validation=1.0, averaged=1.0)
    row = simulate.take_part(simulate.StudyArm("one", plan), 2, 3).row  # the same person as in a study
    assert SessionView.of(calm / LOG).recommendation.tolist() == [
        row[f"law: {name}"] for name in plan.space.names
    ]
    true = (
        f"{row['true']:.1f} % less under the optimized law, {row['true reference']:.1f} % under the reference"
    )
    assert f"{true} law, {row['true best']:.1f} % under the best law" in said

    assert main(["simulate", "--out", str(calm), "--people", "novice", "--number", "2"]) == 2
    assert "error: people was zhang2017, is novice\n" in capsys.readouterr().err
    assert main(["run", "--out", str(calm)]) == 2
    assert "one of a simulated person" in capsys.readouterr().err
    assert main(["simulate", *FEW, "--out", str(calm), "--fresh"]) == 0
    assert SessionView.of(calm / "session.1.sqlite").table().equals(one)
    assert not SessionView.of(calm / LOG).table().equals(one)


def test_a_terminal_shows_the_breaths_as_they_come_at_the_speed_that_is_asked_for() -> None:
    session = Session.begin(dataclasses.replace(SHORT, baseline=1.0, validation=1.0))
    screen, waits = io.StringIO(), list[float]()
    terminal = Console(file=screen, force_terminal=True, width=100, height=40, color_system=None)
    live.walk(session, live.PersonName("zhang2017", 0, 0).person(), 150.0, terminal, waits.append)
    assert session.next is None
    assert sum(waits) == pytest.approx(60.0 * sum(entry.minutes for entry in session.entries) / 150.0)
    shown = screen.getvalue()
    entry = session.entries[3]
    assert entry.breaths is not None
    rates, errors = running(entry.breaths)
    count = int((entry.breaths.time <= 45.0).sum())
    early = f"0:45 of 1 min, {count} breaths, so far {rates[count - 1]:.2f} ± {errors[count - 1]:.2f} W/kg"
    assert early in shown
    assert f"bout 4: generation 1, bout 3 of 8: {entry.law[0]:.3f}  {entry.law[1]:.1f}" in shown
    assert "search: 2 of 8 bouts, 2 of 8 min" in shown
    assert (
        f"{entry.rate:.2f} ± {entry.standard_error:.2f}" not in shown[: shown.index(early)]
    )  # not told before its end
    assert f"{entry.rate:.2f} ± {entry.standard_error:.2f}" in shown


def test_the_tables_of_a_study_do_not_depend_on_the_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    flags = ["simulate", *FEW, "--participants", "4", "--number", "7"]
    assert main([*flags, "--workers", "1", "--out", str(folders[0])]) == 0
    said = capsys.readouterr().out
    assert run(*flags, "--workers", "2", "--out", str(folders[1])).returncode == 0
    for name in ("participants.csv", "curve.csv", "summary.csv"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    rows = pd.read_csv(folders[0] / "participants.csv")
    assert rows["participant"].tolist() == [7, 8, 9, 10]
    assert len(pd.read_csv(folders[0] / "curve.csv")) == 4 * 8
    assert re.search(rf"optimized law, true +{rows['true'].mean():.1f} +{rows['true'].std():.1f} ", said)
    assert re.search(rf"the search .luck included. +{rows['claimed'].mean():.1f} ", said)
    assert "Zhang et al. 2017 " in said
    assert "for comparison, and the simulated people do not reproduce them" in said.replace("\n", " ")


# ------------------------------------------------------------------------------------------------- what is refused


def test_the_options_of_a_plan_are_declared_once() -> None:
    options = {field.name for field in dataclasses.fields(PlanOptions)}
    assert {field.name for field in dataclasses.fields(SessionPlan)} == options
    assert all(option.description for option in PlanOptions.__pydantic_fields__.values())  # type: ignore[attr-defined]
    own = {"options", "shuffle", *BY_FILE}  # by --set and --no-shuffle
    assert options - own <= {field.name for field in dataclasses.fields(RunFlags)}
    assert options - own - {field.name for field in dataclasses.fields(SimulateFlags)} == {
        "participant",
        "standing_rate",
        "standing",
        "day_bouts",
        "objective",
        "better",
    }
    assert (PlanOptions().tau, PlanOptions().upper_torque) == (TAU, UPPER_TORQUE)


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["run"], [f"--{name}: a new session has to be told it" for name in ("participant", "mass", "standing-rate")]),
        (["run", "--protocol", "hip", "--device", "a:b"], ["--device: the torque guard knows the ankle's laws only"]),
        (["run", "--minutes", "0"], ["minutes: expected at least 1, got 0"]),
        (["run", "--minutes", "0", "--mass", "-3"], ["mass: expected at least 1, got -3", "minutes: expected"]),
        (["run", "--start", "1.5,50,25,10"], ["start: peak torque: expected 0 to 1 N·m/kg, got 1.5"]),
        (["run", "--optimizer", "cma"], ["unknown optimizer 'cma'; did you mean cma-es"]),
        (["run", "--optimizer", "reinforce"], ["optimizer: reinforce needs"]),
        (["run", "--set", "sigm=0.2"], ["sigm: not an option; did you mean sigma?"]),
        (["run", "--set", "sigma"], ["--set sigma: expected FIELD=VALUE, as in sigma=0.2"]),
        (["run", "--bouts", "7"], ["bouts: expected at least one generation of cma-es, 8, got 7"]),
        (["run", "--no-countdown", "--breaths", "a.csv"], ["with {number} in its name"]),
        (["simulate", "--people", "zhang"], ["people: unknown preset 'zhang'; did you mean zhang2017"]),
        (["simulate", "--participants", "0"], ["participants: expected at least 1, got 0"]),
        (["simulate", "--validation", "0.5"], ["validation: expected 0, or at least 1 minute"]),
        (["simulate", "--speed", "nan"], ["speed: expected at least 0, got nan"]),
    ],
)  # fmt: skip
def test_bad_input_gets_one_line_for_each_mistake_and_no_folder(
    arguments: list[str], messages: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(messages)
    for line, message in zip(said, messages, strict=True):
        assert line.startswith("error: ")
        assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "--out"),
        (["run", "--out", "x", "--minuts", "2"], "--minutes"),
        (["run", "--out", "x", "--bouts", "many"], "expected a whole number, got 'many'"),
        (["run", "--out", "x", "--start", "1,2,3"], "expected four numbers T,p,r,f"),
    ],
)
def test_a_wrong_flag_is_refused_with_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_a_session_and_an_unknown_command_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert (
        said
        == f"error: {tmp_path}: no session is there; to begin one: python -m policysearch.hitl run --out {tmp_path}\n"
    )
    assert main(["rum"]) == 2
    assert "did you mean run?" in capsys.readouterr().err
    (tmp_path / LOG).write_text("not a log, but long enough to be looked at" * 100)
    assert main(["report", str(tmp_path)]) == 3
    assert "not a ledger" in capsys.readouterr().err
    assert main(["run", *PERSON, "--out", str(tmp_path / LOG / "out")]) == 2
    assert "cannot write there" in capsys.readouterr().err


def test_a_log_that_was_killed_before_its_first_event_is_begun_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LOG).touch()
    monkeypatch.setattr(sys, "stdin", io.StringIO("4.4\n"))
    assert main(["run", "--out", str(tmp_path), *FLAGS, "--no-countdown"]) == 0
    assert [entry.rate for entry in SessionView.of(tmp_path / LOG).entries] == [4.4]


def test_help_loads_nothing_heavy_and_teaches_by_example() -> None:
    code = (
        "import sys; from policysearch.hitl.__main__ import main\n"
        "main(['--help'])\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit as stop: code = stop.code\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'cma', 'matplotlib', 'numba', 'rich.live'} & set(sys.modules)\n"
        "print('code', code, 'heavy', sorted(heavy))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "code 0 heavy []" in finished.stdout
    assert "python -m policysearch.hitl run --out DIR" in finished.stdout


def test_every_field_of_the_plan_has_a_flag_that_states_its_default() -> None:
    hints = typing.get_type_hints(flags.RunFlags, include_extras=True)
    plan = {field.name: field.default for field in dataclasses.fields(SessionPlan)}
    assert plan.keys() - hints.keys() == {"options", "shuffle", *BY_FILE}  # --set and --no-shuffle
    assert hints.keys() - plan.keys() == {
        "set", "no_shuffle", "out", "breaths", "no_countdown", "fresh", "device", "device_options", "markers", "slope", "stop_time",
        "protocol", "warm_start",
        "delay", "breath_units", "cart_start",
    }  # fmt: skip
    for name, default in plan.items():
        if isinstance(default, int | float | str) and name in hints:
            hint = hints[name].__metadata__[-1].help_behavior_hint
            said = f"{default:g}" if isinstance(default, float) else f"{default}"
            assert hint == f"(default: {said})" or name == "shuffle"
