"""`secretops run`: the unmodified upstream server, on the secrets of a stack.

The server ignores `*_FILE` variables, writes a log to its working directory, speaks MQTT 5 only and never recovers
from a refused connect. The launcher imports it as it is, gives it its settings, and makes its MQTT client.
"""

from __future__ import annotations

import logging
import sys

from secretops import redaction
from secretops.errors import ExitCode
from secretops.launcher.checkout import find_server
from secretops.launcher.connection import BrokerConnection
from secretops.launcher.settings import read_settings
from secretops.launcher.stdio import ended_by_signals
from secretops.launcher.upstream import import_server

log = logging.getLogger(__name__)

NO_LOG = 100
"""Above every level: upstream's LOG_LEVEL=NONE."""


def run(source: str) -> ExitCode:
    """Serve MCP over standard input and output until input ends, or SIGTERM or SIGINT comes.

    `source` is dotenv:<folder of the store> or file:<path of a .env>. Raises SecretopsError before anything is
    served; after that a broker that is down or refuses is logged and tried again.
    """
    redaction.install()
    # Before mcp sets up its own: rich's tracebacks would format their text past the filter.
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s - %(levelname)s - %(message)s", force=True
    )
    settings = read_settings(source)
    checkout = find_server()
    log.info("The server is %s (%s).", checkout.folder, checkout.origin)
    if settings.agent_key is None:
        log.info("No agent key yet: request_lot_code will say so. -> `secretops put agent-key`, then start again.")
    server = import_server(checkout.folder, settings)
    logging.getLogger().setLevel(NO_LOG if settings.log_level == "NONE" else settings.log_level)
    connection = BrokerConnection(server, settings.protocol)
    connection.take_over()
    with ended_by_signals():
        try:
            connection.open(server.args)
            server.mcp.run()
        finally:
            connection.close()
    return ExitCode.DONE
