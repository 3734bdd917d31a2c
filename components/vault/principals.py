"""A Vault server, and who reads and who rotates there, by roles of an auth method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_vault as vault

from secretops.platforms.vault.location import VaultLogin

from ..core.component import Component
from ..core.principals import HostUser, Place, Pods, Principal
from ..swarm.principals import SwarmService


@dataclass(frozen=True, kw_only=True)
class VaultServerArgs:
    """A Vault server. Pulumi's own token is in VAULT_TOKEN, and nowhere here."""

    address: str
    """Its URL."""
    namespace: str | None = None
    """Namespace of the server; None is the root."""
    ca_file: str | None = None
    """PEM file of the CA certificates that sign the server's certificate; None trusts the system's."""


@dataclass(frozen=True, kw_only=True)
class VaultPlace(Place):
    """A Vault server, or a namespace of one, and the provider that talks to it."""

    address: str
    namespace: str
    ca_file: str | None
    is_given: bool = False
    """Whether the provider is the program's own, and not made from the arguments."""

    @classmethod
    def of(cls, component: Component, name: str, args: VaultServerArgs) -> VaultPlace:
        """Return the server of `args`, with the provider of package vault that `component` has, or a new one."""
        given = component.get_provider("vault:index/mount:Mount")
        provider = given or vault.Provider(
            f"{name}-vault",
            address=args.address,
            namespace=args.namespace,
            set_namespace_from_token=False,
            ca_cert_file=args.ca_file,
            # A child token would end with one `pulumi up`, and not outlive a token that may make none.
            skip_child_token=True,
            # Set, so that no variable of this machine changes them (VAULT_SKIP_VERIFY, VAULT_MAX_RETRIES). That there
            # is no namespace can't be set: preflight checks VAULT_NAMESPACE.
            skip_tls_verify=False,
            max_retries=2,
            max_lease_ttl_seconds=1200,
            opts=pulumi.ResourceOptions(parent=component),
        )
        return cls(
            provider=provider,
            address=args.address,
            namespace=args.namespace or "",
            ca_file=args.ca_file,
            is_given=given is not None,
        )

    def checked(self, text: pulumi.Output[str]) -> pulumi.Output[str]:
        """Return `text`, after a check that a given provider is that of this server. Raises pulumi.RunError.

        A preview may not know a provider's properties: then it does not check them.
        """
        if not self.is_given or not isinstance(self.provider, vault.Provider):
            return text

        def check(known: list[Any]) -> Any:
            for key, found, meant in (("address", known[1], self.address), ("namespace", known[2], self.namespace)):
                if not pulumi.contains_unknowns(found) and (found or "").rstrip("/") != meant.rstrip("/"):
                    raise pulumi.RunError(
                        f"provider of package vault: {key} {found or '(none)'}; arguments: {meant or '(none)'}"
                        "\n    the provider would make everything where no reader looks"
                        f"\n    -> give both the same {key}, or take the provider out"
                    )
            return known[0]

        both = pulumi.Output.all(text, self.provider.address, self.provider.namespace)
        return both.apply(check, run_with_unknowns=True)


@dataclass(frozen=True, kw_only=True)
class VaultRole:
    """A role of an auth method: a login by it has the policy of its name."""

    place: VaultPlace
    name: str
    login: VaultLogin
    """How a program takes the role: the method, and the file that it shows."""
    audience: str | None
    """Audience of the token that is shown; None is a cluster's API server, or no token at all."""


@dataclass(frozen=True, kw_only=True)
class VaultReader(Principal):
    """Who reads for the server, and who rotates: Vault runs no programs, so both are elsewhere."""

    reads: VaultRole
    rotates: VaultRole
    workload: HostUser | Pods | SwarmService
    folder: str
    """Where a rotator that ticks on this machine has its files."""
    syncs_as: pulumi.Output[str] | None = None
    """The service account that reads in place of the pods', to copy secrets into their namespace."""
