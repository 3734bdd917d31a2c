"""A folder of this machine as a store, as in the Secret Management Guide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pulumi

from secretops.manifest import Secret, SecretKind
from secretops.platforms.dotenv.location import DotenvStoreLocation as Location
from secretops.stores.files import UNITS

from ..core.principals import HostUser, Principal
from ..core.references import MountedFiles
from ..core.secret_store import SecretStore, SecretStoreArgs, Trail
from ..core.secrets import for_server, variables_of
from .folder import Folder
from .rotation import rotator_files, turn_on

FOLDERS = ("config", "certs", "secrets", "versions", "log", UNITS)

# Names of delivered files: those of the Secret Management Guide below /run/secrets, with the version; and certificates.
_FILES = {
    SecretKind.MQTT_USER: {"password": "secrets/mqtt_password-{version}"},  # nosec B105 - a path
    SecretKind.AGENT_KEY: {"api-key": "secrets/api_key-{version}"},
    SecretKind.X509: {field: f"certs/{field}" for field in ("ca.crt", "client.crt", "client.key")},
}

# Modes of files that secretops writes, as in the Secret Management Guide. `pulumi up` repairs them.
_GUIDE_MODES = {"config/.env": "600", "certs/ca.crt": "644", "certs/client.crt": "644", "certs/client.key": "600"}


@dataclass(frozen=True, kw_only=True)
class DotenvSecretStoreArgs(SecretStoreArgs):
    root: str
    """Absolute path of the folder."""
    deliver: Literal["variables", "files"] = "variables"
    """What config/.env contains: the values (MQTT_PASSWORD), or the paths of their files (MQTT_PASSWORD_FILE)."""
    log_level: str = "DEBUG"
    """The server's log level, for config/.env."""
    agent_url: str | None = None
    """URL of an agent other than the Coreflux Copilot."""


class DotenvSecretStore(SecretStore):
    """A folder as a store, with file modes, schedule and trail. The component itself contains no secret values."""

    def __init__(self, name: str, args: DotenvSecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:dotenv:SecretStore", name, opts)
        self._name, self._root = name, Path(args.root)
        certificate = next((one for one in args.every_secret if one.kind is SecretKind.X509), None)
        self.manifest = args.manifest(
            store=_location(args),
            broker=args.broker.location(
                home=self._root / "broker",
                certificates=self._root / "certs",
                authority=certificate is not None and "ca.crt" in certificate.fields,
            ),
        )
        self._folder = Folder(
            f"{name}-folder",
            root=str(self._root),
            folders=FOLDERS,
            modes=_GUIDE_MODES,
            stack=args.stack_name,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"root": str(self._root)})

    def publish(self, *, reader: Principal) -> MountedFiles:
        """Return a reference to the folder. Its owner and modes decide who can read the files."""
        match reader:
            case HostUser():
                return MountedFiles(source=f"dotenv:{self._root}", secrets=self.read_by_server)
            case _:
                raise TypeError(f"{reader}: only an account of this machine reads its files")

    def rotate(self) -> str:
        Folder(
            f"{self._name}-rotator",
            root=str(self._root),
            files=rotator_files(self._root, self.manifest),
            stack=self.manifest.stack,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._folder], aliases=[pulumi.Alias(name="rotator")]),
        )
        return turn_on(self._root, self.manifest.stack)

    def record_access(self) -> Trail:
        """Return the file in which secretops and the launcher record each access before they read. Its records are
        never deleted."""
        return Trail(records=str(self._root / "log" / "access.jsonl"))


def _location(args: DotenvSecretStoreArgs) -> Location:
    variables: dict[str, dict[str, str]] = {}
    paths: dict[str, dict[str, str]] = {}
    file_variables: dict[str, dict[str, str]] = {}
    for secret in for_server(args.every_secret):
        names, places = _delivery(secret, files=args.deliver == "files")
        if args.broker.ca_file and secret.kind is SecretKind.X509:
            names.pop("ca.crt", None)  # config/.env contains the path of broker.ca_file instead
        variables[secret.name] = {field: name for field, name in names.items() if field not in places}
        paths[secret.name] = places
        file_variables[secret.name] = {
            field: name if secret.kind is SecretKind.X509 else f"{name}_FILE"
            for field, name in names.items()
            if field in places
        }
    return Location(
        root=args.root,
        variables=variables,
        files=paths,
        file_variables=file_variables,
        lines=args.broker.public_variables(log_level=args.log_level, agent_url=args.agent_url),
    )


def _delivery(secret: Secret, *, files: bool) -> tuple[dict[str, str], dict[str, str]]:
    names = variables_of(secret)
    if secret.kind is SecretKind.X509:
        paths = {field: path for field, path in _FILES[secret.kind].items() if field in secret.fields}
        return {field: name for field, name in names.items() if field in paths}, paths
    paths = _FILES.get(secret.kind) or {field: f"secrets/{secret.name}.{field}-{{version}}" for field in secret.fields}
    return names, dict(paths) if files else {}
