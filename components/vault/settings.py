"""The sections of a stack file about Vault: what they may say, and the default for what they do not."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from secretops.platforms.vault.location import VaultIssuer

from ..core.naming import DAY
from ..settings.constraints import between, distinct
from ..settings.field_types import AbsolutePath, Name, NetworksOrNone
from ..settings.section import Section, StoreSection
from .field_types import AuditFile, JwtIssuer, Subject, VaultAddress, VaultNamespace, VaultPath, VaultReader
from .names import CLIENT, names_of


class VaultAppRole(Section):
    """Log in by AppRole, for a server and a rotator outside of any platform that vouches for them. Vault makes each
    secret id when an operator asks for one: a secret id is a value, and none is here."""

    server_file: AbsolutePath | None = None
    """Where the server finds its own; without it, below the folder of the client's entry."""
    rotator_file: AbsolutePath | None = None
    wrapped: bool = False
    """Whether the server's file has a wrapping token, which is good for one start."""
    networks: NetworksOrNone = ()
    """From where a secret id is taken; from everywhere if there is none."""
    days: Annotated[int, between(1, 366, "days")] = 90
    """For which a secret id is good."""


class VaultJwt(Section):
    """Log in by a token that somebody else signed: a cluster, or whoever gives workloads identities."""

    issuer: JwtIssuer
    ca_file: AbsolutePath | None = None
    """PEM bundle that signs the issuer's certificate; without it the Vault server's own are trusted."""
    audience: Name = "vault"
    server: Subject | None = None
    """The claim sub of the server's token; a cluster's is known."""
    rotator: Subject | None = None
    server_file: AbsolutePath | None = None
    """Where that token lies; without it, below the folder of the client's entry."""
    rotator_file: AbsolutePath | None = None


class VaultKubernetes(Section):
    """Log in as a service account, by a Kubernetes auth method that whoever runs Vault has enabled: enabling it may
    take a reviewer's token, which is a value."""

    mount: VaultPath = "kubernetes"
    audience: Name | None = "vault"
    """Of the pods' tokens; without it the API server's own, for a method without a reviewer's token."""


class VaultPki(Section):
    """A CA for client certificates. Its keys are made in Vault and never leave it."""

    signed_by: Literal["stack", "outside"] = "stack"
    """Who signs the intermediate: a root of the stack's own, or whoever has the stack's output `csr`."""
    certificate_file: AbsolutePath | None = None
    """Outside alone, once signed: PEM of the intermediate and of who signed it."""
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30
    """For which a client's certificate is good."""


class VaultStore(StoreSection):
    """A KV v2 mount of a HashiCorp Vault or an OpenBao. Pulumi's own token is in VAULT_TOKEN, and nowhere here."""

    kind: Literal["vault"]
    folders_beside_entry: ClassVar[tuple[str, ...]] = ("login", "rotator")
    address: Annotated[VaultAddress, Field(examples=["https://vault.example.com:8200"])]
    operators: Annotated[
        tuple[VaultReader, ...], Field(min_length=1, examples=["[userpass/alice]"]), AfterValidator(distinct)
    ]
    """Who is declared to read beside server and rotator. Whoever runs Vault gives them the operator's policy."""
    product: Literal["vault", "openbao"] = "vault"
    """OpenBao's API enables no audit device: its configuration does."""
    namespace: VaultNamespace | None = None
    ca_file: AbsolutePath | None = None
    """PEM bundle that signs the server's certificate; without it the system's are trusted."""
    approle: Annotated[VaultAppRole | None, Field(examples=["{}"])] = None
    jwt: VaultJwt | None = None
    kubernetes: Annotated[VaultKubernetes | None, Field(examples=["{}"])] = None
    """How server and rotator log in: one of the three. With none of them a cluster's do by `kubernetes`, others by
    `approle`."""
    max_versions: Annotated[int, between(3, 100, "versions: the next, the current and the previous one")] = 5
    """Of each secret, its current one included."""
    audit_files: Annotated[
        Annotated[tuple[AuditFile, ...], AfterValidator(distinct)] | None, Field(examples=["[]"])
    ] = None
    """Where the server writes its audit log; without it /vault/audit and standard output. It has all requests of all
    stacks: an empty list leaves audit devices to another one, or to whoever runs Vault."""
    pki: Annotated[VaultPki | None, Field(examples=["{}"])] = None

    @property
    def waits_for_a_signature(self) -> bool:
        """Whether the intermediate has been asked for, and nobody has signed it yet."""
        return bool(self.pki and self.pki.signed_by == "outside" and not self.pki.certificate_file)

    def certificate_issuer(self, stack: str) -> VaultIssuer | None:
        """Return the stack's own PKI engine; None without `pki`, and until somebody has signed its intermediate."""
        if self.pki is None or self.waits_for_a_signature:
            return None
        names = names_of(stack)
        return VaultIssuer(mount=names.pki, role=CLIENT, common_name=names.base, seconds=self.pki.days * DAY)

    @property
    def has_own_issuer(self) -> bool:
        """Whether the stack has a PKI engine."""
        return self.pki is not None
