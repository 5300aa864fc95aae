"""A client's side of the engine: start one, or connect to the one that is there."""

import contextlib
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from policysearch.command_line import Refusal
from policysearch.errors import IN_USE, MACHINE_TROUBLE
from policysearch.files import read_bytes
from policysearch.hitl.child import child_process

ANSWER_SECONDS = 30.0  # that the engine may take; a search may be slow
CLOSE_SECONDS = 10.0  # that it may take to end
CHUNK = 1 << 16
ADDRESS = "engine.json"


class StartedEngine(NamedTuple):
    """An engine that runs."""

    socket: Path
    process: "subprocess.Popen[bytes] | None" = None  # of one that was started here


def started(arguments: Mapping[str, Any]) -> StartedEngine:
    """A new engine, which is a process in a session of its own.

    Raises:
        Refusal: why it could not be started.
    """
    process = child_process("engine.server", "main", arguments, stdout=subprocess.PIPE)
    if process.stdout is None:
        raise RuntimeError("the engine has no output")
    with process.stdout as output:
        line = output.readline()
    if not line:
        raise Refusal([f"the engine ended, exit code {process.wait()}"], MACHINE_TROUBLE)
    told = json.loads(line)
    if "error" in told:
        process.wait()
        raise Refusal(str(told["error"]).splitlines(), int(told["code"]))
    return StartedEngine(Path(told["socket"]), process)


def there(folder: Path) -> StartedEngine | None:
    """The engine that runs in a folder; None if there is none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        path = Path(json.loads(read_bytes(folder / ADDRESS, CHUNK))["socket"])
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(ANSWER_SECONDS)
            probe.connect(str(path))
            if probe.recv(1):  # its state
                return StartedEngine(path)
    return None


class EngineConnection:
    """A connection that has control of an engine. Use it as a context manager.

    Args:
        engine: is connected to.

    Attributes:
        state: as it was told last.

    Raises:
        Refusal: if another client has control.
    """

    def __init__(self, engine: StartedEngine) -> None:
        self._socket, self._process = socket.socket(socket.AF_UNIX), engine.process
        self._socket.connect(str(engine.socket))
        self._unread, self._lease, self.state = b"", "", dict[str, Any]()
        self._until(lambda _: bool(self.state))
        who = f"process {os.getpid()} on {socket.gethostname()}"
        answer = self.act("control", who=who)
        if answer["code"] != 200:
            self._socket.close()
            raise Refusal([f"another operator is at work: {answer['error']}"], IN_USE)
        self._lease = answer["lease"]

    def __enter__(self) -> "EngineConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def act(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer to an action.

        Raises:
            Refusal: if the engine has ended.
        """
        key = uuid.uuid4().hex
        seen = (
            {"boot": self.state["boot"], "version": self.state["version"]}
            if do not in ("note", "stop")
            else {}
        )
        message = {"do": do, "key": key, "lease": self._lease} | seen | arguments
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise _ended() from error
        return self._until(lambda told: told.get("answer") == key)

    def wait(self, seconds: float) -> None:
        """Let time pass, and take the state in."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0.0:
            self._take(left)

    def close(self) -> None:
        """End the engine, and wait for its end."""
        with contextlib.suppress(OSError, Refusal):
            self.act("close")
            self._socket.settimeout(CLOSE_SECONDS)
            while self._socket.recv(CHUNK):
                pass
        self._socket.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_SECONDS)

    def _until(self, wanted: Any) -> dict[str, Any]:
        limit = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < limit:
            for told in self._take(limit - time.monotonic()):
                if wanted(told):
                    return told
        why = f"the engine has not answered for {ANSWER_SECONDS:g} s: use the physical stop"
        raise Refusal([why], MACHINE_TROUBLE)

    def _take(self, seconds: float) -> list[dict[str, Any]]:
        """The messages that come within some seconds; none if none does."""
        self._socket.settimeout(max(seconds, 1e-3))
        try:
            data = self._socket.recv(CHUNK)
        except TimeoutError:
            return []
        except OSError as error:
            raise _ended() from error
        if not data:
            raise _ended()
        *lines, self._unread = (self._unread + data).split(b"\n")
        messages: list[dict[str, Any]] = [json.loads(line) for line in lines]
        for message in messages:
            self.state = message.get("state", self.state)
        return messages


def _ended() -> Refusal:
    why = "the engine has ended; the guard lets the torque go to zero. The same command continues"
    return Refusal([why], MACHINE_TROUBLE)
