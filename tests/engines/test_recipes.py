"""The recipes of `experiments/engines`, where one machine can run them: the tables are those of this machine."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra dask")

import policysearch
from policysearch.compare.api import compare

ROOT = Path(policysearch.__file__).parent.parent
RECIPES = ROOT / "experiments/engines"
STUDY = {"tasks": ["lqr"], "optimizers": ["cma-es", "ars"], "rollouts": 60, "runs": 2}
COMMAND = [sys.executable, "-m", "policysearch.compare", "--tasks", "lqr", "--optimizers", "cma-es", "ars"]
COMMAND += ["--rollouts", "60", "--runs", "2", "--out"]
pytestmark = pytest.mark.nightly


def run(*command: str, folder: Path, **variables: str) -> None:
    path = os.pathsep.join([str(ROOT), str(RECIPES)])
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": path} | variables
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


def check(out: Path) -> None:
    near = compare(STUDY, progress=False).curves
    assert compare(STUDY, out=out, progress=False).curves.equals(near)
    assert '"engine"' in (out / "environment.json").read_text(encoding="utf-8")


def test_one_machine(tmp_path: Path) -> None:
    run("sh", str(RECIPES / "one_machine.sh"), "2", *COMMAND, "out", folder=tmp_path)
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
        "out",
        folder=tmp_path,
        PATH=f"{fake.parent}:{os.environ['PATH']}",
        HEAD="127.0.0.1",
        PORT=str(free_port()),
        DASK_CONFIG=str(cluster),
    )
    check(tmp_path / "out")


@pytest.mark.skipif(shutil.which("sbatch") is None, reason="needs Slurm")
def test_slurm_in_one_job(tmp_path: Path) -> None:
    run("sbatch", "--wait", "--nodes", "2", str(RECIPES / "slurm.sbatch"), *COMMAND, "out", folder=tmp_path)
    check(tmp_path / "out")


@pytest.mark.skipif(shutil.which("sbatch") is None, reason="needs Slurm")
def test_slurm_with_workers_as_jobs(tmp_path: Path) -> None:
    limits = {"JOBS": "2", "CPUS": "1", "MEMORY": "1GB", "WALLTIME": "00:10:00"}
    run(*COMMAND, "out", "--engine", "slurm_jobs:make", folder=tmp_path, **limits)
    check(tmp_path / "out")


def test_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray")
    port = str(free_port())
    nodes = ["ray", "start", "--head", "--port", port, "--num-cpus", "1", "--resources", '{"node": 2}']
    run(*nodes, folder=tmp_path)
    try:
        run(*COMMAND, "out", "--engine", "ray_tasks:make", folder=tmp_path, RAY_ADDRESS=f"127.0.0.1:{port}")
        check(tmp_path / "out")
    finally:
        subprocess.run(["ray", "stop"], check=False, capture_output=True)  # noqa: S607
