"""Hosts of one machine, whose cables can be pulled: network namespaces of Linux on a bridge, made by root."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress

POSSIBLE = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("ip") is not None


def _ip(*words: str) -> str:
    command = ["ip", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Hosts:
    """So many hosts, numbered from 0, and this one; also a context manager, which ends what runs on them.

    Attributes:
        address: of this host, for the others.
        addresses: of the others.
        names: of the others.

    Raises:
        subprocess.CalledProcessError: if this process may not make them.
    """

    def __init__(self, count: int) -> None:
        self._bridge, network = f"ps{os.getpid()}", f"10.213.{os.getpid() % 250}"
        self.address = f"{network}.1"
        self.names = [f"{self._bridge}n{number}" for number in range(count)]
        self.addresses = [f"{network}.{2 + number}" for number in range(count)]

    def __enter__(self) -> "Hosts":
        _ip("link", "add", self._bridge, "type", "bridge")
        try:
            _ip("address", "add", f"{self.address}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for name, address in zip(self.names, self.addresses, strict=True):
                _ip("netns", "add", name)
                _ip("link", "add", name, "type", "veth", "peer", "eth0", "netns", name)
                _ip("link", "set", name, "master", self._bridge, "up")
                for words in (
                    ["address", "add", f"{address}/24", "dev", "eth0"],
                    ["link", "set", "eth0", "up"],
                ):
                    _ip("-n", name, *words)
                _ip("-n", name, "link", "set", "lo", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number, name in enumerate(self.names):
            with suppress(subprocess.CalledProcessError):
                self.end(number)
                _ip("netns", "delete", name)
        for name in (*self.names, self._bridge):  # else a cable stays as long as connections through it
            with suppress(subprocess.CalledProcessError):
                _ip("link", "delete", name)

    def on(self, number: int) -> list[str]:
        """What a command begins with that is to run on a host."""
        return ["ip", "netns", "exec", self.names[number]]

    def pull(self, number: int) -> None:
        """Pull the cable of a host."""
        _ip("link", "set", self.names[number], "down")

    def end(self, number: int) -> None:
        """End all that runs on a host."""
        for process in _ip("netns", "pids", self.names[number]).split():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
