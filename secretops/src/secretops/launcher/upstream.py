"""Import the unmodified upstream server, without its side effects: a log file, the nearest .env, and bytecode files."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import logging
import logging.handlers  # its classes derive from FileHandler: import them before FileHandler is substituted
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

import dotenv
import paho.mqtt.client as mqtt

from secretops.errors import SecretopsError
from secretops.launcher.checkout import UPSTREAM_COMMIT
from secretops.launcher.settings import PUBLIC_VARIABLES, SECRET_VARIABLES, ServerSettings
from secretops.registry import install_command

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

log = logging.getLogger(__name__)

# Above every log level, for upstream's LOG_LEVEL=NONE.
NO_LOG = 100

# Tools that change or close the broker connection, which all clients share over HTTP.
CONNECTION_TOOLS = frozenset({"mqtt_connect", "setup_mqtt_connection", "reconnect_mqtt"})


class UpstreamServer(Protocol):
    """The names in upstream's server.py that the launcher uses. The import checks that they exist."""

    args: argparse.Namespace
    logger: logging.Logger
    mcp: FastMCP
    mqtt: Any
    requests: Any
    mqtt_client: mqtt.Client | None
    connection_status: dict[str, Any]
    mqtt_subscriptions: dict[str, dict[str, Any]]
    on_message: Callable[..., None]
    register_dynamic_action_tool: Callable[[str, str], None]
    reconnect_mqtt: Callable[..., Awaitable[str]]
    setup_mqtt: Callable[[argparse.Namespace], bool]
    parse_args: Callable[[], argparse.Namespace]


def import_server(folder: Path, settings: ServerSettings) -> UpstreamServer:
    """Import upstream's server.py. Raises SecretopsError."""
    try:
        fastmcp = importlib.import_module("mcp.server.fastmcp")  # imported here, so that its bytecode is written
        importlib.import_module("requests")
    except ImportError as error:
        raise SecretopsError(
            f"the module {error.name} is not installed",
            rule="the server requires this module",
            remedy=install_command("server"),
            code="server-module-missing",
        ) from error
    _public_environment(settings)
    try:
        with _without_side_effects(folder, fastmcp):
            module = importlib.import_module("server")
    except (Exception, SystemExit) as error:
        raise SecretopsError(
            f"cannot import {folder}/server.py: {type(error).__name__}: {error}",
            rule=f"the server must be the upstream repository's commit {UPSTREAM_COMMIT}, with its packages installed",
            remedy=f"use commit {UPSTREAM_COMMIT} of the upstream repository; {install_command('server')}",
            code="server-import-failed",
        ) from error
    missing = [name for name in UpstreamServer.__annotations__ if not hasattr(module, name)]
    if missing:
        raise SecretopsError(
            f"{folder}/server.py has no {', '.join(missing)}",
            rule=f"the server must be the upstream repository's commit {UPSTREAM_COMMIT}: the launcher replaces parts "
            "of the server",
            remedy=f"use commit {UPSTREAM_COMMIT} of the upstream repository",
            code="server-unsupported",
        )
    server = cast(UpstreamServer, module)
    set_connection(settings, server.args)
    set_tool_settings(settings, server)
    # The tool reconnect_mqtt would parse the command line and the environment, which do not contain the password.
    server.parse_args = lambda: server.args
    return server


def _public_environment(settings: ServerSettings) -> None:
    for name in (*SECRET_VARIABLES, *PUBLIC_VARIABLES):
        if os.environ.pop(name, None) and name in SECRET_VARIABLES:
            log.warning("Ignoring %s in the environment: values come only from --from.", name)
    os.environ.update(settings.public_variables())


def set_connection(settings: ServerSettings, args: argparse.Namespace) -> None:
    args.mqtt_host, args.mqtt_port = settings.broker, settings.port
    args.mqtt_user, args.mqtt_password = settings.mqtt["username"], settings.mqtt["password"]
    args.mqtt_client_id = settings.client_id_prefix
    args.mqtt_use_tls = settings.tls is not None
    files = settings.tls.files if settings.tls else (None, None, None)
    args.mqtt_ca_cert, args.mqtt_client_cert, args.mqtt_client_key = (file and str(file) for file in files)


def set_tool_settings(settings: ServerSettings, server: UpstreamServer) -> None:
    """Set what the server's tools read at each call: the agent's URL and key, the verifier's URL, and the log level."""
    server.requests = AgentRequests(settings.agent_url)
    server.args.do_agent_api_key = settings.agent_key and settings.agent_key["api-key"]
    if settings.lot_verifier_url:
        server.args.lot_verifier_api_url = settings.lot_verifier_url
    server.args.log_level = settings.log_level
    level = NO_LOG if settings.log_level == "NONE" else settings.log_level
    for logger in (logging.getLogger(), server.logger):
        logger.setLevel(level)
    for handler in server.logger.handlers:
        handler.setLevel(level)


class AgentRequests:
    """Replaces the module `requests` in upstream's code. Requests to the agent in that code go to `url` instead."""

    PATH = "/api/v1/chat/completions"

    def __init__(self, url: str | None) -> None:
        self._url = url

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("requests"), name)

    def post(self, url: str, **options: Any) -> Any:
        """Post a request. A request to the agent contains its key, so it follows no redirect to another server."""
        requests = importlib.import_module("requests")
        if urlsplit(url).path != self.PATH:
            return requests.post(url, **options)  # nosec B113 - the caller sets the timeout
        at = self._url.rstrip("/") + self.PATH if self._url else url
        return requests.post(at, **{**options, "allow_redirects": False})  # nosec B113 - the same


def refuse_connection_tools(server: UpstreamServer) -> None:
    """Hide CONNECTION_TOOLS and refuse calls of them. The reconnect inside the tool check_broker_health is refused,
    too."""
    from mcp import types

    handlers = server.mcp._mcp_server.request_handlers
    call, list_all = handlers[types.CallToolRequest], handlers[types.ListToolsRequest]

    async def call_unless_refused(request: types.CallToolRequest) -> types.ServerResult:
        if (name := request.params.name) not in CONNECTION_TOOLS:
            return await call(request)
        return types.ServerResult(
            types.CallToolResult(content=[types.TextContent(type="text", text=_refusal(name))], isError=True)
        )

    async def list_the_others(request: types.ListToolsRequest) -> types.ServerResult:
        listed: Any = await list_all(request)
        listed.root.tools = [tool for tool in listed.root.tools if tool.name not in CONNECTION_TOOLS]
        return types.ServerResult(listed.root)

    handlers[types.CallToolRequest] = call_unless_refused
    handlers[types.ListToolsRequest] = list_the_others

    async def refuse_reconnect(*_: Any) -> str:
        return _refusal("reconnect_mqtt")

    server.reconnect_mqtt = refuse_reconnect


def _refusal(tool: str) -> str:
    return (
        f"ERROR: {tool} is disabled over HTTP: it would change the broker connection of all clients. "
        "The server connects and reconnects automatically. "
        "-> the operator can enable it: secretops run --allow-connection-tools"
    )


class _NoFile(logging.NullHandler):
    """Replaces logging.FileHandler. No file is needed, because standard error has the same records."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()


def _without_unknown_arguments(made: Callable[..., Any]) -> Callable[..., Any]:
    # Upstream passes `description`, which mcp 1.12 removed.
    known = inspect.signature(made).parameters
    return lambda *args, **named: made(*args, **{name: each for name, each in named.items() if name in known})


@contextlib.contextmanager
def _without_side_effects(folder: Path, fastmcp: ModuleType) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (sys, "argv", [str(folder / "server.py")]),
            (sys, "path", [str(folder), *sys.path]),
            (sys, "dont_write_bytecode", True),
            (dotenv, "load_dotenv", lambda *_, **__: False),
            (logging, "FileHandler", _NoFile),
            (fastmcp, "FastMCP", _without_unknown_arguments(fastmcp.FastMCP)),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # standard output is the MCP protocol
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # warnings of upstream and its packages
        yield
