"""Where the launcher listens, and which names it is called by there: what a transport over HTTP is started with."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from secretops.errors import UsageError


class Transport(StrEnum):
    """How MCP clients reach the server. Not how the server reaches its broker."""

    STDIO = "stdio"
    SSE = "sse"  # /sse and /messages/: MCP of 2024-11-05, for clients that know no other
    HTTP = "http"  # /mcp: streamable HTTP, MCP since 2025-03-26


DEFAULT_LISTEN = "127.0.0.1:8000"
"""The port is mcp's own default; the address is one that other machines do not reach."""

_HIGHEST_PORT = 65535
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Address:
    """An address of this machine and a port. Port 0 lets the system choose one, which the log tells."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def is_every(self) -> bool:
        """Whether it stands for every address of this machine (0.0.0.0, ::)."""
        return ipaddress.ip_address(self.host).is_unspecified

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Address:
    """`text` is ADDRESS:PORT, with an IPv6 address in brackets. Raises UsageError.

    A host's name is no address: it may resolve to several, and whether a token is needed hangs on which.
    """
    host, port = _split(text)
    host = "127.0.0.1" if host == "localhost" else host
    if not _is_address(host) or port is None or port > _HIGHEST_PORT:
        raise UsageError(
            f"--listen {text!r}",
            rule="it is an IP address of this machine, or localhost, and a port",
            remedy=f"for example {DEFAULT_LISTEN}, or 0.0.0.0:8000 for every address",
        )
    return Address(host, port)


def parse_transport(text: str) -> Transport:
    """The transport called `text`. Raises UsageError."""
    try:
        return Transport(text)
    except ValueError:
        nearest = difflib.get_close_matches(text.lower(), Transport, n=1)
        raise UsageError(
            f"--transport {text!r}",
            rule=f"MCP clients reach the server by {', '.join(Transport)}",
            remedy=f"did you mean {nearest[0]}?" if nearest else f"name one of them; {Transport.STDIO} is the default",
        ) from None


@dataclass(frozen=True)
class Names:
    """The names that this server answers to. A browser that was led here by another name (DNS rebinding) is refused.

    Ports are not looked at: a container's, a service's and a proxy's port differ, and a name is what an attacker lacks.
    """

    names: frozenset[str]
    any_address: bool
    """Listening on every address of the machine: any IP address may be one of them, and none can be rebound."""

    @classmethod
    def of(cls, address: Address, allowed: Iterable[str] = ()) -> Names:
        """The listen address, the forms of localhost, and `allowed`. Raises UsageError for what is no host's name."""
        more = {name for entry in allowed for name in entry.replace(",", " ").split()}
        for name in more:
            if not _is_address(name) and _split(name) != (name.lower(), None):
                raise UsageError(
                    f"--allowed-host {name!r}",
                    rule="it is a host's name or address alone, as clients write it: no scheme, port or path",
                    remedy="write it like mcp.example.com",
                )
        return cls(_LOCAL_NAMES | {address.host} | {name.lower() for name in more}, address.is_every)

    def host(self, header: str | None) -> bool:
        """Whether a Host header names this server. There has to be one (RFC 9112, section 3.2)."""
        name, _ = _split(header or "")
        return name in self.names or (self.any_address and _is_address(name))

    def origin(self, header: str | None, host: str | None) -> bool:
        """Whether a request may come from a page of that Origin; None is a client that is no browser.

        A page that this server would have served itself has its Host as origin.
        """
        if header is None:
            return True
        scheme, separator, place = header.partition("://")
        if scheme not in {"http", "https"} or not separator:
            return False
        return _split(place)[0] in self.names or (place == host and self.host(host))


def _split(text: str) -> tuple[str, int | None]:
    """The host, in lower case, and the port of HOST, HOST:PORT, [IPv6] or [IPv6]:PORT; an empty host for all else."""
    match = _HOST_AND_PORT.fullmatch(text)
    if not match:
        return "", None
    address, name, port = match.groups()
    return (address or name).lower(), int(port) if port else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Listening:
    """How `secretops run` was asked to serve over HTTP."""

    transport: Transport
    address: Address
    names: Names
    connection_tools: bool = False
    """Whether MCP clients may choose another broker or user for all of them (connection_tools.py)."""

    def check(self, *, has_token: bool) -> None:
        """Raises UsageError for an address that other machines reach, without a token that keeps them out."""
        if not self.address.is_loopback and not has_token:
            raise UsageError(
                f"--listen {self.address} without a token",
                rule="outside loopback a transport over HTTP needs a bearer token: whoever reaches it uses the broker",
                remedy="`secretops put http-token` (declared in the stack file), or a file that MCP_HTTP_TOKEN_FILE "
                f"names; or --listen {DEFAULT_LISTEN}",
            )


def listening(
    transport: str, listen: str, allowed_hosts: Iterable[str], *, connection_tools: bool = False
) -> Listening | None:
    """What the options of `secretops run` say; None for stdio, which has no use for the others. Raises UsageError."""
    chosen = parse_transport(transport)
    if chosen is Transport.STDIO:
        return None
    address = parse_listen(listen)
    return Listening(chosen, address, Names.of(address, allowed_hosts), connection_tools)
