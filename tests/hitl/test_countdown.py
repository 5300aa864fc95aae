"""Breaths of a fake outlet, with gaps, noise and repetitions, and clocks that are set by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from policysearch.exoskeleton.breath_file import BreathFile
from policysearch.exoskeleton.respirometry import Breaths, fit
from policysearch.hitl.agenda import Bout
from policysearch.hitl.countdown import Countdown, Window
from policysearch.seeding import stream

WALL = 1.7e9  # s, of the wall clock at the start


def walk(window: Window, gaps: list[float], rate: Callable[[int], float] = lambda _: 4.0) -> None:
    """A breath after each gap (s), as it comes, and a tick every second."""
    arrivals = np.cumsum([0.0, *gaps]).tolist()
    now, upcoming = 0, 0
    while upcoming < len(arrivals):
        window.tick(100.0 + now, WALL + now)
        while upcoming < len(arrivals) and arrivals[upcoming] <= now:
            window.add(700.0 + arrivals[upcoming], rate(upcoming))
            upcoming += 1
        now += 1


@pytest.mark.parametrize("gap", [0.5, 5.0, 15.0])
def test_a_short_gap_changes_nothing(gap: float) -> None:
    window = Window()
    walk(window, [3.0] * 10 + [gap] + [3.0] * 10)
    assert (window.state, window.reason, window.counts) == ("measuring", "", {})
    assert len(window.breaths().time) == 22
    assert window.seconds == pytest.approx(60.0 + gap, abs=1.0)


def test_a_long_gap_pauses_the_measurement_when_it_is_noticed_and_nothing_is_averaged_across_it() -> None:
    window = Window()
    walk(window, [3.0] * 20)
    assert window.early() is not None
    for now in range(61, 76):
        window.tick(100.0 + now, WALL + now)
    assert window.state == "measuring"
    window.tick(177.0, WALL + 77.0)  # breaths came up to 60 s, which the tick at 61 s saw
    assert (window.state, window.reason) == ("paused", "no breath has come for 16 s")
    for k in range(20):
        window.add(820.0 + 3.0 * k, 4.0)
    assert window.counts == {"the measurement was over": 20}
    assert window.early() is None
    with pytest.raises(
        ValueError,
        match=r"^bout: expected a measurement without a break, got a paused one: no breath has come for 16 s; "
        "repeat the bout or leave it out$",
    ):
        window.breaths()


def test_a_gap_between_breaths_that_come_all_at_once_pauses_too() -> None:
    window = Window()
    window.tick(0.0, WALL)
    for time in (*range(0, 60, 3), 120.0, 123.0):
        window.add(float(time), 4.0)
    assert (window.state, window.reason) == ("paused", "no breath for 63 s after the one at 57 s")
    assert window.counts == {"the measurement was over": 1}


def test_without_any_breath_from_the_start_the_measurement_is_paused() -> None:
    window = Window()
    for now in range(17):
        window.tick(float(now), WALL + now)
    assert window.state == "paused"


def test_duplicates_and_what_is_no_breath_are_counted_and_left_out() -> None:
    clean, noisy = Window(), Window()
    rng = stream("outlet")
    for k in range(20):
        time, rate = 3.0 * k, 4.0 + 0.1 * rng.standard_normal()
        clean.add(time, rate)
        noisy.add(time, rate)
        for other in (time, 3.0 * (k // 2)):  # the last again, and an older one
            noisy.add(other, 9.0)
        for bad in (np.nan, -4.0, 0.0, np.inf):
            noisy.add(time + 1.0, bad)
        for bad in (np.nan, np.inf, -np.inf, time - 1.0):
            noisy.add(bad, 9.0)
    assert noisy.counts == {
        "duplicate": 40,
        "rate: not a positive finite number": 80,
        "time: not a finite number, or before the previous one": 80,
    }
    assert noisy.early() == clean.early()
    assert noisy.breaths().time.tolist() == clean.breaths().time.tolist()
    assert noisy.state == "measuring"


def test_an_outlet_that_sends_no_numbers_for_a_minute_is_a_gap() -> None:
    window = Window()
    walk(window, [3.0] * 40, lambda k: np.nan if 10 <= k < 30 else 4.0)
    assert window.state == "paused"
    with pytest.raises(ValueError, match="got a paused one"):
        window.breaths()


def test_the_early_estimate_is_the_fit_of_the_breaths_so_far() -> None:
    window, time, rate = Window(), [], []
    rng = stream("early")
    for k in range(40):
        time.append(3.0 * k)
        rate.append(4.0 - 2.5 * float(np.exp(-3.0 * k / 42.0)) + 0.3 * rng.standard_normal())
        window.add(time[-1], rate[-1])
        early = window.early()
        assert (early is None) == (k < 9)
        if early is not None:
            batch = fit(Breaths(np.array(time), np.array(rate)))
            assert early == pytest.approx((batch.rate, batch.standard_error), rel=1e-9)


def test_too_few_breaths_are_refused() -> None:
    window = Window()
    walk(window, [3.0] * 8)
    with pytest.raises(ValueError, match="need at least 10 breaths, got 9: measure for longer"):
        window.breaths()


@pytest.mark.parametrize(
    ("monotonic", "wall", "reason"),
    [
        (5.5, 5.5, "5.5 s passed between two looks at the clock: the computer slept or hung"),
        (60.0, 60.0, "60 s passed between two looks at the clock: the computer slept or hung"),
        (-1.0, -1.0, "-1 s passed between two looks at the clock: the computer slept or hung"),
        (np.nan, 1.0, "nan s passed between two looks at the clock: the computer slept or hung"),
    ],
)
def test_a_monotonic_clock_that_jumps_voids_the_window(monotonic: float, wall: float, reason: str) -> None:
    window = Window()
    walk(window, [3.0] * 20)
    window.tick(160.0 + monotonic, WALL + 60.0 + wall)
    window.tick(161.0 + monotonic, WALL + 61.0 + wall)
    window.add(763.0, 4.0)
    assert (window.state, window.reason) == ("void", reason)
    assert window.early() is None
    with pytest.raises(ValueError, match="got a void one"):
        window.breaths()


@pytest.mark.parametrize("wall", [7.0, -5.0, -3600.0, np.nan])
def test_a_wall_clock_that_is_set_is_noted_and_voids_nothing(wall: float) -> None:
    window = Window()
    walk(window, [3.0] * 20)
    window.tick(161.0, WALL + 60.0 + wall)
    window.tick(162.0, WALL + 61.0 + wall)
    assert (window.state, window.seconds) == ("measuring", 62.0)
    assert len(window.breaths().time) == 21
    if np.isfinite(wall):
        assert window.clock_steps == [f"the wall clock advanced by {wall:g} s in 1 s: it was set"]
    else:
        assert len(window.clock_steps) == 2


def test_a_bout_that_is_fitted_takes_a_gap_and_says_how_long_it_was() -> None:
    window = Window(strict=False)
    walk(window, [3.0] * 10 + [18.0] + [3.0] * 10)
    for now in range(79, 100):
        window.tick(100.0 + now, WALL + now)
    assert (window.state, window.gaps) == ("measuring", [18.0])
    assert window.silence == 20.0
    assert window.breaths().gaps.tolist() == [18.0]


def test_the_early_estimate_has_the_time_constant_that_is_given() -> None:
    windows = [Window(tau=tau) for tau in (30.0, 54.0)]
    for window in windows:
        walk(window, [3.0] * 20, lambda k: 4.0 - 2.5 * float(np.exp(-3.0 * k / 42.0)))
    one, other = (window.early() for window in windows)
    assert one is not None
    assert other is not None
    assert one.rate == pytest.approx(fit(windows[0].breaths(), 30.0).rate)
    assert other.rate > one.rate + 0.1


def test_clocks_that_differ_a_little_void_nothing() -> None:
    window = Window()
    for now in range(0, 60, 5):  # 5 s between two looks, and the wall clock is being slowed down
        window.tick(float(now), WALL + 0.1 * now)
        window.add(float(now), 4.0)
    assert window.state == "measuring"
    assert window.seconds == 55.0


def test_rows_of_the_delay_are_those_of_what_was_before() -> None:
    window = Window(delay=20.0)
    walk(window, [3.0] * 20)
    assert (window.state, window.counts) == ("measuring", {"before the bout": 7})
    assert window.breaths().time.tolist() == [721.0 + 3.0 * k for k in range(14)]


def test_what_is_in_the_file_at_the_start_is_no_breath_of_the_bout(tmp_path: Path) -> None:
    path, clock = tmp_path / "breaths.csv", iter(range(100))
    path.write_text("time_s,power_W_per_kg\n0,9.0\n3,9.0\n")
    bout = Bout("b", "search", 1.0, np.zeros(4), "")
    count = Countdown(bout, source=BreathFile(path), now=lambda: (seconds := float(next(clock)), seconds))
    with path.open("a") as file:
        file.write("6,4.0\n")
    count.look()
    assert count.window.taken == [(6.0, 4.0)]


@pytest.mark.parametrize(
    ("head", "breath", "expected"),
    [
        ("vo2_ml_min,vco2_ml_min,heart_rate_bpm", "1000,{co2},{bpm}", {"rer": 0.86, "heart_rate_bpm": 110.0}),
        ("power_W_per_kg,rer", "4.0,0.9", {"rer": 0.9}),
        ("power_W_per_kg,heart_rate_bpm", "4.0,", {}),
        ("power_W_per_kg", "4.0", {}),
    ],
)
def test_the_gases_of_the_last_half_minute_are_shown(
    head: str, breath: str, expected: dict[str, float], tmp_path: Path
) -> None:
    path = tmp_path / "breaths.csv"
    path.write_text(f"time_s,{head}\n")
    seconds = [0.0]
    bout = Bout("b", "search", 2.0, np.zeros(4), "")
    count = Countdown(bout, source=BreathFile(path, 72.0), now=lambda: (seconds[0], seconds[0]))
    assert count.latest() == {}
    with path.open("a") as file:
        for k in range(20):  # the first ten are those of another effort
            values = {"co2": 860 if k >= 10 else 700, "bpm": 100 + k % 2 * 20 if k >= 10 else 60}
            file.write(f"{3 * k + 1},{breath.format(**values)}\n")
    seconds[0] = 1.0
    count.look()
    found = {name: value for name, value in count.latest().items() if name in ("rer", "heart_rate_bpm")}
    assert found == pytest.approx(expected)
