"""The lease of the Azure store: a blob's own, which Azure grants and ends. Key Vault has no compare-and-swap.

The blob's metadata name the holder and count its renewals, so that a waiting process sees that the holder is alive.
https://learn.microsoft.com/rest/api/storageservices/lease-blob

The vault does not know of the lease. So each attempt of a write asks for it first, and ends before the lease can have
ended (`CONNECT_SECONDS`). A request that Azure carries out later still makes a version that is told from others
(`TagState.late`), and the next tick discards it.
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
from secretops.stores import lease as leases
from secretops.stores.lease import LeaseRecord, LeaseStore, StoredLease, lease_held

# Characters of a holder's name as it is written: metadata are headers.
LONGEST_NAME = 180
# The longest lease that Azure lets end, in seconds: without a renewal it is free by then.
LONGEST_LEASE = 60
# How often a request is repeated: with pauses of about 1, 3 and 5 s, so that a renewal can be repeated.
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


@dataclass(frozen=True)
class Timing(leases.Timing):
    """Seconds. Azure takes a whole number of them from 15 to 60."""

    duration: int = 30


def patience() -> ExponentialRetry:
    """Return the retry policy of a blob's client."""
    return ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=RETRIES, random_jitter_range=1)


def connect(url: str, tenant: str = "") -> BlobClient:
    """Return a client of the blob at `url`. Sends nothing yet. Raises UsageError, StoreError."""
    logging.getLogger("azure.storage").setLevel(logging.ERROR)
    with translated("ask", url, "the lease"):
        return BlobClient.from_blob_url(
            url,
            credential=Login(tenant),
            retry_policy=patience(),
            connection_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
        )


@dataclass(frozen=True)
class LeaseStatus:
    """What a blob says of its lease."""

    holder: str
    since: datetime | None
    count: str
    leased: bool
    # Without an end: secretops acquires none of these.
    for_ever: bool


class LeaseBlob(LeaseStore):
    """One blob. Connects with the first request. Azure itself grants the lease, and says whether it is free."""

    writes_first = True
    keeps_duration = True

    def __init__(self, url: str, open_client: Callable[[str], BlobClient] = connect) -> None:
        self.url, self._open = url, open_client

    @classmethod
    def of(cls, location: AzureStoreLocation) -> LeaseBlob:
        """Return the stack's, for a login of its tenant."""
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
        seen = self.look()
        if seen.for_ever:
            raise StoreError(
                f"{self.name}: its lease was taken for ever, by no secretops",
                rule="secretops takes it for seconds and renews it, so that it ends with its process",
                remedy=f"ask who did; to end it: az storage blob lease break --blob-url {self.url} --auth-mode login",
            )
        if not seen.leased:
            return StoredLease()
        holder, renewals = seen.holder or "somebody", int(seen.count) if seen.count.isdecimal() else 0
        lease = LeaseRecord(holder=holder, token="", since=seen.since, renewals=renewals, duration=LONGEST_LEASE)  # nosec B106
        return StoredLease(lease)

    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:  # noqa: ARG002
        """Whatever is raised, what was acquired is released where Azure lets us."""
        if record is None:
            self.release(after.record.token if after.record else "")
            return StoredLease()
        is_renewal, since = record.is_of(after.record), record.since or datetime.now(UTC)
        try:
            done = self.renew(record.token) if is_renewal else self.acquire(record.token, int(record.duration))
            if done and self.say(record.token, record.holder, since, record.renewals):
                return StoredLease(record)
        except BaseException:
            if not is_renewal:
                with contextlib.suppress(SecretopsError):  # an answer may be lost of a lease that is ours
                    self.release(record.token)
            raise
        found = self.read()
        if found.record and found.record.holder == record.holder:  # the next holder has not written its name yet
            return StoredLease(replace(found.record, holder="somebody else"))
        return found

    def contended(self, left: str) -> SecretopsError:  # noqa: ARG002 - nothing was begun
        found = self.look()
        return lease_held(found.holder or "somebody who does not say who", found.since)

    def acquire(self, lease: str, seconds: int) -> bool:
        """Acquire it as `lease`, and make the blob if it is missing. False when somebody has it."""
        with translated("acquire the lease of", self.url, self.name):
            while True:
                try:
                    self._lease(lease).acquire(lease_duration=seconds)
                except ResourceNotFoundError as error:
                    if "ContainerNotFound" in codes(error):
                        raise
                    with contextlib.suppress(ResourceExistsError):  # somebody else was quicker
                        self.client.upload_blob(b"", overwrite=False)
                except HttpResponseError as error:
                    if TAKEN.isdisjoint(codes(error)):
                        raise
                    return False
                else:
                    return True

    def renew(self, lease: str) -> bool:
        """Return False when the lease is lost."""
        with translated("renew the lease of", self.url, self.name):
            return self._ours(lambda: self._lease(lease).renew())

    def say(self, lease: str, holder: str, since: datetime, count: int) -> bool:
        """Write the holder and the number of its renewals. False when the lease is lost."""
        words = {_HOLDER: quote(holder)[:LONGEST_NAME], _SINCE: f"{since:%Y%m%dT%H%M%SZ}", _COUNT: str(count)}
        with translated("write to", self.url, self.name):
            return self._ours(lambda: self.client.set_blob_metadata(words, lease=lease))

    def release(self, lease: str) -> None:
        with translated("release the lease of", self.url, self.name):
            self._ours(lambda: self._lease(lease).release())

    def look(self) -> LeaseStatus:
        """Return what the blob says; a free lease where there is no blob yet."""
        with translated("look at", self.url, self.name):
            try:
                found: BlobProperties = self.client.get_blob_properties()
            except ResourceNotFoundError as error:
                if "ContainerNotFound" in codes(error):
                    raise
                return LeaseStatus("", None, "", False, False)
        words = found.metadata or {}
        try:
            since = datetime.strptime(words.get(_SINCE, ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            since = None
        return LeaseStatus(
            unquote(words.get(_HOLDER, ""), errors="replace"),
            since,
            words.get(_COUNT, ""),
            found.lease.state in ("leased", "breaking"),
            found.lease.duration == "infinite",
        )

    def _lease(self, lease: str) -> BlobLeaseClient:
        return BlobLeaseClient(self.client, lease_id=lease)

    def _ours(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except ResourceNotFoundError:
            return False
        except HttpResponseError as error:
            if LOST.isdisjoint(codes(error)):
                raise
            return False
        return True
