"""Files: nothing outside a folder is written, a file is complete or not there, and reading ends."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import in_process
import pytest

from policysearch import files
from policysearch.compare.__main__ import main as compare
from policysearch.configuration import read_json, read_toml
from policysearch.estimates.__main__ import main as gradients
from policysearch.exoskeleton.breath_file import BreathFile, read_breaths
from policysearch.hitl.__main__ import main as hitl
from policysearch.tune.__main__ import main as tune

CANARY = "what lies outside"


def begin_log(path: Path) -> None:
    files.begun(path).close()


def replace(path: Path) -> None:
    with files.replacing(path) as file:
        file.write(b"inside")


@pytest.mark.parametrize("write", [lambda path: files.write_text(path, "inside"), replace, begin_log])
@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_a_link_in_the_place_of_a_file_is_replaced(
    write: Callable[[Path], None], plant: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.write_text(CANARY)
    folder.mkdir()
    plant(folder / "runs.csv", outside)
    (folder / "runs.csv.part").symlink_to(outside)
    (tmp_path / "link").symlink_to(folder)
    write(tmp_path / "link" / "runs.csv")  # the folder may be a link
    assert outside.read_text() == CANARY
    assert not (folder / "runs.csv").is_symlink()
    assert (folder / "runs.csv").stat().st_nlink == 1
    assert sorted(path.name for path in folder.iterdir()) == ["runs.csv", "runs.csv.part"]


def test_the_name_of_a_partial_file_is_not_known_before(tmp_path: Path) -> None:
    seen = set()
    for _ in range(3):
        with files.replacing(tmp_path / "a"):
            seen |= {path.name for path in tmp_path.glob(".*.part")}
    assert len(seen) == 3
    assert min(map(len, seen)) > 32


def test_a_file_that_cannot_be_completed_leaves_the_old_one_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    files.write_text(path, "old")
    with pytest.raises(KeyError), files.replacing(path) as file:
        file.write(b"half")
        raise KeyError
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        files.write_text(tmp_path / "folder", "new")
    with pytest.raises(FileNotFoundError, match="no/runs"):
        files.write_text(tmp_path / "no" / "runs.csv", "new")
    assert path.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder", "runs.csv"]


COMMANDS: dict[str, tuple[Any, list[str]]] = {
    "compare": (compare, ["--tasks", "lqr", "--optimizers", "random-search", "ars", "--rollouts", "40", "--runs", "2",
                          "--workers", "1", "--latex"]),
    "gradients": (gradients, ["lqr", "--rollouts", "4", "--repeats", "4"]),
    "hitl": (hitl, ["simulate", "--bouts", "8", "--minutes", "2", "--baseline", "3", "--validation", "3"]),
    "hitl study": (hitl, ["simulate", "--participants", "2", "--workers", "1", "--bouts", "8"]),
}  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize("name", COMMANDS)
def test_every_name_that_a_command_writes_may_be_a_link_to_elsewhere(name: str, tmp_path: Path) -> None:
    main, arguments = COMMANDS[name]
    check_planted(main, arguments, tmp_path)


def test_every_name_that_a_tuning_writes_may_be_a_link_to_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_pictures_here: None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plant.py").write_text("def cost(params, seed):\n    return (params['x'] - 1) ** 2\n")
    (tmp_path / "gains.toml").write_text(
        'function = "plant:cost"\ngoal = "minimise"\n[parameters.x]\nstart = 0.0\nlower = -1.0\nupper = 2.0\n'
    )
    check_planted(tune, ["gains.toml", "--rollouts", "16", "--report-rollouts", "2"], tmp_path)


def check_planted(main: Any, arguments: list[str], folder: Path) -> None:
    """Run a command in a folder in which each name that it writes is a link, and compare what it links to."""
    calm, planted, outside = folder / "calm", folder / "planted", folder / "outside"
    assert in_process.run(main, *arguments, "--out", str(calm)).returncode == 0
    names = [path.name for path in calm.iterdir()]
    written = [name for name in names if not name.endswith(".sqlite")]
    assert len(written) > 1
    planted.mkdir()
    outside.mkdir()
    for name in [*written, *(f"{name}.part" for name in written), ".policysearch-write-test"]:
        (outside / name).write_text(CANARY)
        (planted / name).symlink_to(outside / name)
    if (planted / "study.toml").exists():
        (planted / "study.toml").unlink()  # which is read first
    assert in_process.run(main, *arguments, "--out", str(planted)).returncode == 0
    assert {path.read_text() for path in outside.iterdir()} == {CANARY}
    assert not any((planted / name).is_symlink() for name in written)


ENDLESS = ("/dev/zero", "/dev/urandom", "pipe", "huge")


@pytest.fixture
def endless(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that never ends, or that nobody writes to."""
    monkeypatch.setattr(files, "MAX_SECONDS", 0.1)
    path = tmp_path / "file"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "huge":
        with path.open("wb") as file:
            file.truncate(2**43)  # sparse: 8 TiB
    else:
        path.symlink_to(request.param)
    return path


@pytest.mark.parametrize("endless", ENDLESS, indirect=True)
@pytest.mark.parametrize(
    "read",
    [files.open_bytes, files.open_text, read_toml, read_json, read_breaths, lambda path: BreathFile(path).new()],
    ids=["bytes", "text", "toml", "json", "breaths", "growing breaths"],
)  # fmt: skip
def test_what_never_ends_is_refused(read: Callable[[Path], Any], endless: Path) -> None:
    with pytest.raises(ValueError, match=r"expected (a file|at most)"):
        read(endless)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("runs = 3\n"))
    writer.start()
    assert read_toml(tmp_path / "pipe") == {"runs": 3}
    writer.join()


ODD: dict[str, tuple[Callable[[], str], str]] = {
    "deep": (lambda: "x = " + "[" * 100_000, "nested too deeply"),
    "deep tables": (lambda: "x = " + "{a=" * 100_000, "nested too deeply"),
    "long names": (lambda: ".".join("a" * 20_000) + " = 1", "at most 10,000 points in a line"),
    "a million names": (
        lambda: "".join(f"k{i}={i}\n" for i in range(1_000_000)),
        "at most 2,097,152 bytes",
    ),
    "digits": (lambda: "x = " + "1" * 10_000, "Exceeds the limit"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_document_that_would_take_for_ever_is_refused(name: str, tmp_path: Path) -> None:
    text, why = ODD[name]
    (tmp_path / "study.toml").write_text(text())
    with pytest.raises(ValueError, match=why):
        read_toml(tmp_path / "study.toml")


def test_json_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"environment\.json: nested too deeply"):
        read_json(tmp_path / "environment.json")
