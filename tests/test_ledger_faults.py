"""Faults and attacks on a ledger: the old study is never lost, nothing elsewhere is written, the cause is named."""

import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from test_ledger import fill, python

from policysearch.ledger import Event, Ledger, LedgerBusy, LedgerError, LedgerRefused, read, set_aside
from policysearch.plain_data import encode

NAME = "ledger.sqlite"
#: Kills a child before its first, second, … operation on a file, as Python sees them or as strace does.
KILLS = """
    import os, shutil, signal, subprocess, sys, time
    from pathlib import Path
    from policysearch.ledger import Ledger, read, set_aside

    source, by = Path(sys.argv[1]), sys.argv[2]
    CHANGES = "openat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,ftruncate,write,pwrite64,fdatasync,fsync"

    def killed(path, n):
        child = os.fork()
        if child == 0:
            left = n
            def count(event, arguments):
                nonlocal left
                if event in ("os.rename", "os.remove", "os.truncate", "open", "shutil.copyfile", "sqlite3.connect"):
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left -= 1
            if by == "python":
                sys.addaudithook(count)
            else:
                os.kill(os.getpid(), signal.SIGSTOP)
            set_aside(path)
            os._exit(0)
        if by == "strace":
            os.waitpid(child, os.WUNTRACED)
            inject = f"inject={CHANGES}:signal=KILL:when={n + 1}"
            tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CHANGES}", "-e", inject, "-p", str(child)])
            limit = time.monotonic() + 30.0
            while "TracerPid:\\t0" in Path(f"/proc/{child}/status").read_text():
                if tracer.poll() is not None or time.monotonic() > limit:  # it may be forbidden here
                    os.kill(child, signal.SIGKILL)
                    sys.exit("strace has not attached within 30 s")
            os.kill(child, signal.SIGCONT)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if by == "strace":
            tracer.wait()
        return code == -signal.SIGKILL

    def bytes_of(path):
        return [p.read_bytes() if (p := path.with_name(path.name + suffix)).exists() else b"" for suffix in ("", "-wal")]

    whole = sys.argv[3] == "whole"
    known = read(source / "ledger.sqlite") if whole else bytes_of(source / "ledger.sqlite")
    look = read if whole else bytes_of
    for n in range(1000):
        folder = source.parent / f"at {n}"
        shutil.copytree(source, folder)
        path, kept = folder / "ledger.sqlite", folder / "ledger.1.sqlite"
        more = killed(path, n)
        found = [look(each) for each in (path, kept) if each.exists()]
        assert known in found, (n, sorted(each.name for each in folder.iterdir()))
        again = set_aside(path)  # whatever was left, the same command can be given again
        assert path.exists() is False and any(look(each) == known for each in folder.glob("ledger.?.sqlite")), n
        with Ledger(path) as ledger:
            assert ledger.events == ()
        shutil.rmtree(folder)
        if not more:
            print(n)
            break
"""


@pytest.mark.parametrize("state", ["whole", "damaged"])
def test_a_kill_while_a_ledger_is_set_aside_leaves_the_old_study_or_both(state: str, tmp_path: Path) -> None:
    kill_while_set_aside(state, "python", tmp_path)


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("state", ["whole", "damaged"])
def test_a_kill_at_any_system_call_while_a_ledger_is_set_aside_leaves_the_old_study_or_both(
    state: str, tmp_path: Path
) -> None:
    assert kill_while_set_aside(state, "strace", tmp_path) > {"whole": 20, "damaged": 5}[state]


def kill_while_set_aside(state: str, by: str, folder: Path) -> int:
    (folder / "source").mkdir()
    fill(folder / NAME, 40)
    db = sqlite3.connect(folder / NAME, isolation_level=None)
    if state == "damaged":
        db.execute("UPDATE events SET kind = 'run' WHERE number = 3")
    for suffix in ("", "-wal"):  # as they are now, before the log is folded in
        shutil.copy(folder / f"{NAME}{suffix}", folder / "source")
    db.close()
    kills = int(python(KILLS, str(folder / "source"), by, state).stdout)
    assert kills >= 4
    return kills


def test_what_is_set_aside_is_one_file_with_everything(tmp_path: Path) -> None:
    written = fill(tmp_path / NAME, 40)
    assert set_aside(tmp_path / NAME) == tmp_path / "ledger.1.sqlite"
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.1.sqlite"]
    assert read(tmp_path / "ledger.1.sqlite") == written
    assert set_aside(tmp_path / NAME) is None
    with Ledger(tmp_path / NAME) as ledger, pytest.raises(LedgerBusy):
        set_aside(ledger.path)
    assert set_aside(tmp_path / NAME) == tmp_path / "ledger.2.sqlite"


def test_a_ledger_that_is_being_read_is_not_set_aside(tmp_path: Path) -> None:
    written = fill(tmp_path / NAME, 40)
    reader = sqlite3.connect(tmp_path / NAME)
    reader.execute("SELECT * FROM events").fetchone()
    with pytest.raises(LedgerBusy, match="another process is reading it"):
        set_aside(tmp_path / NAME)
    reader.close()
    assert read(tmp_path / NAME) == written
    assert set_aside(tmp_path / NAME) is not None


# ------------------------------------------------------------------------------------ deleted, replaced, unlocked


def begun(path: Path, kind: str = "generation") -> Ledger:
    ledger = Ledger(path)
    for i in range(3):
        ledger.append(kind, ("task", i), {"i": i})
        ledger.commit()
    return ledger


def replace(path: Path) -> None:
    with begun(path.with_name("other"), "other"):
        pass
    path.with_name("other").replace(path)


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


LOSSES: dict[str, tuple[Callable[[Path], Any], type[LedgerError], str]] = {
    "deleted": (Path.unlink, LedgerError, "was deleted, moved or replaced while it was written"),
    "replaced": (replace, LedgerError, "was deleted, moved or replaced while it was written"),
    "moved": (lambda path: path.rename(path.with_name("moved")), LedgerError, "was deleted, moved or replaced"),
    "folder deleted": (delete_folder, LedgerError, "was deleted, moved or replaced while it was written"),
    "log deleted": (lambda path: path.with_name(f"{NAME}-wal").unlink(), LedgerError, "was deleted, moved or"),
    "lock deleted": (lambda path: path.with_name(f"{NAME}.lock").unlink(), LedgerBusy, "its lock file was removed"),
}  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_a_ledger_that_is_lost_while_it_is_written_stops_and_keeps_everything(
    loss: str, tmp_path: Path
) -> None:
    lose, kind, why = LOSSES[loss]
    path = tmp_path / "folder" / NAME
    path.parent.mkdir()
    ledger = begun(path)
    lose(path)
    ledger.append("generation", ("task", 3), {"i": 3})
    with pytest.raises(kind, match=why) as refused:
        ledger.commit()
    ledger.close()
    kept = path.with_name("ledger.1.sqlite")
    assert str(kept) in str(refused.value)
    assert "make room" not in str(refused.value)
    assert read(kept) == [Event(i + 1, "generation", ("task", i), encode({"i": i})) for i in range(4)]
    if loss == "replaced":
        assert [event.kind for event in read(path)] == ["other"] * 3
    path.unlink(missing_ok=True)
    kept.rename(path)  # as the message says
    with Ledger(path) as again:
        assert len(again.events) == 4


def test_the_log_of_another_ledger_is_not_read_into_one(tmp_path: Path) -> None:
    path = tmp_path / NAME
    fill(path, 3)  # killed: its log is there
    replace(path)
    for opener in (read, Ledger):
        with pytest.raises(LedgerRefused, match=r"ledger\.sqlite-wal is the log of another ledger"):
            opener(path)
    path.with_name(f"{NAME}-wal").rename(tmp_path / "away")
    assert [event.kind for event in read(path)] == ["other"] * 3


def test_a_log_of_others_is_not_deleted_with_ones_own(tmp_path: Path) -> None:
    path, log = tmp_path / NAME, tmp_path / f"{NAME}-wal"
    ledger = begun(path)
    log.unlink()
    log.write_bytes(b"of another process")
    ledger.close()
    assert log.read_bytes() == b"of another process"


def test_a_log_without_its_ledger_is_not_deleted(tmp_path: Path) -> None:
    path = tmp_path / NAME
    written = fill(path, 3)
    path.rename(tmp_path / "moved")
    with pytest.raises(
        LedgerRefused, match=r"the log of a ledger that is not there: put ledger\.sqlite back"
    ):
        Ledger(path)
    (tmp_path / "moved").rename(path)
    assert read(path) == written


def test_no_third_writer_gets_in_when_a_lock_file_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / NAME
    first = begun(path)
    path.with_name(f"{NAME}.lock").unlink()
    second = Ledger(path)
    first.append("generation", ("task", 3), {"of": "first"})
    with pytest.raises(LedgerBusy, match="its lock file was removed"):
        first.commit()
    first.close()  # which leaves the other's lock
    with pytest.raises(LedgerBusy, match="is writing to it"):
        Ledger(path)
    second.append("generation", ("task", 3), {"of": "second"})
    second.commit()
    second.close()
    assert read(path)[-1].body == {"of": "second"}
    assert read(tmp_path / "ledger.1.sqlite")[-1].body == {"of": "first"}


def test_a_writer_notices_what_another_one_has_written(tmp_path: Path) -> None:
    path, lock = tmp_path / NAME, tmp_path / f"{NAME}.lock"
    first = begun(path)
    lock.rename(tmp_path / "lock")
    with Ledger(path) as second:
        second.append("generation", ("task", 3), {"of": "second"})
    (tmp_path / "lock").rename(lock)
    first.append("generation", ("task", 3), {"of": "first"})
    with pytest.raises(LedgerBusy, match="another process has written to it"):
        first.commit()
    first.close()
    assert read(path)[-1].body == {"of": "second"}


# ------------------------------------------------------------------------------------------- links, pipes, devices


PLANTED = ("", ".lock", "-wal", "-shm", "-journal")


@pytest.mark.parametrize("suffix", PLANTED)
@pytest.mark.parametrize("plant", ["link", "dangling link", "second name", "pipe"])
@pytest.mark.parametrize("begin", [False, True])
def test_nothing_elsewhere_is_written_or_waited_for(
    suffix: str, plant: str, begin: bool, tmp_path: Path
) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    if begin and suffix:
        with begun(folder / NAME):
            pass
    place = folder / f"{NAME}{suffix}"
    if plant == "pipe":
        os.mkfifo(place)
    elif plant == "dangling link":
        place.symlink_to(outside)
    else:
        outside.write_bytes(b"")  # which would be taken for a ledger that is not begun
        place.symlink_to(outside) if plant == "link" else place.hardlink_to(outside)
    for act in (begun, set_aside, read):
        try:
            found = act(folder / NAME)
            if isinstance(found, Ledger):
                found.close()
        except LedgerError as error:
            assert str(folder) in str(error)
            assert "traceback" not in str(error)
    assert outside.exists() == (plant in ("link", "second name"))
    if outside.exists():
        assert outside.read_bytes() == b""


def test_the_folder_of_a_ledger_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    with begun(tmp_path / "link" / NAME):
        pass
    assert len(read(tmp_path / "folder" / NAME)) == 3


# ---------------------------------------------------------------------------------------------------- real causes


def without_locks(*_: Any) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_file_system_without_locks_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", without_locks)
    with pytest.raises(LedgerError, match=r"cannot be locked: No locks available; choose a folder") as error:
        Ledger(tmp_path / NAME)
    assert not isinstance(error.value, LedgerBusy)


@contextmanager
def lockless(folder: Path, how: str, *mounts: str) -> Iterator[list[Path]]:
    """A folder at places of a network file system that does not lock (`lockless.py`); skipped where there is no FUSE."""
    try:
        import mfusepy  # type: ignore[import-untyped]  # noqa: F401
    except (ImportError, OSError) as error:
        pytest.skip(f"no FUSE: {error}")
    (folder / "disk").mkdir()
    program = str(Path(__file__).with_name("lockless.py"))
    shown = [folder / name for name in mounts]
    servers = []
    try:
        for place in shown:
            place.mkdir()
            command = [sys.executable, program, str(folder / "disk"), str(place), how]
            servers.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
            limit = time.monotonic() + 60.0
            while not os.path.ismount(place):
                assert time.monotonic() < limit, f"{place} is not mounted within 60 s"
                if servers[-1].poll() is not None:
                    pytest.skip(f"mounting is not allowed: {servers[-1].communicate()[1][-200:]}")
                time.sleep(0.02)
        yield shown
    finally:
        for place in shown:
            subprocess.run(["/bin/umount", "-l", str(place)], check=False, capture_output=True)
        for server in servers:
            with suppress(subprocess.TimeoutExpired):
                server.communicate(timeout=30)
            server.kill()
            server.communicate()


@pytest.mark.nightly
@pytest.mark.parametrize("error", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_network_file_system_without_locks_is_called_that_by_every_command(
    error: str, tmp_path: Path
) -> None:
    with begun(tmp_path / NAME):
        pass
    with lockless(tmp_path, error, "mount") as (place,):
        shutil.copy(tmp_path / NAME, place)
        for opener in (Ledger, set_aside):
            with pytest.raises(
                LedgerError, match=r"cannot be locked: .*; choose a folder on a local disk"
            ) as met:
                opener(place / NAME)
            assert not isinstance(met.value, LedgerBusy | LedgerRefused)
        with pytest.raises(LedgerError, match=r"the file system has no locks: .*copy the ledger to") as met:
            read(place / NAME)
        assert not isinstance(met.value, LedgerBusy | LedgerRefused)
        for command in (
            ["compare", "--tasks", "lqr", "--optimizers", "ars", "--runs", "1"],
            ["hitl", "simulate"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "policysearch", *command, "--out", str(place / "study")],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
            assert "choose a folder on a local disk, which has locks" in " ".join(done.stderr.split())
    assert len(read(tmp_path / "disk" / NAME)) == 3  # as the message says


@pytest.mark.nightly
def test_of_two_machines_that_do_not_see_each_others_locks_the_first_stops_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    other = """
        import sys
        from pathlib import Path
        from policysearch.ledger import Ledger
        ledger = Ledger(Path(sys.argv[1]))
        ledger.append("generation", ("task", 3), {"of": "second"})
        ledger.commit()
        print(len(ledger.events), flush=True)
        sys.stdin.readline()
        ledger.append("generation", ("task", 4), {"of": "second"})
        ledger.close()
    """
    with lockless(tmp_path, "local", "here", "there") as (here, there):
        first = begun(here / NAME)
        command = [sys.executable, "-c", textwrap.dedent(other), str(there / NAME)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "3\n"
            first.append("generation", ("task", 3), {"of": "first"})
            with pytest.raises(LedgerBusy, match=r"taken by another process.* kept in .*1.sqlite"):
                first.commit()
            first.close()
            second.communicate("\n")
        assert second.returncode == 0
    assert {path.name for path in (tmp_path / "disk").iterdir()} == {NAME, "ledger.1.sqlite"}
    assert [event.body for event in read(tmp_path / "disk" / NAME)[3:]] == [{"of": "second"}] * 2
    assert [event.body for event in read(tmp_path / "disk/ledger.1.sqlite")[3:]] == [{"of": "first"}]


def test_a_lock_that_another_process_has_taken_is_noticed_at_the_next_commit(tmp_path: Path) -> None:
    first = begun(tmp_path / NAME)
    (tmp_path / f"{NAME}.lock").write_bytes(
        b"process 17 on elsewhere, since then,"
    )  # as where locks do not hold
    first.append("generation", ("task", 3), {"of": "first"})
    with pytest.raises(LedgerBusy, match="its lock file was removed or taken by another process"):
        first.commit()
    first.close()
    assert (tmp_path / f"{NAME}.lock").exists()
    assert (tmp_path / f"{NAME}-wal").exists()  # it is the other's
    assert read(tmp_path / "ledger.1.sqlite")[-1].body == {"of": "first"}


def forbid(ledger: Ledger) -> None:
    ledger._db.execute("PRAGMA query_only = ON")


def occupy(ledger: Ledger) -> sqlite3.Connection:
    ledger._db.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (forbid, "attempt to write a readonly database.*: choose a folder that may be written"),
        (occupy, "database is locked.*: another program has it open"),
    ],
)
def test_a_commit_that_fails_names_the_cause(
    break_it: Callable[[Ledger], Any], words: str, tmp_path: Path
) -> None:
    ledger = begun(tmp_path / NAME)
    kept = break_it(ledger)
    ledger.append("generation", ("task", 3), {})
    with pytest.raises(LedgerError, match=words):
        ledger.commit()
    ledger.close()
    del kept
    assert len(read(tmp_path / NAME)) >= 3


def test_a_database_is_called_locked_by_others_only_where_files_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = begun(tmp_path / NAME)
    kept = occupy(ledger)
    monkeypatch.setattr(fcntl, "flock", without_locks)
    ledger.append("generation", ("task", 3), {})
    with pytest.raises(LedgerError, match=r"database is locked.*: the file system has no locks"):
        ledger.commit()
    ledger.close()
    kept.close()


def test_a_folder_that_is_not_there_or_forbidden_is_named_with_the_cause(tmp_path: Path) -> None:
    with pytest.raises(
        LedgerError, match=r"cannot open the ledger: ledger\.sqlite\.lock: No such file or directory"
    ):
        Ledger(tmp_path / "no" / NAME)
    with pytest.raises(LedgerError, match=r"cannot open the ledger: ledger\.sqlite\.lock: ") as error:
        Ledger(Path("/sys") / NAME)
    assert not isinstance(error.value, LedgerRefused)


def mounted(folder: Path, *arguments: str) -> None:
    """Mount a file system, or skip the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["/bin/mount", *arguments, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting is not allowed: {done.stderr}")


@pytest.fixture
def disk(tmp_path: Path) -> Any:
    """A small disk of its own, which turns read-only at an error."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(2**24)
    made = subprocess.run(["/usr/bin/env", "mkfs.ext4", "-q", str(image)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("there is no mkfs.ext4")
    mounted(folder, "-o", "loop,errors=remount-ro", str(image))
    yield folder
    subprocess.run(["/bin/umount", "-l", str(folder)], check=True)


def device_of(folder: Path) -> str:
    lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    return next(line.split()[0] for line in lines if line.split()[1] == str(folder)).rpartition("/")[2]


@pytest.mark.nightly
def test_a_disk_that_turns_read_only_in_a_run_is_called_that(disk: Path) -> None:
    ledger = begun(disk / NAME)
    trigger = Path(f"/sys/fs/ext4/{device_of(disk)}/trigger_fs_error")
    if not trigger.exists():
        pytest.skip("the kernel triggers no errors")
    trigger.write_text("test", encoding="utf-8")
    ledger.append("generation", ("task", 3), {})
    with pytest.raises(
        LedgerError, match=r"cannot write: .*Read-only file system.*everything committed before is kept"
    ):
        ledger.commit()
    ledger.close()
    for opener in (Ledger, set_aside):
        with pytest.raises(LedgerError, match="Read-only file system"):
            opener(disk / NAME)
    assert len(read(disk / NAME)) == 3


@pytest.mark.nightly
def test_a_medium_that_is_read_only_is_read_and_not_called_damaged(disk: Path) -> None:
    with begun(disk / NAME):
        pass
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(disk)], check=True)
    assert len(read(disk / NAME)) == 3
    with pytest.raises(LedgerError, match=r"ledger\.sqlite\.lock: Read-only file system"):
        Ledger(disk / NAME)


@pytest.mark.nightly
def test_a_disk_that_is_full_is_called_that_wherever_it_fills(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    mounted(folder, "-t", "tmpfs", "-o", "size=400k", "tmpfs")
    try:
        full = set()
        for left in range(0, 200, 4):
            with begun(folder / NAME) as ledger:
                assert len(ledger.events) in (0, 3)
            with (
                (folder / "rest").open("wb", buffering=0) as file,
                pytest.raises(OSError, match="No space left"),
            ):
                while True:
                    file.write(b"x" * 1024)
            os.truncate(folder / "rest", max(0, (folder / "rest").stat().st_size - 1024 * left))
            try:
                with Ledger(folder / NAME) as ledger:
                    for i in range(1000):
                        ledger.append("generation", ("task", i), {"returns": [0.5] * 100})
                        ledger.commit()
            except LedgerError as error:
                assert not isinstance(error, LedgerRefused | LedgerBusy), error
                full.add(str(error).partition(": ")[2][:40])
            (folder / "rest").unlink()
            with Ledger(folder / NAME) as ledger:  # there is room again
                assert len(ledger.events) >= 3
            (folder / NAME).unlink()
        assert full
    finally:
        subprocess.run(["/bin/umount", "-l", str(folder)], check=True)
