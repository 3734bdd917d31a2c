"""The Vault store's rotator: `secretops tick`, which logs in by its own role. Vault runs no program of anybody's, so it
ticks where the server is: by a CronJob in its cluster, or by a systemd user timer beside its client's entry.
"""

from __future__ import annotations

from pathlib import Path

import pulumi

from secretops.manifest import Manifest
from secretops.platforms.vault.location import VaultStoreLocation as Location

from ..core.broker import BrokerArgs, ca_bundle
from ..core.principals import Pods
from ..core.secret_store import Schedule
from ..dotenv.folder import Folder
from ..dotenv.rotation import rotator_files, turn_on
from ..kubernetes.pod_args import PodArgs
from .login import LOGIN_FOLDER
from .principals import VaultReader, VaultRole
from .reading import CA_FILE

ROTATOR_FOLDER = "rotator"
"""Beside that one: the manifest and the units."""


def on_this_machine(parent: pulumi.ComponentResource, name: str, manifest: Manifest, reader: VaultReader) -> Schedule:
    """Declare a manifest that `secretops tick` needs no Pulumi for, a timer that calls it, and a folder for what it
    logs in with, which an operator puts there."""
    child = pulumi.ResourceOptions(parent=parent)
    Folder(f"{name}-login", root=str(Path(reader.folder) / LOGIN_FOLDER), opts=child)
    own = Path(reader.folder) / ROTATOR_FOLDER
    files = rotator_files(own, _by(reader.rotates, manifest))
    Folder(f"{name}-rotator", root=str(own), folders=("config", "systemd"), files=files, opts=child)
    return Schedule(every="hour", turn_on=turn_on(own, manifest.stack))


def in_cluster(
    parent: pulumi.ComponentResource,
    name: str,
    manifest: Manifest,
    reader: VaultReader,
    *,
    pods: PodArgs | None,
    broker: BrokerArgs,
) -> Schedule:
    """Declare a CronJob beside the server, whose pods log in as its service account; it runs from the first
    `pulumi up` on."""
    from ..kubernetes.pods import STACK_FOLDER
    from ..kubernetes.rotation import KubernetesRotator, KubernetesRotatorArgs, StoreElsewhere

    if not isinstance(reader.workload, Pods):
        raise TypeError(f"{reader.reads.name}: is no role of a cluster")
    if pods is None:
        raise pulumi.RunError(
            f"VaultSecretStore {name}: no pods"
            "\n    the rotator of a server in a cluster runs there, in pods of this project's image"
            "\n    -> add pods=PodArgs(image=...)"
        )
    role = reader.rotates
    ca_file = role.place.ca_file
    args = KubernetesRotatorArgs(
        manifest=_by(role, manifest, ca_file=f"{STACK_FOLDER}/{CA_FILE}" if ca_file else None),
        broker=broker,
        pods=pods,
        account=reader.workload.account,
        elsewhere=StoreElsewhere(
            address=role.place.address,
            audience=role.audience,
            token=role.login.file,
            files={CA_FILE: ca_bundle(ca_file)} if ca_file else {},
        ),
    )
    KubernetesRotator(f"{name}-rotator", args, pulumi.ResourceOptions(parent=parent))
    return Schedule(every="hour", turn_on="")


def _by(role: VaultRole, manifest: Manifest, *, ca_file: str | None = None) -> Manifest:
    """The manifest of who logs in by `role`. Where it runs, the CA's file may have another path."""
    store = manifest.store
    if not isinstance(store, Location):
        raise TypeError(f"{store.kind}: a role of Vault reads no other store")
    changed = store.model_copy(update={"login": role.login, "ca_file": ca_file or store.ca_file})
    return manifest.model_copy(update={"store": changed})
