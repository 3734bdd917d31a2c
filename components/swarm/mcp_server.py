"""The MCP server as a service of a Swarm: replicas on an overlay network, and the versions that secretops gave them."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from secretops.errors import SecretopsError
from secretops.forms import in_url
from secretops.platforms.swarm.mounted_secrets import Attached, attached, named

from ..core.broker import BrokerArgs
from ..core.mcp_server import McpServer
from ..core.references import Fetched, MountedFiles
from ..settings.settings import Settings
from .deployed import service
from .names import Names
from .principals import LOGIN_FILE, SwarmService
from .server_spec import PORT, server_shape
from .service_spec import USER
from .settings import SwarmServer, SwarmStore


class SwarmMcpServer(McpServer):
    """A service and the configs that it reads. Owns no value and no secret.

    Of its own Swarm's store it is `given` what secretops moved it to; with another store its launcher fetches them
    itself, and it is given the login.
    """

    def __init__(
        self,
        name: str,
        *,
        server: SwarmServer,
        broker: BrokerArgs,
        account: SwarmService,
        settings: Settings,
        secrets: MountedFiles | Fetched,
        given: Sequence[Attached],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:swarm:McpServer", name, opts)
        names = Names(account.base)
        shape = server_shape(names, server, broker, settings, source=secrets.source)
        self.endpoint = endpoint(names, server)
        if isinstance(settings.store, SwarmStore):
            service("service", shape, names=names, place=account.place, parent=self, moved=given)
        else:
            service("service", shape, names=names, place=account.place, parent=self, given=given)
        self.register_outputs({"endpoint": self.endpoint})


def endpoint(names: Names, server: SwarmServer) -> str:
    """How an MCP client reaches it: by its name on the stack's network, or by any node's port."""
    match server.publish:
        case "ingress":
            return f"http://{in_url(server.allowed_hosts[0]) if server.allowed_hosts else 'NODE'}:{server.port}/mcp"
        case "host" | "none":
            return f"http://{names.base}:{PORT}/mcp"


def given_to(server: SwarmServer, account: SwarmService, settings: Settings) -> tuple[Attached, ...]:
    """The secrets that the service is declared with: those that it has now, or the login to a store elsewhere.

    Asks the manager. Raises RunError.
    """
    if isinstance(settings.store, SwarmStore):
        return _now(Names(account.base))
    return (_login(server.login),) if server.login else ()


def _now(names: Names) -> tuple[Attached, ...]:
    """What the service has now. A preview does not ask: it shows no change of that list anyway.

    Raises RunError where the manager can't be asked: an empty list would take the secrets from the replicas.
    """
    if pulumi.runtime.is_dry_run():
        return ()
    try:
        return attached(names.of("server"))
    except SecretopsError as error:
        raise pulumi.RunError(str(error)) from None


def _login(secret: str) -> Attached:
    """What an operator made for the launcher to log in with. Raises RunError where it is not there."""
    uid, _, gid = USER.partition(":")
    try:
        return named(secret, file_name=LOGIN_FILE, uid=uid, gid=gid)
    except SecretopsError as error:
        raise pulumi.RunError(str(error)) from None
