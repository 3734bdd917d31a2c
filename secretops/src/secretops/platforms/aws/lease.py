"""Who rotates: one item of a DynamoDB table, which names the holder. Without a holder it is free.

Each change is one conditional UpdateItem, so DynamoDB lets one of several takers have the lease, and of a renewal and a
takeover after the same renewal only one succeeds. A refused update returns the item as it is, so nobody reads it apart.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html

The table is named by its ARN: UpdateItem by credentials of another account is denied, whatever tables that has.
"""

from __future__ import annotations

import functools
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError

from secretops.errors import StoreError
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import connect
from secretops.stores.lease import Held, Timing, Watch, awake_or_not, held_by

KEY = "id"
"""The table's partition key, a string."""

ITEM = {KEY: {"S": "lease"}}

_HOLDER, _SINCE, _TOKEN, _RENEWED = "holder", "since", "token", "renewed"
_NAMES = {f"#{name}": name for name in (_HOLDER, _SINCE, _TOKEN, _RENEWED)}


class DynamoDb(Protocol):
    """What is used of boto3's client."""

    def update_item(self, **request: Any) -> Any: ...

    def get_item(self, **request: Any) -> Any: ...


@dataclass(frozen=True)
class Term:
    """One holder's time. A renewal changes `renewed` alone."""

    token: str
    holder: str
    since: datetime | None
    renewed: int = 0

    @property
    def sign(self) -> tuple[str, int]:
        """What every renewal and every taker changes."""
        return self.token, self.renewed


_FREED = Term("", "nobody", None)  # Prevents a renewal after the item was deleted by hand.


class LeaseTable:
    """The table with the ARN `arn`. Connects with the first request. Raises what `errors.told` does."""

    def __init__(self, arn: str, open_client: Callable[[str], DynamoDb] | None = None) -> None:
        self.arn, self.region = arn, arn.split(":")[3]
        self._open = open_client or (lambda region: cast(DynamoDb, connect(region, "dynamodb")))

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    @functools.cached_property
    def client(self) -> DynamoDb:
        """The connection. Raises UsageError."""
        return self._open(self.region)

    def write(self, term: Term, *, after: Term | None) -> Term | None:
        """Write `term` if the lease is free, is `term`'s own, or still has the term `after`.

        Returns the term that prevents it, or None. The same write again is a no-op, so a lost answer does no harm.
        """
        values = {
            ":holder": {"S": term.holder},
            ":since": {"S": term.since.isoformat(timespec="seconds") if term.since else ""},
            ":token": {"S": term.token},
            ":renewed": {"N": str(term.renewed)},
        }
        condition = "attribute_not_exists(#token) OR #token = :token"
        if after:
            values |= {":seen": {"S": after.token}, ":count": {"N": str(after.renewed)}}
            condition += " OR (#token = :seen AND #renewed = :count)"
        update = "SET #holder = :holder, #since = :since, #token = :token, #renewed = :renewed"
        return self._update(update, condition, values, names=_NAMES)

    def renew(self, term: Term) -> Term | None:
        """Write how often `term` was renewed, if it still holds. Returns the follower's term, else None."""
        values = {":token": {"S": term.token}, ":renewed": {"N": str(term.renewed)}}
        names = {name: _NAMES[name] for name in ("#token", "#renewed")}
        return self._update("SET #renewed = :renewed", "#token = :token", values, names=names)

    def release(self, term: Term) -> None:
        """Free the lease if `term` still holds it."""
        self._update(
            "REMOVE #holder, #since, #token, #renewed", "#token = :token", {":token": {"S": term.token}}, names=_NAMES
        )

    def read(self) -> Term | None:
        """The holder's term, or that of one that was killed; None while the lease is free."""
        with self._telling("GetItem"):
            found = self.client.get_item(TableName=self.arn, Key=ITEM, ConsistentRead=True)
        return _term(found.get("Item", {}))

    def _update(
        self, update: str, condition: str, values: Mapping[str, Mapping[str, str]], *, names: Mapping[str, str]
    ) -> Term | None:
        with self._telling("UpdateItem"):
            try:
                self.client.update_item(
                    TableName=self.arn,
                    Key=ITEM,
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if errors.code(error) != "ConditionalCheckFailedException":
                    raise
                return _term(cast(Mapping[str, Any], error.response).get("Item", {})) or _FREED
        return None

    @contextmanager
    def _telling(self, operation: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise errors.told(error, f"dynamodb:{operation}", self.name, self.region, kind="table") from None


class HeldItem(Held):
    """The lease that names us."""

    def __init__(self, table: LeaseTable, term: Term, *, asked: float, timing: Timing) -> None:
        super().__init__(timing, asked=asked)
        self._table, self._term = table, term

    def _renew(self, *, patiently: bool) -> bool:  # noqa: ARG002 - AWS' SDK retries by itself
        term = Term(self._term.token, self._term.holder, self._term.since, self._term.renewed + 1)
        if other := self._table.renew(term):
            self._follower = other.holder
            return False
        self._term = term
        return True

    def _release(self) -> None:
        self._table.release(self._term)


def take(table: LeaseTable, holder: str, timing: Timing) -> Held:
    """Acquire the lease for `holder`. Raises LeaseHeldError, StoreError, UnreachableError.

    A holder that does not renew for `timing.duration` seconds of this machine's clock is followed.
    """
    ours = Term(secrets.token_hex(8), holder, datetime.now(UTC))
    watch, silent = Watch[tuple[str, int]](timing), None
    while True:
        asked, asked_awake = time.monotonic(), awake_or_not()
        found = table.write(ours, after=silent)
        if found is None:
            return HeldItem(table, ours, asked=asked_awake, timing=timing)
        if found == silent:
            raise StoreError(
                f"table {table.name} in {table.region}: the item of the lease was not written by secretops",
                rule="it has a token and a number of renewals; nothing was begun",
                remedy=f"ask who wrote it; to free the lease: aws dynamodb delete-item --region {table.region} "
                f"--table-name {table.name} --key '{json.dumps(ITEM)}'",
            )
        is_over = watch.is_over(found.sign, asked=asked, held=functools.partial(held_by, found.holder, found.since))
        silent = found if is_over else None


def _term(item: Mapping[str, Mapping[str, str]]) -> Term | None:
    """The term in an item; None where there is no token in it, so that nobody holds the lease."""
    if _TOKEN not in item:
        return None
    try:
        since, renewed = datetime.fromisoformat(_text(item, _SINCE)), int(_text(item, _RENEWED))
    except ValueError:  # written by hand
        since, renewed = None, 0
    return Term(_text(item, _TOKEN), _text(item, _HOLDER), since, renewed)


def _text(item: Mapping[str, Mapping[str, str]], name: str) -> str:
    """An attribute of type string or number."""
    return next(iter(item.get(name, {}).values()), "")
