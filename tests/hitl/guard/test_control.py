"""What the guard does in a tick: laws that change in swing, strides and torques that cannot be relied on."""

import math
import os
import re
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.exoskeleton.torque_profile import torque
from policysearch.hitl.guard.ceiling import Ceiling
from policysearch.hitl.guard.control import HELD_BACK, Control, Reading, law_of
from policysearch.hitl.guard.device import Stride
from policysearch.hitl.guard.realtime import BINS, Gaps, fifo, quantile
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.guard.watch import WatchLimits
from policysearch.seeding import stream

LIMITS = GuardLimits(highest=1.0, slope=12.0, stop_time=0.3, unit="N·m/kg")
LAW = np.array([0.5, 52.0, 25.0, 10.0])
NEXT = np.array([0.9, 45.0, 30.0, 18.0])
DT, STRIDE = 0.005, 1.0  # s


class Walk:
    """Somebody who walks with a guard whose clock is set by hand, and a device that does as it is told.

    Attributes:
        told: time and torques of every tick.
    """

    def __init__(self, sides: int = 1, ceiling: Ceiling | None = None, limits: GuardLimits = LIMITS) -> None:
        self.now, self.n, self.told = 100.0, sides, list[tuple[float, tuple[float, ...]]]()
        self.stride_time, self.at = STRIDE, 0.0  # strides
        names = ("left", "right")[:sides]
        self.control = Control(limits, names, WatchLimits(), ceiling, clock=lambda: self.now)
        self.control.arm("a test")

    def percent(self, side: int = 0) -> float:
        return 100.0 * ((self.at + side / self.n) % 1.0)

    def reading(self) -> Reading:
        strides = [Stride(self.percent(i), 0.0, self.stride_time) for i in range(self.n)]
        return Reading(strides, self.control.torques)

    def tick(self, change: Callable[[Reading], Reading] = lambda reading: reading, beat: bool = True) -> None:
        self.now += DT
        self.at += DT / self.stride_time
        if beat:
            self.control.beat()
        self.told.append((self.now, self.control.tick(change(self.reading()))))

    def until(self, true: Callable[[], object]) -> None:
        for _ in range(2000):
            if true():
                return
            self.tick()
        raise AssertionError("it never became true")

    def under_torque(self, law: np.ndarray = LAW, least: float = 0.4) -> "Walk":
        self.control.set_law(law)
        self.until(lambda: self.control.torques[0] > least)
        return self


def only(**change: float) -> Callable[[Reading], Reading]:
    """A reading whose first side is another."""
    return lambda reading: replace(
        reading, strides=[reading.strides[0]._replace(**change), *reading.strides[1:]]
    )


def test_without_arming_there_is_no_torque() -> None:
    walk = Walk()
    control = Control(LIMITS, ["left"], clock=lambda: walk.now)
    assert control.stop_reason == "not armed yet"
    control.set_law(LAW)
    for _ in range(400):
        walk.now += DT
        walk.at += DT
        control.beat()
        assert control.tick(walk.reading()) == (0.0,)
    assert control.waiting


def test_the_torque_is_that_of_the_law_on_both_sides() -> None:
    walk = Walk(sides=2)
    walk.control.set_law(LAW)
    walk.until(lambda: walk.control.law is not None)
    for _ in range(400):
        walk.tick()
        expected = [float(torque(LAW, np.array([walk.percent(i)]))[0]) for i in (0, 1)]
        assert walk.control.torques == pytest.approx(expected, abs=1e-9)
    assert walk.control.total() == {}


def test_a_new_law_waits_for_the_swing_of_each_side() -> None:
    walk = Walk(sides=2)
    walk.control.set_law(LAW)
    walk.until(lambda: walk.control.law is not None)
    for law in (NEXT, LAW, None):  # in the middle of the stance of the first side
        walk.until(lambda: 48.0 < walk.percent() < 50.0)
        before = walk.control.law
        walk.control.set_law(law)
        walk.tick()
        expected = float(torque(before, np.array([walk.percent()]))[0]) if before is not None else 0.0
        assert walk.control.torques[0] == pytest.approx(expected)
        assert walk.control.waiting
        started = len(walk.told)
        walk.until(lambda: not walk.control.waiting)
        steps = np.abs(np.diff([torques for _, torques in walk.told[started:]], axis=0))
        assert steps.max() < 0.05  # as within a stride, not from one law to the other
        assert (walk.control.law is None) == (law is None)
    assert walk.control.total() == {}


def test_both_laws_have_no_torque_where_one_takes_the_place_of_the_other() -> None:
    walk = Walk().under_torque()
    walk.control.set_law(NEXT)  # ends at 63 %, the present one at 62 %
    walk.until(lambda: walk.control.law is not None and walk.control.law[0] == 0.9)
    assert 63.0 < walk.percent() < 65.0
    assert walk.control.torques == (0.0,)


OLD = "the reading of the stride is 0.11 s old"
STRIDES: list[tuple[str, Callable[[Reading], Reading], int, str]] = [
    # what happens, how often, the reason; each begins when the torque is above 0.4 N·m/kg
    ("stands still", only(percent=50.0), 60, "the stride has stood at 50.0 % for 0.25 s"),
    ("jumps forward", only(percent=70.0), 1, "the stride jumped from "),
    ("jumps back", only(percent=20.0), 1, "the stride moved backwards, from "),
    ("moves backwards", only(percent=41.0), 1, "the stride moved backwards, from "),
    ("starts again in stance", only(percent=0.0), 1, "the stride moved backwards, from "),
    ("is old", only(age=0.11), 1, OLD),
    ("is infinitely old", only(age=math.inf), 1, "the reading of the stride is inf s old"),
    ("is from the future", only(age=-0.01), 1, "the stride is no stride: "),
    ("is NaN", only(percent=math.nan), 1, "the stride is no stride: nan %"),
    ("is over 100 %", only(percent=101.0), 1, "the stride is no stride: 101 %"),
    ("is negative", only(percent=-1.0), 1, "the stride is no stride: -1 %"),
    ("has no time", only(stride_time=0.0), 1, "the stride is no stride: "),
    ("has the time NaN", only(stride_time=math.nan), 1, "the stride is no stride: "),
    ("has too long a time", only(stride_time=6.0), 1, "the stride is no stride: "),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "ticks", "reason"), [row[1:] for row in STRIDES], ids=[row[0] for row in STRIDES]
)
@pytest.mark.parametrize("sides", [1, 2])
def test_a_stride_that_cannot_be_relied_on_is_a_latched_stop_of_all_sides(
    change: Callable[[Reading], Reading], ticks: int, reason: str, sides: int
) -> None:
    walk = Walk(sides).under_torque()
    before = walk.control.torques[0]
    for _ in range(ticks):
        walk.tick(change)
    assert walk.control.stop_reason.startswith(f"left: {reason}")
    assert walk.control.law is None
    for _ in range(math.ceil(LIMITS.stop_time / DT)):
        walk.tick()
    assert walk.control.torques == (0.0,) * sides
    for _ in range(400):  # it walks on, and stays without torque
        walk.tick()
    assert walk.control.torques == (0.0,) * sides
    steps = np.abs(np.diff([torques[0] for _, torques in walk.told]))
    assert steps.max() <= LIMITS.slope * DT + 1e-9
    assert before > 0.4


@pytest.mark.parametrize(
    ("change", "ticks"),
    [(only(percent=50.0), 40), (only(percent=48.5), 1)],
    ids=["a short halt", "a little backwards"],
)
def test_what_a_stride_may_do(change: Callable[[Reading], Reading], ticks: int) -> None:
    walk = Walk()
    walk.control.set_law(LAW)
    walk.until(lambda: walk.control.law is not None and 49.0 < walk.percent() <= 49.6)
    at = walk.at
    for _ in range(ticks):
        walk.tick(change)
    walk.at = at + 0.01
    for _ in range(100):
        walk.tick()
    assert walk.control.stop_reason == ""


@pytest.mark.parametrize(("end", "start"), [(78.0, 0.0), (100.0, 3.0), (99.0, 18.0)])
def test_a_heel_strike_may_be_early_or_late(end: float, start: float) -> None:
    walk = Walk().under_torque()
    walk.until(lambda: walk.percent() > min(end, 99.4))
    for _ in range(60 if end == 100.0 else 0):  # a late one: the device waits at the end of the stride
        walk.at = round(walk.at) - DT - 1e-9
        walk.tick()
    walk.at = round(walk.at + 0.3) + start / 100.0
    for _ in range(150):
        walk.tick()
    assert walk.control.stop_reason == ""
    assert max(torques[0] for _, torques in walk.told[-150:]) > 0.45


def test_somebody_who_stands_in_swing_is_left_alone_for_a_second_only() -> None:
    walk = Walk().under_torque()
    walk.until(lambda: walk.percent() > 99.4)
    for _ in range(190):
        walk.tick(only(percent=99.5))
    assert walk.control.stop_reason == ""
    for _ in range(20):
        walk.tick(only(percent=99.5))
    assert walk.control.stop_reason == "left: the stride has stood at 99.5 % for 1 s"


def test_without_a_law_nothing_is_asked_of_the_stride() -> None:
    walk = Walk()
    for change in (only(percent=50.0), only(percent=math.nan), only(age=9.0), only(percent=80.0)):
        for _ in range(300):
            walk.tick(change)
    assert walk.control.stop_reason == ""
    walk.control.set_law(LAW)
    for _ in range(300):
        walk.tick(only(percent=80.0))  # stands in what looks like swing
    assert walk.control.waiting
    walk.until(lambda: walk.control.torques[0] > 0.4)


def test_a_reading_is_carried_on_with_the_stride_time() -> None:
    walk = Walk().under_torque()
    walk.until(lambda: walk.percent() > 60.0)
    walk.until(lambda: 40.0 < walk.percent() < 41.0)
    for late in (0.01, 0.05, 0.09):
        walk.tick(lambda r, late=late: only(percent=walk.percent() - 100.0 * late / STRIDE, age=late)(r))
        assert walk.control.torques[0] == pytest.approx(float(torque(LAW, np.array([walk.percent()]))[0]))
    assert walk.control.stop_reason == ""


@pytest.mark.parametrize(
    ("measured", "ticks", "stops"),
    [
        (1.2, 19, False),
        (1.2, 23, True),
        (-0.9, 23, True),
        (0.15, 60, False),
        (math.nan, 23, True),
        (math.inf, 23, True),
    ],
)
def test_a_torque_that_differs_from_the_one_told_stops_after_the_lag(
    measured: float, ticks: int, stops: bool
) -> None:
    walk = Walk().under_torque()
    for _ in range(ticks):
        near = walk.control.torques[0] + (
            measured if math.isfinite(measured) and abs(measured) < 0.2 else 0.0
        )
        walk.tick(lambda r, near=near: replace(r, measured=[near if measured == 0.15 else measured]))
    assert bool(walk.control.stop_reason) == stops
    if stops:
        assert re.match(r"left: (1.2|-0.9|nan|inf) N·m/kg were measured, .* told", walk.control.stop_reason)


def test_a_device_that_follows_late_or_does_not_measure_is_no_fault() -> None:
    walk = Walk()
    walk.control.set_law(NEXT)
    for _ in range(600):
        late = walk.told[-14][1] if len(walk.told) > 14 else (0.0,)
        walk.tick(lambda r, late=late: replace(r, measured=late))
    assert walk.control.stop_reason == ""
    walk = Walk()
    walk.control.set_law(NEXT)
    for _ in range(600):
        walk.tick(lambda r: replace(r, measured=[math.nan]))
    assert walk.control.stop_reason == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: replace(r, fault="motor 2 is hot"), "the device reports a fault: motor 2 is hot"),
        (lambda r: replace(r, estop=True), "the device's emergency stop is pressed"),
    ],
)
def test_a_fault_and_the_emergency_stop_of_the_device_stop_all_sides(
    change: Callable[[Reading], Reading], reason: str
) -> None:
    walk = Walk(sides=2).under_torque()
    walk.tick(change)
    for _ in range(100):
        walk.tick()
    assert walk.control.stop_reason == reason
    assert walk.control.torques == (0.0, 0.0)


def test_after_a_stop_the_law_waits_for_swing_again() -> None:
    walk = Walk().under_torque()
    walk.control.stop("a test")
    with pytest.raises(ValueError, match=r"torque: expected 0 N·m/kg before arming, got 0\.4"):
        walk.control.arm("too early")
    walk.until(lambda: walk.control.torques == (0.0,))
    walk.until(lambda: 40.0 < walk.percent() < 42.0)  # in stance
    walk.control.arm("a test")
    while walk.percent() < 65.0:
        walk.tick()
        assert walk.control.torques == (0.0,)
    walk.until(lambda: walk.control.torques[0] > 0.4)


def test_a_law_that_the_slope_cannot_follow_is_refused() -> None:
    # the fall of LAW needs 1.5 · 0.5/10 = 0.075 N·m/kg per %, 7.5 per s in strides of 1 s; of NEXT 7.5 too
    limits = replace(LIMITS, slope=7.6)
    walk = Walk(limits=limits).under_torque()
    refused = "^law: expected at most 7.6 N·m/kg per s, the slope that the guard lets through, got 13.5 in strides of 1.00 s"
    with pytest.raises(ValueError, match=refused):
        walk.control.set_law(np.array([0.9, 45.0, 30.0, 10.0]))
    walk.control.set_law(NEXT)
    walk.until(lambda: walk.control.law is not None and walk.control.law[0] == 0.9)
    # before a stride is known it waits, and is refused when it would come into force
    walk = Walk(limits=limits)
    walk.control.set_law(np.array([0.9, 45.0, 30.0, 10.0]))
    for _ in range(300):
        walk.tick()
    assert re.match(refused, walk.control.refused)
    assert (walk.control.law, walk.control.waiting) == (None, False)


def test_ticks_in_which_the_slope_holds_the_torque_back_are_counted() -> None:
    walk = Walk(limits=replace(LIMITS, slope=7.6)).under_torque()
    assert walk.control.total() == {}
    walk.stride_time = 0.6
    for _ in range(300):
        walk.tick()
    assert 10 < walk.control.total()[HELD_BACK] < 60
    assert walk.control.stop_reason == ""


def test_the_ceiling_rises_with_the_bouts_that_were_walked() -> None:
    walk = Walk(ceiling=Ceiling(first=0.3, step=0.2, seconds=2.0))
    for highest in (0.3, 0.5, 0.7, 0.9, 1.0, 1.0):
        assert walk.control.highest == pytest.approx(highest)
        if highest < 1.0:
            with pytest.raises(
                ValueError, match=rf"peak torque: expected 0 to {highest:g} N·m/kg, got {highest + 0.01:g}"
            ):
                walk.control.set_law(np.array([highest + 0.01, 52.0, 25.0, 15.0]))
        for fall in (13.0, 12.9):  # the second one comes too early to be another bout
            walk.control.set_law(np.array([min(highest, 0.9), 52.0, 25.0, fall]))
            walk.until(lambda fall=fall: walk.control.law is not None and walk.control.law[3] == fall)
        assert walk.control.highest == pytest.approx(highest)
        for _ in range(401):
            walk.tick()
        walk.control.set_law(None)
        walk.until(lambda: not walk.control.waiting)
    assert Control(LIMITS, ["left"], ceiling=Ceiling(0.3, 0.2, bouts=2)).highest == pytest.approx(0.7)


def test_a_limit_in_newton_metres_holds_for_the_persons_mass() -> None:
    assert LIMITS.within(36.0, 72.0) == replace(LIMITS, highest=0.5)
    assert LIMITS.within(360.0, 72.0) == LIMITS
    assert replace(LIMITS, lowest=-0.2).within(7.2, 72.0) == replace(LIMITS, highest=0.1, lowest=-0.1)


@pytest.mark.parametrize(
    "law",
    [[[0.5], 52.0, 25.0, 10.0], [[[]], 1, 1, 1], ["0.5", 52, 25, 10], [True, 52, 25, 10], [None] * 4, {}, "law", [1, 2, 3], 7],
)  # fmt: skip
def test_a_law_is_four_numbers(law: object) -> None:
    with pytest.raises(TypeError, match=r"^law: expected .*"):
        law_of(law)


def test_a_thread_runs_before_ordinary_ones_where_that_is_granted_and_its_children_do_not() -> None:
    found: list[object] = []

    def ask() -> None:
        found.append(fifo(1))
        found.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
        child = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
        child.start()
        child.join()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    granted = found[0] == "SCHED_FIFO 1"
    assert granted or "SCHED_FIFO was refused" in str(found[0])
    assert found[1:] == [os.SCHED_FIFO if granted else os.SCHED_OTHER, os.SCHED_OTHER]


def test_gaps_are_counted_by_the_millisecond() -> None:
    gaps = Gaps()
    for seconds in (0.0049, 0.0051, 0.0051, 0.0089, 0.416):
        gaps.add(seconds)
    assert (gaps.counts[4], gaps.counts[5], gaps.counts[8], gaps.counts[BINS - 1]) == (1, 2, 1, 1)
    assert gaps.longest == 0.416
    assert [quantile(gaps.counts, p) for p in (0.2, 0.5, 0.8, 1.0)] == pytest.approx(
        [0.005, 0.006, 0.009, math.inf]
    )


numbers = st.one_of(
    st.floats(), st.floats(-10.0, 110.0), st.sampled_from([0.0, 50.0, 100.0, math.nan, math.inf])
)
sides = st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=2, max_size=2)


def check_tick(walk: Walk, before: tuple[float, ...], elapsed: float) -> None:
    limits = walk.control.guards[0].limits
    for old, new in zip(before, walk.control.torques, strict=True):
        assert math.isfinite(new)
        assert min(old, 0.0) <= new <= max(old, limits.highest)
        assert abs(new - old) <= limits.slope * max(min(elapsed, limits.longest_tick), 0.0) + 1e-12


@settings(deadline=None)
@given(st.lists(st.tuples(sides, st.floats(0.0, 0.03), st.integers(0, 9)), max_size=20))
def test_whatever_the_device_says_the_torque_is_finite_within_limits_and_slope(
    ticks: list[tuple[list[tuple[float, float, float, float]], float, int]],
) -> None:
    walk = Walk(sides=2).under_torque()
    for said, elapsed, event in ticks:
        before = walk.control.torques
        walk.now += elapsed
        if event < 6:
            walk.control.beat()
        elif event == 7:
            try:
                walk.control.set_law(LAW if said[0][0] > 50.0 else NEXT)
            except ValueError as refused:  # in strides as short as those that the device says
                assert "the slope that the guard lets through" in str(refused)
        walk.control.tick(Reading([Stride(*side[:3]) for side in said], [side[3] for side in said]))
        check_tick(walk, before, elapsed)


def hostile(seed: int, ticks: int) -> int:
    """Number of stops of a guard whose device lies, raises faults and pauses; each tick is checked."""
    rng, walk, stops = stream(seed, "hostile"), Walk(sides=2), 0
    walk.control.set_law(LAW)
    values = [math.nan, math.inf, -math.inf, 1e308, -1.0, 0.0, 50.0, 100.0]
    for _ in range(ticks):
        before, elapsed = walk.control.torques, float(rng.choice([DT, DT, DT, DT, 0.0, 0.019, 0.3, 1e9]))
        elapsed = DT if rng.random() < 0.999 else elapsed
        walk.now, walk.at = walk.now + elapsed, walk.at + min(elapsed, 1.0)
        reading, kind = walk.reading(), rng.random()
        if kind < 0.01:
            odd = [Stride(*(float(rng.choice(values)) for _ in range(3))) for _ in range(2)]
            reading = Reading(odd, [float(rng.choice(values)) for _ in range(2)])
        elif kind < 0.012:
            reading = replace(reading, estop=True)
        elif kind < 0.02:
            walk.control.set_law([LAW, NEXT, None][int(rng.integers(3))])
        if rng.random() < 0.999:
            walk.control.beat()
        was = walk.control.stop_reason
        walk.control.tick(reading)
        stops += bool(walk.control.stop_reason) and not was
        check_tick(walk, before, elapsed)
        if was:
            assert all(abs(new) <= abs(old) for old, new in zip(before, walk.control.torques, strict=True))
        if walk.control.stop_reason and not any(walk.control.torques) and rng.random() < 0.1:
            walk.control.arm("a test")
    return stops


def test_hostile_ticks_leave_the_torque_within_limits_and_slope() -> None:
    assert hostile(0, 4000) > 20


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_million_hostile_ticks_leave_the_torque_within_limits_and_slope(seed: int) -> None:
    assert hostile(seed, 100_000) > 500
