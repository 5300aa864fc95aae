"""Kills one of the four processes of a session at a random time, again and again; a table has a row for each.

    python tests/hitl/session_kills.py TABLE.csv --load idle --kills 25 --minutes 4

A kill that the table has is not made again, so the same command continues where it was stopped. One that failed stays
in the table with what was wrong.
"""

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from policysearch.hitl.engine import client
from policysearch.hitl.guard.emulated import PERIOD as STEP
from policysearch.hitl.guard.emulated import Firmware
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.guard.watch import WatchLimits
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.view import SessionView
from policysearch.seeding import stream

VICTIMS, LOADS = ("engine", "guard", "device", "client"), ("idle", "loaded")
#: Why a guard stops, or a bout is void, if a process was not given a processor in time.
TOO_LATE = re.compile(
    "no heartbeat for|a tick of the guard came|[a-z]+: the (reading of the )?stride |[a-z]+: .* were measured"
    "|the guard process has not answered|void: .* passed between two looks at the clock"
)
MASS, HIGHEST, SLOPE, STOP = 50.0, 0.6, 12.0, 0.3
HEARTBEAT = GuardLimits(highest=HIGHEST, slope=SLOPE, stop_time=STOP, unit="N·m/kg").heartbeat
TICK = GuardSettings(MASS).period
#: Seconds to zero torque that are configured, by what was killed. The device's own ramp follows its watchdog. Without a
#: client the bout continues to its end; from then on the torque is zero as soon as each side is in swing.
CONFIGURED = {
    "engine": HEARTBEAT + STOP,
    "guard": Firmware.watchdog + HIGHEST * MASS / Firmware.slope,
    "device": WatchLimits.oldest + STOP,
    "client": Firmware.stride_time,
}
BUSY = 50.0  # % of the time in which some program waits for a processor, from which on a computer is not idle
GRAIN = 2 * TICK + 2 * STEP  # s, as guard and device look at the clock once in a tick
PLAN = SessionPlan(
    mass=MASS,
    upper_torque=HIGHEST,
    bouts=8,
    minutes=1.0,
    baseline=0.0,
    validation=0.0,
    options={"sigma": 0.01},
)
CLIENT = """
import json, sys
from policysearch.hitl.engine import client
with client.EngineConnection(client.started(json.loads(sys.argv[1]))) as connection:
    while not any((torque or 0.0) > 0.06 for torque in connection.state["guard"]["torque"]):
        if (phase := connection.state["phase"]) != "walking":  # a guard that came too late stops, and is armed again
            connection.act({"stopped": "arm"}.get(phase, phase), reason="a test")
        connection.wait(0.02)
    print("walking", flush=True)
    while True:
        connection.wait(1.0)
"""


@dataclass(frozen=True)
class Kill:
    """What was seen of a session of which a process was killed."""

    victim: str
    load: str
    number: int
    torque_Nm_per_kg: float = 0.0  # noqa: N815 - of the device, when the process was killed
    zero_s: float = 0.0  # from the kill to zero torque; of a client from the end of the bout
    configured_s: float = 0.0
    delay_s: float = 0.0  # by which ticks of the guard and steps of the device came late meanwhile
    waiting_percent: float = (
        0.0  # of the time in which some program waited for a processor, see /proc/pressure
    )
    ticks: int = 0  # of the guard, in the last 10 s before its stop; 0 if it has stopped more than once
    over_20_ms: int = 0  # times between two ticks
    longest_ms: float = 0.0
    stops: str = ""  # because something came too late
    failed: str = ""  # what was wrong


def until(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.01)


def applied(folder: Path) -> np.ndarray:
    """Time (s) and torques (N·m) that the emulated device had."""
    lines = (folder / "torque").read_text(encoding="utf-8").split("\n")[:-1]
    return np.array([line.split(",") for line in lines], dtype=float)


def latest(folder: Path) -> list[float]:
    """The last row of `applied`."""
    with (folder / "torque").open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 400))
        return [float(text) for text in file.read().split(b"\n")[-2].split(b",")]


def told_to_engine(folder: Path, line: str) -> dict[str, Any]:
    """The arguments of an engine that begins or continues a session."""
    begun = (folder / "session.sqlite").exists()
    device = {
        "device": "policysearch.hitl.guard.adapters:Serial", "slope": SLOPE, "stop_time": STOP,
        "options": {"path": line}, "records": str(folder / "records"),
    }  # fmt: skip
    plan = None if begun else PLAN.document()
    return {"log": str(folder / "session.sqlite"), "plan": plan, "inlet": {"walk_on": True}, "device": device}


def dead(pid: int) -> bool:
    """Whether a process has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    return True


def waited() -> float:
    """Seconds in which some program waited for a processor, since the computer was started; NaN if unknown."""
    with suppress(OSError, IndexError):
        return (
            float(Path("/proc/pressure/cpu").read_text(encoding="ascii").split("total=")[1].split()[0]) / 1e6
        )
    return np.nan


def killed(folder: Path, victim: str, wait: float) -> tuple[float, np.ndarray]:
    """When a process was killed, some seconds after there was torque, and what the device had."""
    command = [sys.executable, "-m", "policysearch.hitl.guard.emulated", str(folder / "torque")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as device:
        assert device.stdout is not None
        line = device.stdout.readline().strip()
        with suppress(OSError):  # hardware is not delayed by programs
            os.sched_setscheduler(device.pid, os.SCHED_FIFO, os.sched_param(20))
        operator = subprocess.Popen(
            [sys.executable, "-c", CLIENT, json.dumps(told_to_engine(folder, line))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert operator.stdout is not None
            assert operator.stdout.readline() == "walking\n"
            engine = json.loads((folder / client.ADDRESS).read_text())["pid"]
            guard = int(Path(f"/proc/{engine}/task/{engine}/children").read_text().split()[0])
            until(lambda: max(latest(folder)[1:]) > 0.1 * HIGHEST * MASS)
            time.sleep(wait)
            victims = {"client": operator.pid, "engine": engine, "guard": guard, "device": device.pid}
            since = time.monotonic()
            os.kill(victims[victim], signal.SIGKILL)
            if victim == "client":
                until(lambda: dead(engine), 120.0)  # the bout continues to its end, and no other begins
            elif victim == "engine":
                until(lambda: dead(guard))
            else:
                until(lambda: dead(guard) or victim == "device")
            if victim != "client":
                until(lambda: [*(folder / "records").glob("*.csv")])
            if victim != "device":
                end = time.monotonic() + 2.0 * CONFIGURED["engine"]
                until(lambda: latest(folder)[0] > end)
            seen = applied(folder)
        finally:
            operator.kill()
            operator.communicate()
            device.kill()
    if victim not in ("client", "engine"):
        os.kill(engine, signal.SIGTERM)  # in order
        until(lambda: dead(engine))
    return since, seen


def kill_one(folder: Path, victim: str, load: str, number: int) -> Kill:
    """Kill a process in a bout under torque, and see what follows."""
    folder.mkdir()
    began, pressure = time.monotonic(), waited()
    wait = float(stream(0, "session kills", victim, load, number).uniform(0.0, 1.2))
    since, seen = killed(folder, victim, wait)
    share = 100.0 * (waited() - pressure) / (time.monotonic() - began)
    log = continued(folder, victim)
    torque = seen[:, 1:]
    assert np.isfinite(torque).all()
    assert (torque >= 0.0).all()
    assert torque.max() <= HIGHEST * MASS
    told = records(folder)
    if victim == "client":
        since = [body["monotonic"] for kind, body in log.events if kind == "ended"][-1]
    zero = to_zero(told if victim == "device" else seen, since)
    delay = late(seen, STEP, since, zero) + late(told, TICK, since, zero)
    before = seen[seen[:, 0] <= since]
    gaps = 1000.0 * np.diff(told[:, 0]) if len([*(folder / "records").glob("*.csv")]) == 1 else np.empty(0)
    return Kill(
        victim, load, number, round(float(before[-1, 1:].max()) / MASS, 3), round(zero, 4), CONFIGURED[victim],
        round(delay, 4), round(share, 1), len(gaps), int((gaps > 20.0).sum()), round(float(gaps.max(initial=0.0)), 1),
        "; ".join(entry.reason for entry in log.entries if TOO_LATE.match(entry.reason)),
    )  # fmt: skip


def to_zero(rows: np.ndarray, since: float) -> float:
    """Seconds until the torques of rows of time and torques are zero for good."""
    under = rows[(rows[:, 0] >= since) & (rows[:, 1:] > 0.0).any(axis=1), 0]
    return float(under[-1] - since) if under.size else 0.0


def late(rows: np.ndarray, period: float, since: float, seconds: float) -> float:
    """Seconds by which steps came late from a moment on, all together."""
    times = rows[(rows[:, 0] >= since - 2.0 * period) & (rows[:, 0] <= since + seconds + 2.0 * period), 0]
    return float(np.maximum(np.diff(times) - 2.0 * period, 0.0).sum())


def records(folder: Path) -> np.ndarray:
    """Time and torques told (N·m/kg) of all ticks that the records of the guard have; none if there is no record."""
    tables = [
        path.read_text(encoding="utf-8").splitlines()[3:] for path in (folder / "records").glob("*.csv")
    ]
    rows = [np.loadtxt(table, delimiter=",", ndmin=2)[:, [0, 4, 8]] for table in tables if table]
    return np.unique(np.concatenate([np.empty((0, 3)), *rows]), axis=0)


def continued(folder: Path, victim: str) -> SessionView:
    """The session, which the same command continues; nothing in its log is lost."""
    before = SessionView.of(folder / "session.sqlite")
    with client.EngineConnection(
        client.started(told_to_engine(folder, "/dev/null") | {"device": {}})
    ) as again:
        phase = again.state["phase"]
    session = SessionView.of(folder / "session.sqlite")
    assert session.events[: len(before.events)] == before.events
    kinds = [kind for kind, _ in session.events]
    assert kinds.count("started") == kinds.count("ended") == len(session.entries)
    assert phase == "start"
    *others, entry = session.entries
    found = [each.reason for each in (*others, entry) if TOO_LATE.match(each.reason)]
    assert len(found) >= len(others)
    assert entry.status == ("waiting" if victim == "client" and not found else "void")
    assert 0.0 < entry.minutes <= 1.0
    return session


@contextmanager
def loaded(load: str) -> Iterator[None]:
    """Both processors busy, or not."""
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (load == "loaded"))
    ]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def wrong(kill: Kill) -> str:
    """What is not as it should be; empty if all is.

    On a computer that is idle the configured time holds, and nothing is late. On one that is loaded, or was although it
    should have been idle, zero comes later by no more than guard and device were late themselves.
    """
    idle = kill.load == "idle" and not kill.waiting_percent > BUSY
    allowed = kill.configured_s + GRAIN + (0.0 if idle else kill.delay_s)
    if kill.zero_s > allowed:
        return f"zero after {kill.zero_s:g} s, expected at most {allowed:g} s"
    return f"stopped on an idle computer: {kill.stops}" if idle and kill.stops else ""


def read(table: Path) -> list[Kill]:
    """The kills that a table has."""
    if not table.exists():
        return []
    kinds = {field.name: {str: str, int: int, float: float}[field.type] for field in fields(Kill)}  # type: ignore[index]
    with table.open(encoding="utf-8", newline="") as file:
        return [
            Kill(**{name: kinds[name](text) for name, text in row.items()}) for row in csv.DictReader(file)
        ]


def kills(
    table: Path, load: str, victims: Sequence[str], count: int, *, seconds: float = np.inf, at_once: int = 1
) -> list[Kill]:
    """The kills of a table with one load, after those that were missing up to a count of each victim are made."""
    end, lock, made = time.monotonic() + seconds, Lock(), {(k.victim, k.load, k.number) for k in read(table)}
    missing = [(v, load, n) for n in range(count) for v in victims if (v, load, n) not in made]
    names = [field.name for field in fields(Kill)]

    def one(case: tuple[str, str, int]) -> None:
        if time.monotonic() >= end:
            return
        with tempfile.TemporaryDirectory() as place:
            try:
                kill = kill_one(Path(place) / "session", *case)
                kill = Kill(**asdict(kill) | {"failed": wrong(kill)})
            except Exception as error:  # it is in the table
                kill = Kill(*case, failed=f"{type(error).__name__}: {error}".splitlines()[0])
        with lock, table.open("a", encoding="utf-8", newline="") as file:
            if not file.tell():
                csv.writer(file, lineterminator="\n").writerow(names)
            csv.writer(file, lineterminator="\n").writerow(asdict(kill).values())
        print(kill, flush=True)

    with loaded(load), ThreadPoolExecutor(at_once) as pool:
        [*pool.map(one, missing)]
    return [kill for kill in read(table) if kill.load == load and kill.victim in victims]


def main() -> None:
    """Make the kills that a table does not have yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--load", choices=LOADS, default="idle")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    parser.add_argument("--kills", type=int, default=25, help="of each victim")
    parser.add_argument("--minutes", type=float, default=np.inf, help="after which no other is begun")
    parser.add_argument("--at-once", type=int, default=1)
    chosen = parser.parse_args()
    seconds = 60.0 * chosen.minutes
    kills(chosen.table, chosen.load, chosen.victims, chosen.kills, seconds=seconds, at_once=chosen.at_once)


if __name__ == "__main__":
    main()
