"""`aws-sm:<region>/<start of the names>/<secret>[+<secret>…]`: secrets of AWS Secrets Manager, as the workload's role.

For example aws-sm:eu-central-1/coreflux-mcp/prod/mqtt+agent-key. Without any name at the end, all four are asked for;
asking for one that the role may not read is on record as refused, each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from secretops.errors import UsageError
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
    """`Source` over the versions that have AWSCURRENT.

    A poll is one DescribeSecret a secret; a value is read only when AWSCURRENT has moved. 8,760 polls a month at 0.05
    USD per 10,000 calls are 0.04 USD a month for each secret of each server
    (https://aws.amazon.com/secrets-manager/pricing/, read in 2025).
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
                f"--from aws-sm:{place}",
                rule="aws-sm:<region>/<start of the names>/<secret>[+<secret>…]",
                remedy=f"{OUTPUT}; for example aws-sm:eu-central-1/coreflux-mcp/prod/mqtt",
            )
        asked = requested_secrets(f"aws-sm:{place}", last)
        place = f"Secrets Manager in {region}, {prefix}/"
        super().__init__(place, asked, lambda secret: f"{prefix}/{secret}", every=every, clock=clock)
        self._api = open_api(region)

    def revision(self, name: str) -> str | None:
        return version_with(self._api.labels(name), CURRENT)

    def fetch(self, name: str, revision: str) -> StoredVersion | None:
        found = self._api.value(name, revision)
        return parse_version(name, revision, found.text) if found else None
