"""Files of breaths: complete ones and growing ones."""

import re
from pathlib import Path

import numpy as np
import pytest

from policysearch.exoskeleton.breath_file import BreathFile, read_breaths
from policysearch.exoskeleton.respirometry import cost_of_gaps

HEADER = "time_s,power_W_per_kg\n"


def lines(*, rate: str = "4.0", header: str = "time_s,power_W_per_kg") -> list[str]:
    return [header, *(f"{3 * k}.5,{rate}" for k in range(12))]


def file_of(folder: Path, rows: list[str]) -> Path:
    path = folder / "breaths.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_file_of_power_or_of_volumes_gives_its_breaths(tmp_path: Path) -> None:
    power = read_breaths(
        file_of(tmp_path, ["\ufeffnote,power_W_per_kg, time_s", *(f"a,4.5,{k}" for k in range(10))])
    )
    assert power.time.tolist() == list(range(10))
    assert power.rate.tolist() == [4.5] * 10
    volumes = file_of(tmp_path, lines(rate="900,800", header="time_s,vo2_ml_min,vco2_ml_min"))
    # (16.58 · 900 + 4.51 · 800) / 60 = 308.83 W
    assert read_breaths(volumes, mass=70.0).rate == pytest.approx(np.full(12, 308.8333 / 70.0), rel=1e-6)
    with pytest.raises(ValueError, match="need mass > 0 kg, got None"):
        read_breaths(volumes)
    with pytest.raises(ValueError, match="need mass > 0 kg, got -70"):
        read_breaths(volumes, mass=-70.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9.5,four", "expected power_W_per_kg to be a number > 0, got 'four'"),
        ("9.5,-4", "expected power_W_per_kg to be a number > 0, got '-4'"),
        ("9.5,0", "expected power_W_per_kg to be a number > 0, got '0'"),
        ("9.5,nan", "expected power_W_per_kg to be a number > 0, got 'nan'"),
        ("9.5,", "expected power_W_per_kg to be a number > 0, got ''"),
        ("noon,4", "expected time_s to be a time, got 'noon'"),
        ("9.5", "expected power_W_per_kg to be a number > 0, got ''"),
        ("9,5,4", "expected 2 columns, got 3"),
        ("5.5,4", "expected a time later than 6.5 s, got 5.5 s"),
        ("6.5,4", "expected a time later than 6.5 s, got 6.5 s"),
        ('9.5,"4', "expected time_s to be a time, got '9.5,\"4'"),
    ],
)
def test_a_row_that_is_no_breath_is_skipped_and_said(tmp_path: Path, text: str, why: str) -> None:
    rows = lines()
    rows[4] = text
    found = read_breaths(file_of(tmp_path, rows))
    assert found.said == (f"1 of 12 rows were skipped; line 5: {why}",)
    assert found.time.tolist() == [3 * k + 0.5 for k in range(12) if k != 3]
    rows[5] = "12.5,x"
    message = f"breaths.csv: 2 of 12 rows are no breaths, at most a tenth may be; line 5: {why}"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_breaths(file_of(tmp_path, rows))


@pytest.mark.parametrize(
    ("row", "text", "message"),
    [
        (12, "45.6,4", r"line 13: expected a breath within 15 s after the one at 30.5 s, got 45.6 s"),
        (0, "time,power", r"line 1: expected the columns time_s and either .*, got time, power"),
        (
            0,
            "time_s,vo2_ml_min",
            r"line 1: expected the columns time_s and either .*, got time_s, vo2_ml_min",
        ),
        (0, "time_s,time_s", r"line 1: expected the columns time_s and either .*, got time_s, time_s"),
        (0, "time_s,t,power_W_per_kg", r"line 1: expected a single column time_s, got 2"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, row: int, text: str, message: str) -> None:
    rows = lines()
    rows[row] = text
    path = file_of(tmp_path, rows)
    with pytest.raises(ValueError, match=f"breaths.csv, {message}$"):
        read_breaths(path)


def test_a_file_that_is_no_table_or_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 1: expected the columns .*, got nothing$"):
        read_breaths(file_of(tmp_path, [""]))
    with pytest.raises(ValueError, match=r"breaths.csv: expected at least 10 breaths, got 5$"):
        read_breaths(file_of(tmp_path, lines()[:6]))


def test_a_gap_of_the_stated_limit_is_no_longer_than_it(tmp_path: Path) -> None:
    rows = lines()
    rows[12] = "45.5,4"
    assert len(read_breaths(file_of(tmp_path, rows)).time) == 12
    rows[12] = "45.51,4"
    with pytest.raises(ValueError, match=r"within 15 s after the one at 30.5 s, got 45.51 s"):
        read_breaths(file_of(tmp_path, rows))


def test_a_gap_is_taken_where_it_is_asked_for(tmp_path: Path) -> None:
    rows = lines()
    rows[12] = "51.5,4"
    breaths = read_breaths(file_of(tmp_path, rows), gaps=True)
    assert breaths.gaps.tolist() == [21.0]

    def error(time: list[int]) -> float:
        """The standard error of u in standard deviations of a breath, of the design [e, 1 − e]."""
        e = np.exp(-np.array(time) / 42.0)
        design = np.column_stack([e, 1.0 - e])
        return float(np.sqrt(np.linalg.inv(design.T @ design)[1, 1]))

    with_gap = error([*range(0, 31, 3), 51])
    assert cost_of_gaps(breaths) == pytest.approx(with_gap / error([*range(0, 52, 3)]) - 1.0)
    assert cost_of_gaps(read_breaths(file_of(tmp_path, lines()))) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("header", "units", "rows"),
    [
        ("time_s,power_W_per_kg", "s,W/kg", [f"{3 * k},4.0" for k in range(25)]),
        ("time_s,power_W_per_kg", "mm:ss,[W/kg]", [f"{3 * k // 60}:{3 * k % 60:02d},4.0" for k in range(25)]),
        ("time_s,power_W_per_kg", None, [f"0:{3 * k // 60}:{3 * k % 60:02d}.0,4.0" for k in range(25)]),
        ("time_s,vo2_ml_min,vco2_ml_min,heart_rate_bpm", "s,mL/min,mL/min,bpm", [f"{3 * k},900,800,{90 + k}" for k in range(25)]),
        ("time_s,vo2_ml_min,vco2_ml_min,heart_rate_bpm", None, [f"{3 * k},900,800," for k in range(25)]),
    ],
)  # fmt: skip
def test_both_readers_understand_units_times_of_day_and_what_else_was_measured(
    tmp_path: Path, header: str, units: str | None, rows: list[str]
) -> None:
    path = file_of(tmp_path, [header, *([units] if units else []), *rows])
    later, live = read_breaths(path, 70.0), BreathFile(path, 70.0)
    assert live.new() == list(zip(later.time.tolist(), later.rate.tolist(), strict=True))
    assert later.time.tolist() == [3.0 * k for k in range(25)]
    assert live.columns == tuple(later.gases)
    kept = np.array([live.gases[time] for time in later.time.tolist()]).T
    for column, values in zip(kept, later.gases.values(), strict=True):
        np.testing.assert_array_equal(column, values)
    if "vo2" in header:
        assert later.rer == pytest.approx(8.0 / 9.0)
        assert "heart_rate_bpm" in later.gases


def test_other_units_than_those_of_the_columns_are_refused_by_both_readers(tmp_path: Path) -> None:
    rows = ["time_s,vo2_ml_min,vco2_ml_min", "s,L/min,L/min", *(f"{k},0.9,0.8" for k in range(12))]
    path = file_of(tmp_path, rows)
    message = r"line 2: expected vo2_ml_min in ml/min, got 'l/min'; convert the file$"
    for read in (lambda: read_breaths(path, 70.0), BreathFile(path, 70.0).new):
        with pytest.raises(ValueError, match=message):
            read()


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


def test_a_growing_file_gives_the_same_breaths_as_the_complete_one(tmp_path: Path) -> None:
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
    rates = {0: 4, 3: nan, 6: nan, 9: nan, 12: nan, 18: nan, 21: nan, 24: 4}
    pairs = [[time, rate] for time, rate in rates.items()]
    expected = [pairs[0], [nan, nan], *pairs[1:5], [nan, nan], *pairs[5:]]
    assert np.array_equal(found, expected, equal_nan=True)
    path.write_text("time_s,vo2_ml_min,vco2_ml_min\n0,900,-10\n3,-900,5000\n", encoding="utf-8")
    assert np.isnan([rate for _, rate in BreathFile(path, mass=70.0).new()]).tolist() == [True, True]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("time,power\n", "line 1: expected the columns time_s and either .*, got time, power$"),
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


def test_the_message_about_a_long_header_is_short(tmp_path: Path) -> None:
    path = tmp_path / "breaths.csv"
    path.write_text(", ".join(f"column {i}" for i in range(100_000)) + "\n")
    with pytest.raises(ValueError, match=r"got column 0, .* …$") as raised:
        read_breaths(path, 70.0)
    assert len(str(raised.value)) < 600
