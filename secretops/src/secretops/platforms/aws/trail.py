"""Parse CloudTrail: files of its bucket, {"Records": […]}; output of `aws cloudtrail lookup-events`, {"Events": […]};
or single events.

A single event is a text of that output, or an event of EventBridge, {"detail": …}.
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from secretops.platforms.aws.location import AwsStoreLocation
from secretops.trails import ALL, Access, TrailNames, json_documents, parsing

SOURCE = "secretsmanager.amazonaws.com"
# CloudTrail records a BatchGetSecretValue also as a GetSecretValue for each secret: such a read is counted under both.
RETURNS_VALUE = frozenset({"GetSecretValue", "BatchGetSecretValue"})
# Prefixes of the operations that only read. All others count as changes, unknown ones too.
READ_ONLY = ("Get", "BatchGet", "Describe", "List", "Validate")
DENIED = re.compile(r"^(Client\.)?(AccessDenied|UnauthorizedOperation|KMSAccessDenied)")
# Secrets Manager itself, as the caller when it rotates, replicates or deletes.
ITSELF = frozenset({SOURCE, "rotation.secretsmanager.amazonaws.com"})
# Type of the service's own events, e.g. RotationFailed.
SERVICE_EVENT = "AwsServiceEvent"
NOBODY = "(not logged in)"
_ARN = re.compile(r"arn:[\w-]+:secretsmanager:[\w-]*:\d*:secret:(?P<name>.+)")
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")
_SESSION = re.compile(r"arn:(?P<partition>[\w-]+):sts::(?P<account>\d*):assumed-role/(?P<role>[^/]+)/(?P<session>.*)")
_VALUES, _HIDDEN = ("secretString", "secretBinary"), "HIDDEN"


class CloudTrail(TrailNames):
    log_format = "a file of CloudTrail's bucket, the output of lookup-events, or one event per line"

    def __init__(self, location: AwsStoreLocation) -> None:
        self._readers, self._region = location.readers, location.region
        places = {secret: frozenset({name}) for secret, name in location.secrets.items()}
        super().__init__(places, {*location.secrets.values(), location.lease, *location.readers})

    def read(self, line: bytes) -> Iterator[Access]:
        for document in json_documents(line):
            yield from self._events(document)

    def _events(self, document: Any) -> Iterator[Access]:
        with parsing("a CloudTrail event"):
            if "Records" in document:
                events = document["Records"]
            elif "Events" in document:
                events = (json.loads(found["CloudTrailEvent"]) for found in document["Events"])
            else:
                events = [document.get("detail") or document]
            for event in events:
                yield from self._read(event)

    def _read(self, event: dict[str, Any]) -> Iterator[Access]:
        operation, time = event["eventName"], datetime.fromisoformat(event["eventTime"]).astimezone(UTC)
        if event["eventSource"] != SOURCE:
            return
        request = event.get("requestParameters") or {}
        reader, role, session = _who(event.get("userIdentity") or {})
        failed = event.get("errorCode") or ""
        by_request = event.get("eventType") != SERVICE_EVENT
        region = event.get("awsRegion") or self._region
        agent = str(event.get("userAgent") or "").split(" ")[0]
        elsewhere = "" if region == self._region else f"in {region}"
        source = (event.get("sourceIPAddress"), agent, session, elsewhere)
        for secret in self._requested(operation, request, event):
            yield Access(
                time=time,
                reader=reader,
                operation=operation,
                secret=secret,
                allowed=not DENIED.match(failed),
                source=" ".join(filter(None, source)),
                value_returned=operation in RETURNS_VALUE and not failed,
                changed=by_request and not operation.startswith(READ_ONLY) and not failed,
                declared=self._is_declared(secret, reader, role),
                event=str(event.get("eventID") or ""),
                holds_value=any(_HIDDEN not in str(request.get(field, _HIDDEN)) for field in _VALUES),
            )

    def _requested(self, operation: str, request: dict[str, Any], event: dict[str, Any]) -> Iterator[str]:
        name = (
            request.get("secretId") or (event.get("additionalEventData") or {}).get("SecretId") or request.get("name")
        )
        ids = [name] if name else list(request.get("secretIdList") or ())
        if not ids and operation in ("BatchGetSecretValue", "ListSecrets"):
            yield ALL
        yield from filter(None, dict.fromkeys(self._named(str(each)) for each in ids))

    def _named(self, requested: str) -> str | None:
        """Return the stack's secret for a name or an ARN, with or without the suffix that AWS adds."""
        match = _ARN.fullmatch(requested)
        name = match["name"] if match else requested
        return next((each for each in (name, _SUFFIX.sub("", name)) if each in self.known), None)

    def _is_declared(self, secret: str, reader: str, role: str) -> bool:
        if reader in ITSELF:
            return True
        secrets = self.known if secret == ALL else (secret,)
        return all(any(_is(declared, reader, role) for declared in self._readers.get(each, ())) for each in secrets)


def _who(identity: dict[str, Any]) -> tuple[str, str, str]:
    arn, service = identity.get("arn") or "", identity.get("invokedBy") or ""
    if match := _SESSION.fullmatch(arn):
        issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
        role_arn = f"arn:{match['partition']}:iam::{match['account']}:role/{match['role']}"
        return issuer.get("arn") or role_arn, match["role"], f"session {match['session']}"
    return arn or service or identity.get("principalId") or NOBODY, "", ""


def _is(declared: str, reader: str, role: str) -> bool:
    """Return whether `reader` is a declared principal. A reader's ARN may lack the path of its role."""
    if not declared.startswith("arn:"):
        return bool(role) and declared == role
    if declared == reader:
        return True
    head, _, path = declared.partition(":role/")
    return bool(role) and bool(path) and f"{head}:role/{path.rpartition('/')[2]}" == reader
