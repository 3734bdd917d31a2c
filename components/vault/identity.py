"""Who reads and who rotates: roles of an auth method, and the method where the stack enables it.

No secret id, token or key is made here. Whatever a role is taken with comes from Vault to an operator, or from a
platform to its workload, and never by way of Pulumi.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_vault as vault

from secretops.platforms.vault.location import VaultLogin

from ..core.broker import ca_bundle
from ..core.component import Component
from ..core.naming import DAY, stack_name
from ..core.planned import planned
from ..core.principals import HostUser, Pods
from ..swarm.principals import SwarmService
from .login import METHODS, AppRoleLogin, JwtLogin, ServiceAccountLogin, VaultMethod, Who, login_file
from .names import ROTATOR, SERVER, names_of
from .principals import VaultPlace, VaultReader, VaultRole, VaultServerArgs

TOKEN_MINUTES = {SERVER: 60, ROTATOR: 30}
"""For which a token is good that nobody renews. A tick takes no longer (components/kubernetes/rotation.py); a launcher
and an agent renew theirs."""

LONGEST_HOURS = {SERVER: 24, ROTATOR: 1}
"""After which not even a renewed token is good: its holder logs in anew, by a role that may have changed."""

WHY = "Server and rotator of the Coreflux MCP secrets log in here"


@dataclass(frozen=True, kw_only=True)
class VaultIdentitiesArgs(VaultServerArgs):
    """Arguments of VaultIdentities."""

    workload: HostUser | Pods | SwarmService | None = None
    """Who the server is; by default the account that runs the program, on this machine."""
    login: VaultMethod | None = None
    """How both log in; by default pods as service accounts, others by AppRole."""
    folder: str | None = None
    """Where a rotator of this machine has its files; by default .coreflux-mcp-rotator in the program's folder."""
    syncs: bool = False
    """Whether External Secrets copies the secrets into the pods' namespace; by default Vault's agent writes files."""
    stack: str | None = None
    """What names contain; by default the name of the Pulumi stack."""


class VaultIdentities(Component):
    """The roles of server and rotator, and the auth method unless it is enabled already.

    Owns no policy: the store says what a role may. A provider of package vault in `opts` is used; without one the
    component makes its own, whose token comes from its environment.
    """

    place: VaultPlace
    principal: VaultReader
    """Who reads and who rotates. The server's role is for its pods, for the account that copies, or for a launcher."""

    def __init__(self, name: str, args: VaultIdentitiesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:vault:Identity", name, opts, formerly="")
        workload = args.workload or HostUser.this()
        self._workload, self._name, self._names = workload, name, names_of(stack_name(args.stack))
        self._login = args.login or (ServiceAccountLogin() if isinstance(workload, Pods) else AppRoleLogin())
        self._folder = args.folder or str(Path.cwd() / ".coreflux-mcp-rotator")
        # Of the cluster, if the server is in one.
        self._namespace = workload.account.namespace.known_name if isinstance(workload, Pods) else ""
        self.place = VaultPlace.of(self, name, args)
        self._mount = self.place.checked(self._method())
        self.principal = VaultReader(
            reads=self._role(SERVER, copied=args.syncs),
            rotates=self._role(ROTATOR),
            workload=workload,
            folder=self._folder,
            syncs_as=workload.sync_account({}) if args.syncs and isinstance(workload, Pods) else None,
        )
        self.register_outputs({"address": args.address})

    def _method(self) -> pulumi.Output[str]:
        child = self.place.under(self)
        match self._login:
            case AppRoleLogin():
                made = vault.AuthBackend(
                    f"{self._name}-approle",
                    type="approle",
                    path=self._names.auth("approle"),
                    description=WHY,
                    opts=child,
                )
                return planned(made.path, self._names.auth("approle"))
            case JwtLogin() as jwt:
                made_jwt = vault.jwt.AuthBackend(
                    f"{self._name}-jwt",
                    type="jwt",
                    path=self._names.auth("jwt"),
                    description=WHY,
                    oidc_discovery_url=jwt.issuer,
                    oidc_discovery_ca_pem=ca_bundle(jwt.ca_file) if jwt.ca_file else None,
                    bound_issuer=jwt.issuer,
                    opts=child,
                )
                return planned(made_jwt.path.apply(str), self._names.auth("jwt"))
            case ServiceAccountLogin() as method:
                return pulumi.Output.from_input(method.mount)

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
            case AppRoleLogin() as approle:
                vault.approle.AuthBackendRole(
                    f"{self._name}-{who}-role",
                    role_id=name,  # what is shown beside it is the secret
                    secret_id_ttl=approle.days * DAY,
                    secret_id_bound_cidrs=list(approle.networks) or None,
                    token_bound_cidrs=list(approle.networks) or None,
                    **common,
                )
            case JwtLogin() as jwt:
                vault.jwt.AuthBackendRole(
                    f"{self._name}-{who}-role",
                    role_type="jwt",
                    user_claim="sub",
                    bound_subject=self._subject(jwt, who, copied=copied),
                    bound_audiences=[jwt.audience],
                    **common,
                )
                audience = jwt.audience
            case ServiceAccountLogin() as method:
                vault.kubernetes.AuthBackendRole(
                    f"{self._name}-{who}-role",
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
            mount=self._login.mount if isinstance(self._login, ServiceAccountLogin) else self._names.auth(method),
            role=self._names.of(who),
            file=login_file(self._login, who, workload=type(self._workload), folder=self._folder),
            wrapped=isinstance(self._login, AppRoleLogin) and self._login.wrapped and who == SERVER,
        )

    def _subject(self, jwt: JwtLogin, who: Who, *, copied: bool) -> str | None:
        if not self._namespace:
            return jwt.server if who == SERVER else jwt.rotator
        from ..kubernetes.names import user_of

        return user_of(self._namespace, _account(who, copied=copied))


def _account(who: Who, *, copied: bool) -> str:
    """The service account that takes the role of `who`."""
    from ..kubernetes.names import ROTATOR as ROTATES
    from ..kubernetes.names import SERVER as SERVES
    from ..kubernetes.names import SYNC

    return ROTATES if who == ROTATOR else SYNC if copied else SERVES
