"""Roles of server and rotator. Pulumi never has their credentials: an operator gets a secret id from Vault, or a
workload gets a token from its platform."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pulumi
import pulumi_vault as vault

from secretops.platforms.vault.location import VaultLogin

from ..core.broker import ca_bundle
from ..core.component import Component, ComponentError, planned
from ..core.naming import DAY, stack_name
from ..core.principals import HostUser, Place, Pods, Principal
from ..swarm.service_spec import SwarmService
from .args import (
    METHODS,
    ROTATOR,
    SERVER,
    AppRoleLogin,
    JwtLogin,
    ServiceAccountLogin,
    VaultMethod,
    VaultServerArgs,
    Who,
    login_file,
    names_of,
)
from .policies import Right, document

# Minutes that a token is valid unless it is renewed. A tick is shorter (components/kubernetes/rotation.py); launchers
# and agents renew their tokens.
TOKEN_MINUTES = {SERVER: 60, ROTATOR: 30}
# Hours after which even a renewed token expires. The program then logs in again, by the current settings of its role.
LONGEST_HOURS = {SERVER: 24, ROTATOR: 1}

WHY = "Server and rotator of the Coreflux MCP secrets log in here"


@dataclass(frozen=True, kw_only=True)
class VaultPlace(Place, VaultServerArgs):
    is_given: bool = False
    """Whether the program supplied the provider."""

    @classmethod
    def of(cls, component: Component, name: str, server: VaultServerArgs) -> VaultPlace:
        """Return the server with the vault provider of `component`, or with a new provider if that has none."""
        if isinstance(server, VaultPlace):
            return server
        given = component.get_provider("vault:index/mount:Mount")
        provider = given or vault.Provider(
            f"{name}-vault",
            address=server.address,
            namespace=server.namespace,
            set_namespace_from_token=False,
            ca_cert_file=server.ca_file,
            # A child token would expire after `pulumi up`, and the operator's token may lack the right to create it.
            skip_child_token=True,
            # Set explicitly, so that variables of this machine (VAULT_SKIP_VERIFY, VAULT_MAX_RETRIES) don't apply. The
            # provider can't be set to use no namespace, so preflight checks VAULT_NAMESPACE.
            skip_tls_verify=False,
            max_retries=2,
            max_lease_ttl_seconds=1200,
            opts=pulumi.ResourceOptions(parent=component),
        )
        own = {each.name: getattr(server, each.name) for each in fields(VaultServerArgs)}
        return cls(provider=provider, is_given=given is not None, **own)

    def checked(self, text: pulumi.Output[str]) -> pulumi.Output[str]:
        """Return `text` as an output that fails with ComponentError if the supplied provider is for another server."""
        if not self.is_given or not isinstance(self.provider, vault.Provider):
            return text

        def check(known: list[Any]) -> Any:
            text, *properties = known
            meant_by = {"address": self.address, "namespace": self.namespace or ""}
            for (key, meant), found in zip(meant_by.items(), properties, strict=True):
                if not pulumi.contains_unknowns(found) and (found or "").rstrip("/") != meant.rstrip("/"):
                    raise ComponentError(
                        f"the provider of package vault has {key} {found or '(none)'}, the arguments have "
                        f"{meant or '(none)'}",
                        "the provider must use the Vault server and namespace of the arguments, where readers look "
                        "for the secrets",
                        f"set the provider's {key} to that of the arguments, or remove the provider",
                        code="provider-of-other-server",
                    )
            return text

        both = pulumi.Output.all(text, self.provider.address, self.provider.namespace)
        return both.apply(check, run_with_unknowns=True)

    def grant(
        self, resource: str, policy: str, rights: Iterable[Right], parent: Component, after: Sequence[pulumi.Resource]
    ) -> None:
        opts = self.under(parent, after=after)
        vault.Policy(resource, name=policy, policy=document(rights), opts=opts)


@dataclass(frozen=True, kw_only=True)
class VaultReader(Principal):
    """The logins of server and rotator. Both run on another platform, since Vault runs no programs."""

    place: VaultPlace
    reads: VaultLogin
    """The server's role and login file. Tokens of this role have the policy with the role's name."""
    rotates: VaultLogin
    audience: str | None
    """Audience of the token in the login files. None if the token is for the cluster's API server, or if the login uses
    no token."""
    workload: HostUser | Pods | SwarmService
    folder: str
    """Folder of a rotator on this machine."""
    syncs_as: pulumi.Output[str] | None = None
    """Service account with which External Secrets reads Vault, to copy secrets into the pods' namespace."""

    @classmethod
    def of(cls, component: Component, name: str, args: VaultReader | VaultIdentitiesArgs, stack: str) -> VaultReader:
        """Return `args` if it is a reader. For arguments, create identities below `component`, and return their
        reader."""
        if isinstance(args, VaultReader):
            return args
        opts = pulumi.ResourceOptions(parent=component)
        return VaultIdentities(f"{name}-identity", replace(args, stack=args.stack or stack), opts).principal


@dataclass(frozen=True, kw_only=True)
class VaultIdentitiesArgs(VaultServerArgs):
    workload: HostUser | Pods | SwarmService | None = None
    """The server's identity; by default the account of this machine that runs the program."""
    login: VaultMethod | None = None
    """Login method of server and rotator; by default pods log in as service accounts, others by AppRole."""
    folder: str | None = None
    """Folder of a rotator on this machine; by default .coreflux-mcp-rotator in the program's folder."""
    syncs: bool = False
    """Whether External Secrets copies secrets into the pods' namespace. By default Vault's agent writes files in each
    pod."""
    stack: str | None = None
    """Stack name, for names in Vault; by default Pulumi's."""


class VaultIdentities(Component):
    """The roles of server and rotator, and their auth method, unless it is already enabled. Creates no policies.

    Uses a provider of package vault in `opts`; the default provider reads its token from the environment.
    """

    place: VaultPlace
    principal: VaultReader
    """The logins of server and rotator. Pods, External Secrets or a launcher use the server's login."""

    def __init__(self, name: str, args: VaultIdentitiesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:vault:Identity", name, opts, formerly="")
        workload = self._workload = args.workload or HostUser.this()
        self._name, self._names, self._syncs = name, names_of(stack_name(args.stack)), args.syncs
        self._login = args.login or (ServiceAccountLogin() if isinstance(workload, Pods) else AppRoleLogin())
        self._folder = args.folder or str(Path.cwd() / ".coreflux-mcp-rotator")
        self.place = VaultPlace.of(self, name, args)
        self._mount = self.place.checked(self._method())
        self.principal = VaultReader(
            place=self.place,
            reads=self._role(SERVER),
            rotates=self._role(ROTATOR),
            audience=getattr(self._login, "audience", None),
            workload=workload,
            folder=self._folder,
            syncs_as=workload.sync_account({}) if args.syncs and isinstance(workload, Pods) else None,
        )
        self.register_outputs({"address": args.address})

    def _method(self) -> pulumi.Output[str]:
        login = self._login
        if isinstance(login, ServiceAccountLogin):
            return pulumi.Output.from_input(login.mount)
        kind = METHODS[type(login)]
        common: Any = {"type": kind, "path": self._names.of(kind), "description": WHY, "opts": self.place.under(self)}
        made: vault.AuthBackend | vault.jwt.AuthBackend
        if isinstance(login, JwtLogin):
            made = vault.jwt.AuthBackend(
                f"{self._name}-jwt",
                oidc_discovery_url=login.issuer,
                oidc_discovery_ca_pem=ca_bundle(login.ca_file) if login.ca_file else None,
                bound_issuer=login.issuer,
                **common,
            )
        else:
            made = vault.AuthBackend(f"{self._name}-approle", **common)
        return planned(made.path.apply(str), self._names.of(kind))

    def _role(self, who: Who) -> VaultLogin:
        name, resource, login = self._names.of(who), f"{self._name}-{who}-role", self._login
        method, (namespace, account, user) = METHODS[type(login)], self._pod(who)
        common: dict[str, Any] = {
            "backend": self._mount,
            "role_name": name,
            "token_policies": [name],
            "token_no_default_policy": True,  # nosec B105 - a flag, not a token
            "token_ttl": TOKEN_MINUTES[who] * 60,
            "token_max_ttl": LONGEST_HOURS[who] * 3600,
            "opts": self.place.under(self),
        }
        match login:
            case AppRoleLogin():
                vault.approle.AuthBackendRole(
                    resource,
                    role_id=name,  # a role's id is not secret, unlike a secret id
                    secret_id_ttl=login.days * DAY,
                    secret_id_bound_cidrs=list(login.networks) or None,
                    token_bound_cidrs=list(login.networks) or None,
                    **common,
                )
            case JwtLogin():
                vault.jwt.AuthBackendRole(
                    resource,
                    role_type="jwt",
                    user_claim="sub",
                    bound_subject=user or getattr(login, who),
                    bound_audiences=[login.audience],
                    **common,
                )
            case ServiceAccountLogin():
                vault.kubernetes.AuthBackendRole(
                    resource,
                    bound_service_account_names=[account],
                    bound_service_account_namespaces=[namespace],
                    audience=login.audience,
                    **common,
                )
        return VaultLogin(
            method=method,
            mount=login.mount if isinstance(login, ServiceAccountLogin) else self._names.of(method),
            role=name,
            file=login_file(login, who, workload=type(self._workload), folder=self._folder),
            wrapped=isinstance(login, AppRoleLogin) and login.wrapped and who == SERVER,
        )

    def _pod(self, who: Who) -> tuple[str, str, str]:
        """Return namespace, service account and user name of the pods of `who`. Outside of a cluster, all are empty."""
        if not isinstance(self._workload, Pods):
            return "", "", ""
        from ..kubernetes import names

        account = names.ROTATOR if who == ROTATOR else names.SYNC if self._syncs else names.SERVER
        namespace = self._workload.account.namespace.known_name
        return namespace, account, names.user_of(namespace, account)
