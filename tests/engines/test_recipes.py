"""The recipes of `experiments/engines`, where one machine can run them: the tables are those of this machine."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="needs the extra dask")

import policysearch
from policysearch.compare.api import compare
from policysearch.compare.journal import NAME
from policysearch.ledger import read

sys.path += [
    str(Path(__file__).parent),
    str(Path(policysearch.__file__).parent.parent / "experiments/benchmarks"),
]
from cluster import wait_until
from namespaces import Hosts
from slurm import INSTALLED, Slurm

ROOT = Path(policysearch.__file__).parent.parent
RECIPES = ROOT / "experiments/engines"
STUDY = {"tasks": ["lqr"], "optimizers": ["cma-es", "ars"], "rollouts": 60, "runs": 2}
#: One that takes long enough for a node to be lost.
LONG = {"tasks": ["slow_env:Slow-v0"], "optimizers": ["cma-es", "random-search"], "rollouts": 400, "runs": 2}
pytestmark = [pytest.mark.nightly, pytest.mark.usefixtures("warm_workers")]


def comparing(study: dict[str, Any]) -> list[str]:
    """The command, with what it writes in the folder out."""
    flags = [f"--{name}={value}" for name, value in study.items() if isinstance(value, int)]
    for name in ("tasks", "optimizers"):
        flags += [f"--{name}", *study[name]]
    return [sys.executable, "-m", "policysearch.compare", *flags, "--out", "out"]


COMMAND = comparing(STUDY)


def run(*command: str, folder: Path, act: Callable[[], object] | None = None, **variables: str) -> None:
    """Run a command, and act once when some generations are in the ledger."""
    tests = Path(__file__).parent
    path = os.pathsep.join(map(str, [ROOT, RECIPES, tests, tests.parent]))
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": path} | variables
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        try:
            if act is not None:
                wait_until(
                    lambda: process.poll() is not None or generations(folder / "out") >= 20,
                    "20 generations",
                    200,
                )
                assert process.poll() is None
                act()
            code = process.wait(300)
        finally:
            process.terminate()  # a recipe ends what it has started
    assert code == 0, [file.read_text(encoding="utf-8")[-2000:] for file in folder.glob("*.[to][xu]t")]


def generations(out: Path) -> int:
    return sum(event.kind == "generation" for event in read(out / NAME)) if (out / NAME).exists() else 0


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


def check(out: Path, study: dict[str, Any] = STUDY) -> None:
    assert '"engine"' in (out / "environment.json").read_text(encoding="utf-8")
    near = compare(study, progress=False).curves
    assert compare(study, out=out, progress=False).curves.equals(near)


def test_one_machine(tmp_path: Path) -> None:
    run("sh", str(RECIPES / "one_machine.sh"), "2", *COMMAND, folder=tmp_path)
    check(tmp_path / "out")


def test_hosts_with_ssh_and_certificates(tmp_path: Path) -> None:
    """A program that is called ssh runs its command here."""
    fake = tmp_path / "bin/ssh"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nshift 2\nexec sh -c "$*"\n', encoding="utf-8")
    fake.chmod(0o755)
    cluster = tmp_path / "cluster"
    run("sh", str(RECIPES / "certificates.sh"), str(cluster), folder=tmp_path)
    assert (cluster / "key.pem").stat().st_mode & 0o077 == 0
    run(
        "sh",
        str(RECIPES / "ssh.sh"),
        "node1 node2",
        *COMMAND,
        folder=tmp_path,
        PATH=f"{fake.parent}:{os.environ['PATH']}",
        HEAD="127.0.0.1",
        PORT=str(free_port()),
        DASK_CONFIG=str(cluster),
    )
    check(tmp_path / "out")


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    if not INSTALLED:
        pytest.skip("needs root, and Debian's packages slurm-wlm and munge")
    with Hosts(2) as hosts:
        made = Slurm(hosts, tmp_path / "slurm")
        yield made
        made.close()


def test_slurm_in_one_job_of_which_a_node_is_lost(slurm: Slurm, tmp_path: Path) -> None:
    job = ["sbatch", "--wait", "--nodes", "2", str(RECIPES / "slurm.sbatch"), *comparing(LONG)]
    run(*job, folder=tmp_path, act=lambda: slurm.lose(1), **slurm.variables)
    check(tmp_path / "out", LONG)


def test_slurm_with_workers_as_jobs_of_which_a_node_is_lost(slurm: Slurm, tmp_path: Path) -> None:
    limits = {"JOBS": "2", "CPUS": "1", "MEMORY": "2GB", "WALLTIME": "00:10:00"}
    run("sh", str(RECIPES / "certificates.sh"), str(tmp_path / "cluster"), folder=tmp_path)
    place = {
        "DASK_CONFIG": str(tmp_path / "cluster"),
        "DASK_JOBQUEUE__SLURM__SCHEDULER_OPTIONS": f"{{'host': '{slurm.hosts.address}'}}",
    }
    command = [*comparing(LONG), "--engine", "slurm_jobs:make"]
    run(*command, folder=tmp_path, act=lambda: slurm.lose(1), **limits, **place, **slurm.variables)
    check(tmp_path / "out", LONG)
    assert not slurm.command("squeue", "-h", "-t", "pending,running")


def test_mpi(tmp_path: Path) -> None:
    """A process of MPI for the driver, and two that work."""
    pytest.importorskip("mpi4py", reason="needs mpi4py")
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if mpiexec is None:
        pytest.skip("needs mpiexec")
    python, *command = COMMAND
    engine = ["--engine", "mpi4py.futures:MPIPoolExecutor"]
    run(mpiexec, "-n", "3", python, "-m", "mpi4py.futures", *command, *engine, folder=tmp_path)
    check(tmp_path / "out")


def test_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray")
    port = str(free_port())
    ray = str(Path(sys.executable).with_name("ray"))
    nodes = [
        ray,
        "start",
        "--head",
        "--node-ip-address",
        "127.0.0.1",
        "--port",
        port,
        "--num-cpus",
        "1",
        "--resources",
        '{"node": 2}',
    ]
    run(*nodes, folder=tmp_path, RAY_raylet_start_wait_time_s="120")
    try:
        run(*COMMAND, "--engine", "ray_tasks:make", folder=tmp_path, RAY_ADDRESS=f"127.0.0.1:{port}")
        check(tmp_path / "out")
    finally:
        subprocess.run([ray, "stop"], check=False, capture_output=True)
