"""POST /act: an action of a page, as a JSON object.

    do        what is done; see docs/reference/session-protocol.md
    key       a text of the page; the same key has the same answer, and is done once
    lease     what `control` answered
    boot      of the state that the page has seen          version   the same

STOP needs nothing but the token, the Host, and `do`. Everything else has to come from a page of ours, as JSON:

    403   another origin, or none; an action that the role may not take
    415   no JSON                413   too long              408   too slow               400   no action
    503   no engine              504   the engine does not answer              else what the engine answers
"""

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from policysearch.watch.console.gateway import Gateway
from policysearch.watch.console.views import ALLOWED, OPERATOR
from policysearch.watch.shell.address import Address
from policysearch.watch.shell.gate import ROLE, from_here

MAX_BODY = 16_384  # bytes
MAX_TAKEN = 1 << 21  # bytes that are read and dropped, so that the answer is seen
BODY_SECONDS = 5.0
MAX_KEY = 100  # characters
KNOWN = OPERATOR | {"answer"}


class Act:
    """The end of `/act`.

    Args:
        gateway: to the engine.
        address: of our pages.
    """

    def __init__(self, gateway: Gateway, address: Address) -> None:
        self._gateway, self._address = gateway, address

    async def __call__(self, request: Request) -> Response:
        """Answer an action."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except TimeoutError:
            return _refused(408, f"expected an action within {BODY_SECONDS:g} s")
        except ClientDisconnect:
            return _refused(400, "the page has gone")
        role, message = request.scope[ROLE], _parsed(body)
        if isinstance(message, dict) and message.get("do") == "stop":
            message["key"] = _key(message) or uuid.uuid4().hex
        else:
            for is_wrong, code, why in self._wrong(request, role, body, message):
                if is_wrong:
                    return _refused(code, why)
        where = request.client.host if request.client else "an unknown computer"
        code, answer = await self._gateway.act(f"the page of the {role} on {where}", message)
        return JSONResponse(answer, code)

    def _wrong(
        self, request: Request, role: str, body: bytes, message: Any
    ) -> Iterator[tuple[bool, int, str]]:
        """What may be wrong with an action, in this order: whether it is, the code, and why."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        yield not from_here(request, self._address), 403, "expected a page of this program"
        yield kind != "application/json", 415, "expected application/json"
        yield len(body) > MAX_BODY, 413, f"expected at most {MAX_BODY} bytes"
        yield not isinstance(message, dict), 400, "expected a JSON object of finite numbers and texts"
        do, key = message.get("do"), message.get("key")
        known = isinstance(do, str) and do in KNOWN
        yield not known, 400, f"do: expected one of {', '.join(sorted(KNOWN))}, got {do!r}"
        yield not _key(message), 400, f"key: expected a text of 1 to {MAX_KEY} characters, got {key!r}"
        yield do not in ALLOWED[role], 403, f"{do}: not for the {role}"


async def _body(request: Request) -> bytes:
    """What was sent, at most one byte more than it may be."""
    body, taken = b"", 0
    async for chunk in request.stream():
        body = (body + chunk)[: MAX_BODY + 1]
        if (taken := taken + len(chunk)) > MAX_TAKEN:
            break
    return body


def _parsed(body: bytes) -> Any:
    """The value of JSON without NaN and Infinity; None if it is something else."""

    def never(_: str) -> NoReturn:
        raise ValueError

    try:
        return json.loads(body, parse_constant=never)
    except (ValueError, RecursionError):
        return None


def _key(message: dict[str, Any]) -> str | None:
    key = message.get("key")
    return key if isinstance(key, str) and 0 < len(key) <= MAX_KEY else None


def _refused(code: int, why: str) -> Response:
    return JSONResponse({"error": why}, code)
