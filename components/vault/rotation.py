"""The Vault store's rotator: `secretops tick` with its own role. Vault runs no programs, so the rotator is a CronJob in
the server's cluster or, without a cluster, a systemd user timer on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi

from secretops.manifest import Manifest
from secretops.platforms.vault.location import VaultStoreLocation as Location

from ..core.broker import BrokerArgs, ca_bundle
from ..core.component import Component, ComponentError
from ..core.principals import Pods
from ..dotenv.folder import Folder
from ..dotenv.rotation import rotator_files, turn_on
from ..kubernetes.pod_args import PodArgs
from .args import CA_FILE, LOGIN_FOLDER, names_of
from .identity import VaultIdentitiesArgs, VaultReader
from .policies import of_rotator


@dataclass(frozen=True, kw_only=True)
class VaultRotationArgs:
    manifest: Manifest
    """The `manifest` of a store, which configures secretops."""
    broker: BrokerArgs
    reader: VaultReader | VaultIdentitiesArgs
    """Logins of server and rotator (`principal` of a VaultIdentities), or arguments to create identities."""
    pods: PodArgs | None = None
    """Settings of the rotator's pods, if the server is in a cluster."""
    after: Sequence[pulumi.Resource] = ()
    """Resources that must exist before the rotator writes, such as the mount."""


class VaultRotation(Component):
    """An hourly tick and its rights. Contains no secret values: an operator puts the login credential into the folder
    `login`."""

    schedule: str
    """The command that enables the hourly tick; "" in a cluster."""
    reader: VaultReader

    def __init__(self, name: str, args: VaultRotationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:vault:Rotation", name, opts, formerly="", siblings=True)
        self._args, manifest = args, args.manifest
        self.reader = reader = VaultReader.of(self, name, args.reader, manifest.stack)
        rights = of_rotator(names_of(manifest.stack), manifest.secrets)
        reader.place.grant(f"{name}-rotator-policy", reader.rotates.role, rights, self, args.after)
        command = ""
        if isinstance(reader.workload, Pods):
            self._in_cluster(f"{name}-rotator", reader.workload)
        else:
            child, own = pulumi.ResourceOptions(parent=self), Path(reader.folder) / "rotator"
            Folder(f"{name}-login", root=str(Path(reader.folder) / LOGIN_FOLDER), opts=child)
            files = rotator_files(own, self._manifest())
            Folder(f"{name}-rotator", root=str(own), folders=("config", "systemd"), files=files, opts=child)
            command = turn_on(own, manifest.stack)
        self.schedule = command
        self.register_outputs({})

    def _in_cluster(self, name: str, workload: Pods) -> None:
        from ..kubernetes.pods import STACK_FOLDER
        from ..kubernetes.rotation import KubernetesRotator, KubernetesRotatorArgs, StoreElsewhere

        reader, pods = self.reader, self._args.pods
        if pods is None:
            rule = "the rotator of a server in a cluster must run in pods of that cluster, with this project's image"
            what, remedy = f"{self._name}: the argument pods is missing", "pass pods=PodArgs(image=...)"
            raise ComponentError(what, rule, remedy, code="pods-missing")
        ca_file = reader.place.ca_file
        args = KubernetesRotatorArgs(
            manifest=self._manifest(ca_file=f"{STACK_FOLDER}/{CA_FILE}" if ca_file else None),
            broker=self._args.broker,
            pods=pods,
            account=workload.account,
            elsewhere=StoreElsewhere(
                address=reader.place.address,
                audience=reader.audience,
                token=reader.rotates.file,
                files={CA_FILE: ca_bundle(ca_file)} if ca_file else {},
            ),
        )
        KubernetesRotator(name, args, pulumi.ResourceOptions(parent=self))

    def _manifest(self, *, ca_file: str | None = None) -> Manifest:
        store = self._args.manifest.store
        if not isinstance(store, Location):
            raise TypeError(f"{store.kind}: a role of Vault reads no other store")
        changed = store.model_copy(update={"login": self.reader.rotates, "ca_file": ca_file or store.ca_file})
        return self._args.manifest.model_copy(update={"store": changed})
