"""A machine that has too little of something: one message that says of what, nothing lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from policysearch.command_line import running
from policysearch.errors import MACHINE_TROUBLE


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("can't start new thread"), "no further process or thread"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "no further process or thread"),
        (MemoryError("Unable to allocate 9 TiB"), "out of memory (Unable to allocate 9 TiB)"),
    ],
)
def test_a_shortage_is_said_in_one_line(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise error

    assert running(command) == MACHINE_TROUBLE
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1


def test_another_error_is_not_taken_for_one() -> None:
    def command() -> int:
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        running(command)


@pytest.mark.nightly
@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv to be another user"
)
@pytest.mark.parametrize("processes", [3, 12])
def test_a_user_who_may_start_few_processes_is_told_and_the_same_command_continues(
    processes: int, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    readable = "+dac_override,+dac_read_search"  # wherever Python and this package are
    other = [
        "setpriv",
        "--reuid",
        "65534",
        "--clear-groups",
        "--inh-caps",
        readable,
        "--ambient-caps",
        readable,
    ]
    flags = (
        "--tasks lqr --optimizers random-search --rollouts 20 --runs 2 --workers 2 --evaluator episodes --out"
    )
    command = [sys.executable, "-m", "policysearch.compare", *flags.split(), str(tmp_path / "out")]
    places = {"HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}

    def run(limit: str) -> "subprocess.CompletedProcess[str]":
        limited = ["sh", "-c", f'ulimit -u {limit}; exec "$@"', "sh", *command]
        return subprocess.run(
            [*other, *limited], env={**os.environ, **places}, capture_output=True, text=True, check=False
        )

    few = run(str(processes))
    assert few.returncode in (0, MACHINE_TROUBLE)
    assert "Traceback" not in few.stderr.partition("error: ")[0]
    if few.returncode:
        assert "start" in few.stderr
        assert "thread" in few.stderr
    assert run("unlimited").returncode == 0
    assert (tmp_path / "out/report.html").exists()
