"""The source `aws-sm:<region>/<start of the names>/<secret>[+<secret>…]`: secrets that the launcher reads in AWS
Secrets Manager as the server's role.

An example is aws-sm:eu-central-1/coreflux-mcp/prod/mqtt+agent-key. Without a secret at the end it requests all
secrets of the server, and CloudTrail records a denied request for each that the role may not read.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from secretops.errors import StoreError, UsageError
from secretops.launcher.polling_source import (
    OUTPUT,
    POLL_SECONDS,
    PollingSource,
    StoredVersion,
    parse_version,
    requested_secrets,
)
from secretops.platforms.aws.api import CURRENT, SecretsManagerApi, version_with


class SecretsManager(PollingSource):
    """Polls the label AWSCURRENT, and reads a value only after the label has moved.

    Polls cost 0.04 USD a month for each secret and server (https://aws.amazon.com/secrets-manager/pricing/, 2025).
    """

    def __init__(
        self,
        place: str,
        *,
        open_api: Callable[[str], SecretsManagerApi] = SecretsManagerApi,
        every: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        region, slash, path = place.partition("/")
        prefix, _, last = path.rpartition("/")
        if not region or not slash or not prefix:
            raise UsageError(
                f"--from aws-sm:{place}: invalid source",
                rule="the source must have the form aws-sm:<region>/<start of the names>/<secret>[+<secret>…]",
                remedy=f"{OUTPUT}; for example aws-sm:eu-central-1/coreflux-mcp/prod/mqtt",
                code="source-invalid",
            )
        requested = requested_secrets(f"aws-sm:{place}", last)
        place = f"Secrets Manager in {region}, {prefix}/"
        super().__init__(place, requested, lambda secret: f"{prefix}/{secret}", every=every, clock=clock)
        self._api = open_api(region)

    def revision(self, name: str) -> str | None:
        return version_with(self._api.labels(name), CURRENT)

    def fetch(self, name: str, revision: str) -> StoredVersion | None:
        found = self._api.value(name, revision)
        if found is not None:
            return parse_version(name, revision, found)
        if name.rpartition("/")[2] in self._found:
            raise StoreError(
                f"secret {name}: the value of version {revision} is not readable yet",
                rule="a version with the label AWSCURRENT must have a value; AWS may return it later than its label",
                remedy="nothing to do: the launcher polls again; if this lasts for minutes: secretops doctor",
                code="current-value-not-readable",
            )
        return None
