"""`hitl device-check module:name`: the table of faults on any device, and a page about it.

Every fault is tried with a guard of its own while the device is under a small torque. **It must not be worn.**
"""

import contextlib
import dataclasses
import math
import os
import re
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional

from policysearch.command_line import Refusal, import_from_here
from policysearch.errors import MACHINE_TROUBLE
from policysearch.flags import flag, parsed, settings
from policysearch.hitl.guard.faults import OF_DEVICE, OF_OWNER, Fault
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.realtime import quantile
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.guard.wire import Status

MASS, STRIDE_TIME = 70.0, 1.1  # kg, s
WAIT = 10.0  # s for torque, or for a stop
BUSY = 0.1  # s that a ramp may take longer, on a machine that is busy


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckFlags:
    """Try the table of faults on a device that is not worn, and write a page."""

    device: Positional[Annotated[str, flag("MODULE:NAME")]]
    """What makes the device."""

    option: Annotated[list[str], flag("NAME=VALUE …")] = dataclasses.field(default_factory=list)
    """Arguments of the device, as in path=/dev/ttyACM0."""

    torque: Annotated[float, flag("N·m")] = 5.0
    """The peak torque that the device is told."""

    only: Annotated[list[str], flag("FAULT …")] = dataclasses.field(default_factory=list)
    """Faults to be tried; all, if none is named."""

    out: Annotated[Path, flag("DIR")] = Path("device-check")
    """The folder for the page."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a guard did about a fault."""

    fault: Fault
    reason: str  # of its stop, or empty
    seconds: float  # from the stop to zero
    highest: float  # N·m, told
    wrong: str  # what was not as expected, or empty
    status: Status


def command(argv: list[str], program: str) -> int:
    """Run the command line; returns the exit code: 1 if something was not as expected."""
    flags = parsed(CheckFlags, argv, program)
    faults = [fault for fault in (*OF_DEVICE, *OF_OWNER) if not flags.only or fault.name in flags.only]
    wrong = sorted(set(flags.only) - {fault.name for fault in faults})
    wrong = [
        f"--only {name}: there are {', '.join(f.name for f in (*OF_DEVICE, *OF_OWNER))}" for name in wrong
    ]
    if not all(flags.device.partition(":")):
        wrong.append(f"device: expected 'module:name', got {flags.device!r}")
    if not 0.0 < flags.torque < 1000.0:
        wrong.append(f"--torque: expected a positive number of N·m, got {flags.torque:g}")
    if wrong:
        raise Refusal(wrong)
    import_from_here()
    outcomes = []
    try:
        for fault in faults:
            outcomes.append(tried(flags, fault))
            sys.stdout.write(f"{fault.name:8} {outcomes[-1].wrong or 'as expected'}\n")
        page = _written(flags, outcomes)
    except RuntimeError as error:
        raise Refusal([f"{flags.device}: {error}"]) from error
    except OSError as error:
        raise Refusal([f"{flags.out}: cannot write: {error}"], MACHINE_TROUBLE) from error
    sys.stdout.write(f"page: {page}\n")
    return int(any(outcome.wrong for outcome in outcomes))


def tried(flags: CheckFlags, fault: Fault) -> Outcome:
    """What a guard of its own does about a fault.

    Raises:
        RuntimeError: if the device cannot be opened.
    """
    peak = flags.torque / MASS
    limits = GuardLimits(highest=peak, slope=100.0 * peak, stop_time=0.3, unit="N·m/kg")
    given: dict[str, Any] = {
        "device": flags.device,
        "options": settings(flags.option, "--option", "NAME=VALUE"),
    }
    given |= {"fault": fault.name, "torque": peak, "mass": MASS, "stride_time": STRIDE_TIME}
    with _guard(limits, given) as guard:
        guard.arm("device-check")
        guard.set_law(np.array([guard.status().highest, 50.0, 30.0, 15.0]))
        of_owner = fault in OF_OWNER
        if of_owner and _waited(guard, lambda s: max(s.torque) > 0.5 * peak):
            _do(guard, fault)
        if not fault.reason:
            _waited(guard, lambda s: any(kind.startswith("device:") for kind in s.counts))
            _waited(guard, lambda _: False, 0.5)
        stopped = bool(fault.reason) and _waited(guard, lambda s: s.stop_reason, beat=fault.name != "silence")
        _waited(
            guard, lambda s: not s.running or (not fault.ends and not any(s.torque)), 2.0 if stopped else 0.0
        )
        return _judged(guard, fault, limits)


@contextlib.contextmanager
def _guard(limits: GuardLimits, given: dict[str, Any]) -> Iterator[GuardProcess]:
    guard = GuardProcess(limits, "policysearch.hitl.guard.faults:Injected", GuardSettings(MASS), given)
    try:
        yield guard
    finally:
        with contextlib.suppress(RuntimeError):
            guard.close()


def _waited(guard: GuardProcess, true: Any, seconds: float = WAIT, beat: bool = True) -> bool:
    """Whether something became true of the status in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(RuntimeError):  # it has ended
            if beat:
                guard.beat()
        if true(guard.status()):
            return True
        time.sleep(0.01)
    return False


def _do(guard: GuardProcess, fault: Fault) -> None:
    match fault.name:
        case "stop":
            guard.stop("a check")
        case "sigterm" | "sigusr1":
            os.kill(guard.pid, getattr(signal, fault.name.upper()))
        case "garbage":
            guard.send_raw(b"\xff\n")
        case "law":
            guard.send_raw(b'{"do": "law", "law": [[[]], 50.0, 30.0, 15.0], "number": 1}\n')
        case "flood":
            guard.send_raw(b'{"do": "beat"}\n' * 10_000)


def _judged(guard: GuardProcess, fault: Fault, limits: GuardLimits) -> Outcome:
    status, (names, rows) = guard.status(), guard.recent()
    table = np.array(rows)
    told = table[:, [i for i, name in enumerate(names) if name.endswith("told_Nm_per_kg")]]
    active = np.flatnonzero(table[:, 1])
    after = slice(active[-1] + 1 if active.size else len(table), None)
    zero = np.flatnonzero((told[after] == 0.0).all(axis=1))
    seconds = (
        float(table[after][zero[0], 0] - table[active[-1], 0]) if zero.size and active.size else math.nan
    )
    wrong = []
    if not np.isfinite(told).all() or told.min() < 0.0 or told.max() > limits.highest:
        wrong.append("a torque outside the limits was told")
    if np.abs(np.diff(told, axis=0)).max() > limits.slope * limits.longest_tick + 1e-9:
        wrong.append("the torque changed faster than the slope")
    if bool(fault.reason) != bool(status.stop_reason) or not re.search(fault.reason, status.stop_reason):
        wrong.append(f"expected a stop because of '{fault.reason}'" if fault.reason else "expected no stop")
    elif fault.reason and not seconds <= limits.stop_time + BUSY + (0.2 if fault.name == "slow" else 0.0):
        wrong.append(f"the torque was zero after {seconds:.3f} s")
    if status.running == fault.ends:
        wrong.append(f"expected that the guard {'ends' if fault.ends else 'does not end'}")
    return Outcome(fault, status.stop_reason, seconds, float(told.max() * MASS), "; ".join(wrong), status)


def _written(flags: CheckFlags, outcomes: list[Outcome]) -> Path:
    from policysearch.files import write_text  # noqa: PLC0415
    from policysearch.reporting.page import render  # noqa: PLC0415 - slow to import

    gaps = np.sum([outcome.status.gaps for outcome in outcomes], axis=0).tolist()
    text = render(
        "policysearch.hitl.guard",
        device=flags.device,
        described=outcomes[0].status.device,
        command=shlex.join(["policysearch", "hitl", "device-check", flags.device]),
        when=time.strftime("%Y-%m-%d %H:%M"),
        outcomes=outcomes,
        scheduling=outcomes[0].status.scheduling,
        counts=sorted(sum((Counter(outcome.status.counts) for outcome in outcomes), Counter()).items()),
        gaps=[(f"{i}", count) for i, count in enumerate(gaps) if count],
        quantiles=[(f"{100 * p:g} %", 1000 * quantile(gaps, p)) for p in (0.5, 0.99, 1.0)],
        longest=max(outcome.status.longest_gap for outcome in outcomes if outcome.fault.name != "slow") * 1000
        if any(outcome.fault.name != "slow" for outcome in outcomes)
        else math.nan,
    )
    flags.out.mkdir(parents=True, exist_ok=True)
    write_text(flags.out / "report.html", text)
    return flags.out / "report.html"
