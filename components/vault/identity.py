"""Who reads and who rotates: roles of an auth method, and the method where the stack enables it.

No secret id, token or key is made here. Whatever a role is taken with comes from Vault to an operator, or from a
platform to its workload, and never by way of Pulumi.
"""

from __future__ import annotations

import os
from typing import Any

import pulumi
import pulumi_vault as vault

from secretops.errors import UsageError
from secretops.platforms.vault.location import VaultLogin

from ..core.broker import ca_bundle
from ..core.component import Component
from ..core.planned import planned
from ..core.principals import HostUser, Pods
from ..kubernetes.settings import KubernetesServer
from ..settings.section import ServerSection
from ..swarm.principals import SwarmService
from .login import METHODS, Who, login_file, login_of
from .names import ROTATOR, SERVER, names_of
from .principals import VaultPlace, VaultReader, VaultRole
from .settings import VaultAppRole, VaultJwt, VaultKubernetes, VaultStore

TOKEN_MINUTES = {SERVER: 60, ROTATOR: 30}
"""For which a token is good that nobody renews. A tick takes no longer (components/kubernetes/rotation.py); a launcher
and an agent renew theirs."""

LONGEST_HOURS = {SERVER: 24, ROTATOR: 1}
"""After which not even a renewed token is good: its holder logs in anew, by a role that may have changed."""

NAMESPACE = "VAULT_NAMESPACE"


def check_namespace(store: VaultStore) -> None:
    """That no variable of whoever deploys names another namespace than the stack file. Raises RunError.

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


class VaultIdentities(Component):
    """The provider of the one server that the stack file names, an auth method where there is none, and roles.

    Owns no policy: what a role may is for the store to say. The provider's token comes from its environment.
    """

    place: VaultPlace

    def __init__(
        self,
        name: str,
        *,
        store: VaultStore,
        server: ServerSection,
        stack: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:vault:Identity", name, opts)
        self._server, self._names = server, names_of(stack)
        self._login = login_of(store, server)
        provider = vault.Provider(
            "vault",
            address=store.address,
            namespace=store.namespace,
            set_namespace_from_token=False,
            ca_cert_file=store.ca_file,
            # A child token would have the life of one `pulumi up`, and would not outlive whoever is asked to make it.
            skip_child_token=True,
            # Said, so that no variable of whoever deploys says otherwise (VAULT_SKIP_VERIFY, VAULT_MAX_RETRIES). That
            # there is no namespace can't be said: see check_namespace.
            skip_tls_verify=False,
            max_retries=2,
            max_lease_ttl_seconds=1200,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.place = VaultPlace(provider=provider, address=store.address, namespace=store.namespace or "")
        self._mount = self._method()
        self.register_outputs({"address": store.address})

    def reader(
        self, workload: HostUser | Pods | SwarmService, *, syncs_as: pulumi.Output[str] | None = None
    ) -> VaultReader:
        """The two roles. The server's is taken by its pods, by the account that copies for them, or by a launcher."""
        return VaultReader(
            reads=self._role(SERVER, copied=syncs_as is not None),
            rotates=self._role(ROTATOR),
            workload=workload,
            syncs_as=syncs_as,
        )

    def _method(self) -> pulumi.Output[str]:
        child = self.place.under(self)
        match self._login:
            case VaultAppRole():
                made = vault.AuthBackend(
                    "approle", type="approle", path=self._names.auth("approle"), description=self._why, opts=child
                )
                return planned(made.path, self._names.auth("approle"))
            case VaultJwt() as jwt:
                made_jwt = vault.jwt.AuthBackend(
                    "jwt",
                    type="jwt",
                    path=self._names.auth("jwt"),
                    description=self._why,
                    oidc_discovery_url=jwt.issuer,
                    oidc_discovery_ca_pem=ca_bundle(jwt.ca_file) if jwt.ca_file else None,
                    bound_issuer=jwt.issuer,
                    opts=child,
                )
                return planned(made_jwt.path.apply(str), self._names.auth("jwt"))
            case VaultKubernetes() as method:
                return pulumi.Output.from_input(method.mount)

    @property
    def _why(self) -> str:
        return "Server and rotator of the Coreflux MCP secrets log in here"

    def _role(self, who: Who, *, copied: bool = False) -> VaultRole:
        """The role of `who`. `copied`: External Secrets reads for the server."""
        name = self._names.of(who)
        common: dict[str, Any] = {
            "backend": self._mount,
            "role_name": name,
            "token_policies": [name],
            "token_no_default_policy": True,  # nosec B105 - no text
            "token_ttl": TOKEN_MINUTES[who] * 60,
            "token_max_ttl": LONGEST_HOURS[who] * 3600,
            "opts": self.place.under(self),
        }
        audience: str | None = None
        match self._login:
            case VaultAppRole() as approle:
                vault.approle.AuthBackendRole(
                    f"{who}-role",
                    role_id=name,  # what is shown beside it is the secret
                    secret_id_ttl=approle.days * 86400,
                    secret_id_bound_cidrs=list(approle.networks) or None,
                    token_bound_cidrs=list(approle.networks) or None,
                    **common,
                )
            case VaultJwt() as jwt:
                vault.jwt.AuthBackendRole(
                    f"{who}-role",
                    role_type="jwt",
                    user_claim="sub",
                    bound_subject=self._subject(jwt, who, copied=copied),
                    bound_audiences=[jwt.audience],
                    **common,
                )
                audience = jwt.audience
            case VaultKubernetes() as method:
                vault.kubernetes.AuthBackendRole(
                    f"{who}-role",
                    bound_service_account_names=[_account(who, copied=copied)],
                    bound_service_account_namespaces=[self._namespace],
                    audience=method.audience,
                    **common,
                )
                audience = method.audience
        return VaultRole(place=self.place, name=name, login=self._shown(who), audience=audience)

    def _shown(self, who: Who) -> VaultLogin:
        """How a program takes the role of `who`."""
        method = METHODS[type(self._login)]
        return VaultLogin(
            method=method,
            mount=self._login.mount if isinstance(self._login, VaultKubernetes) else self._names.auth(method),
            role=self._names.of(who),
            file=login_file(self._login, self._server, who),
            wrapped=isinstance(self._login, VaultAppRole) and self._login.wrapped and who == SERVER,
        )

    def _subject(self, jwt: VaultJwt, who: Who, *, copied: bool) -> str | None:
        if not self._namespace:
            return jwt.server if who == SERVER else jwt.rotator
        from ..kubernetes.names import user_of

        return user_of(self._namespace, _account(who, copied=copied))

    @property
    def _namespace(self) -> str:
        """Of the cluster, where the server is in one."""
        return self._server.namespace if isinstance(self._server, KubernetesServer) else ""


def _account(who: Who, *, copied: bool) -> str:
    """The service account that takes the role of `who`."""
    from ..kubernetes.names import ROTATOR as ROTATES
    from ..kubernetes.names import SERVER as SERVES
    from ..kubernetes.names import SYNC

    return ROTATES if who == ROTATOR else SYNC if copied else SERVES
