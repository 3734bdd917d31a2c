"""Vault's sections of a stack file. args.py documents the keys that have no docstring here."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from secretops.formats import parse_https_url
from secretops.platforms.vault.location import VAULT_PATH, VaultIssuer

from ..core.naming import DAY
from ..settings.constraints import (
    URL,
    URL_WITH_PATH,
    between,
    distinct,
    is_one_line,
    matching,
    parsed,
    satisfying,
    whole,
)
from ..settings.field_types import AbsolutePath, Name, NetworksOrNone
from ..settings.section import Section, StoreSection
from .args import CLIENT, AppRoleLogin, AuditArgs, JwtLogin, PkiArgs, ServiceAccountLogin, VaultServerArgs, names_of

VaultAddress = Annotated[
    str,
    parsed(
        parse_https_url,
        "the Vault server's URL: https, a host, its port unless that is 443, and no path",
        "for example https://vault.example.com:8200; secret values are sent only over TLS",
        is_host=True,
        keywords=whole(URL),
    ),
]
VaultPath = Annotated[
    str,
    matching(
        VAULT_PATH,
        "a path of Vault: letters, digits, dashes, dots and underscores, no slash at its ends",
        "write the path as vault auth list shows it, without the final slash",
    ),
]
VaultNamespace = Annotated[
    str,
    matching(
        VAULT_PATH,
        "a namespace's path, no slash at its ends",
        "for example team-a; or remove the key to use the root namespace",
    ),
]
Operator = Annotated[
    str,
    matching(
        rf"{VAULT_PATH}/(?!\.{{1,2}}$)[\w.@-]+",
        "the mount of an auth method, a slash, and the name of a user there",
        "for example userpass/alice",
    ),
]
JwtIssuer = Annotated[
    str,
    parsed(
        partial(parse_https_url, path=True),
        "the URL of the tokens' issuer, below which Vault finds .well-known/openid-configuration",
        "kubectl get --raw /.well-known/openid-configuration shows a cluster's",
        is_host=True,
        keywords=whole(URL_WITH_PATH),
    ),
]
Subject = Annotated[
    str,
    satisfying(
        lambda text: is_one_line(text) and " " not in text,
        "the `sub` claim of a token, without spaces",
        "for example system:serviceaccount:NAMESPACE:NAME, as in the token, which has three parts in base64url",
        keywords=whole(r"\S+"),
    ),
]
AuditFile = Annotated[
    str,
    matching(
        r"stdout|/[\w./-]+",
        "a path on the Vault server, or stdout",
        "write an absolute path in a folder that the server's account can write to",
    ),
]


class VaultAppRole(Section):
    """Log in by AppRole, on a platform that gives programs no identity. An operator creates each secret id in Vault."""

    arguments = (AppRoleLogin,)
    server_file: AbsolutePath | None = None
    rotator_file: AbsolutePath | None = None
    wrapped: bool = False
    networks: NetworksOrNone = ()
    days: Annotated[int, between(1, 366, "days")] = 90


class VaultJwt(Section):
    """Log in with a token that a cluster or another issuer has signed."""

    arguments = (JwtLogin,)
    issuer: JwtIssuer
    ca_file: AbsolutePath | None = None
    audience: Name = "vault"
    server: Subject | None = None
    rotator: Subject | None = None
    server_file: AbsolutePath | None = None
    rotator_file: AbsolutePath | None = None


class VaultKubernetes(Section):
    """Log in as a Kubernetes service account, by an auth method that a Vault administrator has enabled."""

    arguments = (ServiceAccountLogin,)
    mount: VaultPath = "kubernetes"
    audience: Name | None = "vault"


class VaultPki(Section):
    """A CA for client certificates. Vault generates the keys, and never exports them."""

    arguments = (PkiArgs,)
    signed_by: Literal["stack", "outside"] = "stack"
    certificate_file: AbsolutePath | None = None
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30


class VaultStore(StoreSection):
    """A KV v2 mount of HashiCorp Vault or OpenBao. Pulumi reads its own token from VAULT_TOKEN."""

    arguments = (VaultServerArgs, AuditArgs)
    kind: Literal["vault"]
    folders_beside_entry: ClassVar[tuple[str, ...]] = ("login", "rotator")
    address: Annotated[VaultAddress, Field(examples=["https://vault.example.com:8200"])]
    operators: Annotated[
        tuple[Operator, ...], Field(min_length=1, examples=["[userpass/alice]"]), AfterValidator(distinct)
    ]
    """Declared readers in addition to server and rotator. A Vault administrator assigns them the operator's policy."""
    product: Literal["vault", "openbao"] = "vault"
    namespace: VaultNamespace | None = None
    ca_file: AbsolutePath | None = None
    approle: Annotated[VaultAppRole | None, Field(examples=["{}"])] = None
    jwt: VaultJwt | None = None
    kubernetes: Annotated[VaultKubernetes | None, Field(examples=["{}"])] = None
    """Set at most one of `approle`, `jwt` and `kubernetes`. By default, pods log in by `kubernetes`, others by
    `approle`."""
    max_versions: Annotated[
        int, between(3, 100, "versions: at least the pending, the current and the previous one")
    ] = 5
    """Versions of each secret that Vault stores, the current one included."""
    audit_files: Annotated[
        Annotated[tuple[AuditFile, ...], AfterValidator(distinct)] | None, Field(examples=["[]"])
    ] = None
    pki: Annotated[VaultPki | None, Field(examples=["{}"])] = None

    @property
    def waits_for_a_signature(self) -> bool:
        return bool(self.pki and self.pki.signed_by == "outside" and not self.pki.certificate_file)

    def certificate_issuer(self, stack: str) -> VaultIssuer | None:
        """Return the issuer that the section `pki` configures; None without that section, or until the intermediate CA
        is signed."""
        if self.pki is None or self.waits_for_a_signature:
            return None
        names = names_of(stack)
        return VaultIssuer(mount=names.of("pki"), role=CLIENT, common_name=names.base, seconds=self.pki.days * DAY)

    @property
    def has_own_issuer(self) -> bool:
        return self.pki is not None
