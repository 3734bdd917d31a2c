"""The lease of the Azure store: the lease of a blob, since Key Vault has no compare-and-swap.

The blob's metadata contain the holder's name and the number of renewals. Each attempt to write to Key Vault first
checks that the lease was renewed recently (`Timing.trusted`). The attempt times out (`CONNECT_SECONDS` +
`ANSWER_SECONDS`) before the lease can end. If Azure still executes the write after that, `TagState.late` recognizes it.
https://learn.microsoft.com/rest/api/storageservices/lease-blob
"""

from __future__ import annotations

import contextlib
import functools
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobLeaseClient, BlobProperties, ExponentialRetry

from secretops.errors import SecretopsError, StoreError
from secretops.platforms.azure.api import ANSWER_SECONDS, CONNECT_SECONDS
from secretops.platforms.azure.errors import codes, translated
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.login import Login
from secretops.stores.lease import LeaseRecord, LeaseStore, StoredLease, lease_held

# Characters of a holder's name in the metadata, which are sent as headers.
LONGEST_NAME = 180
# Azure's longest finite lease, in seconds: without a renewal it is free by then.
LONGEST_LEASE = 60
# Retries of a request, with pauses of about 1, 3 and 5 s, so that a renewal can be repeated.
RETRIES = 3
TAKEN = frozenset({"LeaseAlreadyPresent", "LeaseIsBreakingAndCannotBeAcquired", "LeaseIsBrokenAndCannotBeRenewed"})
LOST = frozenset(
    {
        "LeaseIdMismatchWithLeaseOperation",
        "LeaseIdMismatchWithBlobOperation",
        "LeaseNotPresentWithLeaseOperation",
        "LeaseNotPresentWithBlobOperation",
        "LeaseIsBrokenAndCannotBeRenewed",
        "LeaseIsBreakingAndCannotBeChanged",
        "LeaseLost",
        "ConditionNotMet",
    }
)
_HOLDER, _SINCE, _COUNT = "secretops_holder", "secretops_since", "secretops_renewed"


def retry_policy() -> ExponentialRetry:
    return ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=RETRIES, random_jitter_range=1)


def connect(url: str, tenant: str = "") -> BlobClient:
    logging.getLogger("azure.storage").setLevel(logging.ERROR)
    with translated("connect to", url, "the lease"):
        return BlobClient.from_blob_url(
            url,
            credential=Login(tenant),
            retry_policy=retry_policy(),
            connection_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
        )


@dataclass(frozen=True)
class LeaseStatus:
    holder: str = "an unknown holder"
    since: datetime | None = None
    renewals: int = 0
    is_leased: bool = False
    # Lease without an end. secretops never acquires one.
    is_infinite: bool = False


class LeaseBlob(LeaseStore):
    writes_first = True
    keeps_duration = True

    def __init__(self, url: str, open_client: Callable[[str], BlobClient] = connect) -> None:
        self.url, self._open = url, open_client

    @classmethod
    def of(cls, location: AzureStoreLocation) -> LeaseBlob:
        return cls(location.lease, functools.partial(connect, tenant=location.tenant))

    @functools.cached_property
    def client(self) -> BlobClient:
        return self._open(self.url)

    @property
    def name(self) -> str:
        return f"blob {self.url.rpartition('/')[2]}"

    def acquired_by(self, holder: str, duration: float) -> LeaseRecord:
        return replace(super().acquired_by(holder, duration), token=str(uuid.uuid4()))

    def read(self, *, patient: bool = True) -> StoredLease:  # noqa: ARG002 - Azure's SDK retries by itself
        seen = self.status()
        if seen.is_infinite:
            raise StoreError(
                f"{self.name}: another client holds an infinite lease on this blob, so secretops did not acquire the "
                "lease",
                rule="a lease must end soon after its process: leases of secretops expire within seconds",
                remedy="if nobody needs the infinite lease, end it: az storage blob lease break --blob-url "
                f"{self.url} --auth-mode login",
                code="lease-infinite",
            )
        if not seen.is_leased:
            return StoredLease()
        held = LeaseRecord(
            holder=seen.holder, token="", since=seen.since, renewals=seen.renewals, duration=LONGEST_LEASE
        )  # nosec B106
        return StoredLease(held)

    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:  # noqa: ARG002
        """Acquire, renew or release the lease. After a failed attempt to acquire it, release it: Azure may have granted
        it."""
        if record is None:
            self.release(after.record.token if after.record else "")
            return StoredLease()
        is_renewal, since = record.is_of(after.record), record.since or datetime.now(UTC)
        try:
            done = self.renew(record.token) if is_renewal else self.acquire(record.token, int(record.duration))
            if done and self.write_holder(record.token, record.holder, since, record.renewals):
                return StoredLease(record)
        except BaseException:
            if not is_renewal:
                with contextlib.suppress(SecretopsError):  # the lease may be granted, and its answer lost
                    self.release(record.token)
            raise
        found = self.read()
        if found.record and found.record.holder == record.holder:  # the new holder has not written its name yet
            return StoredLease(replace(found.record, holder="another process"))
        return found

    def contended(self, consequence: str) -> SecretopsError:  # noqa: ARG002 - the error needs no consequence
        found = self.status()
        return lease_held(found.holder, found.since)

    def acquire(self, lease: str, seconds: int) -> bool:
        """Acquire the lease, and create the blob if it is missing. Return False if another process has the lease."""
        with translated("acquire the lease of", self.url, self.name):
            while True:
                try:
                    self._lease(lease).acquire(lease_duration=seconds)
                except ResourceNotFoundError as error:
                    if "ContainerNotFound" in codes(error):
                        raise
                    with contextlib.suppress(ResourceExistsError):  # another process was faster
                        self.client.upload_blob(b"", overwrite=False)
                except HttpResponseError as error:
                    if TAKEN.isdisjoint(codes(error)):
                        raise
                    return False
                else:
                    return True

    def renew(self, lease: str) -> bool:
        return self._is_ours("renew the lease of", lambda: self._lease(lease).renew())

    def write_holder(self, lease: str, holder: str, since: datetime, count: int) -> bool:
        """Write the holder's name to the blob. Return False if the lease is lost."""
        metadata = {_HOLDER: quote(holder)[:LONGEST_NAME], _SINCE: f"{since:%Y%m%dT%H%M%SZ}", _COUNT: str(count)}
        return self._is_ours("write to", lambda: self.client.set_blob_metadata(metadata, lease=lease))

    def release(self, lease: str) -> None:
        self._is_ours("release the lease of", lambda: self._lease(lease).release())

    def status(self) -> LeaseStatus:
        with translated("read", self.url, self.name):
            try:
                found: BlobProperties = self.client.get_blob_properties()
            except ResourceNotFoundError as error:
                if "ContainerNotFound" in codes(error):
                    raise
                return LeaseStatus()
        metadata = found.metadata or {}
        try:
            since = datetime.strptime(metadata.get(_SINCE, ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            since = None
        count = metadata.get(_COUNT, "")
        return LeaseStatus(
            holder=unquote(metadata.get(_HOLDER, ""), errors="replace") or "an unknown holder",
            since=since,
            renewals=int(count) if count.isdecimal() else 0,
            is_leased=found.lease.state in ("leased", "breaking"),
            is_infinite=found.lease.duration == "infinite",
        )

    def _lease(self, lease: str) -> BlobLeaseClient:
        return BlobLeaseClient(self.client, lease_id=lease)

    def _is_ours(self, action: str, act: Callable[[], object]) -> bool:
        with translated(action, self.url, self.name):
            try:
                act()
            except ResourceNotFoundError:
                return False
            except HttpResponseError as error:
                if LOST.isdisjoint(codes(error)):
                    raise
                return False
        return True
