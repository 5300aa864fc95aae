"""The ledger: what is committed stays, what is damaged is noticed, and one process writes."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policysearch.ledger import (
    APPLICATION_ID,
    SCHEMA,
    Event,
    Ledger,
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerReplaced,
    Position,
    Stored,
    holder,
    read,
    read_since,
)
from policysearch.plain_data import decode, encode

TESTS = Path(__file__).parent


def fill(path: Path, events: int, *, commit_every: int = 1) -> list[Event]:
    """A ledger with some events, still as its writer left it when it was killed: the log not folded in."""
    script = f"""
        import os, sys
        from pathlib import Path
        from policysearch.ledger import Ledger
        ledger = Ledger(Path(sys.argv[1]))
        for i in range({events}):
            ledger.append("generation", ("task", i), {{"returns": [i / 7, "x" * 200]}})
            if i % {commit_every} == 0:
                ledger.commit()
        os._exit(0)
    """
    python(script, str(path))
    return [
        Event(i + 1, "generation", ("task", i), encode({"returns": [i / 7, "x" * 200]}))
        for i in range(events)
    ]


def python(script: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    return subprocess.run(
        command,
        check=True,
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
        **options,
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text().filter(lambda name: name != "float"), inner)
        ),
    )
)
def test_plain_data_comes_back_to_the_last_bit(value: Any) -> None:
    assert repr(decode(encode(value))) == repr(value)


def test_arrays_become_lists_and_json_has_no_nan() -> None:
    assert decode(encode({"a": np.array([[1.5, np.nan]]), "b": np.int64(3)}))["b"] == 3
    assert repr(decode(encode(np.array([[1.5, np.nan], [np.inf, -np.inf]])))) == "[[1.5, nan], [inf, -inf]]"
    assert json.loads(encode([float("nan")])) == [{"float": "nan"}]
    for text in ("NaN", "[Infinity]", "-Infinity"):
        with pytest.raises(ValueError, match="is not JSON"):
            decode(text)


def test_events_are_read_as_they_were_written_also_by_others_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        assert ledger.events == ()
        ledger.append("study", (), {"runs": 3})
        assert read(path) == []  # not yet committed
        ledger.commit()
        assert read(path) == [Event(1, "study", (), '{"runs":3}')]
        ledger.append("run", ("lqr", "cma-es", 0), {"final": 0.1 + 0.2})
    with Ledger(path) as ledger:
        assert [event.number for event in ledger.events] == [1, 2]
        assert ledger.events[1] == Event(2, "run", ("lqr", "cma-es", 0), '{"final":0.30000000000000004}')
        assert ledger.events[1].body == {"final": 0.1 + 0.2}
        ledger.append("run", ("lqr", "cma-es", 1), {})
    assert [p.name for p in tmp_path.iterdir()] == ["ledger"]  # no lock, no log is left
    assert [event.number for event in read(path)] == [1, 2, 3]


def test_a_ledger_is_followed_by_what_is_new_of_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    followed, position = list[Event](), Position()
    with Ledger(path) as ledger:
        for i in range(30):
            ledger.append("generation", ("task", i), {"returns": [i / 7]})
            if i % 4 == 0:
                ledger.commit()
            if i % 3 == 0:
                new, position = read_since(path, position)
                followed += new
                assert followed == read(path)
        new, end = read_since(path, position)
        assert read_since(path, end) == ([], end)
        assert followed + new == read(path)
    assert followed + read_since(path, position)[0] == read(path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("UPDATE events SET body = '{}' WHERE number = 25", LedgerRefused, "damaged at event 25: .*checksum"),
        ("DELETE FROM events WHERE number = 21", LedgerRefused, "damaged at event 21"),
        ("DELETE FROM events WHERE number > 15", LedgerReplaced, "event 20 is another"),
        ("UPDATE events SET checksum = x'00' WHERE number = 20", LedgerReplaced, "event 20 is another"),
        ("CREATE TABLE more (x)", LedgerRefused, "holds more than a ledger"),
        ("UPDATE events SET body = '{}' WHERE number = 5", None, ""),  # it was read before
    ],
)
def test_what_was_changed_is_noticed_by_who_follows(
    change: str, error: type[Exception] | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        for i in range(30):
            ledger.append("generation", ("task", i), {"returns": [i / 7]})
            if i == 19:
                ledger.commit()
                _, position = read_since(path)
    with sqlite3.connect(path) as db:
        db.execute(change)
    db.close()
    if error is None:
        assert [event.number for event in read_since(path, position)[0]] == [*range(21, 31)]
    else:
        with pytest.raises(error, match=message):
            read_since(path, position)


def test_another_ledger_in_the_place_of_one_is_noticed_by_who_follows(tmp_path: Path) -> None:
    path, other = tmp_path / "ledger", tmp_path / "other"
    for each, start in ((path, 0), (other, 1)):
        with Ledger(each) as ledger:
            for i in range(10):
                ledger.append("generation", ("task", i), {"returns": [(start + i) / 7]})
    _, position = read_since(path)
    other.replace(path)
    with pytest.raises(LedgerReplaced, match="was replaced or cut while it was read"):
        read_since(path, position)
    path.unlink()
    with pytest.raises(LedgerError, match="no such ledger"):
        read_since(path, position)


def test_what_was_committed_outlives_a_kill_and_what_was_not_is_gone_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    written = fill(path, 50, commit_every=7)  # commits after events 1, 8, …, 50
    assert read(path) == written
    with Ledger(path) as ledger:
        assert list(ledger.events) == written
    script = """
        import os, sys, signal
        from pathlib import Path
        from policysearch.ledger import Ledger
        ledger = Ledger(Path(sys.argv[1]))
        for i in range(10):
            ledger.append("generation", ("task", 50 + i), {})
            if i == 4:
                ledger.commit()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with pytest.raises(subprocess.CalledProcessError):
        python(script, str(path))
    assert len(read(path)) == 55


@pytest.mark.parametrize("limits", [range(3, 40, 6), pytest.param(range(3, 103), marks=pytest.mark.nightly)])
def test_a_full_disk_stops_with_a_message_and_keeps_what_was_committed(limits: range, tmp_path: Path) -> None:
    for pages in limits:
        path = tmp_path / f"ledger{pages}"
        committed = 0
        with Ledger(path) as ledger:
            ledger._db.execute(f"PRAGMA max_page_count = {pages}")
            with pytest.raises(
                LedgerError, match=r"cannot write: .*full.*; everything committed before is kept: make room"
            ):
                for i in range(1000):
                    ledger.append("generation", ("task", i), {"returns": [0.5] * 100})
                    ledger.commit()
                    committed += 1
        assert len(read(path)) == committed
        with Ledger(path) as ledger:  # there is room again
            ledger.append("generation", ("task", committed), {})
        assert len(read(path)) == committed + 1


def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from policysearch.ledger import Ledger, LedgerError
        with Ledger(Path(sys.argv[1])) as ledger:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            try:
                for i in range(1000):
                    ledger.append("generation", ("task", i), {"returns": [0.5] * 500})
                    ledger.commit()
                    print(i + 1)
            except LedgerError as error:
                print(error, file=sys.stderr)
    """
    finished = python(script, str(tmp_path / "ledger"))
    assert "cannot write" in finished.stderr
    assert len(read(tmp_path / "ledger")) == int(finished.stdout.split()[-1])


def cut_log(folder: Path, cuts: int) -> None:
    source = folder / "ledger"
    written = fill(source, 40)
    log = (folder / "ledger-wal").read_bytes()
    lengths = set()
    for i in range(cuts):
        torn = folder / f"torn{i}"
        shutil.copy(source, torn)
        (folder / f"torn{i}-wal").write_bytes(log[: len(log) * i // cuts])
        with Ledger(torn) as ledger:
            found = list(ledger.events)
            ledger.append("generation", ("task", len(found)), {})
        assert found == written[: len(found)]
        assert len(read(torn)) == len(found) + 1
        lengths.add(len(found))
    assert len(lengths) > cuts / 8


def test_a_torn_log_leaves_a_prefix_of_the_events(tmp_path: Path) -> None:
    cut_log(tmp_path, 20)


@pytest.mark.nightly
def test_a_log_torn_in_two_hundred_places_leaves_a_prefix_of_the_events(tmp_path: Path) -> None:
    cut_log(tmp_path, 200)


def flip_bits(folder: Path, flips: int) -> None:
    source = folder / "ledger"
    written = fill(source, 40)
    with Ledger(source):  # the log is folded in
        pass
    data, choose = source.read_bytes(), random.Random(1)  # noqa: S311
    refused = 0
    for i in range(flips):
        flipped = bytearray(data)
        flipped[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        path = folder / f"flipped{i}"
        path.write_bytes(flipped)
        try:
            with Ledger(path) as ledger:
                assert list(ledger.events) == written[: len(ledger.events)]
        except LedgerRefused as error:
            refused += 1
            assert str(path) in str(error)
            assert path.read_bytes() == bytes(flipped)  # nothing was made worse
        assert not path.with_name(path.name + ".lock").exists()
    assert refused > flips / 2  # most of the file is payload, which SQLite itself does not check


def test_a_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    flip_bits(tmp_path, 40)


@pytest.mark.nightly
def test_five_hundred_flipped_bits_are_noticed_or_harmless(tmp_path: Path) -> None:
    flip_bits(tmp_path, 500)


def test_a_changed_lost_or_swapped_event_is_named(tmp_path: Path) -> None:
    changes = {
        "UPDATE events SET body = replace(body, '0.1428', '0.1429') WHERE number = 2": 2,
        "UPDATE events SET kind = 'run' WHERE number = 3": 3,
        "DELETE FROM events WHERE number = 4": 4,
        "UPDATE events SET number = 99 WHERE number = 5": 5,
        "UPDATE events SET body = '[NaN]' WHERE number = 6": 6,
    }
    for i, (change, number) in enumerate(changes.items()):
        path = tmp_path / f"ledger{i}"
        fill(path, 10)
        with sqlite3.connect(path) as db:
            assert db.execute(change).rowcount == 1
        db.close()
        for opener in (Ledger, read):
            with pytest.raises(LedgerRefused, match=f"damaged at event {number}: .*move it away"):
                opener(path)


def test_an_event_of_another_ledger_does_not_fit(tmp_path: Path) -> None:
    fill(tmp_path / "one", 10)
    with Ledger(tmp_path / "other") as other:
        for i in range(10):
            other.append("generation", ("task", i), {"returns": [i / 9]})
    with sqlite3.connect(tmp_path / "one") as db:
        db.execute("ATTACH ? AS other", (str(tmp_path / "other"),))
        db.execute("INSERT OR REPLACE INTO events SELECT * FROM other.events WHERE number = 5")
    db.close()
    with pytest.raises(LedgerRefused, match="damaged at event 5"):
        read(tmp_path / "one")


def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    def sqlite(name: str, *statements: str) -> Path:
        path = tmp_path / name
        db = sqlite3.connect(path)
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()
        return path

    marks = (f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 1")
    (tmp_path / "text").write_text("not a database, but long enough to have a header of one" * 10)
    whole = tmp_path / "whole"
    fill(whole, 40)
    with Ledger(whole):
        pass
    (tmp_path / "truncated").write_bytes(whole.read_bytes()[: len(whole.read_bytes()) // 2])
    cases = {
        tmp_path / "text": "not a ledger, or damaged: file is not a database",
        tmp_path / "truncated": "damaged",
        sqlite("other", "CREATE TABLE cookies (name)"): "an SQLite file, but not a ledger",
        sqlite("newer", marks[0], "PRAGMA user_version = 2", SCHEMA): "a ledger of version 2; .*install a newer",
        sqlite("trigger", *marks, SCHEMA, "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END"): "more than a ledger",
        sqlite("view", *marks, "CREATE VIEW events AS SELECT 1"): "more than a ledger",
        sqlite("columns", *marks, "CREATE TABLE events (number)"): "more than a ledger",
    }  # fmt: skip
    for path, message in cases.items():
        before = path.read_bytes()
        for opener in (Ledger, read):
            with pytest.raises(LedgerRefused, match=message):
                opener(path)
        assert path.read_bytes() == before
    with pytest.raises(LedgerError, match="no such ledger"):
        read(tmp_path / "none")
    with pytest.raises(LedgerError, match="cannot open the ledger"):
        Ledger(tmp_path / "no" / "folder")


def test_a_file_that_its_creator_could_not_begin_is_a_new_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(b"")
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.events == ()


def test_a_second_writer_is_told_who_the_first_is_and_may_write_when_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    script = """
        import sys, time
        from pathlib import Path
        from policysearch.ledger import Ledger
        ledger = Ledger(Path(sys.argv[1]))
        ledger.append("study", (), {})
        ledger.commit()
        print("open", flush=True)
        time.sleep(60)
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )  # fmt: skip
    assert owner.stdout is not None
    assert owner.stdout.readline() == "open\n"
    with pytest.raises(LedgerBusy, match=rf"process {owner.pid} on .*, since .*, is writing to it"):
        Ledger(path)
    assert len(read(path)) == 1
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    died = time.monotonic()
    with Ledger(path) as ledger:
        assert len(ledger.events) == 1
    assert time.monotonic() - died < 1.0


@pytest.mark.parametrize("races", [8, pytest.param(50, marks=pytest.mark.nightly)])
def test_of_two_that_open_at_once_exactly_one_wins(races: int, tmp_path: Path) -> None:
    script = """
        import os, sys, time
        from pathlib import Path
        from policysearch.ledger import Ledger, LedgerBusy
        races, folder = int(sys.argv[1]), Path(sys.argv[2])
        for race in range(races):
            start = time.monotonic() + 0.01
            children = []
            for child in range(4):
                pid = os.fork()
                if pid == 0:
                    while time.monotonic() < start:
                        pass
                    try:
                        with Ledger(folder / str(race)) as ledger:
                            while len(list(folder.glob(f"refused-{race}-*"))) < 3 and time.monotonic() < start + 20:
                                time.sleep(0.005)
                        os._exit(0)
                    except LedgerBusy:
                        (folder / f"refused-{race}-{child}").touch()
                        os._exit(4)
                children.append(pid)
            codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
            assert codes == [0, 4, 4, 4], codes
    """
    python(script, str(races), str(tmp_path))


def test_who_writes_is_known_until_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    assert holder(path) is None
    with Ledger(path):
        assert str(holder(path)).startswith(f"process {os.getpid()} on ")
    assert holder(path) is None
    fill(path, 1)
    assert path.with_name("ledger.lock").exists()  # as after a kill
    assert holder(path) is None
    path.with_name("ledger.lock").write_text("process 1 on another-computer, since 2026-01-01 00:00:00,")
    assert holder(path) == "process 1 on another-computer, since 2026-01-01 00:00:00"


def test_events_may_stay_in_the_file_and_be_read_when_they_are_asked_for(tmp_path: Path) -> None:
    path, found = tmp_path / "ledger.sqlite", list[Event]()
    with Ledger(path) as ledger:
        for i in range(6):
            ledger.append("generation", ("a", i), {"i": i})
    with Ledger(path, found.append) as ledger:
        assert not ledger.events
        ledger.append("generation", ("a", 6), {"i": 6})
        assert found == read(path)
        kept = Stored(path, (event.number for event in found[::2]))
        assert len(kept) == 3
        assert [*kept] == found[::2]
        assert kept[-1] == found[4]
        assert [*kept[1:]] == found[2::2]
    with pytest.raises(LedgerError):
        list(Stored(tmp_path / "gone.sqlite", [1]))
