"""The torque guard: for every command the torque is finite, within its limits and no steeper than allowed."""

import importlib.util
import math
import re
from dataclasses import replace
from decimal import Decimal
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.hitl.guard import torque_guard as checked
from policysearch.hitl.guard.torque_guard import GuardLimits, TorqueGuard
from policysearch.seeding import stream

LIMITS = GuardLimits(highest=1.0, lowest=-0.25, slope=8.0, stop_time=0.5, unit="N·m/kg", heartbeat=0.125)
DT = 1 / 128  # s; powers of two, so that sums are exact
STEP = LIMITS.slope * DT
NOT_FINITE = "torque: not a finite number, counts as zero"
OUTSIDE = "torque: outside the limits"
LONG = "tick: longer than the longest tick"
BAD_CLOCK = "the guard's clock ran backwards or showed no number"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Trap(float):
    """A number that cannot be had."""

    def __float__(self) -> float:
        raise RuntimeError("caught")


class Unspeakable:
    """An object that cannot even be printed or compared."""

    def __repr__(self) -> str:
        raise RuntimeError("caught")

    __eq__ = __bool__ = __str__ = __float__ = __repr__  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


NO_NUMBERS: dict[str, Any] = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "None": None,
    "text": "0.5",
    "bytes": b"1",
    "complex": 0.5 + 0j,
    "NumPy complex": np.complex128(0.5),
    "NumPy nan": np.float32(math.nan),
    "array": np.array([0.5]),
    "array of no dimension": np.array(0.5),
    "empty array": np.array([]),
    "list": [0.5],
    "truth value": True,
    "NumPy truth value": np.True_,
    "duration": np.timedelta64(1),
    "huge integer": 10**400,
    "decimal": Decimal("0.5"),
    "trap": Trap(0.5),
    "unspeakable": Unspeakable(),
    "class": float,
}
no_number = pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS.keys())


def machine(limits: GuardLimits = LIMITS) -> tuple[TorqueGuard, Clock]:
    clock = Clock()
    return TorqueGuard(limits, clock), clock


def run(guard: TorqueGuard, clock: Clock, command: object, ticks: int, apart: float = DT) -> list[float]:
    """The torques of some ticks, with a beat before each."""
    torques = []
    for _ in range(ticks):
        clock.now += apart
        guard.beat()
        torques.append(guard.tick(command))
    return torques


def at(torque: float, limits: GuardLimits = LIMITS) -> tuple[TorqueGuard, Clock]:
    """A guard that has reached a torque."""
    guard, clock = machine(limits)
    while guard.torque != torque:
        run(guard, clock, torque, 1)
    return guard, clock


def check(before: float, after: object, elapsed: float, limits: GuardLimits) -> None:
    """What holds for every tick, however much time has elapsed on the clock."""
    seconds = max(0.0, min(elapsed, limits.longest_tick)) if math.isfinite(elapsed) else 0.0
    assert type(after) is float
    assert math.isfinite(after)
    assert min(before, limits.lowest) <= after <= max(before, limits.highest)
    rounding = 4e-16 * max(abs(before), abs(after))
    assert abs(after - before) <= limits.slope * seconds * (1 + 1e-12) + rounding


anything = st.one_of(
    st.sampled_from(sorted(NO_NUMBERS)).map(NO_NUMBERS.__getitem__),
    st.floats(),
    st.floats(-2.0, 2.0),
    st.integers(),
    st.sampled_from([1e308, -1e308, np.float32(0.5), np.int8(1)]),
)
increments = st.one_of(st.floats(0.0, 0.03), st.sampled_from([0.0, 1e-12, DT, 0.2, 1e9]), st.floats())
limit_numbers = st.floats(1e-3, 1e3)
some_limits = st.builds(
    lambda highest, down, slope, spare, tick: GuardLimits(
        highest=highest,
        lowest=-down,
        slope=slope,
        stop_time=spare * max(highest, down) / slope,
        unit="N·m",
        longest_tick=tick,
    ),
    limit_numbers,
    st.floats(0.0, 1e3, allow_subnormal=False),
    limit_numbers,
    st.floats(1.01, 10.0),
    st.floats(1e-4, 0.1),
)


@settings(deadline=None)
@given(some_limits, st.lists(st.tuples(anything, increments, st.integers(0, 9)), max_size=30))
def test_whatever_is_commanded_the_torque_is_finite_within_its_limits_and_its_slope(
    limits: GuardLimits, ticks: list[tuple[object, float, int]]
) -> None:
    guard, clock = machine(limits)
    time = clock.now
    for command, increment, event in ticks:
        last, before = clock.now, guard.torque
        clock.now = time + increment
        time = clock.now if abs(clock.now) < 1e6 else time  # what is far off was a glitch
        if event < 7:
            guard.beat()
        elif event == 7:
            guard.stop("a test")
        elif event == 8 and before == 0.0:
            guard.rearm("a test")
        elif event == 9:
            guard.restrict(replace(guard.limits, highest=guard.limits.highest * 0.7))
        check(before, guard.tick(command), clock.now - last, guard.limits)
        assert guard.torque <= limits.highest


def unwrapped() -> ModuleType:
    """The guard's module without the checks of its types, which would take most of the time."""
    spec = importlib.util.spec_from_file_location("unwrapped_guard", checked.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("ticks", [200_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_hundreds_of_thousands_of_hostile_ticks_leave_neither_limits_nor_slope(ticks: int) -> None:
    module, clock, rng = unwrapped(), Clock(), stream(1)
    first = module.GuardLimits(**{name: getattr(LIMITS, name) for name in LIMITS.__dataclass_fields__})
    guard = module.TorqueGuard(first, clock)
    commands = [*NO_NUMBERS.values(), 1e308, -1e308, 5, np.float32(0.3), -0.1, 0.0, 1.0, 0.4, *[0.9] * 20]
    glitches = [math.nan, math.inf, -math.inf, 1e308, -1e308, 99.0]
    which = rng.integers(len(commands), size=ticks).tolist()
    events = rng.integers(5000, size=ticks).tolist()
    kinds = rng.integers(10, size=ticks)
    passing = np.select(
        [kinds == kind for kind in range(4)], [0.0, 5e-324, 1e-9, 0.03], rng.exponential(4e-3, ticks)
    ).tolist()
    time, before, highest_seen = clock.now, 0.0, 0.0
    for i in range(ticks):
        command, event, last = commands[which[i]], events[i], clock.now
        time += passing[i]
        clock.now = time
        if event == 0:
            guard.stop(command)
        elif event == 1:
            time = clock.now = time + 0.2  # no beat comes
        elif event == 2 and guard.limits.highest > 0.5:
            guard.restrict(replace(guard.limits, highest=guard.limits.highest * 0.99))
        elif event == 3:
            time = clock.now = time + 1e4
        elif event == 4:
            time = clock.now = time - 1e-3
        elif event < 5 + len(glitches):
            clock.now = glitches[event - 5]
        elif guard.stop_reason and before == 0.0 and event < 500:
            guard.rearm("a test")
        guard.beat()
        after = guard.tick(command)
        check(before, after, clock.now - last, guard.limits)
        before, highest_seen = after, max(highest_seen, after)
    assert highest_seen > 0.8  # the run was not all stops
    assert len(guard.history) > ticks / 5000
    assert set(guard.counts) == {NOT_FINITE, OUTSIDE, LONG}
    reasons = {reason for _, _, reason in guard.history}
    assert reasons >= {"no reason given", "no heartbeat for 0.125 s", BAD_CLOCK, "a test"}


def test_a_commanded_torque_is_approached_at_the_slope_and_reached_exactly() -> None:
    guard, clock = machine()
    # 8 N·m/kg per s for 1/128 s: 1/16 per tick
    assert run(guard, clock, 0.2, 5) == [0.0625, 0.125, 0.1875, 0.2, 0.2]
    assert run(guard, clock, 0.1, 3) == [0.1375, 0.1, 0.1]
    assert guard.torque == 0.1
    assert guard.counts == {}


@pytest.mark.parametrize("number", [np.float64(0.0625), np.float32(0.0625), np.float16(0.0625), 0.0625])
def test_every_kind_of_real_number_is_a_torque(number: Any) -> None:
    guard, clock = machine()
    assert run(guard, clock, number, 2) == [0.0625, 0.0625]
    assert run(guard, clock, np.int64(1), 1) == [0.125]
    assert run(guard, clock, 0, 1) == [0.0625]
    assert guard.counts == {}


@no_number
def test_what_is_not_a_finite_number_counts_as_zero_torque_and_is_counted(value: Any) -> None:
    for start in (0.5, -0.25):
        guard, clock = at(start)
        assert run(guard, clock, value, 1) == [start - math.copysign(STEP, start)]
        assert run(guard, clock, value, 7)[-1] == 0.0
        assert guard.counts == {NOT_FINITE: 8}
        assert guard.stop_reason == ""


@pytest.mark.parametrize(("command", "limit"), [(1e308, 1.0), (1.001, 1.0), (-1e308, -0.25), (-0.3, -0.25)])
def test_a_torque_outside_the_limits_is_the_limit_and_is_counted(command: float, limit: float) -> None:
    guard, clock = machine()
    assert run(guard, clock, command, 20)[-1] == limit
    assert guard.counts == {OUTSIDE: 20}


def test_many_ticks_at_one_instant_change_the_torque_no_more_than_one() -> None:
    guard, clock = machine(replace(LIMITS, slope=5.0))
    clock.now += 1 / 1024
    assert [guard.tick(1.0) for _ in range(10)] == [5 / 1024] * 10
    # and as many within a millisecond, no more than one at its end
    assert run(guard, clock, 1.0, 8, apart=1 / 8192)[-1] == 10 / 1024
    guard.stop("a test")
    assert [guard.tick(1.0) for _ in range(10)] == [10 / 1024] * 10
    assert guard.counts == {}


@pytest.mark.parametrize("apart", [0.021, 0.1])
def test_a_tick_counts_for_at_most_the_longest_tick(apart: float) -> None:
    guard, clock = machine()
    most = LIMITS.slope * LIMITS.longest_tick
    assert run(guard, clock, 1.0, 3, apart) == [most, most + most, most + most + most]
    assert guard.counts == {LONG: 3}


@pytest.mark.parametrize("apart", [0.021, 1.0, 1e6, 1e300])
def test_after_a_stop_a_tick_counts_for_at_most_the_longest_tick(apart: float) -> None:
    guard, clock = at(0.5)
    guard.stop("a test")
    assert run(guard, clock, 1.0, 1, apart) == [0.5 - LIMITS.longest_tick]  # 0.5 N·m/kg in 0.5 s
    assert guard.counts == {LONG: 1}


@pytest.mark.parametrize("now", [math.nan, math.inf, 99.0, -math.inf])
def test_without_any_time_the_torque_stays_as_it_is(now: float) -> None:
    guard, clock = at(0.5)
    clock.now = now
    assert guard.tick(0.9) == 0.5
    assert guard.stop_reason != ""
    assert guard.counts == {}


def test_while_the_clock_stands_still_the_torque_does_not_change_even_after_a_stop() -> None:
    guard, _ = at(0.5)
    assert [guard.tick(1.0) for _ in range(1000)] == [0.5] * 1000
    assert guard.stop_reason == ""
    guard.stop("a test")
    assert [guard.tick(1.0) for _ in range(1000)] == [0.5] * 1000
    assert guard.counts == {}
    assert "If the clock stands still, nothing ramps" in (checked.__doc__ or "")


@pytest.mark.parametrize("start", [1.0, 0.5, -0.25])
def test_a_stop_is_latched_in_one_tick_and_ramps_to_zero_in_the_stop_time(start: float) -> None:
    guard, clock = at(start)
    guard.stop("the operator pressed stop")
    torques = run(guard, clock, 1.0, 64)  # 64/128 s are the stop time
    assert torques == [start * (1 - i / 64) for i in range(1, 65)]
    assert run(guard, clock, 1.0, 100) == [0.0] * 100
    assert guard.stop_reason == "the operator pressed stop"


@settings(deadline=None, max_examples=30)
@given(some_limits, st.floats(-1.0, 1.0), st.floats(0.1, 1.0))
def test_from_any_torque_a_stop_ends_within_the_stop_time(
    limits: GuardLimits, target: float, fraction: float
) -> None:
    limits = replace(limits, longest_tick=limits.stop_time / 20, heartbeat=limits.stop_time)
    clock = Clock()
    clock.now = 0.0  # where short times are told apart best
    guard = TorqueGuard(limits, clock)
    dt = fraction * limits.longest_tick
    farthest = limits.highest if target > 0 else -limits.lowest
    run(guard, clock, target * farthest, 30, limits.longest_tick)
    assert guard.stop_reason == ""
    guard.stop("a test")
    size = abs(guard.torque)
    for _ in range(math.ceil(limits.stop_time / dt)):
        last, before = clock.now, guard.torque
        clock.now += dt
        check(before, guard.tick(farthest), clock.now - last, limits)
        assert abs(guard.torque) <= abs(before)
    assert abs(guard.torque) <= 1e-9 * size + 1e-300  # the smallest numbers have no parts
    assert run(guard, clock, farthest, 1, dt) == [0.0]


@no_number
def test_a_stop_ramps_to_zero_whatever_it_is_given_as_command_and_reason(value: Any) -> None:
    guard, clock = at(1.0)
    guard.stop(value)
    assert run(guard, clock, value, 64)[-1] == 0.0
    assert guard.stop_reason == (value if isinstance(value, str) else "no reason given")


def test_the_first_reason_of_a_stop_is_kept_and_a_second_stop_does_not_make_it_longer() -> None:
    guard, clock = at(1.0)
    guard.stop("first")
    run(guard, clock, 1.0, 32)
    guard.stop("second")
    assert run(guard, clock, 1.0, 32)[-1] == 0.0
    assert guard.stop_reason == "first"
    assert [entry[1:] for entry in guard.history] == [("stop", "first")]


def test_an_operator_rearms_with_a_reason_and_it_is_written_down() -> None:
    guard, clock = at(0.5)
    guard.stop("a test")
    stopped = clock.now
    run(guard, clock, 0.5, 64)
    guard.rearm("the strap is fixed")
    assert guard.stop_reason == ""
    assert guard.history == ((stopped, "stop", "a test"), (clock.now, "rearm", "the strap is fixed"))
    assert run(guard, clock, 0.5, 2) == [STEP, 2 * STEP]
    guard.stop("another")
    assert run(guard, clock, 0.5, 64)[-1] == 0.0


@pytest.mark.parametrize("reason", ["", " \n", None, 1])
def test_rearming_needs_a_reason(reason: Any) -> None:
    clock = Clock()
    guard = unwrapped().TorqueGuard(LIMITS, clock)
    guard.stop("a test")
    with pytest.raises(ValueError, match="reason: expected the operator's words, got"):
        guard.rearm(reason)
    assert guard.stop_reason == "a test"
    assert run(guard, clock, 1.0, 1) == [0.0]


def test_rearming_waits_for_the_end_of_the_ramp() -> None:
    guard, clock = at(0.5)
    guard.stop("a test")
    run(guard, clock, 0.5, 63)
    with pytest.raises(ValueError, match=r"torque: expected 0 N·m/kg before re-arming, got 0\.0078125"):
        guard.rearm("too early")
    assert guard.stop_reason == "a test"
    run(guard, clock, 0.5, 1)
    guard.rearm("in time")
    assert guard.stop_reason == ""


def test_rearming_an_armed_guard_does_nothing() -> None:
    guard, clock = at(0.5)
    clock.now += 0.1
    guard.rearm("a second click")
    assert guard.history == ()
    clock.now += 0.1  # it was no beat
    guard.tick(0.5)
    assert guard.stop_reason == "no heartbeat for 0.125 s"


def test_without_a_heartbeat_the_guard_stops_and_a_later_beat_does_not_start_it() -> None:
    guard, clock = at(0.5)
    for _ in range(15):
        clock.now += DT
        assert guard.tick(0.5) == 0.5
    clock.now += DT  # 16/128 s without a beat
    assert guard.tick(0.5) == 0.5 - 0.5 / 64
    assert guard.stop_reason == "no heartbeat for 0.125 s"
    assert run(guard, clock, 0.5, 70)[-1] == 0.0


def test_a_heartbeat_is_asked_for_within_100_ms_unless_told_otherwise() -> None:
    assert GuardLimits(highest=1.0, slope=8.0, stop_time=0.5, unit="N·m").heartbeat == 0.1


def test_a_beat_that_comes_too_late_stops_the_guard_although_no_tick_has_seen_the_gap() -> None:
    guard, clock = at(0.5)
    clock.now += 0.2
    guard.beat()
    assert guard.tick(0.5) < 0.5
    assert guard.stop_reason == "no heartbeat for 0.125 s"


def test_rearming_counts_as_a_beat_and_the_time_before_it_for_nothing() -> None:
    guard, clock = machine()
    clock.now += 10.0
    guard.tick(0.5)
    clock.now += 10.0
    guard.rearm("back from lunch")
    assert guard.tick(0.5) == 0.0
    clock.now += DT
    assert guard.tick(0.5) == STEP
    assert guard.stop_reason == ""


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, 200.0])
def test_after_a_clock_was_out_of_order_rearming_once_is_enough(now: float) -> None:
    guard, clock = machine()
    clock.now = now
    guard.tick(0.5)
    assert guard.stop_reason != ""
    clock.now = 101.0
    guard.rearm("the clock is mended")
    assert run(guard, clock, 0.5, 2) == [STEP, 2 * STEP]
    assert guard.stop_reason == ""


@pytest.mark.parametrize("now", [99.0, math.nan, -math.inf])
def test_a_clock_that_runs_backwards_or_shows_no_number_stops_the_guard(now: float) -> None:
    for call in ("tick", "beat"):
        guard, clock = at(0.5)
        clock.now = now
        guard.beat() if call == "beat" else guard.tick(0.5)
        assert guard.stop_reason == BAD_CLOCK
        clock.now = 99.0
        assert run(guard, clock, 0.5, 65)[-1] == 0.0  # the first of them counts as no time


def test_a_clock_that_runs_backwards_since_the_last_tick_but_not_since_the_last_beat_stops_the_guard() -> (
    None
):
    for call in ("tick", "beat"):
        guard, clock = at(0.5)
        clock.now += DT
        guard.tick(0.5)
        clock.now -= DT / 2
        guard.beat() if call == "beat" else guard.tick(0.5)
        assert guard.torque == 0.5
        assert guard.stop_reason == BAD_CLOCK


def test_a_lowered_limit_steps_and_the_torque_ramps_to_it() -> None:
    guard, clock = at(0.5)
    guard.restrict(replace(LIMITS, highest=0.35))
    assert guard.limits.highest == 0.35
    assert run(guard, clock, 0.5, 4) == [0.4375, 0.375, 0.35, 0.35]
    guard, clock = at(-0.25)
    guard.restrict(replace(LIMITS, lowest=-0.15))
    assert run(guard, clock, -0.25, 3) == [-0.1875, -0.15, -0.15]


def test_a_lowered_slope_holds_from_the_next_tick() -> None:
    guard, clock = at(0.5)
    guard.restrict(replace(LIMITS, slope=4.0))
    assert run(guard, clock, 1.0, 2) == [0.5 + STEP / 2, 0.5 + STEP]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"highest": 1.01}, "highest: expected at most 1, as limits only get narrower, got 1.01"),
        ({"lowest": -0.26}, "lowest: expected at least -0.25, as limits only get narrower, got -0.26"),
        ({"slope": 9.0}, "slope: expected at most 8, as limits only get narrower, got 9"),
        ({"unit": "N·m"}, "unit: expected N·m/kg, as it is fixed for a session, got N·m"),
        ({"stop_time": 0.4}, "stop_time: expected 0.5, as it is fixed for a session, got 0.4"),
        ({"stop_time": 0.6}, "stop_time: expected 0.5, as it is fixed for a session, got 0.6"),
        ({"heartbeat": 1.0}, "heartbeat: expected 0.125, as it is fixed for a session, got 1.0"),
        ({"longest_tick": 1.0}, "longest_tick: expected 0.02, as it is fixed for a session, got 1.0"),
    ],
)
def test_limits_are_never_raised(change: dict[str, Any], message: str) -> None:
    guard, _ = machine()
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        guard.restrict(replace(LIMITS, **change))
    assert guard.limits == LIMITS


def test_a_lowered_limit_is_not_raised_to_what_it_was() -> None:
    guard, _ = machine()
    guard.restrict(replace(LIMITS, highest=0.5))
    with pytest.raises(ValueError, match=r"highest: expected at most 0\.5"):
        guard.restrict(LIMITS)


def test_a_slope_with_which_a_stop_would_not_end_in_time_waits_until_the_torque_is_lower() -> None:
    guard, clock = at(1.0)
    gentle = replace(LIMITS, highest=0.5, slope=1.0)
    with pytest.raises(
        ValueError, match="slope: expected at least 2 N·m/kg per s while the torque is 1 N·m/kg"
    ):
        guard.restrict(gentle)
    run(guard, clock, 0.5, 8)
    guard.restrict(gentle)
    guard.stop("a test")
    torques = [0.5, *run(guard, clock, 1.0, 64)]
    assert np.abs(np.diff(torques)).max() <= 1.0 * DT
    assert torques[-1] == 0.0


def test_a_slope_below_that_of_a_stop_waits_for_its_end() -> None:
    guard, clock = at(1.0)
    guard.stop("a test")
    run(guard, clock, 0.0, 48)  # the torque is 0.25, and falls by 2 N·m/kg per s
    gentle = replace(LIMITS, highest=0.5, slope=1.0)
    with pytest.raises(
        ValueError, match=r"slope: expected at least 2 N·m/kg per s while the torque is 0\.25"
    ):
        guard.restrict(gentle)
    run(guard, clock, 0.0, 16)
    guard.restrict(gentle)
    guard.rearm("gently")
    assert run(guard, clock, 1.0, 1) == [DT]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"highest": 0.0}, "highest: expected a positive number, got 0.0"),
        ({"highest": math.nan}, "highest: expected a positive number, got nan"),
        ({"highest": math.inf}, "highest: expected a positive number, got inf"),
        ({"lowest": 0.1}, "lowest: expected zero or a negative number, got 0.1"),
        ({"lowest": -math.inf}, "lowest: expected zero or a negative number, got -inf"),
        ({"lowest": math.nan}, "lowest: expected zero or a negative number, got nan"),
        ({"slope": -1.0}, "slope: expected a positive number, got -1.0"),
        ({"slope": math.inf}, "slope: expected a positive number, got inf"),
        ({"stop_time": 0.0}, "stop_time: expected a positive number, got 0.0"),
        ({"heartbeat": math.inf}, "heartbeat: expected a positive number, got inf"),
        ({"longest_tick": math.nan}, "longest_tick: expected a positive number, got nan"),
        ({"stop_time": 0.1},
         "stop_time: expected at least 0.125 s, which 1 N·m/kg take at 8 N·m/kg per s, got 0.1 s"),
        ({"lowest": -5.0},
         "stop_time: expected at least 0.625 s, which 5 N·m/kg take at 8 N·m/kg per s, got 0.5 s"),
    ],
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(LIMITS, **change)


def test_limits_from_a_file_are_numbers_with_a_unit() -> None:
    limits = unwrapped().GuardLimits
    with pytest.raises(ValueError, match=r"highest: expected a positive number, got '1\.0'"):
        limits(highest="1.0", slope=8.0, stop_time=0.5, unit="N·m")
    with pytest.raises(ValueError, match="unit: expected 'N·m' or 'N·m/kg', got 'Nm'"):
        limits(highest=1.0, slope=8.0, stop_time=0.5, unit="Nm")


def test_the_documentation_says_that_the_guard_does_not_replace_the_device() -> None:
    assert "does not replace the device's firmware limits or its physical stop" in (checked.__doc__ or "")
