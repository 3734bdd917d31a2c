"""`secretops run`: run the unmodified upstream server with a stack's secrets, and apply new values without a restart.

The server itself ignores `*_FILE` variables, logs to its working directory, supports only MQTT 5, and stops after a
refused connect. So the launcher imports and configures it, and owns its MQTT client.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import MQTTMessage

from secretops import redaction
from secretops.errors import ExitCode
from secretops.launcher.checkout import find_server
from secretops.launcher.connection import BrokerConnection
from secretops.launcher.http_options import BearerTokens, HttpOptions
from secretops.launcher.polling_source import PollingSource
from secretops.launcher.settings import ServerSettings
from secretops.launcher.source_watcher import FirstValues, SourceWatcher, read_stable
from secretops.launcher.sources import Source, open_source
from secretops.launcher.state import LauncherState
from secretops.launcher.stdio import ended_by_signals
from secretops.launcher.upstream import UpstreamServer, import_server, refuse_connection_tools
from secretops.targets.reports import HINT_FILTER, parse_hint

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

log = logging.getLogger(__name__)


def run(source: str, options: HttpOptions | None = None) -> ExitCode:
    """Serve MCP over HTTP or stdio until a signal or the end of input.

    `source` is a --from argument. Raises SecretopsError until it serves. Later, and over HTTP for errors of the source,
    logs errors and retries.
    """
    set_up_log()
    opened, state = open_source(source), LauncherState()
    if options:
        _serve_http(opened, state, options)
    else:
        with ended_by_signals(), serving(opened, state) as server:
            server.mcp.run()
    return ExitCode.DONE


def _serve_http(source: Source, state: LauncherState, options: HttpOptions) -> None:
    from secretops.launcher import http

    tokens, stopping = BearerTokens(), threading.Event()
    values = FirstValues(source, options, tokens, state, stopping)
    values.check()
    with contextlib.ExitStack() as stack:

        def start() -> FastMCP | None:
            if not values.wait():
                return None
            served = serving(source, state, notify=lambda settings: tokens.use(settings.http_token))
            server = stack.enter_context(served)
            if not options.connection_tools:
                refuse_connection_tools(server)
            return server.mcp

        http.serve(options, tokens=tokens, state=state, start=start, stop=stopping.set)


def set_up_log() -> None:
    """Log to standard error, redacted. Call it before mcp installs rich's tracebacks, which would bypass the
    redaction."""
    redaction.install()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s - %(levelname)s - %(message)s", force=True
    )


@contextlib.contextmanager
def serving(
    source: Source, state: LauncherState, *, notify: Callable[[ServerSettings], None] = lambda _: None
) -> Iterator[UpstreamServer]:
    """Import and connect the server, and watch `source` until the block ends.

    `notify` receives the settings of each version before they are used. Raises NotYetError if a required value is
    missing, and other SecretopsErrors.
    """
    settings, fingerprint = read_stable(source, threading.Event())
    notify(settings)
    folder = find_server()
    if settings.agent_key is None:
        log.info("No agent key, so request_lot_code fails. -> secretops put agent-key")
    server = import_server(folder, settings)
    connection = BrokerConnection(server, settings, state)
    connection.patch_server()
    state.connection_by_tool = lambda: connection.chosen_by_tool
    follow_hints(source, connection)
    watcher = SourceWatcher(source, server, connection, state, in_use=(settings, fingerprint), notify=notify)
    try:
        connection.open(server.args)
        state.use(settings.versions, settings.tls.expires_at() if settings.tls else None)
        watcher.start()
        yield server
    finally:
        watcher.stop()
        connection.close()


def follow_hints(source: Source, connection: BrokerConnection) -> None:
    """Poll `source` when `connection` receives a hint, or when the broker refuses its credential. Call it before
    `connection.open`."""
    if not isinstance(source, PollingSource):
        return

    def received(_client: Any, _data: Any, message: MQTTMessage) -> None:
        if hint := parse_hint(message.payload):
            source.hint(hint)

    connection.own_listeners[HINT_FILTER] = received
    connection.on_refused = source.hint
