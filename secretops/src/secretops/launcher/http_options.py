from __future__ import annotations

import hmac
import ipaddress
import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from secretops.errors import UsageError, did_you_mean
from secretops.values import Value

log = logging.getLogger(__name__)


class Transport(StrEnum):
    STDIO = "stdio"
    SSE = "sse"  # /sse and /messages/: MCP of 2024-11-05, for clients without streamable HTTP
    HTTP = "http"  # /mcp: streamable HTTP, MCP since 2025-03-26


# The port is mcp's default. Loopback: other machines cannot connect.
DEFAULT_LISTEN = "127.0.0.1:8000"

# Seconds for which the previous token is accepted: longer than a kubelet takes to sync a mounted volume, so that
# clients with the same volume are never refused. After a restart, only the current token is accepted.
OVERLAP = 300

# Minimum length of a token: there is no lock-out against guesses over a network.
MIN_LENGTH = 32

# RFC 6750, section 2.1.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_HIGHEST_PORT = 65535
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Address:
    """An address of this machine. For port 0 the system chooses one, which is logged."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def is_every(self) -> bool:
        return ipaddress.ip_address(self.host).is_unspecified

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Address:
    """Parse ADDRESS:PORT, with an IPv6 address in brackets. Raises UsageError for any other text, such as a host
    name."""
    host, port = _split(text)
    host = "127.0.0.1" if host == "localhost" else host
    if not _is_address(host) or port is None or port > _HIGHEST_PORT:
        raise UsageError(
            f"--listen {text!r}: invalid address",
            rule="--listen must be an IP address of this machine, or localhost, with a port",
            remedy=f"for example --listen {DEFAULT_LISTEN}, or --listen 0.0.0.0:8000 for every address",
            code="listen-address-invalid",
        )
    return Address(host, port)


@dataclass(frozen=True)
class HostNames:
    """Host names that clients may use for this server, to prevent DNS rebinding. Ports may differ behind a proxy."""

    names: frozenset[str]
    # Accept every IP address, since the server listens on all addresses.
    any_address: bool

    @classmethod
    def of(cls, address: Address, allowed: Iterable[str] = ()) -> HostNames:
        """Return the names to accept: the listen address, localhost, and `allowed`. Raises UsageError."""
        more = {name for entry in allowed for name in entry.replace(",", " ").split()}
        for name in more:
            if not _is_address(name) and _split(name) != (name.lower(), None):
                raise UsageError(
                    f"--allowed-host {name!r}: invalid host",
                    rule="--allowed-host must be a host name or an address, without scheme, port and path",
                    remedy="for example --allowed-host mcp.example.com",
                    code="allowed-host-invalid",
                )
        return cls(_LOCAL_NAMES | {address.host} | {name.lower() for name in more}, address.is_every)

    def host(self, header: str | None) -> bool:
        """Return whether a Host header, which is required (RFC 9112, 3.2), names this server."""
        name, _ = _split(header or "")
        return name in self.names or (self.any_address and _is_address(name))

    def origin(self, header: str | None, host: str | None) -> bool:
        """Return whether a page of that Origin may send requests. None means that the client is not a browser."""
        if header is None:
            return True
        scheme, separator, address = header.partition("://")
        if scheme not in {"http", "https"} or not separator:
            return False
        return _split(address)[0] in self.names or (address == host and self.host(host))


def _split(text: str) -> tuple[str, int | None]:
    """Return lower-case host and port of HOST, HOST:PORT, [IPv6] or [IPv6]:PORT. The host is empty for any other
    text."""
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


def check_token(token: str) -> None:
    """Raise UsageError if the token is too short, or invalid in a header. The error does not contain it."""
    if len(token) < MIN_LENGTH or not _TOKEN.fullmatch(token):
        raise UsageError(
            "the value of http-token is too short, or has invalid characters",
            rule=f"a bearer token must have at least {MIN_LENGTH} letters, digits or -._~+/ (RFC 6750)",
            remedy="for example: openssl rand -hex 32 | secretops put http-token",
            code="http-token-invalid",
        )


class BearerTokens:
    """The current token, and the previous token for OVERLAP seconds. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._current: bytes | None = None
        self._former: bytes | None = None
        self._until = 0.0

    @property
    def any(self) -> bool:
        """Return whether there is a token. Remains True after the token's file is removed."""
        return self._current is not None

    def use(self, value: Value | None) -> None:
        """Use the token of `value`, if any. Raises UsageError for an invalid token."""
        if value is None:
            return
        check_token(value["token"])
        token = value["token"].encode()
        with self._lock:
            if self._current is None:
                self._current = token
            elif not hmac.compare_digest(self._current, token):
                self._former, self._until = self._current, self._clock() + OVERLAP
                self._current = token
                log.info("A new http-token is in use; the previous one is accepted for %s s more.", OVERLAP)

    def accept(self, authorization: str | None) -> bool:
        """Return whether an Authorization header has a valid token. Compares in constant time."""
        scheme, _, presented = (authorization or "").partition(" ")
        with self._lock:
            former = self._former if self._clock() < self._until else None
            tokens = [token for token in (self._current, former) if token is not None]
        sent = presented.strip().encode()
        matches = [hmac.compare_digest(sent, token) for token in tokens]
        return scheme.lower() == "bearer" and True in matches


@dataclass(frozen=True)
class HttpOptions:
    transport: Transport
    address: Address
    names: HostNames
    # Whether an MCP client may choose another broker or user for all clients, by upstream.CONNECTION_TOOLS.
    connection_tools: bool = False

    def check(self, *, has_token: bool) -> None:
        """Raise UsageError if other machines can reach the address without a token."""
        if not self.address.is_loopback and not has_token:
            raise UsageError(
                f"--listen {self.address} without a token",
                rule="an address that other machines can reach requires a bearer token: otherwise any client can use "
                "the broker through the server",
                remedy="declare the secret http-token in the stack file, then pulumi up, then: secretops put "
                f"http-token; or set MCP_HTTP_TOKEN_FILE to the path of a token; or pass --listen {DEFAULT_LISTEN}",
                code="http-token-required",
            )


def parse_http_options(
    transport: str, listen: str, allowed_hosts: Iterable[str], *, connection_tools: bool = False
) -> HttpOptions | None:
    """Parse the HTTP options of `secretops run`. Return None for stdio. Raises UsageError."""
    if transport not in set(Transport):
        raise UsageError(
            f"--transport {transport!r}: unknown transport",
            rule=f"a transport must be one of {', '.join(Transport)}",
            remedy=f"{did_you_mean(transport.lower(), Transport)}the default is {Transport.STDIO}",
            code="transport-unknown",
        )
    if transport == Transport.STDIO:
        return None
    address = parse_listen(listen)
    return HttpOptions(Transport(transport), address, HostNames.of(address, allowed_hosts), connection_tools)
