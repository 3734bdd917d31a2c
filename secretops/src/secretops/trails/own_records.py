"""The records that secretops and the launcher write themselves (access.AccessRecords), for a store without a trail."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from secretops.manifest import Reader, Secret
from secretops.trails.protocol import Access, NamedPlaces, reading

# The role of a person's own commands. The folder's account has every value anyway, so it is declared by nature.
OPERATOR = "operator"

# What the rotator may do to every secret, whoever reads it, and the server to none.
CHANGES = frozenset({"write", "delete"})


class OwnRecords(NamedPlaces):
    """`Trail` over access.jsonl. The reader's name is what that process called itself."""

    form = "the store's own log/access.jsonl, one record a line"

    def __init__(self, secrets: Sequence[Secret]) -> None:
        self._readers = {secret.name: secret.readers for secret in secrets}
        super().__init__({}, self._readers)

    def known(self) -> Iterable[str]:
        return self._readers

    def read(self, line: bytes) -> Iterable[Access]:
        record = json.loads(line)
        with reading("an access record"):
            secret, reader, operation = record["secret"], record["actor"], record["operation"]
            time = datetime.fromisoformat(record["time"]).astimezone(UTC)
            who, _, host = reader.rpartition("@")
            role, done = who.partition(":")[0], operation in CHANGES
            allowed = (Reader.ROTATOR,) if done else self._readers.get(secret, (Reader.ROTATOR,))
        yield Access(
            time=time,
            reader=who,
            operation=operation,
            secret=secret,
            allowed=True,
            source=host,
            given=operation == "read",
            done=done,
            declared=role == OPERATOR or role in allowed,
        )
