"""A cluster of Dask: its workers are killed, and differ, while a tuning runs."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra dask")

from policysearch import tune
from policysearch.engines import EngineLost, WorkerDiffers
from policysearch.space import Parameter, Space

sys.path.append(str(Path(__file__).parent))
import plants

SPACE = Space((Parameter("x", 2.0, -5.0, 5.0),))
HERE = str(Path(__file__).parent)
pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask, when its scheduler ends


class Cluster:
    """A scheduler and workers on free ports, which end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(self.file),
        )
        while not self.file.exists():
            time.sleep(0.05)

    def start(self, *arguments: str, path: str = HERE) -> "subprocess.Popen[bytes]":
        places = os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
            env=os.environ | {"PYTHONPATH": places},
            cwd=self.folder,
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def worker(self, path: str = HERE) -> "subprocess.Popen[bytes]":
        flags = (
            "--nthreads",
            "1",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
            "--local-directory",
            str(self.folder),
        )
        return self.start("worker", "--scheduler-file", str(self.file), *flags, path=path)

    @property
    def name(self) -> str:
        return f"dask={self.file}"

    def close(self) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


def test_a_tuning_has_the_bits_of_a_local_one_though_a_node_is_killed_and_another_joins(
    cluster: Cluster,
) -> None:
    first = cluster.worker()
    said: list[str] = []

    def progress(line: str) -> None:
        said.append(line)
        if len(said) == 3:  # the search is under way
            os.killpg(first.pid, signal.SIGKILL)
            cluster.worker()

    far = tune(
        plants.slow, SPACE, 60, "random-search", goal="minimise", engine=cluster.name, progress=progress
    )
    near = tune(plants.slow, SPACE, 60, "random-search", goal="minimise", workers=4)
    assert first.poll() is not None
    assert far.values == near.values
    assert far.held_out.returns.tobytes() == near.held_out.returns.tobytes()
    assert far.history.equals(near.history)


def test_an_edited_module_is_refused_before_the_first_rollout(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, other = tmp_path / "counted", tmp_path / "other"
    counted.mkdir()
    other.mkdir()
    monkeypatch.setenv("POLICYSEARCH_COUNTED", str(counted))
    text = (Path(HERE) / "plants.py").read_text()
    (other / "plants.py").write_text(text.replace('return params["x"]\n', 'return -params["x"]\n'))
    cluster.worker(path=str(other))
    with pytest.raises(WorkerDiffers, match=r"module plants .* is another one"):
        tune(plants.counted, SPACE, 20, engine=cluster.name)
    assert not list(counted.iterdir())


def test_a_scheduler_that_is_killed_is_an_engine_that_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    cluster.worker()
    said: list[str] = []

    def progress(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            os.killpg(cluster.scheduler.pid, signal.SIGKILL)

    out = tmp_path / "out"
    with pytest.raises(EngineLost):
        tune(plants.slow, SPACE, 40, "random-search", engine=cluster.name, progress=progress, out=out)
    far = tune(plants.slow, SPACE, 40, "random-search", out=out)
    assert far.history.equals(tune(plants.slow, SPACE, 40, "random-search").history)
