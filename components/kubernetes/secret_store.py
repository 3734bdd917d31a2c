"""The Kubernetes store: Secrets of the server's namespace, which secretops makes and writes.

None of them is a resource of the stack: a refresh would read its values into the state (docs/adr/0005). The stack has
their names, their readers and their writers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pulumi
from pulumi_kubernetes import coordination

from secretops.manifest import Reader
from secretops.platforms.kubernetes.location import Delivered
from secretops.platforms.kubernetes.location import KubernetesStoreLocation as Location

from ..core.broker import BrokerArgs
from ..core.principals import Namespace, Principal, ServiceAccount
from ..core.references import MountedFiles
from ..core.secret_store import Schedule, SecretStore, Trail
from ..core.secrets import CLIENT_CERT
from ..settings.settings import Settings
from .access_trail import trail_of
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
from .pods import SECRETS_FOLDER
from .rotation import KubernetesRotator
from .settings import KubernetesServer, KubernetesStore

KUBELETS = "system:nodes"
"""The group of those that lay a Secret into a pod's volume."""

CERT_MANAGER = user_of("cert-manager", "cert-manager")
"""Its controller, where its manifests put it."""


class KubernetesSecretStore(SecretStore):
    """Secrets of one namespace as a store. Owns names, grants, lease, rotator and trail; never a value."""

    def __init__(
        self,
        name: str,
        *,
        store: KubernetesStore,
        server: KubernetesServer,
        broker: BrokerArgs,
        namespace: Namespace,
        settings: Settings,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:kubernetes:SecretStore", name, opts)
        self._server, self._broker, self._namespace = server, broker, namespace
        places = {secret.name: delivered(secret) for secret in settings.catalogue.for_reader(Reader.SERVER)}
        issued = Delivered(name=CERTIFICATE, keys=CERTIFICATE_KEYS) if server.certificate_issuer else None
        self._written = tuple(dict.fromkeys(place.name for place in places.values()))
        self._issued = (issued.name,) if issued else ()
        self._location = Location(
            namespace=server.namespace,
            context=server.context,
            instance=labels(ROTATOR, settings.stack)[INSTANCE],
            versions=VERSIONS,
            lease=LEASE,
            delivered=places,
            issued=issued,
            readers=dict(self._readers(store)),
        )
        self.manifest = settings.manifest(
            store=self._location,
            broker=broker.location(certificate_secret=self._certificate_secret()),
        )
        # Empty: whoever rotates writes its spec, and holds no right to create.
        coordination.v1.Lease(
            "lease",
            metadata=Place.of(self, namespace, ROTATOR, settings.stack).metadata(LEASE),
            opts=pulumi.ResourceOptions(parent=self, provider=namespace.provider, ignore_changes=["spec"]),
        )
        self.register_outputs({"namespace": server.namespace})

    def publish(self, *, reader: Principal) -> MountedFiles:
        """Return where its pods find the Secrets. Kubelets mount them: the account has no Role, its pods no token."""
        if not isinstance(reader, ServiceAccount):
            raise TypeError(f"{reader}: only an account of this namespace reads its Secrets")
        return MountedFiles(source=f"files:{SECRETS_FOLDER}", secrets=self.read_by_server)

    def rotate(self) -> Schedule:
        """A CronJob; it runs from the first `pulumi up` on."""
        KubernetesRotator(
            "rotator",
            manifest=self.manifest,
            secrets=(*self._written, VERSIONS),
            server=self._server,
            broker=self._broker,
            namespace=self._namespace,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return Schedule(every="hour", turn_on="")

    def record_access(self) -> Trail:
        """The API server's audit log, and the policy that whoever runs it has to give it."""
        return trail_of(self.manifest.stack, self._server.namespace, self._location.readers)

    def _certificate_secret(self) -> str | None:
        """What secretops shows a broker that asks for a certificate. cert-manager's is in no version of the store."""
        return None if self._server.certificate_issuer else CLIENT_CERT

    def _readers(self, store: KubernetesStore) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each Secret, and who is declared to read it."""
        namespace = self._server.namespace
        rotator = user_of(namespace, ROTATOR)
        for name in self._written:
            yield name, (rotator, KUBELETS, *store.operators)
        for name in self._issued:
            yield name, (CERT_MANAGER, KUBELETS, *store.operators)
        yield VERSIONS, (rotator, *store.operators)
