from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from secretops.platform import IssuedCertificate, OpenedStack, Platform, StoreChecks
from secretops.platforms.kubernetes.location import KubernetesStoreLocation
from secretops.registry import with_extra

if TYPE_CHECKING:
    from secretops.check import Repair
    from secretops.engine.journal import Journal
    from secretops.engine.ports import VersionStore
    from secretops.manifest import Manifest
    from secretops.trails import Trail


class Kubernetes(Platform[KubernetesStoreLocation]):
    location = KubernetesStoreLocation
    delivery_delay = "two minutes at most"
    trail_source = "the cluster's operator or cloud configures where the API server writes its audit log"
    no_value_trail = "the API server's audit log has no trace of a value"

    def open_store(self, location: KubernetesStoreLocation, *, role: str) -> tuple[VersionStore, Journal]:
        with with_extra("kubernetes"):
            from secretops.platforms.kubernetes.store import KubernetesVersionStore
        store = KubernetesVersionStore.open(location)
        return store, store.journal

    def open_trail(self, manifest: Manifest) -> Trail:
        from secretops.platforms.kubernetes.trail import KubernetesAuditLog

        return KubernetesAuditLog(self.of(manifest))

    def checks(self, stack: OpenedStack, tick: Repair) -> StoreChecks:
        with with_extra("kubernetes"):
            from secretops.platforms.kubernetes.checks import kubernetes_checks
            from secretops.platforms.kubernetes.checks.cluster import Cluster
        cluster = Cluster(self.of(stack.manifest))
        return StoreChecks(reach=cluster.reach, checks=kubernetes_checks(cluster, stack, tick))

    def confirm(self, location: KubernetesStoreLocation, confirmations: Sequence[str]) -> None:
        with with_extra("kubernetes"):
            from secretops.platforms.kubernetes.checks.cluster import Cluster
            from secretops.platforms.kubernetes.checks.evidence import confirm
        confirm(Cluster(location), confirmations)

    def issued_certificate(self, location: KubernetesStoreLocation) -> IssuedCertificate | None:
        if location.issued is None:
            return None
        with with_extra("kubernetes"):
            from secretops.platforms.kubernetes.secrets import read_issued
        version, value = read_issued(location, location.issued)
        return IssuedCertificate(
            version=version,
            value=value,
            source=f"Secret {location.issued.name}",
            remedy=f"kubectl -n {location.namespace} describe certificates",
        )


PLATFORM = Kubernetes()
