from __future__ import annotations

import os
import shlex
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
from ..swarm.service_spec import SwarmService
from ..swarm.settings import SwarmServer
from .args import ROTATOR, SERVER, AuditArgs, PkiArgs, VaultMethod, VaultServerArgs, login_file, names_of
from .settings import VaultStore

if TYPE_CHECKING:
    from .identity import VaultReader
    from .secret_store import VaultSecretStore

FETCHED = ReferenceKind.FETCHED
NAMESPACE = "VAULT_NAMESPACE"


class Vault(Platform):
    store_settings = VaultStore
    references = {
        "local": (FETCHED,),
        "swarm": (FETCHED,),
        "kubernetes": (ReferenceKind.MOUNTED_FILES, ReferenceKind.SYNCED_KEY),
        "ecs": (FETCHED,),
    }
    planned = {
        "ecs": "OpenBao has no auth method for a task's AWS role, and every other method requires a secret id or a "
        "token in the task"
    }
    why_no_other = "a server of that kind has no way to log in to Vault"
    gaps = {
        Feature.READ_TRAIL: "the Vault server's administrator has the audit log with each request; reads of an "
        "agent's files in a pod are not recorded",
        Feature.GRANT: "a principal that may write policies or roles, such as root, can grant itself any read; the "
        "audit log shows such changes",
        Feature.SCHEDULE: "Vault does not start ticks: a cluster's CronJob does, or a systemd user timer that you "
        "enable",
    }

    value_remedies = {
        r"^store\.(approle|jwt)\.": "write the new credential to the file that the server or rotator reads (shown by: "
        "pulumi stack output next)",
        r"^store\.": "log in with a new token: bao login or vault login, or set VAULT_TOKEN",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        if isinstance(store := sections.get("store"), VaultStore):
            yield from cross_field_rules(store, sections)

    def preflight(self, settings: Settings) -> None:
        """Raise RunError if VAULT_NAMESPACE is set, but is not the namespace in the stack file.

        Pulumi's provider would create everything in VAULT_NAMESPACE, while rotator and readers use the stack file's
        namespace.
        """
        assert isinstance(settings.store, VaultStore)
        variable, meant = os.environ.get(NAMESPACE, "").strip("/"), settings.store.namespace or ""
        if variable not in ("", meant):
            known = f"has namespace {meant}" if meant else "names no namespace"
            error = UsageError(
                f"{NAMESPACE} is {variable}, but the stack file {known}",
                rule=f"{NAMESPACE} and store.namespace must be the same: Pulumi's provider uses the variable, and "
                "secretops the stack file",
                remedy=f"write store.namespace: {variable} in the stack file; or: unset {NAMESPACE}",
                code="vault-namespace-differs",
            )
            raise pulumi.RunError(str(error))

    def first_tick(self, settings: Settings) -> str | None:
        """Return the commands that give server and rotator a login and start the first tick; None in a cluster, where
        pods have logins and a CronJob starts the tick."""
        assert isinstance(store := settings.store, VaultStore)
        if not isinstance(server := settings.server, LocalServer | SwarmServer):
            return None
        names, login, in_swarm = names_of(settings.stack), login_of(store), isinstance(server, SwarmServer)
        workload = SwarmService if in_swarm else HostUser
        files = {who: login_file(login, who, workload=workload, folder=home(server)) for who in (SERVER, ROTATOR)}
        if store.jwt:
            tokens = f"{store.jwt.server} and {store.jwt.rotator} into {files[SERVER]} and {files[ROTATOR]}"
            return f"write the tokens of {tokens}, then secretops tick"
        write = "bao write" if store.product == "openbao" else "vault write"
        role, before = f"auth/{names.of('approle')}/role/{names.base}", ""
        options = dict.fromkeys(files, "-field=secret_id")
        if (
            isinstance(server, SwarmServer) and server.login
        ):  # the Swarm secret with its secret id was created before the role existed
            del options[SERVER]
            shown = "-field=secret_id_accessor"  # the full answer would contain the secret id
            before = f"{write} {shown} {role}-{SERVER}/custom-secret-id secret_id=@FILE"
            before += f" (FILE has the text of the Swarm's secret {server.login}), then "
        elif store.approle and store.approle.wrapped:
            options[SERVER] = "-wrap-ttl=1h -field=wrapping_token"
        made = []
        for who, how in options.items():  # a redirection to the file would empty it also if the command fails
            new, file = shlex.quote(f"{files[who]}.new"), shlex.quote(files[who])
            made.append(f"{write} -f {how} {role}-{who}/secret-id > {new} && mv {new} {file}")
        return f"{before}(umask 077; {'; '.join(made)}), then secretops tick"

    def last_steps(self, settings: Settings) -> Iterator[str]:
        if isinstance(settings.store, VaultStore) and settings.store.waits_for_a_signature:
            yield (
                "sign the stack's output csr, write the path of the certificate in store.pki.certificate_file and run "
                "pulumi up"
            )

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> VaultReader:
        from .identity import VaultIdentities, VaultIdentitiesArgs

        assert isinstance(store := settings.store, VaultStore)
        assert isinstance(workload, HostUser | Pods | SwarmService)
        args = VaultIdentitiesArgs(
            **store.arguments_of(VaultServerArgs),
            workload=workload,
            login=login_of(store),
            folder=home(settings.server),
            syncs=getattr(settings.server, "reference", None) == "SyncedKey",
            stack=settings.stack,
        )
        return VaultIdentities(name if isinstance(workload, HostUser) else f"{name}-vault", args, opts).principal

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> VaultSecretStore:
        from ..kubernetes.platform import pod_args
        from .identity import VaultReader
        from .secret_store import VaultSecretStore, VaultSecretStoreArgs

        assert isinstance(store := settings.store, VaultStore)
        assert isinstance(principal, VaultReader)
        server = settings.server
        args = VaultSecretStoreArgs(
            **settings.store_args,
            **store.arguments_of(AuditArgs),
            reader=principal,
            operators=store.operators,
            max_versions=store.max_versions,
            pki=PkiArgs(**store.pki.model_dump()) if store.pki else None,
            pods=PodArgs(**pod_args(server, server.rotator_resources))
            if isinstance(server, KubernetesServer)
            else None,
        )
        return VaultSecretStore(name, args, opts)


def login_of(store: VaultStore) -> VaultMethod | None:
    """Return the login method in the stack file; None for the platform's default."""
    found = (section for section in (store.jwt, store.kubernetes, store.approle) if section)
    return next((section.arguments[0](**section.model_dump()) for section in found), None)


def home(server: ServerSection) -> str:
    """Return the rotator's folder: with a local server, the folder of config/mcp.json; otherwise .coreflux-mcp-rotator
    in the project."""
    return str(server.entry_folder if isinstance(server, LocalServer) else PROJECT_FOLDER / ".coreflux-mcp-rotator")


PLATFORM = Vault()
