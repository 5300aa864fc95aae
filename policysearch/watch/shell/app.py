"""The application of a shell: its pages, its files, its WebSocket, and what else a program adds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from policysearch.watch.shell.address import Address
from policysearch.watch.shell.gate import ROLE, Gate
from policysearch.watch.shell.live import Live, Source
from policysearch.watch.shell.roles import Roles

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Site:
    """What is served.

    Attributes:
        pages: the file of the first page of every role.
        source: of what goes down the WebSockets, at `/live`.
        routes: further ones.
        folders: of files, by the first part of their paths; those of the shell are in `static`.
        framed: whether pages may be parts of other pages of ours.
    """

    pages: Mapping[str, Path]
    source: Source
    routes: Sequence[BaseRoute] = ()
    folders: Mapping[str, Path] = field(default_factory=dict)
    framed: bool = False

    def app(self, address: Address, roles: Roles) -> Gate:
        """The application at an address, for those who have a token of these roles."""

        async def first(request: Request) -> Response:
            if (page := self.pages.get(request.scope[ROLE])) is None:
                raise HTTPException(404)
            return FileResponse(page)

        live = Live(self.source)

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            task = asyncio.create_task(live.run())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        folders = {"static": STATIC, **self.folders}
        routes = [
            Route("/", first),
            WebSocketRoute("/live", live.__call__),
            *self.routes,
            *(Mount(f"/{name}", StaticFiles(directory=folder)) for name, folder in folders.items()),
        ]
        return Gate(Starlette(routes=routes, lifespan=lifespan), address, roles, framed=self.framed)
