"""Random kills of the four processes of a session: the device's torque is safe, and nothing in the log is lost."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.hitl.engine import client
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.view import SessionView
from policysearch.seeding import stream

#: Why a machine that is too busy stops a guard or a bout.
TOO_LATE = re.compile(
    "no heartbeat for|a tick of the guard came|[a-z]+: the (reading of the )?stride |[a-z]+: .* were measured"
    "|the guard process has not answered|void: .* passed between two looks at the clock"
)
MASS, HIGHEST, SLOPE, STOP = 50.0, 0.6, 12.0, 0.3
BUSY = 0.5  # s that a busy machine may add
LAPSE = 0.1 + STOP + BUSY  # s from the death of the engine to zero
EDGES = (0, 5, 6, 8, 10, 20, 100)  # ms, of the histogram
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


def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.01)


def applied(folder: Path) -> np.ndarray:
    """Time (s) and torques (N·m) that the emulated device had."""
    lines = (folder / "torque").read_text(encoding="utf-8").split("\n")[:-1]
    return np.array([line.split(",") for line in lines], dtype=float)


def told_to_engine(folder: Path, line: str) -> dict[str, Any]:
    begun = (folder / "session.sqlite").exists()
    device = {
        "device": "policysearch.hitl.guard.adapters:Serial", "slope": SLOPE, "stop_time": STOP,
        "options": {"path": line}, "records": str(folder / "records"),
    }  # fmt: skip
    plan = None if begun else PLAN.document()
    return {"log": str(folder / "session.sqlite"), "plan": plan, "inlet": {"walk_on": True}, "device": device}


def dead(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    return True


def kill_one(folder: Path, victim: str, wait: float) -> dict[str, float]:
    """Kill a process in a bout; returns the torque then (N·m/kg), and the seconds to zero."""
    folder.mkdir()
    command = [sys.executable, "-m", "policysearch.hitl.guard.emulated", str(folder / "torque")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as device:
        assert device.stdout is not None
        line = device.stdout.readline().strip()
        with suppress(OSError):  # hardware is not delayed by programs
            os.sched_setscheduler(device.pid, os.SCHED_FIFO, os.sched_param(20))
        operator = subprocess.Popen(
            [sys.executable, "-c", CLIENT, json.dumps(told_to_engine(folder, line))],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert operator.stdout is not None
            assert operator.stdout.readline() == "walking\n"
            engine = json.loads((folder / client.ADDRESS).read_text())["pid"]
            guard = int(Path(f"/proc/{engine}/task/{engine}/children").read_text().split()[0])
            until(lambda: applied(folder)[-1, 1:].max() > 0.1 * HIGHEST * MASS)
            time.sleep(wait)
            since = time.monotonic()
            victims = {"client": operator.pid, "engine": engine, "guard": guard, "device": device.pid}
            os.kill(victims[victim], signal.SIGKILL)
            if victim == "client":
                until(lambda: dead(engine), 90.0)  # the bout continues to its end, and no other begins
            elif victim == "engine":
                until(lambda: dead(guard))
            else:
                until(lambda: dead(guard) or victim == "device")
                until(lambda: [*(folder / "records").glob("*.csv")])
            if victim != "device":
                end = time.monotonic() + LAPSE
                until(lambda: applied(folder)[-1, 0] > end)
            seen = applied(folder)
        finally:
            operator.kill()
            operator.communicate()
            device.kill()
    if victim not in ("client", "engine"):
        until(lambda: dead(engine))  # without a client it ends
    return checked(folder, victim, since, seen)


def checked(folder: Path, victim: str, since: float, seen: np.ndarray) -> dict[str, float]:
    """What the device had, what the log has, and that the same command continues."""
    torque = seen[:, 1:]
    assert np.isfinite(torque).all()
    assert (torque >= 0.0).all()
    assert torque.max() <= HIGHEST * MASS
    after = seen[seen[:, 0] >= since]
    zero = 0.0
    if victim in ("engine", "guard"):
        under = after[np.flatnonzero((after[:, 1:] > 0.0).any(axis=1)), 0]
        zero = float(under[-1] - since) if under.size else 0.0
        assert zero <= (LAPSE if victim == "engine" else 0.05 + 0.04 + BUSY)
    elif victim == "client":
        assert not after[-1, 1:].any()
    with client.EngineConnection(
        client.started(told_to_engine(folder, "/dev/null") | {"device": {}})
    ) as again:
        phase = again.state["phase"]
    session = SessionView.of(folder / "session.sqlite")
    kinds = [kind for kind, _ in session.events]
    assert kinds.count("started") == kinds.count("ended") == len(session.entries)
    assert phase == "start"
    *others, entry = session.entries
    late = [each.reason for each in (*others, entry) if TOO_LATE.match(each.reason)]
    assert len(late) >= len(others)
    assert entry.status == ("waiting" if victim == "client" and not late else "void")
    assert 0.0 < entry.minutes <= 1.0
    return {"at": float(after[0, 1:].max() / MASS) if len(after) else 0.0, "zero": zero, "late": len(late)}


def reasons(folder: Path) -> dict[str, int]:
    """How often the guard stopped because something came too late, by what it was."""
    logs = [SessionView.of(log) for log in folder.glob("*/session.sqlite")]
    found = (TOO_LATE.match(entry.reason) for log in logs for entry in log.entries)
    return dict(Counter(match[0] for match in found if match))


def ticks(folder: Path) -> dict[str, Any]:
    """The times between two ticks (ms) in the records of all guards: how many, quantiles, and a histogram."""
    tables = [path.read_text(encoding="utf-8").splitlines()[3:] for path in folder.glob("*/records/*.csv")]
    times = [np.loadtxt(rows, delimiter=",", ndmin=2)[:, 0] for rows in tables if rows]
    gaps = 1000.0 * np.concatenate([[], *map(np.diff, times)])
    counts, _ = np.histogram(gaps, [*EDGES, np.inf])
    return {
        "ticks": len(gaps),
        "ms": np.round(np.quantile(gaps, (0.5, 0.99, 1.0)), 1).tolist() if len(gaps) else [],
        "by ms": dict(zip(map(str, EDGES), counts.tolist(), strict=True)),
    }


@pytest.mark.nightly
@pytest.mark.parametrize("load", ["idle", "loaded"])
@pytest.mark.parametrize("victim", ["engine", "guard", "device", "client"])
def test_after_a_kill_at_a_random_time_torque_is_safe_and_the_session_continues(
    tmp_path: Path, victim: str, load: str
) -> None:
    kills = int(os.environ.get("SESSION_KILLS", "5"))
    kills = max(1, kills // 6) if victim == "client" else kills  # a bout of a minute each
    rng, results = stream(0, "session kills", victim, load), []
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (load == "loaded"))
    ]
    try:
        for i in range(kills):
            results.append(kill_one(tmp_path / str(i), victim, float(rng.uniform(0.0, 1.2))))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    said = {"victim": victim, "load": load, "kills": kills}
    said["under torque"] = sum(each["at"] > 0.05 for each in results)
    said |= {"slowest (s)": max(each["zero"] for each in results), "stops": reasons(tmp_path)}
    print(json.dumps(said | ticks(tmp_path), ensure_ascii=False))
