"""Arguments of the Swarm's store and rotator, the manifest, and the rotator's service. Does not import
pulumi_docker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from secretops.manifest import Manifest
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.task import MANIFEST_FILE

from ..core.broker import ca_bundle
from ..core.secret_store import SecretStoreArgs
from ..core.secrets import CLIENT_CERT, for_server
from .names import Names, files_of
from .service_spec import (
    CA_FILE,
    MEBIBYTE,
    PYTHON,
    USER,
    LogDriverArgs,
    PublicFile,
    Resources,
    Shape,
    SwarmArgs,
    SwarmService,
    Update,
)

# The launcher finds files by environment variables, because the folder of secrets is missing until one is mounted.
SOURCE = "env:"

# The socket belongs to root: write access to it is root access to the node, and to every secret of the Swarm.
ROOT = "0:0"

# Seconds until SIGKILL. The rotator waits for its task, which has 60 seconds to end (platforms/swarm/job.py).
END_WITHIN = 90


@dataclass(frozen=True, kw_only=True)
class SwarmSecretStoreArgs(SwarmArgs, SecretStoreArgs):
    networks: Sequence[str] = ()
    """Ids or names of further overlay networks for rotations, e.g. the broker's."""
    rotator: Literal["timer", "service"] = "timer"
    """How ticks are started. timer: a systemd timer that you install on a manager. service: a Swarm service that uses a
    manager's socket."""
    socket: str = "/var/run/docker.sock"
    """Path of the daemon's socket on managers, for rotator service."""


@dataclass(frozen=True, kw_only=True)
class SwarmRotatorArgs:
    manifest: Manifest
    shared: SwarmService
    """`service` of a SwarmIdentity or of a store, to share its provider and network."""
    socket: str = "/var/run/docker.sock"
    """Path of the daemon's socket on managers."""
    log_driver: LogDriverArgs | None = None
    """Log driver of the rotator's containers; by default the daemon's."""


def manifest_of(names: Names, args: SwarmSecretStoreArgs) -> Manifest:
    """Return the store's manifest, which is the same with Pulumi and with `docker stack deploy`."""
    uid, _, _ = USER.partition(":")
    return args.manifest(
        store=Location(
            prefix=names.prefix,
            state_config=names.of("versions"),
            instance=names.base,
            service=names.of("server"),
            delivered={secret.name: files_of(secret) for secret in for_server(args.every_secret)},
            uid=int(uid),
            image=args.image,
            networks=(names.network(encrypted=args.encrypted), *args.networks),
        ),
        broker=args.broker.location(certificate_secret=CLIENT_CERT),
    )


def rotator_shape(manifest: Manifest, *, socket: str, log_driver: LogDriverArgs | None) -> Shape:
    """Return the specification of the rotator's service, with one replica. Raises TypeError unless `manifest` is a
    Swarm store's."""
    store = manifest.store
    if not isinstance(store, Location):
        raise TypeError(
            f"{store.kind}: the manifest must be of store swarm, because this rotator is a service of a Swarm"
        )
    names = Names(store.instance)
    return Shape(
        key="rotator",
        image=store.image,
        command=(PYTHON, "-m", "secretops.platforms.swarm.rotator"),
        args=(),
        user=ROOT,
        environment={"SECRETOPS_MANIFEST": MANIFEST_FILE, "DOCKER_HOST": f"unix://{socket}"},
        labels=names.labels,
        replicas=1,
        resources=Resources(cpu=500, memory=256 * MEBIBYTE),
        reserved=Resources(cpu=50, memory=64 * MEBIBYTE),
        update=Update(order="stop-first", failure_action="pause", monitor=5),
        rollback=None,
        stop_within=END_WITHIN,
        files=_rotator_files(names, manifest),
        sockets=(socket,),
        constraints=("node.role==manager",),
        hostname="{{.Node.Hostname}}",
        log_driver=log_driver,
    )


def _rotator_files(names: Names, manifest: Manifest) -> tuple[PublicFile, ...]:
    files = []
    if ca_file := manifest.broker.ca_file:
        bundle = ca_bundle(ca_file)
        manifest = manifest.model_copy(update={"broker": manifest.broker.model_copy(update={"ca_file": CA_FILE})})
        # Not the server's config, although the text is equal, so that each can be removed without the other.
        files.append(PublicFile(key="ca", name=names.config("tick-ca", bundle), target=CA_FILE, text=bundle))
    text = manifest.model_dump_json(indent=1) + "\n"
    return PublicFile(key="manifest", name=names.config("manifest", text), target=MANIFEST_FILE, text=text), *files
