"""A CA for client certificates in Vault's PKI engine. Keys have the type `internal`: no response and no state contains
them.

Only an intermediate CA signs client certificates. It is signed by a root CA in its own mount, or by an outside CA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pulumi
import pulumi_vault as vault

from ..core.broker import ca_bundle
from ..core.component import Component, planned
from ..core.naming import DAY, stack_name
from .args import CLIENT, PkiArgs, VaultStackArgs, names_of
from .identity import VaultPlace

ROOT_YEARS, INTERMEDIATE_YEARS = 10, 5
# Hours that a revocation list is valid, and hours before its end at which Vault creates the next list.
CRL_HOURS, REBUILT_BEFORE_HOURS = 72, 24

_YEAR = 365 * DAY

KEY: dict[str, Any] = {"key_type": "ec", "key_bits": 256}
# Settings that are false, so that the role signs no other names, and only client certificates.
NEVER: dict[str, Any] = dict.fromkeys(
    [f"allow_{what}" for what in ("subdomains", "glob_domains", "any_name", "localhost", "ip_sans")]
    + ["allow_wildcard_certificates", "server_flag", "code_signing_flag", "email_protection_flag"],
    False,
)


@dataclass(frozen=True, kw_only=True)
class VaultCertificatesArgs(VaultStackArgs, PkiArgs): ...


class VaultCertificates(Component):
    """Mounts, an intermediate CA and the role `client`. Contains no client certificates, and no key leaves Vault."""

    csr: pulumi.Output[str]
    """The intermediate CA's signing request, for an outside CA."""

    def __init__(self, name: str, args: VaultCertificatesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:vault:Certificates", name, opts, formerly="")
        names = names_of(stack_name(args.stack))
        place = VaultPlace.of(self, name, args.server)
        self._args, self._name, self._names, self._place = args, name, names, place
        mount, prepared = self._mount("pki", INTERMEDIATE_YEARS)
        request = vault.pkisecret.SecretBackendIntermediateCertRequest(
            f"{name}-pki-request",
            backend=mount,
            type="internal",
            common_name=f"{names.base} clients",
            **KEY,
            opts=place.under(self, after=[prepared]),
        )
        self.csr, last = request.csr, cast(pulumi.Resource, request)
        if (certificate := self._signed(request.csr)) is not None:
            last = vault.pkisecret.SecretBackendIntermediateSetSigned(
                f"{name}-pki-signed", backend=mount, certificate=certificate, opts=place.under(self, after=[request])
            )
        vault.pkisecret.SecretBackendRole(
            f"{name}-pki-client",
            backend=mount,
            name=CLIENT,
            allowed_domains=[names.base],
            allow_bare_domains=True,  # the name itself; subdomains are not allowed
            enforce_hostnames=True,
            require_cn=True,
            client_flag=True,
            **{**NEVER, **KEY},
            key_usages=["DigitalSignature"],
            ext_key_usages=["ClientAuth"],
            ttl=str(args.days * DAY),
            max_ttl=str(args.days * DAY),
            no_store=False,  # Vault stores certificates: otherwise they can't be revoked
            generate_lease=False,
            opts=place.under(self, after=[last]),
        )
        self.register_outputs({"mount": names.of("pki")})

    def _signed(self, csr: pulumi.Output[str]) -> pulumi.Input[str] | None:
        if self._args.signed_by == "outside":
            return ca_bundle(self._args.certificate_file) if self._args.certificate_file else None
        mount, prepared = self._mount("root", ROOT_YEARS)
        root = vault.pkisecret.SecretBackendRootCert(
            f"{self._name}-root-certificate",
            backend=mount,
            type="internal",
            common_name=f"{self._names.base} root",
            ttl=str(ROOT_YEARS * _YEAR),
            **KEY,
            opts=self._place.under(self, after=[prepared], protect=self._args.production),
        )
        signed = vault.pkisecret.SecretBackendRootSignIntermediate(
            f"{self._name}-root-signs",
            backend=mount,
            csr=csr,
            common_name=f"{self._names.base} clients",
            ttl=str(INTERMEDIATE_YEARS * _YEAR),
            max_path_length=0,  # it may sign clients, but no further CA
            revoke=True,
            opts=self._place.under(self, after=[root]),
        )
        return pulumi.Output.all(signed.certificate, root.certificate).apply(
            lambda chain: "\n".join(one.strip() for one in chain) + "\n"
        )

    def _mount(self, kind: str, years: int) -> tuple[pulumi.Output[str], pulumi.Resource]:
        """Declare a PKI mount. Return its path, and the last resource that configures it.

        Other resources must be created after that resource: a server may reject concurrent changes of a mount, and
        certificates contain the URLs of issuer and CRL only if these are set first.
        """
        path = self._names.of(kind)
        mount = vault.Mount(
            f"{self._name}-{kind}-mount",
            path=path,
            type="pki",
            description="Signs client certificates of the Coreflux MCP server",
            max_lease_ttl_seconds=years * _YEAR,
            opts=self._place.under(self, protect=self._args.production),
        )
        mounted = self._place.checked(planned(mount.path, path))
        within = f"/{self._place.namespace}" if self._place.namespace else ""
        at = pulumi.Output.concat(f"{self._place.address}/v1{within}/", mounted)
        urls = vault.pkisecret.SecretBackendConfigUrls(
            f"{self._name}-{kind}-urls",
            backend=mounted,
            issuing_certificates=[
                pulumi.Output.concat(at, "/ca")
            ],  # the CA certificate is public; no token is needed to read it
            crl_distribution_points=[pulumi.Output.concat(at, "/crl")],
            opts=self._place.under(self),
        )
        crl = vault.pkisecret.SecretBackendCrlConfig(
            f"{self._name}-{kind}-crl",
            backend=mounted,
            expiry=f"{CRL_HOURS}h",
            auto_rebuild=True,
            auto_rebuild_grace_period=f"{REBUILT_BEFORE_HOURS}h",
            opts=self._place.under(self, after=[urls]),
        )
        return mounted, crl
