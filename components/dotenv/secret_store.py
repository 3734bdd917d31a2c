"""The dotenv store: a folder of this machine, as the Secret Management Guide draws it."""

from __future__ import annotations

from pathlib import Path

import pulumi

from secretops.manifest import Reader, Secret, SecretKind
from secretops.platforms.dotenv.location import DotenvStoreLocation as Location
from secretops.stores.files import UNITS

from ..core.broker import broker_location, public_variables
from ..core.principals import HostUser, Principal
from ..core.references import MountedFiles
from ..core.secret_store import Schedule, SecretStore, Trail
from ..settings.catalogue import variables_of
from ..settings.sections import OutsideBroker
from ..settings.settings import Settings
from .access_trail import trail_of
from .folder import Folder
from .rotation import rotator_files, turn_on
from .settings import DotenvStore

FOLDERS = ("config", "certs", "secrets", "versions", "log", UNITS)

_FILES = {
    SecretKind.MQTT_USER: {"password": "secrets/mqtt_password-{version}"},  # nosec B105 - a path
    SecretKind.AGENT_KEY: {"api-key": "secrets/api_key-{version}"},
    SecretKind.X509: {field: f"certs/{field}" for field in ("ca.crt", "client.crt", "client.key")},
}
"""As the guide names them below /run/secrets, one a version; and as it draws the certificates."""

_GUIDE_MODES = {"config/.env": "600", "certs/ca.crt": "644", "certs/client.crt": "644", "certs/client.key": "600"}
"""The guide's modes of what secretops writes: drift is repaired, the text is not looked at."""


class DotenvSecretStore(SecretStore):
    """One machine's folder as a store. Owns folders, modes, schedule and trail; never a value."""

    def __init__(
        self, name: str, *, store: DotenvStore, settings: Settings, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("coreflux-mcp-secrets:dotenv:SecretStore", name, None, opts)
        self._root = store.folder
        self._child = pulumi.ResourceOptions(parent=self)
        certificate = next((one for one in settings.catalogue if one.kind is SecretKind.X509), None)
        self.manifest = settings.manifest(
            store=_location(self._root, store, settings),
            broker=broker_location(
                settings.broker,
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
            stack=settings.stack,
            opts=self._child,
        )
        self.register_outputs({"root": str(self._root)})

    def publish(self, *, reader: Principal) -> MountedFiles:
        """The folder belongs to its reader: owner and modes are the grant."""
        match reader:
            case HostUser():
                return MountedFiles(source=f"dotenv:{self._root}", secrets=self.read_by_server)
            case _:
                raise TypeError(f"{reader}: only an account of this machine reads its files")

    def rotate(self) -> Schedule:
        """A manifest that `secretops tick` needs no Pulumi for, and a systemd user timer that calls it hourly."""
        Folder(
            "rotator",
            root=str(self._root),
            files=rotator_files(self._root, self.manifest),
            stack=self.manifest.stack,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._folder]),
        )
        return Schedule(every="hour", turn_on=turn_on(self._root, self.manifest.stack))

    def record_access(self) -> Trail:
        """Own records, and the gap in them declared."""
        return trail_of(self._root)


def _location(root: Path, store: DotenvStore, settings: Settings) -> Location:
    """Where each field of each secret that the server reads is delivered."""
    variables: dict[str, dict[str, str]] = {}
    paths: dict[str, dict[str, str]] = {}
    file_variables: dict[str, dict[str, str]] = {}
    for secret in settings.catalogue.for_reader(Reader.SERVER):
        names, places = _delivery(secret, files=store.deliver == "files")
        if isinstance(settings.broker, OutsideBroker) and settings.broker.ca_file and secret.kind is SecretKind.X509:
            names.pop("ca.crt", None)  # Pulumi's line names the operator's file
        variables[secret.name] = {field: name for field, name in names.items() if field not in places}
        paths[secret.name] = places
        file_variables[secret.name] = {
            field: name if secret.kind is SecretKind.X509 else f"{name}_FILE"
            for field, name in names.items()
            if field in places
        }
    return Location(
        root=str(root),
        variables=variables,
        files=paths,
        file_variables=file_variables,
        lines=public_variables(settings.broker, log_level=settings.log_level, agent=settings.agent),
    )


def _delivery(secret: Secret, *, files: bool) -> tuple[dict[str, str], dict[str, str]]:
    """field -> variable, and field -> path for those that are delivered as a file."""
    names = variables_of(secret)
    if secret.kind is SecretKind.X509:
        paths = {field: path for field, path in _FILES[secret.kind].items() if field in secret.fields}
        return {field: name for field, name in names.items() if field in paths}, paths
    paths = _FILES.get(secret.kind) or {field: f"secrets/{secret.name}.{field}-{{version}}" for field in secret.fields}
    return names, dict(paths) if files else {}
