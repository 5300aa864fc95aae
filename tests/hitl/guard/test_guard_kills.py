"""Random kills of the guard, its owner and the device: the torque of the device is safe within the configured time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_adapters import applied, emulated, until

from policysearch.seeding import stream

MASS, HIGHEST, SLOPE, STOP = 50.0, 0.8, 12.0, 0.3
HEARTBEAT, WATCHDOG, OWN_RAMP = 0.3, 0.05, 0.04  # s; the last two of the device
PERIOD, STEP = 0.005, 0.0025  # s, of the guard and of the device
OWNER = """
import json, sys, time
from pathlib import Path
import numpy as np
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits

line, folder = sys.argv[1:]
limits = GuardLimits(highest=0.8, slope=12.0, stop_time=0.3, unit="N·m/kg", heartbeat=0.3)
settings = GuardSettings(50.0, records=Path(folder) / "records")
guard = GuardProcess(limits, "policysearch.hitl.guard.adapters:Serial", settings, {"path": line})
guard.arm("a test")
guard.set_law(np.array([0.5, 52.0, 30.0, 13.0]))
law = None
while True:
    guard.beat()
    time.sleep(0.01)
    status = guard.status()
    if law is None and status.stop_reason and not any(status.torque):  # this process came too late
        guard.arm("again")
    if law is None and (law := status.law):
        print(guard.pid, flush=True)
"""


def kill_one(folder: Path, victim: str, wait: float) -> dict[str, float]:
    """Kill a process while the device walks under torque; returns what was seen of the device afterwards."""
    folder.mkdir()
    with emulated(folder) as (device, line):
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, line, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert owner.stdout is not None
            guard = int(owner.stdout.readline())
            time.sleep(wait)
            since = time.monotonic()
            os.kill({"guard": guard, "owner": owner.pid, "device": device.pid}[victim], signal.SIGKILL)
            records = folder / "records"
            until(lambda: [*records.glob("*.csv")])
            if victim != "device":
                until(lambda: applied(folder)[-1, 0] > since + 2.0 * (HEARTBEAT + STOP))
        finally:
            owner.kill()
            owner.communicate()
    rows = np.loadtxt(next(records.glob("*.csv")).read_text(encoding="utf-8").splitlines()[3:], delimiter=",")
    check_told(rows, ramped=victim != "guard")
    found = applied(folder)
    torque = found[:, 1:]
    assert np.isfinite(torque).all()
    assert (torque >= 0.0).all()
    assert torque.max() <= HIGHEST * MASS
    after = found[found[:, 0] >= since]
    if victim == "device":
        return {"at": float(rows[:, [4, 8]].max()), "zero": float(rows[-1, 0] - rows[rows[:, 1] == 1, 0][-1])}
    zero = after[np.flatnonzero((after[:, 1:] > 0.0).any(axis=1)), 0]
    seconds = float(zero[-1] - since) if zero.size else 0.0
    late = lateness(found[:, 0], STEP, since) + lateness(
        rows[:, 0], PERIOD, since
    )  # of a computer that is busy
    assert (
        seconds
        <= (HEARTBEAT + STOP if victim == "owner" else WATCHDOG + OWN_RAMP) + 2 * (PERIOD + STEP) + late
    )
    return {"at": float(after[0, 1:].max() / MASS), "zero": seconds}


def lateness(times: np.ndarray, period: float, since: float) -> float:
    """Seconds by which steps came late from a moment on, all together."""
    return float(np.maximum(np.diff(times[times >= since - 2.0 * period]) - 2.0 * period, 0.0).sum())


def check_told(rows: np.ndarray, ramped: bool) -> None:
    """What the guard told, from its record."""
    time_s, told = rows[:, 0], rows[:, [4, 8]]
    assert np.isfinite(told).all()
    assert (told >= 0.0).all()
    assert told.max() <= HIGHEST
    allowed = SLOPE * np.minimum(np.diff(time_s) + 0.005, 0.02) + 1e-6
    assert (np.abs(np.diff(told, axis=0)) <= allowed[:, None]).all()
    if ramped:
        assert not told[-1].any()


@pytest.mark.nightly
@pytest.mark.parametrize("load", ["idle", "loaded"])
@pytest.mark.parametrize("victim", ["guard", "owner", "device"])
def test_after_a_kill_at_a_random_time_the_torque_is_safe(tmp_path: Path, victim: str, load: str) -> None:
    kills, rng, results = int(os.environ.get("KILLS", "34")), stream(0, "kills", victim, load), []
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
    worst = max(result["zero"] for result in results)
    under = sum(result["at"] > 0.05 for result in results)
    print(
        json.dumps(
            {"victim": victim, "load": load, "kills": kills, "under torque": under, "slowest (s)": worst}
        )
    )
