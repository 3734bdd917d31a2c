"""Who rotates: a blob, whose lease Azure itself gives to one and lets end when it is not renewed.

Key Vault compares and swaps nothing, so that the lock lies elsewhere. Who holds it is said by the blob's metadata,
which only the holder may write; each renewal counts there, so that whoever watches sees that the holder lives, and need
not wait for the lease to end to be told.
https://learn.microsoft.com/rest/api/storageservices/lease-blob

The lease fences nothing at the vault, which does not know of it. It is asked before each attempt of each write there,
and renewed before one that can't be undone; an attempt has ended before what it was asked for can have been over
(`CONNECT_SECONDS`). What stays is a request that was sent, and that Azure carries out after our client has given it up
and somebody has followed us: the version it makes is told from others (`State.late`), and the next tick takes it back.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobLeaseClient, BlobProperties, ExponentialRetry

from secretops.errors import SecretopsError, StoreError
from secretops.platforms.azure.api import ANSWER_SECONDS, CONNECT_SECONDS
from secretops.platforms.azure.errors import codes, telling
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.login import Login
from secretops.stores import lease as leases
from secretops.stores.lease import Held, held_by

LONGEST_NAME = 180
"""Characters of a holder's name as it is written: metadata are headers."""

LONGEST_LEASE = 60
"""Seconds that Azure lets a lease last that ends at all: one that is not renewed is free by then."""

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


RETRIES = 3
"""How often a request is sent again: with pauses of about 1, 3 and 5 s, so that a renewal can be tried again."""


def patience() -> ExponentialRetry:
    """As often as our clients of a blob ask again."""
    return ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=RETRIES, random_jitter_range=1)


def connect(url: str, tenant: str = "") -> BlobClient:
    """A client of the blob at `url`. Sends nothing yet. Raises UsageError, StoreError."""
    logging.getLogger("azure.storage").setLevel(logging.ERROR)
    with telling("ask", url, "the lease"):
        return BlobClient.from_blob_url(
            url,
            credential=Login(tenant),
            retry_policy=patience(),
            connection_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
        )


@dataclass(frozen=True)
class Seen:
    """What a blob says of its lease."""

    holder: str
    since: datetime | None
    count: str
    leased: bool
    for_ever: bool
    """Until somebody gives it back: secretops takes none of these."""


class LeaseBlob:
    """One blob, asked one thing at a time. Connects with the first question."""

    def __init__(self, url: str, open_client: Callable[[str], BlobClient] = connect) -> None:
        self.url, self._open = url, open_client

    @classmethod
    def of(cls, location: AzureStoreLocation) -> LeaseBlob:
        """The stack's, as a login of its tenant."""
        return cls(location.lease, functools.partial(connect, tenant=location.tenant))

    @functools.cached_property
    def client(self) -> BlobClient:
        return self._open(self.url)

    @property
    def name(self) -> str:
        return f"blob {self.url.rpartition('/')[2]}"

    def acquire(self, lease: str, seconds: int) -> bool:
        """Take it as `lease`, and make the blob if need be. False when somebody has it. Again is a no-op."""
        with telling("take the lease of", self.url, self.name):
            while True:
                try:
                    self._lease(lease).acquire(lease_duration=seconds)
                except ResourceNotFoundError as error:
                    if "ContainerNotFound" in codes(error):
                        raise
                    self._make()
                except HttpResponseError as error:
                    if TAKEN.isdisjoint(codes(error)):
                        raise
                    return False
                else:
                    return True

    def renew(self, lease: str) -> bool:
        """False when it is not ours any more."""
        with telling("renew the lease of", self.url, self.name):
            return self._ours(lambda: self._lease(lease).renew())

    def say(self, lease: str, holder: str, since: datetime, count: int) -> bool:
        """Write who holds it, and how often they renewed it. False when it is not ours any more."""
        words = {_HOLDER: quote(holder)[:LONGEST_NAME], _SINCE: f"{since:%Y%m%dT%H%M%SZ}", _COUNT: str(count)}
        with telling("write to", self.url, self.name):
            return self._ours(lambda: self.client.set_blob_metadata(words, lease=lease))

    def release(self, lease: str) -> None:
        with telling("give back the lease of", self.url, self.name):
            self._ours(lambda: self._lease(lease).release())

    def look(self) -> Seen:
        """Nobody's where there is no blob yet."""
        with telling("look at", self.url, self.name):
            try:
                found: BlobProperties = self.client.get_blob_properties()
            except ResourceNotFoundError as error:
                if "ContainerNotFound" in codes(error):
                    raise
                return Seen("", None, "", False, False)
        words = found.metadata or {}
        try:
            since = datetime.strptime(words.get(_SINCE, ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            since = None
        return Seen(
            unquote(words.get(_HOLDER, ""), errors="replace"),
            since,
            words.get(_COUNT, ""),
            found.lease.state in ("leased", "breaking"),
            found.lease.duration == "infinite",
        )

    def _make(self) -> None:
        try:
            self.client.upload_blob(b"", overwrite=False)
        except ResourceExistsError:  # somebody else was quicker
            return

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


class HeldBlob(Held):
    """The lease `lease` of `blob`."""

    def __init__(
        self, blob: LeaseBlob, lease: str, holder: str, since: datetime, *, asked: float, timing: Timing
    ) -> None:
        super().__init__(timing, asked=asked)
        self._blob, self._lease, self._holder, self._since, self._count = blob, lease, holder, since, 0

    def _renew(self, *, patiently: bool) -> bool:  # noqa: ARG002 - Azure's SDK asks again by itself
        self._count += 1
        blob, lease = self._blob, self._lease
        if blob.renew(lease) and blob.say(lease, self._holder, self._since, self._count):
            return True
        self._follower = "somebody else"  # also where Azure does not say who
        found = blob.look().holder
        if found and found != self._holder:  # else somebody ended it, and has written nothing
            self._follower = found
        return False

    def _release(self) -> None:
        self._blob.release(self._lease)


def take(blob: LeaseBlob, holder: str, timing: Timing) -> Held:
    """The lease of `blob`, for `holder`. Raises LeaseHeldError, StoreError, UnreachableError.

    Azure says when it is free. A holder that is killed keeps it to its end; one that lives is seen to renew it.
    Whatever is raised, what was taken is given back where Azure lets us.
    """
    lease = str(uuid.uuid4())
    try:
        return _take(blob, lease, holder, timing)
    except BaseException:
        with contextlib.suppress(SecretopsError):  # an answer may be lost of a lease that is ours
            blob.release(lease)
        raise


def _take(blob: LeaseBlob, lease: str, holder: str, timing: Timing) -> Held:
    seen, since = None, time.monotonic()
    while True:
        asked, taken_at, began = time.monotonic(), leases.awake_or_not(), datetime.now(UTC)
        if blob.acquire(lease, timing.duration) and blob.say(lease, holder, began, 0):
            return HeldBlob(blob, lease, holder, began, asked=taken_at, timing=timing)
        found = blob.look()
        if found.for_ever:
            raise StoreError(
                f"{blob.name}: its lease was taken for ever, by no secretops",
                rule="secretops takes it for seconds and renews it, so that it ends with its process",
                remedy=f"ask who did; to end it: az storage blob lease break --blob-url {blob.url} --auth-mode login",
            )
        if found.leased:
            if seen is not None and found != seen:
                raise held_by(found.holder or "somebody", found.since)
            if seen is not None and asked - since > LONGEST_LEASE + timing.look:
                raise held_by(found.holder or "somebody who does not say who", found.since)
            seen = found
        time.sleep(timing.look)
