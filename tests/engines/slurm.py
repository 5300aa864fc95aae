"""Debian's Slurm on hosts of this machine, which ends with the test."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

from cluster import WITH_PARENT, wait_until
from namespaces import POSSIBLE, Hosts

INSTALLED = POSSIBLE and all(shutil.which(name) for name in ("slurmctld", "slurmd", "munged", "sbatch"))

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={here}({address})
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
JobAcctGatherType=jobacct_gather/none
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SlurmdTimeout=10
ReturnToService=2
KillWait=2
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A controller here, and a node on each of the hosts; `variables` let its commands find it."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "state").mkdir(parents=True)
        self.nodes = [f"node{number}" for number in range(len(hosts.names))]
        places = list(zip(self.nodes, hosts.addresses, strict=True))
        nodes = "\n".join(
            f"NodeName={n} NodeAddr={a} CPUs=1 RealMemory=4000 State=UNKNOWN" for n, a in places
        )
        here, file = socket.gethostname(), folder / "slurm.conf"
        file.write_text(
            CONFIGURATION.format(here=here, address=hosts.address, folder=folder, nodes=nodes),
            encoding="utf-8",
        )
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", encoding="utf-8")
        names = folder / "hosts"
        lines = [("localhost", "127.0.0.1"), (here, hosts.address), *places]
        names.write_text("".join(f"{address} {name}\n" for name, address in lines), encoding="utf-8")
        self.variables = {"SLURM_CONF": str(file)}
        self._munge()
        self._start("slurmctld", "-D", "-f", str(file))
        for number, name in enumerate(self.nodes):
            script = f"mount --bind {names} /etc/hosts; hostname {name}; exec slurmd -D -f {file}"
            self._start(*hosts.on(number), "unshare", "--uts", "--mount", "sh", "-c", script)
        limit = time.monotonic() + 30.0
        while self.command("sinfo", "-h", "-o", "%T %D").split() != ["idle", str(len(self.nodes))]:
            assert time.monotonic() < limit, (folder / "slurmctld.log").read_text(encoding="utf-8")[-2000:]
            time.sleep(0.2)

    def _munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = {"key-file": key} | {
            name: self.folder / f"munge.{name.split('-')[0]}"
            for name in ("socket", "pid-file", "log-file", "seed-file")
        }
        self._start(
            "munged", "--foreground", "--force", *(f"--{flag}={file}" for flag, file in files.items())
        )
        wait_until((self.folder / "munge.socket").exists, "the socket of munge")

    def _start(self, *command: str) -> None:
        with (self.folder / "daemons.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [*WITH_PARENT, *command],
                    env=os.environ | self.variables,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def command(self, *words: str) -> str:
        """What a command of Slurm prints."""
        found = subprocess.run(
            words, env=os.environ | self.variables, capture_output=True, text=True, check=False
        )
        return found.stdout

    def lose(self, number: int) -> None:
        """End a node, with all that runs on it."""
        self.hosts.end(number)

    def close(self) -> None:
        for number in range(len(self.nodes)):
            self.hosts.end(number)
        for process in reversed(self.processes):
            process.kill()
            process.wait()
