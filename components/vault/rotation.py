"""The Vault store's rotator: `secretops tick`, which logs in by its own role. Vault runs no program of anybody's, so it
ticks where the server is: by a CronJob in its cluster, or by a systemd user timer beside its client's entry.
"""

from __future__ import annotations

import pulumi

from secretops.manifest import Manifest
from secretops.platforms.vault.location import VaultStoreLocation as Location

from ..core.broker import BrokerArgs, ca_bundle
from ..core.principals import Pods
from ..core.secret_store import Schedule
from ..dotenv.folder import Folder
from ..dotenv.rotation import rotator_files, turn_on
from ..kubernetes.settings import KubernetesServer
from ..settings.section import ServerSection
from .login import LOGIN_FOLDER, home
from .principals import VaultReader, VaultRole
from .reading import CA_FILE
from .settings import VaultStore

ROTATOR_FOLDER = "rotator"
"""Beside that one: the manifest and the units."""


def on_this_machine(
    parent: pulumi.ComponentResource, manifest: Manifest, role: VaultRole, *, server: ServerSection
) -> Schedule:
    """A manifest that `secretops tick` needs no Pulumi for, a timer that calls it, and a folder for what it logs in
    with, which an operator puts there."""
    root = home(server)
    child = pulumi.ResourceOptions(parent=parent)
    Folder("login", root=str(root / LOGIN_FOLDER), opts=child)
    own = root / ROTATOR_FOLDER
    Folder(
        "rotator",
        root=str(own),
        folders=("config", "systemd"),
        files=rotator_files(own, _by(role, manifest)),
        opts=child,
    )
    return Schedule(every="hour", turn_on=turn_on(own, manifest.stack))


def in_cluster(
    parent: pulumi.ComponentResource,
    manifest: Manifest,
    reader: VaultReader,
    *,
    server: KubernetesServer,
    broker: BrokerArgs,
    store: VaultStore,
) -> Schedule:
    """A CronJob beside the server, whose pods log in as its service account; it runs from the first `pulumi up` on."""
    from ..kubernetes.pods import STACK_FOLDER
    from ..kubernetes.rotation import KubernetesRotator, StoreElsewhere

    if not isinstance(reader.workload, Pods):
        raise TypeError(f"{reader.reads.name}: is no role of a cluster")
    role = reader.rotates
    KubernetesRotator(
        "rotator",
        manifest=_by(role, manifest, ca_file=f"{STACK_FOLDER}/{CA_FILE}" if store.ca_file else None),
        secrets=(),
        server=server,
        broker=broker,
        namespace=reader.workload.account.namespace,
        elsewhere=StoreElsewhere(
            address=store.address,
            audience=role.audience,
            token=role.login.file,
            files={CA_FILE: ca_bundle(store.ca_file)} if store.ca_file else {},
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return Schedule(every="hour", turn_on="")


def _by(role: VaultRole, manifest: Manifest, *, ca_file: str | None = None) -> Manifest:
    """The manifest of who logs in by `role`. Where it runs, the CA's file may have another path."""
    store = manifest.store
    if not isinstance(store, Location):
        raise TypeError(f"{store.kind}: a role of Vault reads no other store")
    changed = store.model_copy(update={"login": role.login, "ca_file": ca_file or store.ca_file})
    return manifest.model_copy(update={"store": changed})
