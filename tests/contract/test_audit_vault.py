"""`secretops audit` over the logs of a real OpenBao: each read is listed once, with its reader and without the
value."""

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from hvac.exceptions import Forbidden

from secretops.engine.rotator import new_token
from secretops.engine.state import Stage, Version
from secretops.platforms.vault.trail import NOBODY
from secretops.values import Value
from tests.contract.live_openbao import LiveVault, live_vault
from tests.real.openbao import OpenBao

pytestmark = pytest.mark.real


@dataclass
class Watched:
    live: LiveVault
    canaries: list[str] = field(default_factory=list)
    # Creation time: what made it is not a declared reader.
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def read(self, token: str, path: str = "mqtt") -> object:
        client = self.live.openbao.client(token)
        return client.secrets.kv.v2.read_secret_version(
            path, mount_point=self.live.mount, raise_on_deleted_version=True
        )

    def publish(self, name: str = "mqtt") -> str:
        session = self.live.rotator()
        canary, now = f"canary-{secrets.token_hex(12)}", session.clock()
        made = Version(id=new_token(now), stage=Stage.PENDING, created=now)
        with session.lease("test"):
            session.store.add(name, made, Value({"username": "server-a", "password": canary}))
            session.store.publish(name, made.id, now)
        self.canaries.append(canary)
        return made.id

    def audit(self, *arguments: str, code: int, token: str = "") -> list[dict[str, Any]]:
        done = self.live.run(token, "audit", "--json", "--since", self.began, *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        logs = "".join(file.read_text() for file in self.live.openbao.audit_files)
        for canary in self.canaries:
            assert canary not in done.stdout + done.stderr + logs
        *rows, summary = map(json.loads, done.stdout.splitlines())
        assert (summary["holding_values"], summary["broken"]) == (0, 0)
        return rows

    @property
    def files(self) -> tuple[str, str]:
        first, second = self.live.openbao.audit_files
        return str(first), str(second)


@pytest.fixture
def watched(openbao: OpenBao, tmp_path: Path) -> Watched:
    made = Watched(live_vault(openbao, tmp_path))
    made.publish()
    return made


def test_declared_read_is_counted_once_when_two_devices_log_it(watched: Watched) -> None:
    token = watched.live.log_in("server")
    for _ in range(3):
        assert watched.read(token)
    server = f"{watched.live.approle}/{watched.live.role('server')}"
    (row,) = watched.audit(*watched.files, "--reader", server, code=0)
    assert (row["secret"], row["operation"], row["outcome"], row["count"]) == ("mqtt", "read data", "got value", 3)
    assert row["declared"] and row["sources"] == ["127.0.0.1"]
    assert watched.audit(watched.files[0], "--reader", server, "--secret", "agent-key", code=0) == []


def test_undeclared_readers_come_first_whatever_role_they_claim(watched: Watched) -> None:
    live = watched.live
    live.root.sys.create_or_update_policy(
        live.role("wide"), f'path "{live.mount}/*" {{ capabilities = ["read", "list"] }}'
    )
    forged = live.openbao.token(
        live.role("wide"), meta={"role_name": live.role("server")}, display_name=live.approle.replace("/", "-")
    )
    for whose in (forged, live.operator("bob", live.role("wide")), live.operator()):
        watched.read(whose)
    for whose in (live.operator("carol", "default"), "not-a-token"):
        with pytest.raises(Forbidden):
            watched.read(whose)
    rows = [row for row in watched.audit(*watched.files, code=3) if live.role("rotator") not in row["reader"]]
    reported = [(row["reader"], row["operation"], row["outcome"], row["declared"]) for row in rows]
    flat = live.approle.replace("/", "-")
    assert set(reported[:2]) == {
        (f"token-{flat}/{live.role('server')}", "read data", "got value", False),
        (f"{live.userpass}-bob", "read data", "got value", False),
    }
    assert set(reported[2:]) == {
        (f"{live.userpass}-carol", "read data", "denied", False),
        (NOBODY, "read data", "denied", False),
        (f"{live.userpass}/ann", "read data", "got value", True),
    }
    assert reported[-1][-1] is True


def test_reader_of_the_current_value_is_found_by_its_hash_at_any_path(watched: Watched) -> None:
    live, stale = watched.live, watched.live.log_in("server")
    first = watched.canaries[0]
    watched.read(stale)
    before = watched.live.rotator().store.versions("mqtt").current
    watched.publish()
    current = watched.canaries[-1]
    other = live.openbao.mount()
    thief = live.openbao.client()
    thief.secrets.kv.v2.create_or_update_secret("copy", {"note": current}, mount_point=other)
    live.root.sys.create_or_update_policy(live.role("thief"), f'path "{other}/data/copy" {{ capabilities = ["read"] }}')
    bob = live.openbao.client(live.operator("bob", live.role("thief")))
    bob.secrets.kv.v2.read_secret_version("copy", mount_point=other, raise_on_deleted_version=True)
    wrapped = live.root.adapter.get(f"/v1/{live.mount}/data/mqtt", wrap_ttl="60s")
    assert live.openbao.client(wrapped["wrap_info"]["token"]).sys.unwrap()["data"]["data"]["password"] == current

    rows = watched.audit("--value-of", "mqtt", *watched.files, code=3, token=live.operator())
    reported = {(row["reader"], row["secret"], row["outcome"], row["declared"]) for row in rows}
    assert (f"{live.userpass}-bob", f"{other}/data/copy", "got value", False) in reported
    assert ("root", "sys/wrapping/unwrap", "got value", False) in reported, (
        "the reader of a wrapped value is the user that wrapped it"
    )
    assert ("root", f"{other}/data/copy", "done", False) in reported
    assert f"{live.approle}/{live.role('server')}" not in {reader for reader, *_ in reported}, "it read the one before"
    assert f"{live.userpass}/ann" in {reader for reader, *_ in reported}, "the entry names the user that read"
    assert before
    rows = watched.audit("--value-of", f"mqtt@{before.id}", watched.files[1], code=0, token=live.operator())
    assert f"{live.approle}/{live.role('server')}" in {row["reader"] for row in rows}
    assert first != current
