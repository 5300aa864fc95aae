"""Breaths of a fake outlet, with gaps, noise and repetitions, and clocks that are set by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from policysearch.exoskeleton.respirometry import Breaths, fit, read_breaths
from policysearch.hitl.breath_stream import BreathFile, Window
from policysearch.seeding import stream

WALL = 1.7e9  # s, of the wall clock at the start
HEADER = "time_s,power_W_per_kg\n"


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
        (1.0, 7.0, "the wall clock went on by 7 s in 1 s: set, or asleep"),
        (1.0, -5.0, "the wall clock went on by -5 s in 1 s: set, or asleep"),
        (5.5, 5.5, "5.5 s passed between two looks at the clock: the computer slept or hung"),
        (60.0, 60.0, "60 s passed between two looks at the clock: the computer slept or hung"),
        (-1.0, -1.0, "-1 s passed between two looks at the clock: the computer slept or hung"),
        (1.0, np.nan, "the wall clock went on by nan s in 1 s: set, or asleep"),
        (np.nan, 1.0, "nan s passed between two looks at the clock: the computer slept or hung"),
    ],
)
def test_a_clock_that_jumps_voids_the_window(monotonic: float, wall: float, reason: str) -> None:
    window = Window()
    walk(window, [3.0] * 20)
    window.tick(160.0 + monotonic, WALL + 60.0 + wall)
    window.tick(161.0 + monotonic, WALL + 61.0 + wall)
    window.add(763.0, 4.0)
    assert (window.state, window.reason) == ("void", reason)
    assert window.early() is None
    with pytest.raises(ValueError, match="got a void one"):
        window.breaths()


def test_clocks_that_differ_a_little_void_nothing() -> None:
    window = Window()
    for now in range(0, 60, 5):  # 5 s between two looks, and the wall clock is being slowed down
        window.tick(float(now), WALL + 0.1 * now)
        window.add(float(now), 4.0)
    assert window.state == "measuring"
    assert window.seconds == 55.0


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_a_growing_file_gives_every_breath_once_and_leaves_an_incomplete_line_for_later(
    tmp_path: Path,
) -> None:
    path = tmp_path / "breaths.csv"
    stream = BreathFile(path)
    assert stream.new() == []  # it is not there yet
    append(path, "\ufefftime_s,note,power")
    assert stream.new() == []
    append(path, "_W_per_kg\r\n0.5,a,4.0\r\n3.5,b,4.2")
    assert stream.new() == [(0.5, 4.0)]
    append(path, "5\r\n\r\n6.5,c,4")
    assert stream.new() == [(3.5, 4.25)]
    assert stream.new() == []
    append(path, ".5\r\n")
    assert stream.new() == [(6.5, 4.5)]


def test_a_growing_file_gives_what_the_whole_one_does(tmp_path: Path) -> None:
    path = tmp_path / "breaths.csv"
    text = "time_s,vo2_ml_min,vco2_ml_min\n" + "".join(f"{3 * k},{900 + k},800\n" for k in range(12))
    stream, found = BreathFile(path, mass=70.0), []
    for i in range(0, len(text), 7):
        append(path, text[i : i + 7])
        found += stream.new()
    whole = read_breaths(path, mass=70.0)
    assert found == list(zip(whole.time.tolist(), whole.rate.tolist(), strict=True))


def test_a_line_that_is_no_breath_gives_no_number_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "breaths.csv"
    path.write_bytes(
        HEADER.encode() + b'0,4\nnoon,4\n3,four\n6,\n9\n12,4,4\n"15,4\n18,\xff\n21,-4\n\x00\n24,4\n'
    )
    found = np.array(BreathFile(path).new())
    nan = np.nan
    expected = (
        [[0, 4], [nan, 4], [3, nan], [6, nan]] + [[nan, nan]] * 3 + [[18, nan], [21, -4], [nan, nan], [24, 4]]
    )
    assert np.array_equal(found, expected, equal_nan=True)
    path.write_text("time_s,vo2_ml_min,vco2_ml_min\n0,900,-10\n3,-900,5000\n", encoding="utf-8")
    assert np.isnan([rate for _, rate in BreathFile(path, mass=70.0).new()]).tolist() == [True, True]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("time,power\n", "line 1: expected the columns time_s and either .* once each, got time, power$"),
        ("time_s,vo2_ml_min\n", "line 1: expected the columns .*, got time_s, vo2_ml_min$"),
        ("time_s,vo2_ml_min,vco2_ml_min\n", "vo2_ml_min and vco2_ml_min need mass > 0 kg, got None$"),
    ],
)
def test_a_file_of_other_columns_is_refused_every_time(tmp_path: Path, header: str, message: str) -> None:
    path = tmp_path / "breaths.csv"
    append(path, header)
    stream = BreathFile(path)
    for _ in range(2):
        with pytest.raises(ValueError, match=f"breaths.csv(, |: ){message}"):
            stream.new()
        append(path, "0,4\n")


def test_a_file_that_was_begun_anew_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "breaths.csv"
    append(path, HEADER + "0,4\n3,4\n")
    stream = BreathFile(path)
    stream.new()
    path.write_text(HEADER + "0,4\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"breaths.csv: expected a file that grows, got 26 bytes after 30$"):
        stream.new()
