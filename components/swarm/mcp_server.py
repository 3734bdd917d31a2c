from __future__ import annotations

import pulumi

from secretops.errors import SecretopsError
from secretops.formats import url_host
from secretops.platforms.swarm.location import MountedSecret
from secretops.platforms.swarm.mounted_secrets import mounted_secrets, operator_secret

from ..core.component import is_mocked
from ..core.mcp_server import McpServer
from ..core.references import MountedFiles
from .deployed import service
from .identity import open_service
from .names import Names
from .server_spec import PORT, SwarmMcpServerArgs, server_shape
from .service_spec import LOGIN_FILE, USER


class SwarmMcpServer(McpServer):
    """A service and its configs.

    With the Swarm's own store, the service keeps the secrets that secretops mounted. With another store, its launcher
    fetches secrets with a mounted login.
    """

    def __init__(self, name: str, args: SwarmMcpServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:swarm:McpServer", name, opts)
        shared, moved = open_service(name, args, self), isinstance(args.references, MountedFiles)
        names = Names(shared.base)
        mounted = args.mounted
        if mounted is None:
            mounted = mounted_now(names) if moved and not is_mocked() else ()
        self.endpoint = endpoint(names, args)
        shape = server_shape(names, args)
        service(name, shape, formerly="service", place=shared.place, parent=self, secrets=mounted, moved=moved)
        self.register_outputs({"endpoint": self.endpoint})


def endpoint(names: Names, args: SwarmMcpServerArgs) -> str:
    if args.publish == "ingress":
        return f"http://{url_host(args.allowed_hosts[0]) if args.allowed_hosts else 'NODE'}:{args.port}/mcp"
    return f"http://{names.base}:{PORT}/mcp"


def mounted_now(names: Names) -> tuple[MountedSecret, ...]:
    """Return the secrets that the service mounts now. Return none in a preview, which ignores the list.

    Raises RunError if no manager answers: with an empty list, the service would lose its secrets.
    """
    if pulumi.runtime.is_dry_run():
        return ()
    try:
        return mounted_secrets(names.of("server"))
    except SecretopsError as error:
        raise pulumi.RunError(str(error)) from None


def login_secret(secret: str) -> MountedSecret:
    """Look up the operator's Swarm secret that contains the launcher's login, and return its mount. Raises RunError."""
    uid, _, gid = USER.partition(":")
    try:
        return operator_secret(secret, file_name=LOGIN_FILE, uid=uid, gid=gid)
    except SecretopsError as error:
        raise pulumi.RunError(str(error)) from None
