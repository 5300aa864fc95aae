"""The times between two ticks of a guard under torque, idle and with both processors loaded.

    python experiments/benchmarks/guard_ticks.py --out results/benchmarks/guard_ticks.csv

The guard drives the emulated device of `policysearch.hitl.guard.emulated` on a pseudo-terminal, at 200 Hz, as in a
session: its owner beats every 20 ms, in real-time scheduling where that is allowed. Loaded means as many endless
loops as there are processors. A guard that stops is armed again after a second; its ticks count then too.

`bare_ms` is the longest time between two turns of a loop that only sleeps for as long as a tick takes, in the same
minute and with the guard's scheduling: the computer itself was away for so long. `steal_s` is the time that the host
of a virtual one gave to others.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from policysearch.hitl.engine.drive import BEATS
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.realtime import OWNER_PRIORITY, fifo
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.rehearse import emulated

LAW = np.array([0.5, 52.0, 30.0, 13.0])
ARMED_AFTER = 1.0  # s, from a stop
BARE = """
import sys, time
from policysearch.hitl.guard.realtime import PRIORITY, fifo
fifo(PRIORITY)
longest, last = 0.0, time.monotonic()
end = last + float(sys.argv[1])
while last < end:
    time.sleep(float(sys.argv[2]))
    last, before = time.monotonic(), last
    longest = max(longest, last - before)
print(longest)
"""


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Endless loops, which end with the block."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextmanager
def bare(seconds: float) -> Iterator[list[float]]:
    """A loop without a guard during the block; afterwards its longest time between two turns, s."""
    settings = str(seconds), str(GuardSettings(50.0).period)
    longest = list[float]()
    with subprocess.Popen([sys.executable, "-c", BARE, *settings], stdout=subprocess.PIPE, text=True) as loop:
        yield longest
        longest.append(float(loop.communicate()[0]))


def steal() -> float:
    """Seconds in which the host of a virtual computer gave its processors to others."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def ticks(load: str, seconds: float) -> dict[str, Any]:
    """A row of the table: what a guard has counted in some seconds."""
    limits = GuardLimits(highest=0.8, slope=12.0, stop_time=0.3, unit="N·m/kg")
    with (
        emulated() as told,
        GuardProcess(limits, told["device"], GuardSettings(50.0), told["options"]) as guard,
    ):
        scheduling = fifo(OWNER_PRIORITY)
        try:
            with busy((os.cpu_count() or 1) * (load == "loaded")), bare(seconds) as told_by_bare:
                stolen = steal()
                row = {"load": load, **watched(guard, seconds), "owner": scheduling}
                row["steal_s"] = round(steal() - stolen, 2)
            return row | {"bare_ms": round(1000.0 * told_by_bare[0], 2)}
        finally:
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def watched(guard: GuardProcess, seconds: float) -> dict[str, Any]:
    """Beat, and arm again after each stop."""
    guard.beat()
    guard.arm("ticks")
    guard.set_law(LAW)
    first, end, stops, stopped = np.array(guard.status().gaps), time.monotonic() + seconds, list[str](), 0.0
    while (now := time.monotonic()) < end:
        guard.beat()
        time.sleep(BEATS)
        status = guard.status()
        if not status.stop_reason:
            stopped = 0.0
        elif not stopped:
            stopped = now
            stops.append(status.stop_reason)
        elif now - stopped > ARMED_AFTER:
            guard.beat()
            guard.arm("ticks")
            guard.set_law(LAW)
    counts = np.array(status.gaps) - first
    return {
        "seconds": seconds, "guard": status.scheduling, "longest_ms": round(1000.0 * status.longest_gap, 2),
        "stops": "; ".join(stops), **{f"from_{i}_ms": int(count) for i, count in enumerate(counts)},
    }  # fmt: skip


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="a CSV file; what it has of the other load stays")
    parser.add_argument("--loads", nargs="+", choices=("idle", "loaded"), default=("idle", "loaded"))
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    rows = pd.DataFrame([ticks(load, chosen.seconds) for load in chosen.loads])
    if chosen.out and chosen.out.exists():
        old = pd.read_csv(chosen.out, keep_default_na=False)
        rows = pd.concat([old[~old["load"].isin(rows["load"])], rows]).sort_values("load")
    print(rows.T.to_string())
    if chosen.out:
        rows.to_csv(chosen.out, index=False)


if __name__ == "__main__":
    main()
