"""The launcher's source `vault:`, against a real OpenBao. The test sets its clock."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.errors import StoreError
from secretops.launcher.polling_source import BACKOFF_FACTOR, POLL_SECONDS
from secretops.launcher.settings import NotYetError
from secretops.platforms.vault import server
from secretops.platforms.vault.api import VERSION
from secretops.platforms.vault.source import VaultSource
from tests.contract.live_openbao import LiveVault, live_vault, without
from tests.real.openbao import OpenBao

pytestmark = pytest.mark.real


@dataclass
class Reads:
    """The secrets of a server, their reader, and the time."""

    live: LiveVault
    file: Path
    now: float = 1000.0
    seen: int = 0

    def publish(self, secret: str, **fields: str) -> str:
        version = f"v-{secrets.token_hex(4)}"
        self.write(secret, {**{name.replace("_", "-"): text for name, text in fields.items()}, VERSION: version})
        return version

    def write(self, secret: str, document: dict[str, object]) -> None:
        self.live.root.secrets.kv.v2.create_or_update_secret(secret, document, mount_point=self.live.mount)

    def show(self) -> None:
        """Write the file with the server's login credential."""
        self.file.write_text(self.live.secret_id())
        self.file.chmod(0o600)

    def place(self, names: str = "", *more: str) -> str:
        host = self.live.openbao.address.removeprefix("https://")
        output = (
            f"{host}/{self.live.mount}/data/{names}", f"approle={self.live.role_id()}", f"auth={self.live.approle}",
            f"file={self.file}", f"ca={self.live.openbao.ca_file}", *more,
        )  # fmt: skip
        return ",".join(output)

    def source(self, names: str = "mqtt+agent-key+http-token", *more: str) -> VaultSource:
        return VaultSource(self.place(names, *more), clock=lambda: self.now)

    def requested(self) -> list[str]:
        lines = [line for line in self.live.openbao.audit() if line["type"] == "response"]
        new, self.seen = lines[self.seen :], len(lines)
        role = self.live.role("server")
        return [
            f"{line['request']['operation']} {line['request']['path'].removeprefix(f'{self.live.mount}/')}"
            for line in new
            if ((line.get("auth") or {}).get("metadata") or {}).get("role_name") == role
        ]

    def of_secrets(self) -> list[str]:
        return [each for each in self.requested() if "auth/" not in each]


@pytest.fixture
def reads(openbao: OpenBao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reads:
    monkeypatch.setenv("MQTT_BROKER", "broker.example")
    monkeypatch.setattr(server, "PAUSES", ())
    made = Reads(live_vault(openbao, tmp_path), tmp_path / "secret-id")
    made.show()
    return made


def password() -> str:
    return secrets.token_hex(20)


def test_a_new_version_is_seen_within_the_interval_and_a_value_is_read_once_only(reads: Reads) -> None:
    first, second = password(), password()
    reads.publish("mqtt", username="server-a", password=first)
    reads.publish("agent-key", api_key=password())
    source = reads.source("mqtt+agent-key")
    before = source.fingerprint()
    assert reads.of_secrets() == [f"read {what}/{name}" for name in ("mqtt", "agent-key") for what in LOOK_AND_READ]
    for _ in range(3):  # the launcher polls every second
        assert source.fingerprint() == before
        source.read()
        reads.now += POLL_SECONDS / 10
    assert reads.requested() == []
    reads.live.root.secrets.kv.v2.update_metadata("mqtt", custom_metadata={"a": "note"}, mount_point=reads.live.mount)
    reads.now += 1.2 * POLL_SECONDS
    assert source.fingerprint() == before
    assert reads.requested() == ["read metadata/mqtt", "read metadata/agent-key"], (
        "what is only noted of it is not read"
    )
    reads.publish("mqtt", username="server-b", password=second)
    reads.now += 1.2 * POLL_SECONDS
    assert source.fingerprint() != before
    assert reads.requested() == ["read metadata/mqtt", "read data/mqtt", "read metadata/agent-key"]
    assert source.read().mqtt["password"] == second
    assert first not in before


LOOK_AND_READ = ("metadata", "data")


def test_revoked_secret_id_stops_new_servers_only(reads: Reads, caplog: pytest.LogCaptureFixture) -> None:
    reads.publish("mqtt", username="server-a", password=password())
    source = reads.source("mqtt")
    settings, shown = source.read(), reads.file.read_text()
    path = f"auth/{reads.live.approle}/role/{reads.live.role('server')}/secret-id/destroy"
    reads.live.root.write_data(path, data={"secret_id": shown})
    reads.live.root.write_data(f"sys/leases/revoke-prefix/auth/{reads.live.approle}", data={})
    reads.now += 1.2 * POLL_SECONDS
    with caplog.at_level(logging.WARNING):
        assert source.read() == settings
    assert reads.live.role_id() in caplog.text
    with pytest.raises(StoreError) as reported:
        reads.source("mqtt").read()
    assert shown not in caplog.text + str(reported.value)
    reads.show()
    reads.now += BACKOFF_FACTOR * 1.2 * POLL_SECONDS
    reads.publish("mqtt", username="server-b", password=password())
    assert source.read().mqtt["username"] == "server-b", "a new secret id in the file is enough"


def delete(reads: Reads, secret: str) -> None:
    reads.live.root.secrets.kv.v2.delete_latest_version_of_secret(secret, mount_point=reads.live.mount)


def remove(reads: Reads, secret: str) -> None:
    reads.live.root.secrets.kv.v2.delete_metadata_and_all_versions(secret, mount_point=reads.live.mount)


def test_path_that_was_removed_and_written_again_is_read(reads: Reads) -> None:
    reads.publish("mqtt", username="server-a", password=password())
    source = reads.source("mqtt")
    source.read()
    remove(reads, "mqtt")
    reads.publish("mqtt", username="server-b", password=password())
    reads.now += 1.2 * POLL_SECONDS
    assert source.read().mqtt["username"] == "server-b", "its version has the same number, 1"


def refuse(reads: Reads, secret: str) -> None:
    kept = without(f"/data/{secret}", without(f"/metadata/{secret}", reads.live.server_policy()))
    reads.live.root.sys.create_or_update_policy(reads.live.role("server"), kept)


def other_fields(reads: Reads, secret: str) -> None:
    reads.publish(secret, other=password())


@pytest.mark.parametrize("happens", [delete, remove, refuse, other_fields], ids=lambda each: each.__name__)
def test_lost_required_secret_blocks_no_other_after_the_start(
    happens: Callable[[Reads, str], None], reads: Reads, caplog: pytest.LogCaptureFixture
) -> None:
    first, bearer = password(), password()
    reads.publish("mqtt", username="server-a", password=first)
    reads.publish("http-token", token=password())
    source = reads.source("mqtt+http-token")
    source.read()
    happens(reads, "mqtt")
    reads.publish("http-token", token=bearer)
    reads.now += 2 * POLL_SECONDS
    settings = source.read()
    assert settings.http_token and settings.http_token["token"] == bearer, "the one that leaked is refused"
    assert settings.mqtt["password"] == first
    assert [record for record in caplog.records if "mqtt" in record.getMessage()], "it does not go on in silence"
    with pytest.raises(NotYetError if happens is remove else StoreError):
        reads.source("mqtt+http-token").read()


def test_operators_token_is_used_without_a_login(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    reads.publish("mqtt", username="server-a", password=password())
    monkeypatch.setenv("VAULT_TOKEN", reads.live.log_in("server"))
    monkeypatch.setenv("VAULT_ADDR", reads.live.openbao.address)
    place = f"{reads.live.openbao.address.removeprefix('https://')}/{reads.live.mount}/data/mqtt"
    assert VaultSource(f"{place},ca={reads.live.openbao.ca_file}").read().mqtt["username"] == "server-a"
    with pytest.raises(StoreError):
        VaultSource(place).read()
