"""The Kubernetes store: Secrets of the server's namespace.

The Secrets are not resources of the stack: a refresh would read their values into the state (docs/adr/0005).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
from pulumi_kubernetes import coordination

from secretops.platforms.kubernetes.location import Delivered
from secretops.platforms.kubernetes.location import KubernetesStoreLocation as Location

from ..core.principals import Principal, ServiceAccount
from ..core.references import MountedFiles
from ..core.secret_store import SecretStore, SecretStoreArgs, Trail
from ..core.secrets import CLIENT_CERT, for_server
from .identity import KubernetesIdentityArgs, account_for
from .names import (
    CERTIFICATE,
    CERTIFICATE_KEYS,
    INSTANCE,
    LEASE,
    ROTATOR,
    VERSIONS,
    Place,
    delivered,
    labels,
    user_of,
)
from .pod_args import PodArgs
from .pods import SECRETS_FOLDER
from .rotation import KubernetesRotator, KubernetesRotatorArgs

AUDIT_POLICY = Path(__file__).with_name("audit-policy.yaml")

# The group of kubelets, which mount Secrets into pods.
KUBELETS = "system:nodes"

# cert-manager's controller, in its default namespace.
CERT_MANAGER = user_of("cert-manager", "cert-manager")


@dataclass(frozen=True, kw_only=True)
class KubernetesSecretStoreArgs(PodArgs, SecretStoreArgs):
    """Arguments of the store. Those of PodArgs are for its rotator."""

    account: ServiceAccount | KubernetesIdentityArgs = field(default_factory=KubernetesIdentityArgs)
    """Service account of the server's pods (`principal` of a KubernetesIdentity), or arguments to create an identity.
    The store uses its namespace."""
    operators: Sequence[str] = ()
    """Users and groups that may read the Secrets, in addition to server, rotator and kubelets. The audit reports
    others."""


class KubernetesSecretStore(SecretStore):
    """A namespace's Secrets as a store: names, grants, lease, rotator and trail. Contains no secret values."""

    account: ServiceAccount
    """Service account of the server's pods, to pass to `publish()`."""

    def __init__(self, name: str, args: KubernetesSecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:kubernetes:SecretStore", name, opts, formerly="")
        self._name, self._args = name, args
        self.account = account_for(self, name, args.account, args.stack_name)
        namespace = self.account.namespace
        places = {secret.name: delivered(secret) for secret in for_server(args.every_secret)}
        issued = Delivered(name=CERTIFICATE, keys=CERTIFICATE_KEYS) if args.certificate_issuer else None
        self._written = tuple(dict.fromkeys(place.name for place in places.values()))
        self._location = Location(
            namespace=namespace.known_name,
            context=namespace.context,
            instance=labels(ROTATOR, args.stack_name)[INSTANCE],
            versions=VERSIONS,
            lease=LEASE,
            delivered=places,
            issued=issued,
            readers=dict(self._readers(issued)),
        )
        # With cert-manager, the store has no versions of the certificate.
        shown = None if issued else CLIENT_CERT
        self.manifest = args.manifest(store=self._location, broker=args.broker.location(certificate_secret=shown))
        # Created here, without a spec, because the rotator may update the object, but not create it.
        coordination.v1.Lease(
            f"{name}-lease",
            metadata=Place.of(self, namespace, ROTATOR, args.stack_name).metadata(LEASE),
            opts=pulumi.ResourceOptions(parent=self, provider=namespace.provider, ignore_changes=["spec"]),
        )
        self.register_outputs({"namespace": namespace.known_name})

    def publish(self, *, reader: Principal) -> MountedFiles:
        """Return the folder in which kubelets mount the Secrets. The account needs no Role for that."""
        if not isinstance(reader, ServiceAccount):
            raise TypeError(f"{reader}: only an account of this namespace reads its Secrets")
        return MountedFiles(source=f"files:{SECRETS_FOLDER}", secrets=self.read_by_server)

    def rotate(self) -> str:
        args = KubernetesRotatorArgs(
            manifest=self.manifest,
            secrets=(*self._written, VERSIONS),
            broker=self._args.broker,
            pods=self._args,
            account=self.account,
        )
        KubernetesRotator(f"{self._name}-rotator", args, pulumi.ResourceOptions(parent=self))
        return ""

    def record_access(self) -> Trail:
        """Return where the API server's audit log is, and the audit policy.

        A cluster administrator installs the policy, as a file of the API server or a managed service's setting.
        """
        return trail_of(self.manifest.stack, self.account.namespace.known_name, self._location.readers)

    def _readers(self, issued: Delivered | None) -> Iterator[tuple[str, tuple[str, ...]]]:
        rotator, operators = user_of(self.account.namespace.known_name, ROTATOR), self._args.operators
        for name in self._written:
            yield name, (rotator, KUBELETS, *operators)
        if issued:
            yield issued.name, (CERT_MANAGER, KUBELETS, *operators)
        yield VERSIONS, (rotator, *operators)


def trail_of(stack: str, namespace: str, readers: Mapping[str, tuple[str, ...]]) -> Trail:
    """Return the trail. Its policy starts with a comment that lists the declared readers."""
    head = [
        f"# Stack {stack}, namespace {namespace}: who is declared to read its Secrets. secretops audit flags others.",
        *(f"#   {secret}: {', '.join(who)}" for secret, who in readers.items()),
    ]
    return Trail(
        records=f"the API server's audit log: objectRef.resource secrets, objectRef.namespace {namespace}",
        policy="\n".join(head) + "\n" + AUDIT_POLICY.read_text(),
    )
