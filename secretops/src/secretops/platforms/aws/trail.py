"""CloudTrail: the files that it lays into its bucket, {"Records": […]}, lookup-events' answer, single events a line.

Single events are what EventBridge hands on ({"detail": …}), and `aws cloudtrail lookup-events` gives as text, where
tabs part them. Its answer as JSON is {"Events": […]}, of which each has the event as a text, "CloudTrailEvent". https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from secretops.platforms.aws.location import AwsStoreLocation
from secretops.trails.documents import documents
from secretops.trails.protocol import ALL, Access

SOURCE = "secretsmanager.amazonaws.com"

GIVES_VALUE = frozenset({"GetSecretValue", "BatchGetSecretValue"})
"""Of a BatchGetSecretValue CloudTrail also has a GetSecretValue for each secret: such a read is counted under both."""

ONLY_LOOKS = ("Get", "BatchGet", "Describe", "List", "Validate")
"""How the operations begin that change nothing. The others do, those too that AWS has yet to invent."""

DENIED = re.compile(r"^(Client\.)?(AccessDenied|UnauthorizedOperation|KMSAccessDenied)")

ITSELF = frozenset({SOURCE, "rotation.secretsmanager.amazonaws.com"})
"""Readers by nature: the service, when it rotates, replicates and deletes."""

SERVICE_EVENT = "AwsServiceEvent"
"""The type of what the service tells of its own work, e.g. RotationFailed. Nobody asked for that."""

NOBODY = "(not logged in)"
_ARN = re.compile(r"arn:[\w-]+:secretsmanager:[\w-]*:\d*:secret:(?P<name>.+)")
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")
_SESSION = re.compile(r"arn:(?P<partition>[\w-]+):sts::(?P<account>\d*):assumed-role/(?P<role>[^/]+)/(?P<session>.*)")
_HIDDEN = "HIDDEN"


class CloudTrail:
    """`Trail` over one stack's secrets, in whatever regions they are replicated to."""

    form = "a file of CloudTrail's bucket, lookup-events' answer, or one event a line"

    def __init__(self, location: AwsStoreLocation) -> None:
        self._places, self._readers, self._region = location.secrets, location.readers, location.region
        self._secrets = frozenset({*location.secrets.values(), location.lease, *location.readers})

    def read(self, line: bytes) -> Iterator[Access]:
        for document in documents(line):
            yield from self._events(document)

    def names(self, secret: str) -> frozenset[str]:
        return frozenset({self._places.get(secret, secret)} & self._secrets)

    def known(self) -> Iterable[str]:
        return (*sorted(self._places), *sorted(self._secrets))

    def _events(self, document: Any) -> Iterator[Access]:
        try:
            if "Records" in document:
                for event in document["Records"]:
                    yield from self._read(event)
            elif "Events" in document:
                for found in document["Events"]:
                    yield from self._read(json.loads(found["CloudTrailEvent"]))
            else:
                yield from self._read(document.get("detail") or document)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a CloudTrail event") from error

    def _read(self, event: dict[str, Any]) -> Iterator[Access]:
        operation, time = event["eventName"], datetime.fromisoformat(event["eventTime"]).astimezone(UTC)
        if event["eventSource"] != SOURCE:
            return
        asked = event.get("requestParameters") or {}
        reader, role, session = _who(event.get("userIdentity") or {})
        failed = event.get("errorCode") or ""
        by_request = event.get("eventType") != SERVICE_EVENT
        region = event.get("awsRegion") or self._region
        whence = (event.get("sourceIPAddress"), str(event.get("userAgent") or "").split(" ")[0], session)
        elsewhere = "" if region == self._region else f"in {region}"
        for secret in self._asked_for(operation, asked, event):
            yield Access(
                time=time,
                reader=reader,
                operation=operation,
                secret=secret,
                allowed=not DENIED.match(failed),
                source=" ".join(part for part in (*whence, elsewhere) if part),
                given=operation in GIVES_VALUE and not failed,
                done=by_request and not operation.startswith(ONLY_LOOKS) and not failed,
                declared=self._is_declared(secret, reader, role),
                event=str(event.get("eventID") or ""),
                holds_value=any(
                    field in asked and _HIDDEN not in str(asked[field]) for field in ("secretString", "secretBinary")
                ),
            )

    def _asked_for(self, operation: str, asked: dict[str, Any], event: dict[str, Any]) -> Iterator[str]:
        """Which of the stack's secrets it is about. A batch by filters, or a list, may be about every one."""
        said = asked.get("secretId") or (event.get("additionalEventData") or {}).get("SecretId") or asked.get("name")
        ids = [said] if said else list(asked.get("secretIdList") or ())
        if not ids and operation in ("BatchGetSecretValue", "ListSecrets"):
            yield ALL
        for found in dict.fromkeys(self._named(str(each)) for each in ids):
            if found:
                yield found

    def _named(self, said: str) -> str | None:
        """The name of the secret that a request calls so: by its name, its ARN, or its ARN without AWS' own suffix."""
        match = _ARN.fullmatch(said)
        name = match["name"] if match else said
        return next((each for each in (name, _SUFFIX.sub("", name)) if each in self._secrets), None)

    def _is_declared(self, secret: str, reader: str, role: str) -> bool:
        if reader in ITSELF:
            return True
        asked = self._secrets if secret == ALL else (secret,)
        return all(any(_is(declared, reader, role) for declared in self._readers.get(each, ())) for each in asked)


def _who(identity: dict[str, Any]) -> tuple[str, str, str]:
    """Who it was, the name of the role that they were in, and the name that they gave the session."""
    arn, service = identity.get("arn") or "", identity.get("invokedBy") or ""
    if match := _SESSION.fullmatch(arn):
        issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
        made = f"arn:{match['partition']}:iam::{match['account']}:role/{match['role']}"
        return issuer.get("arn") or made, match["role"], f"session {match['session']}"
    return arn or service or identity.get("principalId") or NOBODY, "", ""


def _is(declared: str, reader: str, role: str) -> bool:
    """Whether the principal that a stack declares, by ARN or by the name of a role, is this reader.

    An event may leave the issuer of a session out; its role is then known without the path that an ARN has.
    """
    if not declared.startswith("arn:"):
        return bool(role) and declared == role
    if declared == reader:
        return True
    head, _, path = declared.partition(":role/")
    return bool(role) and bool(path) and f"{head}:role/{path.rpartition('/')[2]}" == reader
