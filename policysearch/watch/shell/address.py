"""Where a shell listens: loopback, or with TLS elsewhere."""

import ipaddress
import socket
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from policysearch.command_line import Refusal
from policysearch.errors import IN_USE, MACHINE_TROUBLE
from policysearch.flags import Whole, flag

LOOPBACK = "127.0.0.1"
#: Names of this computer for itself.
OWN = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, kw_only=True)
class AddressFlags:
    """Where the pages are served."""

    port: Annotated[Whole, flag("PORT", "a fixed one")] = None
    """Port of the pages; 0: any that is free."""

    listen: Annotated[str, flag("ADDRESS", LOOPBACK)] = LOOPBACK
    """Address to listen on. One that other computers reach needs --certificate and --key."""

    host: Annotated[list[str], flag("NAME …")] = field(default_factory=list)
    """Names and addresses by which browsers reach this computer, next to that of --listen; a request for another
    name is refused."""

    certificate: Annotated[Path | None, flag("FILE")] = None
    """Certificate of this computer, for TLS (PEM)."""

    key: Annotated[Path | None, flag("FILE")] = None
    """Its private key (PEM)."""


@dataclass(frozen=True)
class Address:
    """An address, the names under which it is asked for, and what TLS needs."""

    host: str = LOOPBACK
    port: int = 0
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    @property
    def scheme(self) -> str:
        """How browsers reach it."""
        return "https" if self.certificate else "http"

    @property
    def hosts(self) -> frozenset[str]:
        """The values of `Host` that are ours."""
        names = {_bracketed(name) for name in (self.host, *self.names)} | {*OWN}
        usual = {"http": 80, "https": 443}[self.scheme]
        return frozenset(f"{name}:{self.port}" for name in names) | (names if self.port == usual else set())

    @property
    def origins(self) -> frozenset[str]:
        """The values of `Origin` that are ours."""
        return frozenset(f"{self.scheme}://{host}" for host in self.hosts)

    @property
    def link(self) -> str:
        """The address of its first page."""
        name = self.names[0] if self.names else self.host
        return f"{self.scheme}://{_bracketed(name)}:{self.port}"

    def bound(self) -> "tuple[socket.socket, Address]":
        """A socket that listens there, and the address with its port.

        Raises:
            Refusal: if it is in use, or not one of this computer.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
            listener.listen()
        except (OSError, OverflowError) as error:
            listener.close()
            why = f"{self.host}:{self.port}: cannot listen there: {getattr(error, 'strerror', None) or error}"
            raise Refusal([f"{why}; another --port may be free"], IN_USE) from error
        return listener, replace(self, port=listener.getsockname()[1])


def address(flags: AddressFlags, port: int) -> Address:
    """The address that the flags name; `port` unless they name one.

    Raises:
        Refusal: with all that is wrong with it.
    """
    wrong, port = list[str](), port if flags.port is None else flags.port
    if not 0 <= port < 1 << 16:
        wrong.append(f"--port: expected 0 to 65535, got {port}")
    try:
        inside = ipaddress.ip_address(flags.listen).is_loopback
    except ValueError:
        inside = False
        wrong.append(f"--listen: expected an address in numbers, got {flags.listen!r}")
    pair = flags.certificate, flags.key
    if None in pair and (pair != (None, None) or not (inside or wrong)):
        wrong.append(
            "--listen, --certificate, --key: an address that others reach needs TLS, which needs both files"
        )
    if wrong:
        raise Refusal(wrong)
    if flags.certificate and flags.key:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(flags.certificate, flags.key)
        except OSError as error:  # of which ssl.SSLError is one
            raise Refusal([f"--certificate, --key: cannot be used: {error}"], MACHINE_TROUBLE) from error
    return Address(flags.listen, port, tuple(flags.host), *pair)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()
