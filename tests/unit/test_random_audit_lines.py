"""`secretops audit` counts malformed lines in every kind of log, without a traceback."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretops.manifest import Manifest
from secretops.operations.audit import Row, audit
from secretops.platforms.dotenv.location import DotenvStoreLocation
from tests.unit import test_audit, test_cloudtrail, test_log_analytics, test_swarm_events, test_vault_log
from tests.unit.fuzz import BOUNDED, texts

DOTENV = test_swarm_events.MANIFEST.model_copy(update={"store": DotenvStoreLocation(root="/nowhere/store")})
RECORDS = (json.loads(test_swarm_events.record("read")), json.loads(test_swarm_events.record("write")))

LOGS: dict[str, tuple[Manifest, tuple[Any, ...]]] = {
    "CloudTrail": (test_cloudtrail.MANIFEST,
                   (test_cloudtrail.event(),
                    {"Records": [test_cloudtrail.event(secret_id={"secretIdList": [test_cloudtrail.MQTT]})]},
                    {"Events": [{"CloudTrailEvent": json.dumps(test_cloudtrail.event())}]},
                    {"detail": test_cloudtrail.event(test_cloudtrail.session(issuer=""))})),
    "an API server": (test_audit.MANIFEST,
                      (test_audit.event(), test_audit.event(verb="watch", stage="ResponseStarted"),
                       {"kind": "EventList", "items": [test_audit.event(impersonatedUser={"username": "x"})]})),
    "Log Analytics": (test_log_analytics.MANIFEST, (
        *(test_log_analytics.dedicated(), test_log_analytics.classic(), [test_log_analytics.dedicated()]),
        {"tables": [{"columns": [{"name": "TimeGenerated"}], "rows": [["2026-03-01T00:00:00Z"]]}]},
    )),
    "an audit device": (test_vault_log.MANIFEST,
                        (test_vault_log.entry(),
                         test_vault_log.entry(test_vault_log.account(), type="request", error="permission denied"),
                         test_vault_log.entry(path="sys/wrapping/unwrap", operation="update"))),
    "a Docker daemon": (test_swarm_events.MANIFEST,
                        (json.loads(test_swarm_events.event("secret", "create", "coreflux-mcp-prod_mqtt-v1")),
                         json.loads(test_swarm_events.event("service", "update", "elsewhere")), *RECORDS)),
    "secretops itself": (DOTENV, RECORDS),
}  # fmt: skip


def is_told(row: Row) -> bool:
    row_texts = (row.reader, row.secret, row.operation, *row.sources)
    return (
        all(isinstance(text, str) for text in row_texts)
        and row.first.utcoffset() == timedelta() == row.last.utcoffset()
    )


@pytest.mark.parametrize("log", LOGS)
def test_a_line_of_anything_is_counted_or_refused_in_the_log_of(log: str, tmp_path: Path) -> None:
    manifest, documents = LOGS[log]
    file = tmp_path / "log"
    good = json.dumps(documents[0]).encode()

    @BOUNDED
    @given(st.lists(texts(documents), max_size=3))
    def holds(lines: list[bytes]) -> None:
        written = [line.replace(b"\n", b" ") for line in lines]
        file.write_bytes(b"\n".join([good, *written]))
        view = audit(manifest, [str(file)], since=datetime(1990, 1, 1, tzinfo=UTC), reader="*")
        assert view.lines <= len(written) + 1
        assert all(map(is_told, view.rows))
        assert view.rows, "the good line is reported whatever the others are"

    holds()
