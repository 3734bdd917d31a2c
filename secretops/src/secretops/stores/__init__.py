"""Where values live. One module a store, one Protocol (`protocol.VersionStore`), one contract suite."""

from __future__ import annotations

from pathlib import Path

from secretops.access import AccessRecords, this_actor
from secretops.manifest import DotenvStore
from secretops.stores.dotenv import DotenvVersionStore
from secretops.stores.protocol import VersionStore


def open_store(location: DotenvStore, *, role: str) -> VersionStore:
    """The store at `location`, for a process in `role` ("operator", "rotator"). Touches nothing yet."""
    records = AccessRecords(Path(location.root) / "log" / "access.jsonl", this_actor(role))
    return DotenvVersionStore(location, records)
