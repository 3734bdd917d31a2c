"""The lease of the AWS store: one item of a DynamoDB table. Each change is a conditional update.

A rejected update returns the current item, so the rotator needs no right to read. The table is named by its ARN, so
requests with another account's credentials fail.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from secretops.errors import StoreError
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import connect
from secretops.stores.lease import LeaseRecord, LeaseStore, StoredLease

# The table's partition key, a string.
KEY = "id"
ITEM = {KEY: {"S": "lease"}}
_NAMES = ("holder", "since", "token", "renewed")


class LeaseTable(LeaseStore):
    """The lease in DynamoDB table `arn`. Connects with the first request."""

    writes_first = True

    def __init__(self, arn: str, open_client: Callable[[str], Any] | None = None) -> None:
        self.arn, self.region, self.name = arn, arn.split(":")[3], arn.rpartition("/")[2]
        self._open = open_client or (lambda region: connect(region, "dynamodb"))

    @functools.cached_property
    def client(self) -> Any:
        return self._open(self.region)

    def read(self, *, patient: bool = True) -> StoredLease:  # noqa: ARG002 - AWS' SDK retries by itself
        with self._translated("GetItem"):
            found = self.client.get_item(TableName=self.arn, Key=ITEM, ConsistentRead=True)
        return StoredLease(_record(found.get("Item", {})))

    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:  # noqa: ARG002
        seen, condition = after.record, "#token = :token"
        if record is None or record.is_of(seen):
            token = seen.token if seen else ""
            update = "SET #renewed = :renewed" if record else "REMOVE #holder, #since, #token, #renewed"
            values = {":token": {"S": token}}
        else:
            update = "SET #holder = :holder, #since = :since, #token = :token, #renewed = :renewed"
            since = record.since.isoformat(timespec="seconds") if record.since else ""
            values = {":holder": {"S": record.holder}, ":since": {"S": since}, ":token": {"S": record.token}}
            condition = "attribute_not_exists(#token)"
            if seen:
                values |= {":seen": {"S": seen.token}, ":count": {"N": str(seen.renewals)}}
                condition += " OR (#token = :seen AND #renewed = :count)"
        if record:
            values |= {":renewed": {"N": str(record.renewals)}}
        with self._translated("UpdateItem"):
            try:
                self.client.update_item(
                    TableName=self.arn,
                    Key=ITEM,
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={f"#{name}": name for name in _NAMES if f"#{name}" in update + condition},
                    ExpressionAttributeValues=values,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if errors.code(error) != "ConditionalCheckFailedException":
                    raise
                return StoredLease(_record(error.response.get("Item", {})))
        return StoredLease(record)

    def contended(self, consequence: str) -> StoreError:
        return StoreError(
            f"table {self.name} in {self.region}: the item that is the lease is malformed",
            rule=f"the item must have a token and a number of renewals, and only secretops may write it; {consequence}",
            remedy=f"find the writer in CloudTrail; then release the lease: aws dynamodb delete-item "
            f"--region {self.region} --table-name {self.name} --key '{json.dumps(ITEM)}'",
            code="lease-item-invalid",
        )

    def _translated(self, operation: str) -> AbstractContextManager[None]:
        return errors.translated(f"dynamodb:{operation}", self.name, self.region, kind="table")


def _record(item: Any) -> LeaseRecord | None:
    if "token" not in item:
        return None
    holder, since_text, token, renewed = (next(iter(item.get(name, {}).values()), "") for name in _NAMES)
    try:
        since, renewals = datetime.fromisoformat(since_text), int(renewed)
    except ValueError:  # written by hand
        since, renewals = None, 0
    return LeaseRecord(holder=holder, token=token, since=since, renewals=renewals)
