"""Standard output and error may be full, closed, or in another encoding: results first, words are dropped."""

import gc
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import in_process
import pytest

from policysearch.command_line import Refusal, running
from policysearch.reporting.console import Console
from policysearch.streams import Words, guarded
from policysearch.tune.__main__ import main as tune

TESTS = Path(__file__).parent
GAINS = 'function = "plant:cost"\ngoal = "minimise"\n[parameters.x]\nstart = 0.0\nlower = -1.0\nupper = 2.0\n'


def test_a_full_medium_costs_words_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = []

    def command() -> int:
        print("words" * 10_000)
        sys.stdout.flush()
        done.append(True)
        print("more words")
        return 0

    with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert running(command) == 0
        assert sys.stdout is full
    assert done
    said = "standard output cannot be written: No space left on device; some words are lost, no results\n"
    assert capsys.readouterr().err == said


def test_garbage_is_looked_for_less_often_while_a_command_runs_and_as_before_after_it() -> None:
    before, during = gc.get_threshold(), list[int]()

    def command() -> int:
        during.append(gc.get_threshold()[0])
        raise Refusal(["no"])

    assert running(command) == 2
    assert during == [50 * before[0]]
    assert gc.get_threshold() == before


def test_words_to_a_reader_who_has_gone_are_dropped_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        assert running(lambda: print("words") or 0) == 0
    assert capsys.readouterr().err == ""


def test_closed_and_ascii_streams_are_written_to_as_far_as_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    held = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdin", None)
    with guarded():
        print("λ = 0.5")
        print("an error", file=sys.stderr)
        with pytest.raises(EOFError):
            input()
    assert held.getvalue() == b"? = 0.5\n"
    assert sys.stderr is None
    closed = io.StringIO()
    closed.close()
    Words(closed).write("words")


def test_rich_writes_its_colours_to_the_stream_below() -> None:
    held = io.StringIO()
    words = Words(held)
    words.rich_proxied_file.write("\x1b[1m")
    words.write("\x1b[1m")
    assert held.getvalue() == "\x1b[1m\\u001b[1m"


def test_what_is_shown_live_moves_the_cursor_and_what_is_printed_meanwhile_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rich.live import Live
    from rich.text import Text

    held = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Words(held))
    with Live(console=Console(force_terminal=True, width=80), auto_refresh=False, transient=True) as live:
        for line in ("0:02 left", "0:01 left"):
            live.update(Text(line), refresh=True)
        print("a name \x1b[2J of somebody")
    shown = held.getvalue()
    assert "\\u001b[2K" not in shown
    assert shown.count("\x1b[2K") >= 2
    assert "a name" in shown
    assert "\x1b[2J" not in shown


def plant(folder: Path) -> None:
    (folder / "plant.py").write_text("def cost(params, seed):\n    return (params['x'] - 1) ** 2\n")
    (folder / "gains.toml").write_text(GAINS)


def test_a_folder_whose_name_is_not_utf_8_gets_all_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_pictures_here: None
) -> None:
    plant(tmp_path)
    monkeypatch.chdir(tmp_path)
    out = os.fsdecode(b"r\xe9sultats")
    done = in_process.run(tune, "gains.toml", "--rollouts", "16", "--report-rollouts", "2", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "r?sultats/history.csv" in done.stdout
    assert {"history.csv", "result.txt", "tune.sqlite"} <= {*os.listdir(out)}


TUNE = ["tune", "gains.toml", "--rollouts", "16", "--report-rollouts", "2"]
COMPARE = ["compare", "--tasks", "lqr", "--optimizers", "random-search", "ars", "--rollouts", "40", "--runs", "2",
           "--workers", "1"]  # fmt: skip
GRADIENTS = ["gradients", "lqr", "--rollouts", "4", "--repeats", "4"]
HITL = ["hitl", "simulate", "--bouts", "8", "--minutes", "2", "--baseline", "3", "--validation", "3"]
MEDIA = {
    "both full": ">/dev/full 2>/dev/full",
    "both closed": ">&- 2>&- <&-",
    "no reader": "| true",
    "ascii": ">said 2>&1",
}


@pytest.mark.nightly
@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("command", [TUNE, COMPARE, GRADIENTS, HITL], ids=lambda command: command[0])
def test_every_command_writes_its_results_whatever_becomes_of_its_words(
    command: list[str], medium: str, tmp_path: Path
) -> None:
    plant(tmp_path)
    environment: dict[str, Any] = {
        **os.environ, "PYTHONPATH": str(TESTS.parent),
        **({"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"} if medium == "ascii" else {}),
    }  # fmt: skip
    calm, out = tmp_path / "calm", os.fsdecode(b"r\xe9sultats")
    line = " ".join([sys.executable, "-m", "policysearch", *command, "--out"])

    def run(folder: bytes, redirect: str) -> int:
        shell = os.fsencode(f"set -o pipefail; {line} ") + folder + os.fsencode(f" {redirect}")
        return subprocess.run(
            ["/bin/bash", "-c", shell], cwd=tmp_path, env=environment, check=False, timeout=300
        ).returncode

    assert run(b"calm", ">/dev/null 2>&1") == 0
    assert run(b"r\xe9sultats", MEDIA[medium]) == 0
    made = tmp_path / out
    assert sorted(os.listdir(made)) == sorted(os.listdir(calm))
    for name in ("history.csv", "curves.csv", "estimates.csv", "bouts.csv"):
        if (calm / name).exists():
            drop = "wall_seconds"
            assert (made / name).read_text() == (calm / name).read_text() or drop in (calm / name).read_text()
