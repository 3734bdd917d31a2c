"""A stand-in for AWS: a moto server on loopback for each test process. A pytest plugin.

Real boto3 clients call it, and it stores everything in memory. tests/real/strict_secrets_manager.py corrects where moto
differs from Secrets Manager. It proves nothing about IAM.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # this plugin is also loaded where the extra `aws` is not installed
    from types_boto3_secretsmanager.client import SecretsManagerClient

REGION = "eu-central-1"
ACCOUNT = "123456789012"  # The account that moto plays.


@dataclass(frozen=True)
class Aws:
    url: str

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables that make boto3 use this server."""
        return {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "standin", "AWS_SECRET_ACCESS_KEY": "standin",
            "AWS_DEFAULT_REGION": REGION, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def client(self, service: str, region: str = REGION) -> Any:
        return _client(self.url, service, region)

    @property
    def secrets_manager(self) -> SecretsManagerClient:
        client: SecretsManagerClient = self.client("secretsmanager")
        return client

    def dynamodb(self, region: str = REGION) -> Any:
        return self.client("dynamodb", region)

    def make_lease(self, prefix: str) -> str:
        """Create the table of a lease, as the stack does. Return its ARN."""
        self.client("dynamodb").create_table(
            TableName=f"{prefix}-lease",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
        return lease_arn(prefix)

    def prefix(self) -> str:
        return f"test-{secrets.token_hex(4)}"


def lease_arn(prefix: str) -> str:
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{prefix}-lease"


@functools.cache
def _client(url: str, service: str, region: str) -> Any:
    import boto3

    return boto3.client(  # type: ignore[call-overload]
        service, region_name=region, endpoint_url=url, aws_access_key_id="standin", aws_secret_access_key="standin"
    )


@pytest.fixture(scope="session")
def moto() -> Iterator[Aws]:
    """Yield the moto server of this process. Each test uses its own names."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: the extra `aws`")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no access log in a test's output
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        host, port = running.get_host_and_port()
        yield Aws(f"http://{host}:{port}")
    finally:
        running.stop()


@pytest.fixture
def moto_environment(moto: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Set this process' environment so that AWS' SDK uses moto."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    return moto
