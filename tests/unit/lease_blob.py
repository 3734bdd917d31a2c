"""An in-memory stand-in for the lease blob of the Azure store."""

from dataclasses import replace
from datetime import UTC, datetime

from secretops.platforms.azure.lease import LeaseBlob, LeaseStatus

NOBODY = LeaseStatus()


class BlobInMemory(LeaseBlob):
    """A lease blob that stores holder and record in memory."""

    def __init__(self) -> None:
        super().__init__("https://account.blob.core.windows.net/container/rotator")
        self.owner, self.seen, self.for_ever = "", NOBODY, False

    def acquire(self, lease: str, seconds: int) -> bool:  # noqa: ARG002 - it never ends by itself
        if self.owner not in ("", lease):
            return False
        self.owner = lease
        return True

    def renew(self, lease: str) -> bool:
        return self.owner == lease

    def write_holder(self, lease: str, holder: str, since: datetime, count: int) -> bool:
        if self.owner == lease:
            self.seen = LeaseStatus(holder, since, count, is_leased=True)
        return self.owner == lease

    def release(self, lease: str) -> None:
        if self.owner == lease:
            self.owner = ""

    def status(self) -> LeaseStatus:
        return replace(self.seen, is_leased=bool(self.owner), is_infinite=self.for_ever)

    def follow(self, name: str = "the follower") -> None:
        """Take over the lease, as another process does after a missed renewal."""
        self.owner = "another"
        assert self.write_holder(self.owner, name, datetime.now(UTC), 0)
