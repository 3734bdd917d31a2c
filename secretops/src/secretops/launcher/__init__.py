"""`secretops run`: the unmodified upstream server, on the secrets of a stack, through every change of them.

The server ignores `*_FILE` variables, writes a log to its working directory, speaks MQTT 5 only, never recovers from
a refused connect, and cannot change a password without a restart. The launcher imports it as it is, gives it its
settings, makes its MQTT client, and puts another in its place when a value changes.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from paho.mqtt.client import MQTTMessage

from secretops import redaction
from secretops.errors import ExitCode
from secretops.launcher.checkout import find_server
from secretops.launcher.connection import BrokerConnection
from secretops.launcher.connection_tools import refuse_connection_tools
from secretops.launcher.follow import Follower, read_settled
from secretops.launcher.http_token import BearerTokens
from secretops.launcher.listening import Listening
from secretops.launcher.settings import ServerSettings
from secretops.launcher.source import Source
from secretops.launcher.sources import open_source
from secretops.launcher.state import LauncherState
from secretops.launcher.stdio import ended_by_signals
from secretops.launcher.upstream import UpstreamServer, import_server
from secretops.launcher.waiting import FirstValues
from secretops.targets.reports import HINT_FILTER, Hint, parse_hint

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

log = logging.getLogger(__name__)


def run(source: str, listening: Listening | None = None) -> ExitCode:
    """Serve MCP at `listening`, or without one over standard input and output; until SIGTERM, SIGINT or input's end.

    `source` is as `sources.open_source` takes it. Raises SecretopsError before anything is served; after that a
    broker that is down or refuses, and a version that is no good, are logged and tried again. Over HTTP values that
    are not there yet are waited for.
    """
    set_up_log()
    opened, state = open_source(source), LauncherState()
    if listening:
        _serve_http(opened, state, listening)
    else:
        with ended_by_signals(), serving(opened, state) as server:
            server.mcp.run()
    return ExitCode.DONE


def _serve_http(source: Source, state: LauncherState, listening: Listening) -> None:
    from secretops.launcher import http

    tokens, stopping = BearerTokens(), threading.Event()
    values = FirstValues(source, listening, tokens, state, stopping)
    values.look()
    with contextlib.ExitStack() as stack:

        def start() -> FastMCP | None:
            if not values.wait():
                return None
            follow = serving(source, state, tell=lambda settings: tokens.use(settings.http_token))
            server = stack.enter_context(follow)
            if not listening.connection_tools:
                refuse_connection_tools(server)
            return server.mcp

        http.serve(listening, tokens=tokens, state=state, start=start, stop=stopping.set)


def set_up_log() -> None:
    """To standard error, without values. Before mcp sets up its own: rich's tracebacks would pass the filter by."""
    redaction.install()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s - %(levelname)s - %(message)s", force=True
    )


@contextlib.contextmanager
def serving(
    source: Source, state: LauncherState, *, tell: Callable[[ServerSettings], None] = lambda _: None
) -> Iterator[UpstreamServer]:
    """The server, imported and connected, for as long as the block lasts; it follows `source`.

    `tell` is given the settings, and each later version of them before it is taken.

    Raises NotYetError while a value is missing that it can't do without, and any other SecretopsError for what is
    wrong with the source or the server.
    """
    settings, fingerprint = read_settled(source, threading.Event())
    tell(settings)
    checkout = find_server()
    log.info("The server is %s (%s).", checkout.folder, checkout.origin)
    if settings.agent_key is None:
        log.info("No agent key yet: request_lot_code will say so. -> `secretops put agent-key`.")
    server = import_server(checkout.folder, settings)
    connection = BrokerConnection(server, settings, state)
    connection.take_over()
    state.connection_is_of_a_tool = lambda: connection.is_of_a_tool
    follow_hints(source, connection)
    follower = Follower(source, server, connection, state, settings=settings, fingerprint=fingerprint, tell=tell)
    try:
        connection.open(server.args)
        state.use(settings.versions, settings.tls.expires_at() if settings.tls else None)
        follower.start()
        yield server
    finally:
        follower.stop()
        connection.close()


@runtime_checkable
class Hinted(Protocol):
    """A source that has to be polled, and follows hints."""

    def hint(self, hint: Hint | None = None) -> None:
        """Poll soon. None: the broker refuses what is in use."""


def follow_hints(source: Source, connection: BrokerConnection) -> None:
    """Have `connection` pass hints on to `source`, if that follows any. Call it before the connection is opened."""
    if not isinstance(source, Hinted):
        return

    def received(_client: Any, _data: Any, message: MQTTMessage) -> None:
        if hint := parse_hint(message.payload):
            source.hint(hint)

    connection.own_listeners[HINT_FILTER] = received
    connection.on_refused = source.hint
