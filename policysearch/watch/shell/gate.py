"""What every request has to pass, and the headers of every answer.

    400   no Host                           421   a Host that is not ours (a page elsewhere that names us otherwise)
    401   no token, or a wrong one          403   a WebSocket that a page of another origin opens

What changes something has to be `from_here` as well; see `policysearch.watch.console`.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from policysearch.watch.shell.address import Address
from policysearch.watch.shell.roles import Roles, cookie

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ROLE = "policysearch.role"  # in the scope of a request that has passed
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Gate:
    """An ASGI application that asks who comes, and passes on to another one.

    Args:
        app: is passed to; the scope has the role.
        address: of the server.
        roles: and their tokens.
        framed: whether pages may be parts of other pages of ours; elsewhere they never are.
    """

    def __init__(self, app: App, address: Address, roles: Roles, *, framed: bool = False) -> None:
        self._app, self._address, self._roles = app, address, roles
        policy = POLICY.replace("frame-ancestors 'none'", "frame-src 'self'; frame-ancestors 'self'")
        headers = HEADERS | {"content-security-policy": policy if framed else POLICY}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        answer = self._answer(HTTPConnection(scope))
        await (answer or self._app)(scope, receive, sent)

    def _answer(self, request: HTTPConnection) -> Response | None:
        """What is answered here; None if the request may pass."""
        if (host := request.headers.get("host")) is None:
            return PlainTextResponse("expected a Host", 400)
        if host.lower() not in self._address.hosts:
            return PlainTextResponse("this server has another name", 421)
        if request.url.path == "/enter" and request.scope["type"] == "http":
            return self._enter(request)
        wanted = request.query_params.get("as", "")
        role = self._roles.of_cookies(request.cookies, self._address.port, wanted)
        if role is None:
            return PlainTextResponse(
                "this page needs the link with its token that the program has printed", 401
            )
        if request.scope["type"] == "websocket" and not from_here(request, self._address):
            return PlainTextResponse("a page of another origin", 403)
        request.scope[ROLE] = role
        return None

    def _enter(self, request: HTTPConnection) -> Response:
        token = request.query_params.get("token", "")
        if (role := self._roles.of_token(token)) is None:
            return PlainTextResponse("this token is not one of this program; it prints its links again", 401)
        answer = RedirectResponse(f"/?as={role}", 303)
        name, secure = cookie(self._address.port, role), self._address.scheme == "https"
        answer.set_cookie(name, token, httponly=True, samesite="strict", secure=secure)
        return answer


def from_here(request: HTTPConnection, address: Address) -> bool:
    """Whether a page of ours sends this, by what browsers say of it."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    return request.headers.get("origin", "").lower() in address.origins and site == "same-origin"
