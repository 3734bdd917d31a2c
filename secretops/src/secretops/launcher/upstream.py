"""Brings the unmodified upstream server into this process, without its side effects.

Left to itself its import opens coreflux_mcp.log in the working directory (it fails on a read-only one), loads the
nearest .env, secrets included, into the environment, and leaves bytecode beside its source.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import logging
import logging.handlers  # its classes derive from FileHandler, so before that is substituted
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
from secretops.launcher.settings import ServerSettings
from secretops.launcher.variables import PUBLIC_VARIABLES, SECRET_VARIABLES
from secretops.registry import how_to_install

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

log = logging.getLogger(__name__)

NO_LOG = 100
"""Above every level: upstream's LOG_LEVEL=NONE."""


class UpstreamServer(Protocol):
    """The names in upstream's server.py that the launcher rests on. Checked after the import."""

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
    """Import server.py from `folder`, then give it `settings`. Raises SecretopsError when it does not import."""
    try:
        fastmcp = importlib.import_module("mcp.server.fastmcp")  # here and not below, so that its bytecode is kept
        importlib.import_module("requests")
    except ImportError as error:
        raise SecretopsError(
            f"{error.name} is not installed", rule="the server imports it", remedy=how_to_install("server")
        ) from error
    _public_environment(settings)
    try:
        with _without_side_effects(folder, fastmcp):
            module = importlib.import_module("server")
    except (Exception, SystemExit) as error:
        raise SecretopsError(
            f"{folder}/server.py does not import: {type(error).__name__}: {error}",
            rule=f"the launcher runs upstream's commit {UPSTREAM_COMMIT} on the packages that it imports with",
            remedy=f"use that commit; {how_to_install('server')}",
        ) from error
    missing = [name for name in UpstreamServer.__annotations__ if not hasattr(module, name)]
    if missing:
        raise SecretopsError(
            f"{folder}/server.py has no {', '.join(missing)}",
            rule=f"the launcher replaces parts of the server by name, as they are in commit {UPSTREAM_COMMIT}",
            remedy="use that commit",
        )
    server = cast(UpstreamServer, module)
    hand_over(settings, server.args)
    hand_over_rest(settings, server)
    # The reconnect tool parses the command line and environment again, where no password is.
    server.parse_args = lambda: server.args
    return server


def _public_environment(settings: ServerSettings) -> None:
    """None of what upstream reads is taken from the environment that the launcher was started with."""
    for name in (*SECRET_VARIABLES, *PUBLIC_VARIABLES):
        if os.environ.pop(name, None) and name in SECRET_VARIABLES:
            log.warning("%s in the environment is ignored: values come from --from, and nowhere else.", name)
    os.environ.update(settings.public_variables())


def hand_over(settings: ServerSettings, args: argparse.Namespace) -> None:
    """Put how to connect, and as whom, where upstream's connection tools look."""
    args.mqtt_host, args.mqtt_port = settings.broker, settings.port
    args.mqtt_user, args.mqtt_password = settings.mqtt["username"], settings.mqtt["password"]
    args.mqtt_client_id = settings.client_id_prefix
    args.mqtt_use_tls = settings.tls is not None
    files = settings.tls.files if settings.tls else (None, None, None)
    args.mqtt_ca_cert, args.mqtt_client_cert, args.mqtt_client_key = (file and str(file) for file in files)


def hand_over_rest(settings: ServerSettings, server: UpstreamServer) -> None:
    """Put what is no connection where the server looks at each call: agent and key, the verifier, the log level."""
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
    """In place of the module `requests` in the server, which has one agent's address in its source: leads what is meant
    for that one to the agent at `url`. All else is the module's own."""

    PATH = "/api/v1/chat/completions"

    def __init__(self, url: str | None) -> None:
        self._url = url

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("requests"), name)

    def post(self, url: str, **given: Any) -> Any:
        """As `requests.post`. No redirect is followed: the key is for the agent alone."""
        requests = importlib.import_module("requests")
        if urlsplit(url).path != self.PATH:
            return requests.post(url, **given)  # nosec B113 - how long is its caller's to say
        at = self._url.rstrip("/") + self.PATH if self._url else url
        return requests.post(at, **{**given, "allow_redirects": False})  # nosec B113 - the same


class _NoFile(logging.NullHandler):
    """In place of a FileHandler: standard error already has the same records."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()


def _of_known_arguments(made: Callable[..., Any]) -> Callable[..., Any]:
    """Return `made` for callers that pass arguments which it does not have: mcp 1.12 removed `description`."""
    known = inspect.signature(made).parameters

    def make(*args: Any, **named: Any) -> Any:
        return made(*args, **{name: each for name, each in named.items() if name in known})

    return make


@contextlib.contextmanager
def _without_side_effects(folder: Path, fastmcp: ModuleType) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (sys, "argv", [str(folder / "server.py")]),
            (sys, "path", [str(folder), *sys.path]),
            (sys, "dont_write_bytecode", True),
            (dotenv, "load_dotenv", lambda *_, **__: False),
            (logging, "FileHandler", _NoFile),
            (fastmcp, "FastMCP", _of_known_arguments(fastmcp.FastMCP)),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # standard output is the MCP protocol
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of upstream and its packages; nobody here can act on them
        yield
