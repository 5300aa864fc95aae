"""A console on a real port, over an engine whose clocks are set by hand, both in threads of the test."""

import contextlib
import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from starlette.routing import Route
from websockets.sync.client import ClientConnection, connect

from policysearch.hitl.engine import server
from policysearch.hitl.engine.course import Inlet
from policysearch.hitl.engine.engine import Engine
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.watch.console.act import Act
from policysearch.watch.console.command import PAGES, STATIC
from policysearch.watch.console.gateway import Gateway
from policysearch.watch.console.views import ALLOWED
from policysearch.watch.shell.address import Address
from policysearch.watch.shell.app import Site
from policysearch.watch.shell.roles import Roles, cookie
from policysearch.watch.shell.serve import server as shell_server

PLAN = SessionPlan(bouts=8, minutes=1.0, baseline=0.0, validation=0.0, options={"sigma": 0.01}, shuffle=False)


def eventually(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    limit = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < limit
        time.sleep(0.01)
    return found


MAX_ADVANCE = 2.0  # s of the engine's time between two looks at its clocks


class ServedEngine:
    """An engine in a thread, with its address in a folder.

    `speed` is that of its clocks, and `breathe` is called whenever they are looked at.
    """

    def __init__(
        self,
        folder: Path,
        plan: SessionPlan = PLAN,
        *,
        speed: float = 0.0,
        log: Path | None = None,
        walk_on: bool = False,
        inlet: str = "",
        breathe: "Callable[[ServedEngine], None]" = lambda _: None,
    ) -> None:
        self.now, self._speed, self._looked, self._breathe = 0.0, speed, time.monotonic(), breathe
        self.session = Session.resume(log) if log and log.exists() else Session.begin(plan, log)
        self.engine = Engine(self.session, Inlet(inlet, True, self._clocks, walk_on))
        path, self._address = folder / f"s{uuid.uuid4().hex[:6]}", folder / "engine.json"
        self.server = server.Server(self.engine, path)
        self._address.write_text(json.dumps({"socket": str(path), "pid": 0}))
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        self._visitor = socket.socket(
            socket.AF_UNIX
        )  # else it ends before a busy computer has started the console
        self._visitor.connect(str(path))

    def _clocks(self) -> tuple[float, float]:
        """The engine's clocks, which a busy computer makes slow, and never late."""
        real = time.monotonic()
        self.now += min(self._speed * (real - self._looked), MAX_ADVANCE)
        self._looked = real
        self._breathe(self)
        return self.now, 1e9 + self.now

    def walk(self, seconds: float) -> None:
        """Let the clocks advance, a second at a time."""
        for _ in range(round(seconds)):
            self.now += 1.0
            time.sleep(2.5 * server.TICK / 5.0)

    def kinds(self, kind: str) -> list[Any]:
        return [body for each, body in self.session.events if each == kind]

    def close(self) -> None:
        self.server.leaving = True
        self._visitor.close()
        self._thread.join()
        self.server.close()
        self._address.unlink(missing_ok=True)
        self.session.close()


class Browser:
    """What a browser sends, and what it should not."""

    def __init__(self, console: "Console", role: str = "operator") -> None:
        self.console, self.role, self.lease = console, role, ""
        self.cookie = f"{cookie(console.address.port, role)}={console.roles.tokens[role]}"
        self.host = f"127.0.0.1:{console.address.port}"
        self.origin = f"http://{self.host}"

    def headers(self, **other: str | None) -> dict[str, str]:
        """The headers of a page of ours; None leaves one out."""
        usual: dict[str, str | None] = {
            "Host": self.host, "Cookie": self.cookie, "Origin": self.origin, "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/json",
        }  # fmt: skip
        merged = usual | {name.replace("_", "-"): value for name, value in other.items()}
        return {name: value for name, value in merged.items() if value is not None}

    def request(
        self, method: str, path: str, body: bytes | None = None, **other: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.console.address.port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers(**other).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        with contextlib.closing(connection), connection.getresponse() as answer:
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def act(self, do: str, **message: Any) -> tuple[int, dict[str, Any]]:
        """Code and answer, as of a page that has seen the last state."""
        message = {"do": do, "key": uuid.uuid4().hex, "lease": self.lease, **self.seen()} | message
        code, _, body = self.request("POST", f"/act?as={self.role}", json.dumps(message).encode())
        return code, json.loads(body)

    def seen(self) -> dict[str, Any]:
        served = self.console.engine.server
        return {"boot": served.boot, "version": served.engine.session.version}

    @contextlib.contextmanager
    def page(self, **other: str | None) -> Iterator["OpenPage"]:
        given = {k: v for k, v in self.headers(**other).items() if k in ("Cookie", "Sec-Fetch-Site")}
        origin = self.headers(**other).get("Origin")
        url = f"ws://{self.headers(**other).get('Host')}/live?as={self.role}"
        with connect(url, origin=origin, additional_headers=given, proxy=None, max_queue=None) as socket:  # type: ignore[arg-type]
            yield OpenPage(socket)

    def take_control(self, page: "OpenPage", *, take: bool = False) -> int:
        code, answer = self.act("control", page=page.name, take=take)
        self.lease = answer.get("lease", self.lease)
        return code


class OpenPage:
    """The WebSocket of a page, and what it was told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.told, self.lines = socket, dict[str, Any](), list[str]()
        self.read()
        self.name: str = self.told["page"]
        self.until(lambda told: "engine" in told)

    def read(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv(timeout=60))
        self.lines += [line for _, line in message.get("said", ())]
        self.told |= message
        return message

    def until(self, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        limit = time.monotonic() + 60
        while not holds(self.told):
            assert time.monotonic() < limit, self.told
            self.read()
        return self.told


class Console:
    """A console over an engine; both can be replaced."""

    def __init__(self, folder: Path, **engine: Any) -> None:
        self.folder, self._options = folder, engine
        self.engine = ServedEngine(folder, **engine)
        self.listener, self.address = Address().bound()
        self.roles = Roles.kept(folder / "console.json", ALLOWED)
        self._serve()

    def _serve(self) -> None:
        self.gateway = Gateway(self.folder, self.restart_engine)
        act = Act(self.gateway, self.address)
        routes = [Route("/act", act.__call__, methods=["POST"])]
        site = Site(PAGES, self.gateway, routes, {"console": STATIC})
        self._server = shell_server(site, self.address, self.roles)
        self._thread = threading.Thread(target=self._server.run, args=([self.listener],), daemon=True)
        self._thread.start()
        eventually(lambda: self._server.started and self.gateway._status == "live")

    def restart_engine(self) -> None:
        self.engine = ServedEngine(self.folder, **self._options)

    def begun(self) -> tuple[Browser, Any]:
        """A browser of the operator that has control, and its page as a context to be left."""
        stack, browser = contextlib.ExitStack(), Browser(self)
        page = stack.enter_context(browser.page())
        assert browser.take_control(page) == 200
        return browser, stack

    def stop_server(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def serve_again(self) -> None:
        """Another server at the same address, with the tokens that were kept."""
        self.listener, _ = self.address.bound()
        self._serve()

    def close(self) -> None:
        self.stop_server()
        self.engine.close()
        self.listener.close()
