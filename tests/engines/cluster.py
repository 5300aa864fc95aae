"""A cluster of Dask on free ports of this machine, which ends with the test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from policysearch.engines import Engine, opened

HERE, TESTS = Path(__file__).parent, Path(__file__).parent.parent
#: Ends a process with the one that has started it, whatever happens to that.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


def wait_until(done: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Look again and again; a test that waits for ever says nothing."""
    limit = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < limit, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


class Cluster:
    """A scheduler and its workers; each of them is a process group of its own."""

    def __init__(self, folder: Path, *flags: str, host: str = "127.0.0.1") -> None:
        self.folder, self.file, self.flags = folder, folder / "scheduler.json", flags
        self.processes: list[subprocess.Popen[bytes]] = []
        self.engines: list[Engine] = []
        place = ("--host", host, "--port", "0", "--scheduler-file", str(self.file))
        self.scheduler = self.start("scheduler", *place, *flags, path=[])
        wait_until(lambda: self.file.exists() and self.file.read_text(), f"a scheduler in {folder}")

    def start(
        self, command: str, *arguments: str, path: Iterable[Path | str], on: Iterable[str] = ()
    ) -> "subprocess.Popen[bytes]":
        places = [*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])]
        program = [*WITH_PARENT, *on, sys.executable, "-m", f"distributed.cli.dask_{command}"]
        with (self.folder / f"{command} {len(self.processes)}.log").open("wb") as said:
            process = subprocess.Popen(
                [*program, "--no-dashboard", *arguments],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
                cwd=self.folder,
                start_new_session=True,
                stdout=said,
                stderr=said,
            )
        self.processes.append(process)
        return process

    def worker(
        self,
        path: Iterable[Path | str] = (HERE, TESTS),
        *,
        host: str = "127.0.0.1",
        on: Iterable[str] = (),
    ) -> "subprocess.Popen[bytes]":
        """A node with these folders first in its path; `on` begins its command."""
        flags = ("--nthreads", "1", "--local-directory", str(self.folder), *self.flags)
        place = ("--host", host, "--scheduler-file", str(self.file))
        return self.start("worker", *place, *flags, path=path, on=on)

    @property
    def name(self) -> str:
        return f"dask={self.file}"

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text(encoding="utf-8"))["address"])

    def engine(self) -> Engine:
        """An engine on it, which is closed with it also where a test fails: a client that is left open may hold up
        the tests after it."""
        self.engines.append(opened(self.name))
        return self.engines[-1]

    def signal(self, process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
        """Send a signal to a node: all of its group, the processes that guard it not among them."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def close(self) -> None:
        for engine in self.engines:
            engine.close()
        for process in reversed(self.processes):
            self.signal(process, signal.SIGKILL)
            process.wait()
