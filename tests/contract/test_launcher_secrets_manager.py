"""The launcher's source `aws-sm:`, against moto, a stand-in for AWS. The test sets its clock."""

import itertools
import json
import logging
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("boto3", reason="boto3 is not installed: the extra `aws`")

from botocore.exceptions import ClientError

from components.settings.remote_constraints import FETCHED
from secretops.engine.rotator import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import StoreError
from secretops.launcher.polling_source import (
    BACKOFF_FACTOR,
    POLL_SECONDS,
    REFUSED_SECONDS,
    RETRY_SECONDS,
    WAITING_SECONDS,
)
from secretops.launcher.settings import NotYetError
from secretops.launcher.sources import open_source
from secretops.platforms.aws.api import SecretsManagerApi
from secretops.platforms.aws.location import AwsStoreLocation
from secretops.platforms.aws.source import SecretsManager
from secretops.platforms.aws.store import SecretsManagerVersionStore
from secretops.values import Value
from tests.real.moto import ACCOUNT, REGION, Aws, lease_arn
from tests.real.strict_secrets_manager import StrictSecretsManager

pytestmark = pytest.mark.real

NAMES = ("mqtt", "agent-key", "client-cert", "http-token")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Minimum seconds of a launcher to change over to a fetched value, within the stack's total.
CHANGING_OVER = 60


class Counting:
    """A client that counts its requests, and fails as a test sets, in place of refusals by AWS."""

    def __init__(self, client: StrictSecretsManager) -> None:
        self._client = client
        self.requested: list[str] = []
        # Name of a secret, or of a method and a secret, or "" for all -> the code of the error.
        self.refuses: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        def ask(**arguments: Any) -> Any:
            secret = str(arguments.get("SecretId"))
            self.requested.append(f"{name} {secret.rpartition('/')[2]}")
            if code := self.refuses.get(f"{name} {secret}", self.refuses.get(secret, self.refuses.get(""))):
                raise ClientError({"Error": {"Code": code, "Message": "from the stand-in"}}, name)
            return getattr(self._client, name)(**arguments)

        return ask


@dataclass
class Stack:
    """The secrets of a server, and the time."""

    aws: Aws
    prefix: str
    now: float = 1000.0
    client: Counting = field(init=False)

    def __post_init__(self) -> None:
        strict = StrictSecretsManager(self.aws.secrets_manager)
        for name in NAMES:
            strict.create_secret(Name=f"{self.prefix}/{name}")
        self.client = Counting(strict)
        location = AwsStoreLocation(
            account=ACCOUNT,
            region=REGION,
            secrets={name: f"{self.prefix}/{name}" for name in NAMES},
            lease=lease_arn("nobody"),
        )
        self.store = SecretsManagerVersionStore(location, SecretsManagerApi(REGION, lambda _region: cast(Any, strict)))

    def publish(self, secret: str, **fields: str) -> str:
        made = Version(id=new_token(NOW), stage=Stage.PENDING, created=NOW)
        self.store.add(secret, made, Value({name.replace("_", "-"): text for name, text in fields.items()}))
        self.store.publish(secret, made.id, NOW)
        return made.id

    def source(self, names: str = "+".join(NAMES)) -> SecretsManager:
        where, client = f"{REGION}/{self.prefix}/{names}", cast(Any, self.client)
        return SecretsManager(
            where, open_api=lambda region: SecretsManagerApi(region, lambda _: client), clock=lambda: self.now
        )

    def requested(self) -> list[str]:
        found, self.client.requested = self.client.requested, []
        return found


@pytest.fixture
def stack(moto: Aws, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("MQTT_BROKER", "broker.example")
    return Stack(moto, f"{moto.prefix()}/prod")


def password() -> str:
    return secrets.token_hex(20)


def test_source_returns_the_common_settings(stack: Stack) -> None:
    secret, key, bearer = password(), password(), password()
    version = stack.publish("mqtt", username="server-a", password=secret)
    stack.publish("agent-key", api_key=key)
    stack.publish("http-token", token=bearer)
    settings = stack.source().read()
    assert dict(settings.mqtt) == {"username": "server-a", "password": secret}
    assert settings.agent_key and settings.agent_key["api-key"] == key
    assert settings.http_token and settings.http_token["token"] == bearer
    assert settings.broker == "broker.example"
    assert settings.versions["mqtt"] == version
    assert stack.source().folders() == frozenset()


def test_missing_value_is_polled_sooner(stack: Stack) -> None:
    source = stack.source("mqtt")
    with pytest.raises(NotYetError) as waiting:
        source.read()
    assert waiting.value.secrets == ("mqtt",)
    stack.store.add("mqtt", Version(id=new_token(NOW), stage=Stage.PENDING, created=NOW), Value({"password": "x" * 40}))
    stack.now += 2 * WAITING_SECONDS
    with pytest.raises(NotYetError):
        source.read()
    stack.publish("mqtt", username="server-a", password=password())
    stack.now += 2 * WAITING_SECONDS
    assert source.read().mqtt["username"] == "server-a"


def test_a_new_version_is_seen_within_the_interval_and_a_value_is_read_once_only(stack: Stack) -> None:
    first, second = password(), password()
    stack.publish("mqtt", username="server-a", password=first)
    stack.publish("agent-key", api_key=password())
    source = stack.source("mqtt+agent-key")
    before = source.fingerprint()
    assert sorted(stack.requested()) == [
        *("describe_secret agent-key", "describe_secret mqtt"),
        *("get_secret_value agent-key", "get_secret_value mqtt"),
    ]
    for _ in range(20):  # the launcher polls every second
        assert source.fingerprint() == before
        source.read()
        stack.now += POLL_SECONDS / 60
    assert stack.requested() == []
    stack.publish("mqtt", username="server-b", password=second)
    stack.now += 1.2 * POLL_SECONDS
    assert source.fingerprint() != before
    assert stack.requested() == ["describe_secret mqtt", "get_secret_value mqtt", "describe_secret agent-key"]
    assert source.read().mqtt["password"] == second
    assert first not in before


def test_a_version_that_is_only_pending_or_labeled_changes_nothing(stack: Stack) -> None:
    version = stack.publish("mqtt", username="server-a", password=password())
    source = stack.source("mqtt")
    before = source.fingerprint()
    stack.store.add("mqtt", Version(id=new_token(NOW), stage=Stage.PENDING, created=NOW), Value({"password": "x" * 40}))
    stack.store.mark("mqtt", version, verified=NOW)
    stack.now += 2 * POLL_SECONDS
    assert source.fingerprint() == before


def test_outage_of_aws_keeps_values_and_the_next_comes_in_time(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    stack.publish("mqtt", username="server-a", password=password())
    source = stack.source("mqtt")
    before, settings = source.fingerprint(), source.read()
    stack.requested()
    stack.client.refuses[""] = "ThrottlingException"
    started, looks = stack.now, []
    with caplog.at_level(logging.WARNING):
        while stack.now < started + 2 * 3600:
            stack.now += RETRY_SECONDS / 4
            assert source.fingerprint() == before
            assert source.read() == settings
            if stack.requested():
                looks.append(stack.now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert min(gaps) >= 0.9 * (BACKOFF_FACTOR - 0.5) * RETRY_SECONDS
    assert len(caplog.messages) == 1, "logged once"
    stack.client.refuses.clear()
    stack.publish("mqtt", username="server-b", password=password())
    published = stack.now
    while source.read().mqtt["username"] != "server-b":
        stack.now += 1
        assert stack.now < published + FETCHED - CHANGING_OVER, "the user that it replaced may end before"


def test_refused_secret_blocks_no_other_secret(stack: Stack) -> None:
    stack.publish("mqtt", username="server-a", password=password())
    first, refused = password(), {f"{stack.prefix}/agent-key": "AccessDeniedException"}
    stack.publish("agent-key", api_key=first)
    source = stack.source("mqtt+agent-key")
    source.read()
    stack.publish("mqtt", username="server-b", password=password())
    stack.publish("agent-key", api_key=password())
    stack.client.refuses |= refused
    stack.now += 2 * POLL_SECONDS
    settings = source.read()
    assert settings.mqtt["username"] == "server-b"
    assert settings.agent_key and settings.agent_key["api-key"] == first
    late = stack.source("mqtt+agent-key")
    assert late.read().agent_key is None, "it never had one"
    stack.requested()
    stack.now += 1.2 * POLL_SECONDS
    late.read()
    assert "describe_secret agent-key" not in stack.requested(), "each refusal is on record"
    stack.client.refuses.clear()
    stack.now += REFUSED_SECONDS
    for one in (source, late):
        after = one.read().agent_key
        assert after and after["api-key"] != first


def test_last_value_stays_in_use_while_a_new_version_has_a_label_but_no_value(stack: Stack) -> None:
    first, second = password(), password()
    stack.publish("mqtt", username="server-a", password=password())
    stack.publish("agent-key", api_key=first)
    source = stack.source("mqtt+agent-key")
    source.read()
    stack.publish("agent-key", api_key=second)
    stack.client.refuses[f"get_secret_value {stack.prefix}/agent-key"] = "ResourceNotFoundException"
    for expected in (first, second):
        stack.now += 2 * POLL_SECONDS
        key = source.read().agent_key
        assert key and key["api-key"] == expected
        stack.client.refuses.clear()


@pytest.mark.parametrize("text", ["no json SECRET", '["SECRET"]', '{"user": "SECRET"}'])
def test_invalid_value_is_reported_without_its_content(text: str, stack: Stack) -> None:
    secret = password()
    stack.client.put_secret_value(SecretId=f"{stack.prefix}/mqtt", SecretString=text.replace("SECRET", secret))
    with pytest.raises(StoreError) as reported:
        stack.source("mqtt").read()
    assert secret not in str(reported.value) and reported.value.remedy


def test_boto3s_own_chain_leads_there(stack: Stack, moto_environment: Aws, tmp_path: Path) -> None:
    value = {"username": "server-a", "password": password()}
    stack.publish("mqtt", **value)
    source = open_source(f"aws-sm:{REGION}/{stack.prefix}/mqtt")
    assert dict(source.read().mqtt) == value
    assert json.dumps(value) not in repr(source)
