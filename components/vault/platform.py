"""HashiCorp Vault and OpenBao: a KV v2 mount as a store. A server of another platform reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from ..core.platform import Feature, Platform
from ..core.principals import HostUser, Pods, Principal, Workload
from ..core.references import ReferenceKind
from ..dotenv.settings import LocalServer
from ..settings.problems import Problem
from ..settings.settings import Settings
from ..swarm.principals import SwarmService
from ..swarm.settings import SwarmServer
from .principals import VaultReader
from .settings import VaultStore

if TYPE_CHECKING:
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
        Feature.READ_TRAIL: "each request is in the audit log of the Vault server, which whoever runs it keeps; "
        "what an agent has laid into a pod is read there unseen",
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
        from .identity import check_namespace

        assert isinstance(settings.store, VaultStore)
        check_namespace(settings.store)

    def first_tick(self, settings: Settings) -> str | None:
        """Return what an operator does before the first tick on this machine; in a cluster the CronJob runs it."""
        from .login import before_a_tick

        assert isinstance(store := settings.store, VaultStore)
        if not isinstance(server := settings.server, LocalServer | SwarmServer):
            return None
        return f"{before_a_tick(store, server, settings.stack)}, then secretops tick"

    def last_steps(self, settings: Settings) -> Iterator[str]:
        if isinstance(settings.store, VaultStore) and settings.store.waits_for_a_signature:
            yield "sign the output csr, name what was signed in store.pki.certificate_file, and pulumi up"

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> VaultReader:
        """Return who reads a Vault: the server's pods, what copies into their namespace, or a launcher elsewhere."""
        from .identity import VaultIdentities

        assert isinstance(store := settings.store, VaultStore)
        assert isinstance(workload, HostUser | Pods | SwarmService)
        named = name if isinstance(workload, HostUser) else f"{name}-vault"
        identities = VaultIdentities(named, store=store, server=settings.server, stack=settings.stack, opts=opts)
        if isinstance(workload, Pods) and getattr(settings.server, "reference", None) == "SyncedKey":
            return identities.reader(workload, syncs_as=workload.sync_account({}))
        return identities.reader(workload)

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> VaultSecretStore:
        from .secret_store import VaultSecretStore

        assert isinstance(settings.store, VaultStore)
        assert isinstance(principal, VaultReader)
        return VaultSecretStore(
            name, store=settings.store, broker=settings.broker.args, reader=principal, settings=settings, opts=opts
        )


PLATFORM = Vault()
