"""The process of a shell."""

import socket
from collections.abc import Mapping

import uvicorn

from policysearch.watch.shell.address import Address
from policysearch.watch.shell.app import Site
from policysearch.watch.shell.roles import Roles

PINGS = 5.0  # s between two questions whether a browser is there, and for its answer
MAX_HEAD = 16_384  # bytes of the head of a request


def links(address: Address, roles: Roles) -> Mapping[str, str]:
    """The links with which pages are entered, by role."""
    return {role: f"{address.link}/enter?token={token}" for role, token in roles.tokens.items()}


def serve(site: Site, address: Address, roles: Roles, listener: socket.socket) -> None:
    """Serve until the process is told to end.

    Args:
        site: what is served.
        address: where, with its port; see `Address.bound`.
        roles: to whom.
        listener: the socket that listens there; it is closed at the end.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
    """
    with listener:
        server(site, address, roles).run([listener])


def server(site: Site, address: Address, roles: Roles) -> uvicorn.Server:
    """A server that is not running yet."""
    config = uvicorn.Config(
        site.app(address, roles),
        loop="asyncio",
        http="h11",
        ws="websockets-sansio",
        ws_max_size=1024,
        ws_ping_interval=PINGS,
        ws_ping_timeout=PINGS,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=MAX_HEAD,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
    )
    return uvicorn.Server(config)
