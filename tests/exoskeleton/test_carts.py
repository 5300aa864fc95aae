"""Files of metabolic carts: every layout gives the breaths of the plain file, and damage gives a right number or a message."""

import io
import re
import shutil
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from policysearch.exoskeleton import breath_table
from policysearch.exoskeleton.breath_columns import Cart, Columns
from policysearch.exoskeleton.breath_file import BreathFile, read_breaths
from policysearch.exoskeleton.respirometry import Breaths, estimate

ASSETS = Path(__file__).parents[1] / "assets" / "carts"
LAYOUTS = ["cosmed.xlsx", "cosmed.csv", "parvo.csv", "oxycon.txt", "vyntus.csv", "cortex.csv", "cortex.xml"]
TEXTS = ["plain.csv", *[name for name in LAYOUTS if not name.endswith(("xlsx", "xml"))]]
MASS = 72.0
PLAIN = read_breaths(ASSETS / "plain.csv", MASS)


def without(*places: int) -> Breaths:
    """The plain breaths without some."""
    kept = np.delete(np.arange(len(PLAIN.time)), places)
    return Breaths(PLAIN.time[kept], PLAIN.rate[kept])


def written(folder: Path, data: str | bytes, name: str = "breaths.csv") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_file_of_a_cart_gives_the_breaths_and_the_estimate_of_the_plain_file(name: str) -> None:
    found = read_breaths(ASSETS / name, MASS)
    np.testing.assert_array_equal(found.time, PLAIN.time)
    np.testing.assert_allclose(found.rate, PLAIN.rate, rtol=1e-12)
    assert estimate(found) == pytest.approx(estimate(PLAIN), rel=1e-10)
    for gas in ("vo2_ml_min", "vco2_ml_min", "heart_rate_bpm"):
        np.testing.assert_allclose(found.gases[gas], PLAIN.gases[gas], rtol=1e-12)
    np.testing.assert_allclose(
        found.gases["rer"], PLAIN.gases["vco2_ml_min"] / PLAIN.gases["vo2_ml_min"], atol=0.0051
    )
    assert (found.said, found.doubt, found.mass) == ((), "", MASS)


@pytest.mark.parametrize("name", TEXTS)
def test_a_growing_file_of_a_cart_gives_the_same_breaths(name: str, tmp_path: Path) -> None:
    data, path = (ASSETS / name).read_bytes(), tmp_path / name
    header = data.find(
        b"\r" if name != "cortex.csv" else b"\r\0", data.find(b"O2" if name != "cortex.csv" else b"O\x002\0")
    )
    stream, found = BreathFile(path, MASS), list[tuple[float, float]]()
    for end in (*range(header + 8, len(data), 61), len(data)):
        path.write_bytes(data[:end])
        found += stream.new()
    assert [time for time, _ in found] == PLAIN.time.tolist()
    np.testing.assert_allclose([rate for _, rate in found], PLAIN.rate, rtol=1e-12)
    assert (
        stream.gases[PLAIN.time[0]][stream.columns.index("heart_rate_bpm")]
        == PLAIN.gases["heart_rate_bpm"][0]
    )


@pytest.mark.parametrize("name", ["cosmed.csv", "parvo.csv"])
def test_of_a_long_file_that_grows_only_the_new_rows_are_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, *rows = {
        "cosmed.csv": (";;;t;VO2;VCO2\n;;;s;mL/min;mL/min\n", *(f";;;{3 * k};9{k % 10}0,5;800,0" for k in range(400))),
        "parvo.csv": ("a head\r\nTIME,VO2,VCO2\r\nmin,L/min,L/min\r\n", *(f"{k / 20:.2f},0.9{k % 10},0.80" for k in range(400))),
    }[name]  # fmt: skip
    path, read, found = tmp_path / name, list[int](), list[tuple[float, float]]()
    row_of = Columns._row
    monkeypatch.setattr(Columns, "_row", lambda self, *row: read.append(1) or row_of(self, *row))
    stream = BreathFile(path, MASS)
    for end in (150, 199, 250, 251, 252, 400):
        path.write_text(
            head + "\n".join(rows[:end]) + "\n" + rows[end][:7]
            if end < 400
            else head + "\n".join(rows) + "\n"
        )
        read.clear()
        found += stream.new()
    assert len(read) == 148  # of the last look
    whole = read_breaths(path, MASS)
    assert [time for time, _ in found] == whole.time.tolist()
    np.testing.assert_array_equal([rate for _, rate in found], whole.rate)
    assert len(stream.gases) == 400


# ----------------------------------------------------------------------------------------------------------- damage

Damage = Callable[[list[str]], list[str]]


def put(row: int, text: str) -> Damage:
    """Another text in place of a row."""
    return lambda lines: [*lines[:row], text, *lines[row + 1 :]]


def insert(row: int, *texts: str) -> Damage:
    return lambda lines: [*lines[:row], *texts, *lines[row:]]


def cell(row: int, place: int, text: str, separator: str = ",") -> Damage:
    def damage(lines: list[str]) -> list[str]:
        cells = lines[row].split(separator)
        return [*lines[:row], separator.join([*cells[:place], text, *cells[place + 1 :]]), *lines[row + 1 :]]

    return damage


def every(pattern: str, text: str, first: int = 1) -> Damage:
    """Something else in every row from this one on."""
    return lambda lines: lines[:first] + [re.sub(pattern, text, line) for line in lines[first:]]


#: Base, what is done to its lines, which breaths are then missing or what is said.
DAMAGED: dict[str, tuple[str, Damage, list[int] | str]] = {
    "nothing": ("plain.csv", lambda lines: lines, []),
    "a gap of some breaths": ("plain.csv", lambda lines: lines[:10] + lines[16:], [9, 10, 11, 12, 13, 14]),
    "a cough, with a negative volume": ("plain.csv", cell(9, 2, "-12"), [8]),
    "the mask off": ("plain.csv", every(r"^(12|18),\d+,\d+", r"\1,0,0"), [3, 4]),
    "a zero first": ("plain.csv", insert(1, "0,0,0,90"), []),
    "a missing cell": ("plain.csv", cell(5, 1, ""), [4]),
    "a missing end of a row": ("plain.csv", put(5, "18"), [4]),
    "a missing heart rate": ("plain.csv", cell(5, 3, ""), []),
    "a heart rate that is no number": ("plain.csv", cell(5, 3, "error"), []),
    "text for a volume": ("plain.csv", cell(5, 1, "####"), [4]),
    "not a number": ("plain.csv", cell(5, 1, "nan"), [4]),
    "an infinite volume": ("plain.csv", cell(5, 1, "inf"), [4]),
    "a number with an underscore": ("plain.csv", cell(5, 1, "8_40"), [4]),
    "an empty row": ("plain.csv", insert(6, "", ",,,"), []),
    "empty rows at the end": ("plain.csv", lambda lines: [*lines, "", ",,", "  "], []),
    "a label": ("plain.csv", insert(6, "Exercise"), []),
    "two breaths in one second": ("plain.csv", cell(5, 0, "12"), [4]),
    "a time that goes back": ("plain.csv", cell(5, 0, "2"), [4]),
    "a time that is none": ("plain.csv", cell(5, 0, "1:75"), [4]),
    "a cell too many": ("plain.csv", put(5, "18,9,30,12,7"), [4]),
    "commas at the end of every row": ("plain.csv", every("$", ",,", 0), []),
    "a line of Excel": ("plain.csv", insert(0, "sep=,"), []),
    "capital letters": ("plain.csv", lambda lines: [lines[0].upper(), *lines[1:]], []),
    "quotes": ("plain.csv", every(r"(\w+)", r'"\1"', 0), []),
    "a row of units": ("plain.csv", insert(1, "s,mL/min,mL/min,bpm"), []),
    "units in the header": ("plain.csv", put(0, "Time (s),VO2 [mL/min],VCO2 [mL/min],HR"), []),
    "a trailer with a mean": ("parvo.csv", lambda lines: [*lines, "Mean,1.05,14.6,4.1,0.91,0.86,98"], []),
    "a trailer in the middle": ("parvo.csv", insert(30, "Events List", "1.00,Mark"), []),
    "times of a clock": ("plain.csv", every(r"^(\d+),", lambda t: f"{int(t[1]) // 60}:{int(t[1]) % 60:02d},"), []),  # type: ignore[arg-type]
    "no units": ("vyntus.csv", lambda lines: lines[:1] + lines[2:], "vo2_ml_min has neither a unit nor a row of units; --breath-units"),
    "units of another quantity": ("vyntus.csv", cell(1, 1, "mL/min/kg", ";"), "expected vo2_ml_min in ml/min or l/min, got 'ml/min/kg'"),
    "units of litres for mL": ("vyntus.csv", cell(1, 1, "L/min", ";"), "expected vo2_ml_min of about 100 to 8000, got .*; it has another unit"),
    "units of mL for litres": ("parvo.csv", put(10, "min,L/min,,,mL/min,,bpm"), "expected vco2_ml_min of about 100 to 8000, got 0.839"),
    "units of s for minutes": ("parvo.csv", put(10, "s,L/min,,,L/min,,bpm"), "expected breaths 0.5 to 15 s apart, got 0.05 s"),
    "units of minutes for s": ("plain.csv", put(0, "time_min,vo2_ml_min,vco2_ml_min,hr"), "expected breaths 0.5 to 15 s apart, got 180 s"),
    "units that contradict the header": ("plain.csv", insert(1, "s,L/min,L/min,bpm"), "line 2: expected vo2_ml_min in ml/min, got 'l/min'"),
    "decimal commas between commas": ("plain.csv", every(r",(\d+),", r",\1,5,"), "36 of 36 rows are no breaths"),
    "points and commas in one number": ("vyntus.csv", every(r";(\d)", r";1.\1"), "36 of 36 rows are no breaths"),
    "averages": ("plain.csv", lambda lines: lines[:1] + [f"{30 * k},1000,850,100" for k in range(1, 13)], "got 30 s; they are averages"),
    "a tenth and more": ("plain.csv", every(r"^(3|12|18|33),\d+", r"\1,x"), "4 of 36 rows are no breaths, at most a tenth may be; line 2"),
    "a recording that begins anew": ("plain.csv", lambda lines: lines + lines[1:20], "19 of 55 rows are no breaths"),
    "two columns of a name": ("plain.csv", put(0, "t,vo2_ml_min,vco2_ml_min,VO2"), "expected a single column vo2_ml_min, got 2"),
    "no volume": ("plain.csv", put(0, "time_s,vo2_ml_min,ve,hr"), "line 1: expected the columns time_s and either"),
    "a few breaths": ("plain.csv", lambda lines: lines[:8], "expected at least 10 breaths, got 7"),
    "a body of another mass": ("cosmed.csv", every(r"72,0", "81,5", 0), "the file is of a body of 81.5 kg, the plan 72 kg"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_gives_the_right_number_or_one_message(name: str, tmp_path: Path) -> None:
    base, damage, expected = DAMAGED[name]
    encoding = "latin-1" if base == "cosmed.csv" else "utf-8"
    lines = damage((ASSETS / base).read_bytes().decode(encoding).splitlines())
    path = written(tmp_path, ("\r\n".join(lines) + "\r\n").encode(encoding))
    if isinstance(expected, str) and "body" not in expected:
        with pytest.raises(ValueError, match=f"breaths.csv.*{expected}") as raised:
            read_breaths(path, MASS, gaps=True)
        assert "\n" not in str(raised.value)
        return
    found = read_breaths(path, MASS, gaps=True)
    if isinstance(expected, str):
        assert found.doubt == expected
        return
    right = without(*expected)
    np.testing.assert_array_equal(found.time, right.time)
    assert estimate(found) == pytest.approx(estimate(right), rel=1e-10)
    counted = len(expected) if "gap" not in name else 0
    counted += (
        name in ("a zero first", "a trailer in the middle", "a trailer with a mean")
        and name != "a trailer with a mean"
    )
    assert bool(found.said) == bool(counted)
    assert all(line.startswith(f"{counted} of ") for line in found.said)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_separators_and_ends_of_lines_do_not_matter(
    encoding: str, end: str, separator: str, tmp_path: Path
) -> None:
    text = (ASSETS / "plain.csv").read_text().replace(",", separator).replace("\n", end)
    found = read_breaths(written(tmp_path, text.encode(encoding)), MASS)
    np.testing.assert_array_equal(found.rate, PLAIN.rate)


@pytest.mark.parametrize(
    ("units", "lines"),
    [
        ("s,mL/min", ["t;VO2;VCO2", *(f"{3 * k};900;800" for k in range(12))]),
        ("min,L/min", ["t;VO2;VCO2", *(f"{3 * k / 60};0.9;0.8" for k in range(12))]),
        ("s,L/min", ["t;VO2;VCO2", *(f"0:{3 * k:02d};0,9;0,8" for k in range(12))]),
    ],
)
def test_units_that_a_file_does_not_state_are_told(units: str, lines: list[str], tmp_path: Path) -> None:
    path = written(tmp_path, "\n".join(lines))
    found = read_breaths(path, MASS, cart=Cart(units=units))
    assert found.time.tolist() == pytest.approx([3.0 * k for k in range(12)])
    assert found.gases["vco2_ml_min"] == pytest.approx(np.full(12, 800.0))
    with pytest.raises(ValueError, match="has neither a unit nor a row of units"):
        read_breaths(path, MASS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"units": "mL/min"},
            "breath_units: expected those of time and volumes, as in s,mL/min, got 'mL/min'",
        ),
        ({"units": "s,mL"}, "breath_units: expected .* got 's,mL'"),
        ({"delay": -1.0}, "delay: expected 0 to 60 s, got -1"),
        ({"delay": float("nan")}, "delay: expected 0 to 60 s, got nan"),
        ({"began": "10"}, "cart_start: expected a time of day, as in 14:03:22, got '10'"),
    ],
)
def test_what_cannot_be_said_of_a_cart_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cart(**arguments)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- whole sessions

AT_TEN = datetime(2026, 3, 5, 10, 0, 0).timestamp()


def recording(head: str, zero: float = 0.0) -> str:
    """A recording of 45 minutes of which the volume is the time, with the mask off between minutes 20 and 25."""
    rows = [f"{zero + t},{0 if 1200 <= t < 1500 else 1000 + t},{900 + t}" for t in range(3, 2700, 3)]
    return "\n".join([head, "time_s,vo2_ml_min,vco2_ml_min", *rows])


@pytest.mark.parametrize(
    ("head", "zero", "cart", "first"),
    [
        ("Test time,10:00:00", 0.0, Cart(), 600),
        ("Start time:,10:00 AM", 0.0, Cart(delay=12.0), 612),
        ("Test date,05/03/2026,,,Uhrzeit,10:00:00", 0.0, Cart(), 600),
        ("", 0.0, Cart(began="10:00:00"), 600),
        ("", 36000.0, Cart(began="0:00:00"), 600),
        ("Test time,16:00:00", 0.0, Cart(began="9:59:30"), 630),
        ("", AT_TEN, Cart(), 600),
    ],
)  # fmt: skip
def test_a_recording_of_the_session_is_cut_by_the_bout_after_the_delay(
    head: str, zero: float, cart: Cart, first: int, tmp_path: Path
) -> None:
    path = written(tmp_path, recording(head, zero))
    bout = (AT_TEN + 600.0, AT_TEN + 720.0)
    found = read_breaths(path, MASS, cart=cart, bout=bout)
    assert found.gases["vo2_ml_min"][[0, -1]].tolist() == [1000 + first, 1120 + first]
    with pytest.raises(ValueError, match="rows are no breaths"):
        read_breaths(path, MASS, cart=cart, bout=(AT_TEN + 1200.0, AT_TEN + 1320.0))
    with pytest.raises(
        ValueError, match="expected at least 10 breaths between start and end of the bout, got 0"
    ):
        read_breaths(path, MASS, cart=cart, bout=(AT_TEN - 600.0, AT_TEN - 480.0))


def test_a_recording_that_began_before_midnight_is_cut_too(tmp_path: Path) -> None:
    path, midnight = written(tmp_path, recording("Test time,23:50:00")), datetime(2026, 3, 6).timestamp()
    found = read_breaths(path, MASS, bout=(midnight, midnight + 120.0))
    assert found.time[[0, -1]].tolist() == [600.0, 720.0]


def test_the_first_seconds_of_the_file_of_a_bout_belong_to_what_was_before_the_delay() -> None:
    found = read_breaths(ASSETS / "plain.csv", MASS, cart=Cart(delay=10.0))
    assert found.time[0] == PLAIN.time[PLAIN.time >= PLAIN.time[0] + 10.0][0]
    assert found.time[-1] == PLAIN.time[-1]


# ------------------------------------------------------------------------------------------------------ workbooks


def repacked(folder: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The workbook with other parts."""
    path = folder / "other.xlsx"
    with zipfile.ZipFile(ASSETS / "cosmed.xlsx") as old, zipfile.ZipFile(path, "w") as new:
        for part in old.namelist():
            new.writestr(part, change(part, old.read(part)))
    return path


ENTITY = b'<!DOCTYPE x [<!ENTITY a "1"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


def test_a_workbook_with_a_document_type_or_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = repacked(
        tmp_path,
        lambda part, data: data.replace(b"<worksheet", ENTITY + b"<worksheet") if "sheet1" in part else data,
    )
    with pytest.raises(ValueError, match=r"other.xlsx: expected a workbook .*sheet1.xml has a document type"):
        read_breaths(path, MASS)
    with pytest.raises(ValueError, match=r"other.xlsx: expected a workbook"):
        read_breaths(repacked(tmp_path, lambda part, data: b"<x" if "sheet1" in part else data), MASS)
    path.write_bytes((ASSETS / "cosmed.xlsx").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"other.xlsx: expected a workbook \(xlsx\), got: BadZipFile"):
        read_breaths(path, MASS)
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    with pytest.raises(ValueError, match="a workbook of Excel 97; save it as xlsx or csv"):
        read_breaths(path, MASS)


def test_a_workbook_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breath_table, "MAX_UNPACKED", 10_000)
    with pytest.raises(ValueError, match=r"it unpacks to .* bytes, at most 10,000 are read"):
        read_breaths(ASSETS / "cosmed.xlsx", MASS)


def test_a_workbook_without_openpyxl_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(
        ValueError, match=r"needs openpyxl: pip install 'policysearch\[lab\]'; or save it as csv"
    ):
        read_breaths(ASSETS / "cosmed.xlsx", MASS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"<Workbook", ENTITY + b"<Workbook", "it has a document type, which is not read"),
        (b"</Worksheet></Workbook>", b"", "no element found"),
        (b'ss:Index="2"', b'ss:Index="999999999"', "expected an index of 2 to 1000, got '999999999'"),
        (b'ss:Index="2"', b'ss:Index="-2"', "expected an index of 2 to 1000, got '-2'"),
    ],
)
def test_xml_that_expands_or_is_damaged_is_refused(
    old: bytes, new: bytes, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, (ASSETS / "cortex.xml").read_bytes().replace(old, new), "a.xml")
    with pytest.raises(ValueError, match=f"a.xml: expected XML of Excel 2003, got: {message}"):
        read_breaths(path, MASS)


def test_times_of_a_workbook_are_read_whatever_their_type(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["t", "VO2", "VCO2"])
    book.active.append(["s", "mL/min", "mL/min"])
    from datetime import time, timedelta

    times = [
        time(0, 0, 3),
        timedelta(seconds=6.5),
        datetime(1899, 12, 31, 0, 0, 9),
        12,
        "0:00:15",
        "18.5",
        *range(21, 40, 3),
    ]
    for each in times:
        book.active.append([each, 900, "800,0"])
    data = io.BytesIO()
    book.save(data)
    found = read_breaths(written(tmp_path, data.getvalue(), "a.xlsx"), MASS)
    assert found.time[:6].tolist() == [3.0, 6.5, 9.0, 12.0, 15.0, 18.5]


def test_the_assets_are_what_their_script_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import make_cart_assets

    monkeypatch.setattr(make_cart_assets, "ASSETS", tmp_path)
    make_cart_assets.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["plain.csv", *LAYOUTS])
    for name in (*TEXTS, "cortex.xml"):
        assert (tmp_path / name).read_bytes() == (ASSETS / name).read_bytes()
    shutil.copy(tmp_path / "cosmed.xlsx", tmp_path / "again.xlsx")
    np.testing.assert_array_equal(
        read_breaths(tmp_path / "again.xlsx", MASS).rate, read_breaths(ASSETS / "cosmed.xlsx", MASS).rate
    )
