"""The lease of the Kubernetes store: a coordination.k8s.io Lease, as client-go's leader election writes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease

from secretops.errors import StoreError
from secretops.platforms.kubernetes.api import PATIENCE_SECONDS, Api
from secretops.platforms.kubernetes.location import KubernetesStoreLocation
from secretops.platforms.kubernetes.secrets import LABELS
from secretops.stores import lease
from secretops.stores.lease import LeaseRecord, LeaseStore, StoredLease
from secretops.stores.retry import contended

# Label with the name of the stack that the Lease belongs to.
INSTANCE = "app.kubernetes.io/instance"
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True)
class Timing(lease.Timing):
    """client-go's durations of a lease, in seconds. A waiting process knows after 3 s that a holder is alive, and after
    15 s that it is not."""

    duration: int = 15
    renew: float = 2.0
    poll: float = 1.0


class LeaseObject(LeaseStore):
    """A Lease object. `LeaseRecord.renewals` is its renewTime, in microseconds since 1970."""

    keeps_duration = True

    def __init__(self, api: Api, location: KubernetesStoreLocation) -> None:
        self._api, self._location = api, location

    def acquired_by(self, holder: str, duration: float) -> LeaseRecord:
        now = _now()
        token, micros = now.isoformat(), (now - _EPOCH) // _MICROSECOND
        return LeaseRecord(holder=holder, token=token, since=now, renewals=micros, duration=duration)

    def renewed(self, record: LeaseRecord) -> LeaseRecord:
        return replace(record, renewals=(_now() - _EPOCH) // _MICROSECOND)

    def read(self, *, patient: bool = True) -> StoredLease:
        found = self._api.get(Lease, self._location.lease, patience=PATIENCE_SECONDS if patient else 0)
        if found:
            label = ((found.metadata and found.metadata.labels) or {}).get(INSTANCE)
            check_owner(label, self._location, self._api.connection.server)
        spec = (found and found.spec) or LeaseSpec()
        if not spec.holderIdentity:
            return StoredLease(None, found)
        since, renewed = spec.acquireTime, spec.renewTime
        record = LeaseRecord(
            holder=spec.holderIdentity,
            token=since.isoformat() if since else "",
            since=since,
            renewals=(renewed - _EPOCH) // _MICROSECOND if renewed else 0,
            duration=spec.leaseDurationSeconds or 0.0,
        )
        return StoredLease(record, found)

    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:
        place = self._location
        before: LeaseSpec = (after.at and after.at.spec) or LeaseSpec()
        spec = LeaseSpec(
            holderIdentity=record.holder if record else "",
            leaseDurationSeconds=int(record.duration or 1) if record else 1,
            acquireTime=record.since if record else before.acquireTime,
            renewTime=_EPOCH + record.renewals * _MICROSECOND if record else _now(),
            leaseTransitions=before.leaseTransitions,
        )
        if record:
            spec.leaseTransitions = (before.leaseTransitions or 0) + (not record.is_of(after.record))
        labels = LABELS | ({INSTANCE: place.instance} if place.instance else {})
        new = ObjectMeta(name=place.lease, namespace=place.namespace, labels=labels)
        meta = after.at.metadata if after.at else new
        done = self._api.write(Lease(metadata=meta, spec=spec), patience=PATIENCE_SECONDS if patient else 0)
        return StoredLease(record, done) if done else self.read(patient=patient)

    def contended(self, consequence: str) -> StoreError:
        name, namespace = self._location.lease, self._location.namespace
        remedy = f"find the writer: kubectl -n {namespace} get lease {name} -o yaml --show-managed-fields"
        return contended(
            f"Lease {name} in namespace {namespace}", remedy, rule=f"only one rotation may run at a time; {consequence}"
        )


def check_owner(found: str | None, location: KubernetesStoreLocation, server: str) -> None:
    """Raise StoreError unless `found`, the label INSTANCE of the Lease, names the stack. Another cluster may have a
    Lease of this name for another stack."""
    if (found or "") == location.instance:
        return
    lease, theirs = f"Lease {location.lease}", f"stack {found}" if found else "no stack"
    ours = f"this is stack {location.instance}" if location.instance else "this manifest names no stack"
    raise StoreError(
        f"{lease} in namespace {location.namespace} at {server} belongs to {theirs}, and {ours}",
        rule=f"the label {INSTANCE} of the Lease must name this stack; nothing was written",
        remedy="set server.context in the stack file to the context of the stack's own cluster; if this is the stack's "
        "cluster: pulumi up --refresh",
        code="lease-of-another-stack",
    )


def _now() -> datetime:
    """Return the time with a fraction other than 0, since a MicroTime requires a fraction."""
    now = datetime.now(UTC)
    return now.replace(microsecond=max(1, now.microsecond))
