"""The lease of the Swarm store: a label of the config that keeps the versions' state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from secretops.errors import StoreError
from secretops.platforms.swarm.version_state import VersionStateClient
from secretops.stores import lease
from secretops.stores.lease import Found, Held, LeaseRecord, LeaseStore, Timing
from secretops.stores.retry import contended


class LeaseLabel(LeaseStore):
    """The label. `at` is the config as it was read, or None once it was written: its index has changed then."""

    keeps_duration = True

    def __init__(self, client: VersionStateClient) -> None:
        self._client = client

    def read(self, *, patient: bool = True) -> Found:
        with contextlib.nullcontext() if patient else self._client.api.impatient():
            return self._read()

    def write(self, record: LeaseRecord | None, after: Found, *, patient: bool = True) -> Found:
        with contextlib.nullcontext() if patient else self._client.api.impatient():
            now = after if after.at is not None else self._read()
            if now.record != after.record:
                return now
            state = self._client.opened(now.at)
            state.write_lease(record)
            return Found(record) if self._client.write(now.at, state) else self._read()

    def contended(self, left: str) -> StoreError:
        remedy = "find out who writes it: docker events --filter type=config"
        return contended(f"config {self._client.location.book}", remedy, rule=f"one rotation at a time; {left}")

    def _read(self) -> Found:
        found: dict[str, Any] | None = self._client.api.get(f"/configs/{self._client.location.book}")
        return Found(self._client.opened(found).lease, found)


@contextlib.contextmanager
def hold(client: VersionStateClient, holder: str, timing: Timing) -> Iterator[Held | None]:
    """Hold the lease while the block runs; None where nothing could be written. Raises as `stores.lease.hold` does.

    It is renewed over a connection of its own: the main thread may be waiting.
    """
    own = VersionStateClient(client.api.another(), client.location)
    if own.is_nowhere:  # no value is kept, and none can be: the first write says why
        yield None
        return
    with lease.hold(LeaseLabel(own), holder, timing) as held:
        client.token = held.record.token
        try:
            yield held
        finally:
            client.token = ""  # nosec B105 - nobody holds it
