"""The engine's process: a local socket, lines of JSON, and the loop that ticks the engine.

    engine to client    {"state": …}, whenever it changed; {"answer": key, "code": …, …}, after the state that follows
    client to engine    {"do": …, "key": …, "lease": …, "boot": …, "version": …, …}

    key        a text of the client's choice; the same key has the same answer, and is done once
    lease      what `control` answered; every action but `control` and those of `FREE` needs it, else 423
    boot       of the state that the client has seen; another one is of an earlier process: 409
    version    of the state that the client has seen, see `SessionView.version`; if it is given and another one: 409

The control ends with the connection that took it; `{"do": "control", "who": …, "take": true}` takes it from another.
`{"do": "close"}` ends the process: a bout that is walked is stopped. Without a client, the process ends by itself
once no bout is walked. The socket lies in a folder that only this user can enter; its name is in `engine.json` next
to the log.
"""

import contextlib
import json
import os
import secrets
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from policysearch.errors import CommandError
from policysearch.files import write_text
from policysearch.hitl.engine.actions import act, state
from policysearch.hitl.engine.client import ADDRESS
from policysearch.hitl.engine.course import Inlet
from policysearch.hitl.engine.drive import Drive
from policysearch.hitl.engine.engine import Engine
from policysearch.hitl.flags import import_method
from policysearch.hitl.guard.realtime import OWNER_PRIORITY, fifo
from policysearch.hitl.options import LSL
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.ledger import LedgerError

TICK = 0.05  # s
LONELY = 3.0  # s without a client, after which the process ends
MAX_LINE = 1 << 16  # bytes
MAX_KEYS = 1000  # answers that are kept
MAX_UNREAD = 1000  # answers that a client may leave unread
FREE = ("stop", "answer", "table", "picture")  # actions that need no lease
LOOKS = ("table", "picture")  # actions that change nothing, whose answers are not kept


class _Client:
    """A connection, what was read of its next line, and what waits to be sent.

    The engine waits for no client: one that does not read (a terminal at a prompt, a process that is stopped) gets
    the last of the states that it has not taken. The connection ends if it leaves too many answers unread.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.unread = connection, b""
        self._rest, self._answers, self._state = b"", deque[bytes](), b""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, or what waits of the messages before."""
        line = json.dumps(message).encode() + b"\n"
        if "state" in message:
            self._state = line
        else:  # it follows the state that it belongs to
            self._answers += filter(None, (self._state, line))
            self._state = b""
        self.flush()

    def flush(self) -> None:
        """Send as much as the client takes."""
        with contextlib.suppress(OSError):  # it takes no more now, or is gone, which reading shows
            while self._rest or self._answers or self._state:
                if self._answers and not self._rest:
                    self._rest = self._answers.popleft()
                elif not self._rest:
                    self._rest, self._state = self._state, b""
                self._rest = self._rest[self.connection.send(self._rest) :]
            return
        if len(self._answers) > MAX_UNREAD:
            self._answers.clear()
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)


class Server:
    """The socket of an engine.

    Args:
        engine: is served.
        path: of the socket.

    Attributes:
        also: is called at every tick.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        self.also: list[Callable[[], None]] = []
        self.engine, self.boot = engine, secrets.token_hex(8)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._clients: list[_Client] = []
        self._answers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._holder: _Client | None = None
        self._lease, self._who, self._shown, self.leaving = "", "", "", False

    def run(self) -> None:
        """Serve until a client closes the engine, or none is left and nothing is walked."""
        lonely = time.monotonic()
        while not self.leaving:
            for key, _ in self._selector.select(TICK):
                if key.data is None:
                    self._accept()
                else:
                    self._read(key.data)
            self.engine.attended = self._holder is not None
            self._tick()
            self._show()
            for client in self._clients:
                client.flush()
            if self._clients or self.engine.phase == "walking":
                lonely = time.monotonic()
            self.leaving = self.leaving or time.monotonic() - lonely > LONELY

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.connection.close()
        self._selector.close()
        self._listener.close()

    def _tick(self) -> None:
        try:
            self.engine.tick()
            for look in self.also:
                look()
        except LedgerError as error:
            self.engine.fail(str(error))

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        client = _Client(connection)
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)
        client.send({"state": self._state()})

    def _read(self, client: _Client) -> None:
        try:
            data = client.connection.recv(MAX_LINE)
        except OSError:
            data = b""
        *lines, client.unread = (client.unread + data).split(b"\n")
        for line in lines:
            self._obey(client, line)
        if not data or len(client.unread) > MAX_LINE:
            self._clients.remove(client)
            self._selector.unregister(client.connection)
            client.connection.close()
            if client is self._holder:
                self._holder, self._lease, self._who = None, "", ""

    def _obey(self, client: _Client, line: bytes) -> None:
        try:
            message = json.loads(line)
            key = message["key"]
            if not isinstance(key, str):
                raise TypeError(key)
        except (ValueError, TypeError, KeyError):
            client.send({"answer": "", "code": 400, "error": "expected an object with do and key"})
            return
        if key not in self._answers and message.get("do") in LOOKS:
            client.send({"answer": key} | self._answer(client, message))
            return
        if key not in self._answers:
            self._answers[key] = self._answer(client, message)
            while len(self._answers) > MAX_KEYS:
                self._answers.popitem(last=False)
        self._show()
        client.send({"answer": key} | self._answers[key])

    def _answer(self, client: _Client, message: Mapping[str, Any]) -> dict[str, Any]:
        do = message.get("do")
        if do == "control":
            return self._control(client, message)
        if do not in FREE:
            if not self._lease or message.get("lease") != self._lease:
                return {"code": 423, "error": f"{self._who or 'no client'} has control; take it first"}
            if message.get("boot", self.boot) != self.boot:
                return {"code": 409, "error": "the engine was started again since; look at its state"}
            if message.get("version", version := self.engine.session.version) != version:
                return {"code": 409, "error": "the session has moved on since; look at its state"}
        if do == "close":
            self.leaving = True
            return {"code": 200}
        return act(self.engine, message)

    def _control(self, client: _Client, message: Mapping[str, Any]) -> dict[str, Any]:
        who = str(message.get("who", "a client"))
        if self._holder not in (None, client) and message.get("take") is not True:
            return {"code": 423, "error": f"{self._who} has control"}
        try:
            if self.engine.failed:
                self.engine.recover()
            self.engine.session.tell("operator", who=who)
        except LedgerError as error:
            self.engine.fail(str(error))
            return {"code": 507, "error": str(error)}
        self._holder, self._lease, self._who = client, secrets.token_hex(16), who
        self.engine.attended = True
        return {"code": 200, "lease": self._lease}

    def _state(self) -> dict[str, Any]:
        shown = state(self.engine)
        return shown | {"boot": self.boot, "version": self.engine.session.version, "control": self._who}

    def _show(self) -> None:
        """Send the state to all clients, if it has changed."""
        shown = self._state()
        if (text := json.dumps(shown)) != self._shown:
            self._shown = text
            for client in self._clients:
                client.send({"state": shown})


def _has_streams(objective: str, inlet: Mapping[str, Any]) -> bool:
    return bool(inlet.get("markers")) or any(
        text.startswith(LSL) for text in (objective, inlet.get("breaths", ""))
    )


def opened(
    log: str, plan: Mapping[str, Any] | None, inlet: Mapping[str, Any], device: Mapping[str, Any]
) -> Engine:
    """The engine of a session: a new one with a plan, else the one that is logged.

    Raises:
        CommandError: if the log cannot be opened.
        ValueError: for a plan that cannot be.
    """
    path = Path(log)
    session = Session.resume(path) if plan is None else Session.begin(SessionPlan.of(dict(plan)), path)
    streams = dict[str, Any]()
    if _has_streams(session.plan.objective, inlet):
        from policysearch.hitl import lsl  # noqa: PLC0415 - an extra

        try:
            streams = lsl.inlets(inlet, session.plan.objective, session.plan.mass)
        except BaseException:
            session.close()
            raise
    drive = None
    if device:
        with contextlib.suppress(ImportError):  # whoever beats imports nothing later
            import openpyxl  # noqa: F401, PLC0415 - an extra
        from policysearch.hitl.engine.device import starter  # noqa: PLC0415 - only with a device

        drive = Drive(starter(**device))
    return Engine(session, Inlet(**inlet, **streams), drive)


def serve(
    *,
    log: str,
    plan: Mapping[str, Any] | None,
    inlet: Mapping[str, Any],
    device: Mapping[str, Any],
    tell: Callable[[Mapping[str, Any]], None],
    method: str = "",
) -> None:
    """Run an engine from its start to its end; it tells whether it has started. The user's `method` is imported."""
    import_method({"optimizer": method})
    try:
        engine = opened(log, plan, inlet, device)
    except (CommandError, ValueError) as error:
        tell({"error": str(error), "code": getattr(error, "exit_code", 2)})
        return
    folder, place = Path(tempfile.mkdtemp(prefix="policysearch-")), Path(log).parent / ADDRESS
    server = Server(engine, folder / "socket")
    try:
        if _has_streams(engine.session.plan.objective, inlet):
            from policysearch.hitl.lsl import Streams  # noqa: PLC0415 - an extra

            server.also.append(Streams(engine, engine.inlet.markers).look)
        write_text(place, json.dumps({"socket": str(folder / "socket"), "pid": os.getpid()}) + "\n")
        tell({"socket": str(folder / "socket")})
        _on_signals(server)
        server.run()
    finally:
        with contextlib.suppress(LedgerError):  # every client was told, and the guard ends all the same
            engine.close()
        engine.session.close()
        place.unlink(missing_ok=True)
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def _on_signals(server: Server) -> None:
    """Leave on SIGTERM; whoever owns the terminal gets the others."""
    with contextlib.suppress(ValueError):  # a thread has none

        def leave(*_: object) -> None:
            server.leaving = True

        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _tell(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main(**arguments: Any) -> None:
    """The process; its arguments are those of `serve`. With a device it runs before ordinary ones, where it may."""
    if arguments["device"]:
        fifo(OWNER_PRIORITY)  # the heart may wait for this thread
    serve(**arguments, tell=_tell)
