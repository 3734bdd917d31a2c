"""HashiCorp Vault and OpenBao: a KV v2 mount as a store. A server of another platform reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from secretops.errors import UsageError

from ..core.platform import Feature, Platform
from ..core.principals import HostUser, Pods, Principal, Workload
from ..core.references import ReferenceKind
from ..dotenv.settings import LocalServer
from ..kubernetes.pod_args import PodArgs
from ..kubernetes.settings import KubernetesServer
from ..settings.problems import Problem
from ..settings.section import PROJECT_FOLDER, ServerSection
from ..settings.settings import Settings
from ..swarm.principals import SwarmService
from ..swarm.settings import SwarmServer
from .settings import VaultStore

if TYPE_CHECKING:
    from .login import VaultMethod
    from .principals import VaultReader
    from .secret_store import VaultSecretStore

FETCHED = ReferenceKind.FETCHED


class Vault(Platform):
    """The platform `vault`."""

    store_settings = VaultStore
    references = {
        "local": (FETCHED,),
        "swarm": (FETCHED,),
        "kubernetes": (ReferenceKind.MOUNTED_FILES, ReferenceKind.SYNCED_KEY),
        "ecs": (FETCHED,),
    }
    planned = {
        "ecs": "a task has but its AWS role to log in by: OpenBao has no such auth method, "
        "and all others take a secret id or a token that somebody has to lay into the task",
    }
    why_no_other = "the server there has no way to log in to Vault"
    gaps = {
        Feature.READ_TRAIL: "each request is in the Vault server's audit log, which its administrator keeps; "
        "reads of an agent's files in a pod are not recorded",
        Feature.GRANT: "who may write policies or roles, as root may, can let himself read any; the log has it",
        Feature.SCHEDULE: "it runs no rotator: a cluster's CronJob does, or a systemd user timer that you enable",
    }

    value_remedies = {
        r"^store\.(approle|jwt)\.": "put the new one where server or rotator looks for it: see the output next",
        r"^store\.": "log in with the new one: bao login or vault login, or VAULT_TOKEN",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        if isinstance(store := sections.get("store"), VaultStore):
            yield from cross_field_rules(store, sections)

    def preflight(self, settings: Settings) -> None:
        """Check that VAULT_NAMESPACE names no other namespace than the stack file."""
        assert isinstance(settings.store, VaultStore)
        check_namespace(settings.store)

    def first_tick(self, settings: Settings) -> str | None:
        """Return what an operator does before the first tick on this machine; in a cluster the CronJob runs it."""
        from .login import before_a_tick

        assert isinstance(store := settings.store, VaultStore)
        if not isinstance(server := settings.server, LocalServer | SwarmServer):
            return None
        before = before_a_tick(
            login_of(store, server),
            settings.stack,
            workload=SwarmService if isinstance(server, SwarmServer) else HostUser,
            folder=home(server),
            program="bao" if store.product == "openbao" else "vault",
            swarm_secret=server.login if isinstance(server, SwarmServer) else None,
        )
        return f"{before}, then secretops tick"

    def last_steps(self, settings: Settings) -> Iterator[str]:
        if isinstance(settings.store, VaultStore) and settings.store.waits_for_a_signature:
            yield "sign the output csr, name what was signed in store.pki.certificate_file, and pulumi up"

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> VaultReader:
        """Return who reads a Vault: the server's pods, what copies into their namespace, or a launcher elsewhere."""
        from .identity import VaultIdentities, VaultIdentitiesArgs

        assert isinstance(store := settings.store, VaultStore)
        assert isinstance(workload, HostUser | Pods | SwarmService)
        args = VaultIdentitiesArgs(
            address=store.address,
            namespace=store.namespace,
            ca_file=store.ca_file,
            workload=workload,
            login=login_of(store, settings.server),
            folder=home(settings.server),
            syncs=getattr(settings.server, "reference", None) == "SyncedKey",
            stack=settings.stack,
        )
        return VaultIdentities(name if isinstance(workload, HostUser) else f"{name}-vault", args, opts).principal

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> VaultSecretStore:
        from .pki import PkiArgs
        from .principals import VaultReader
        from .secret_store import VaultSecretStore, VaultSecretStoreArgs

        assert isinstance(store := settings.store, VaultStore)
        assert isinstance(principal, VaultReader)
        server = settings.server
        pods = None
        if isinstance(server, KubernetesServer):
            from ..kubernetes.platform import pod_args

            pods = PodArgs(**pod_args(server, server.rotator_resources))
        args = VaultSecretStoreArgs(
            **settings.store_args,
            reader=principal,
            operators=store.operators,
            product=store.product,
            max_versions=store.max_versions,
            audit_files=store.audit_files,
            pki=PkiArgs(**store.pki.model_dump()) if store.pki else None,
            pods=pods,
        )
        made = VaultSecretStore(name, args, opts)
        if made.csr is not None:
            pulumi.export("csr", made.csr)
        return made


NAMESPACE = "VAULT_NAMESPACE"


def check_namespace(store: VaultStore) -> None:
    """Check that no variable of this machine names another namespace than the stack file. Raises RunError.

    Pulumi's provider would make everything there, and rotators and readers, who know the stack file's, find nothing.
    """
    said, meant = os.environ.get(NAMESPACE, "").strip("/"), store.namespace or ""
    if said not in ("", meant):
        error = UsageError(
            f"{NAMESPACE} is {said}, and the stack file {f'has namespace {meant}' if meant else 'names no namespace'}",
            rule="Pulumi's provider would make everything in the variable's, and nobody else would look there; "
            "nothing was changed",
            remedy=f"write namespace: {said} into the section store, or unset {NAMESPACE}",
        )
        raise pulumi.RunError(str(error))


def login_of(store: VaultStore, server: ServerSection) -> VaultMethod:
    """Return how server and rotator log in, by the stack file or by default."""
    from .login import AppRoleLogin, JwtLogin, ServiceAccountLogin

    if store.jwt:
        return JwtLogin(**store.jwt.model_dump())
    if store.kubernetes:
        return ServiceAccountLogin(**store.kubernetes.model_dump())
    if store.approle:
        return AppRoleLogin(**store.approle.model_dump())
    return ServiceAccountLogin() if isinstance(server, KubernetesServer) else AppRoleLogin()


def home(server: ServerSection) -> str:
    """Return the folder of a rotator of this machine: beside the client's entry, else below the project."""
    return str(server.entry_folder if isinstance(server, LocalServer) else PROJECT_FOLDER / ".coreflux-mcp-rotator")


PLATFORM = Vault()
