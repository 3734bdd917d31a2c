"""What commands do in Secrets Manager beside the store's own work. Imported only for a stack there: it takes boto3."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from secretops.engine.ports import VersionStore
from secretops.errors import UsageError
from secretops.manifest import Secret
from secretops.platform import OpenedStack
from secretops.platforms.aws.api import CURRENT, PENDING, Labels, SecretsManagerApi, version_with
from secretops.platforms.aws.labels import LabelState
from secretops.platforms.aws.location import AwsStoreLocation
from secretops.platforms.aws.store import SecretsManagerVersionStore

# AWS tries a failed rotation again within the hour, and the tick runs hourly: what is left after two is stuck.
STUCK_AFTER = timedelta(hours=2)
_FORMAT = "%Y%m%dT%H%M%SZ"
# By this label a tick notes since when it has seen a stray AWSPENDING: a rotator may not ask AWS how old a version is.
# It says nothing of a version that is kept, and so is none of those (secretops.…) that the store takes away.
_STRAY = re.compile(r"secretops-stray\.(?P<since>\d{8}T\d{6}Z)")


def api_of(store: VersionStore) -> SecretsManagerApi:
    """Return the client of `store`. Raises UsageError for the store of another platform."""
    if isinstance(store, SecretsManagerVersionStore):
        return store.api
    raise UsageError(
        "the stack's store is another platform's",
        rule="this is a request to Secrets Manager",
        remedy="pass the manifest of a stack with store.kind: aws",
    )


def take_stray_pending(session: OpenedStack, location: AwsStoreLocation, secret: Secret) -> str | None:
    """Take AWSPENDING off a version that nobody fills any more, and say so: while it is there AWS does not rotate.

    RotateSecret makes such a version, empty; the step that should fill it failed, and AWS gave up. Only of secrets
    whose values secretops alone makes, only a version without our facts, since ours is finished by whoever finds it,
    and only when it has been so for STUCK_AFTER. To be called under the lease, when no step is at work.
    """
    if not secret.kind.alternates or secret.name not in location.secrets:
        return None
    api, name, now = api_of(session.store), location.secrets[secret.name], session.clock()
    labels = api.labels(name)
    stray = stray_pending(labels)
    noted: tuple[str, datetime] | None = None
    for version, label in [(version, label) for version, has in labels.items() for label in has]:
        if (match := _STRAY.fullmatch(label)) and version == stray:
            noted = label, datetime.strptime(match["since"], _FORMAT).replace(tzinfo=UTC)
        elif match:
            api.move(name, label, version, None)
    if stray is None:
        return None
    if noted is None:
        api.move(name, f"secretops-stray.{now:{_FORMAT}}", None, stray)
        return None
    label, since = noted
    if now - since < STUCK_AFTER or not api.move(name, PENDING, stray, None):
        return None
    api.move(name, label, stray, None)
    return f"AWSPENDING taken off version {stray}, which nobody has filled since {since:%Y-%m-%d %H:%M} UTC"


def stray_pending(labels: Labels) -> str | None:
    """The version that has AWSPENDING, is not current, and has no facts of ours: it is empty, or somebody else's."""
    found = version_with(labels, PENDING)
    return None if found is None or CURRENT in labels[found] or LabelState(labels).versions.pending else found


def free(api: SecretsManagerApi, name: str, version: str) -> bool:
    """Take AWSPENDING off `version` at once, if it is a stray one still. To be called under the lease.

    AWS' steps give the lease back in between: what one of them has filled meanwhile is left as it is.
    """
    return stray_pending(api.labels(name)) == version and api.move(name, PENDING, version, None)
